-- The feed: all changes and notices. `price` is that of the headline.
CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, m.name AS model, c.type, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, s.headline AS component, c.old_price, c.price, s.currency,
  (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit,
  c.changed AS data
FROM changes c JOIN models m ON m.id = c.model_id JOIN sources s ON s.id = c.source_id
CROSS JOIN LATERAL (
  SELECT CASE s.headline WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> s.headline END AS unit) u
UNION ALL
SELECT n.id, s.name, m.name, m.type, n.source_id, n.model_id, n.run_id, n.kind, n.observed_at,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id LEFT JOIN models m ON m.id = n.model_id;

COMMENT ON VIEW feed_events IS 'the feed: all changes and notices; read it by id';
COMMENT ON COLUMN feed_events.id IS 'contiguous, in commit order';
COMMENT ON COLUMN feed_events.data IS 'of a change: field -> [old, new]; of a notice: what there is to say';
COMMENT ON COLUMN feed_events.model IS 'NULL for a notice about the whole source';
