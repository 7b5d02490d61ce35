-- `held` is a join with all that open findings withhold: asked model by model, a large finding would cost its square.
-- A new tracked field goes to the end: a view that users built on can be replaced only by appending columns.
CREATE VIEW catalog AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, m.alias, m.type, m.context_length,
  m.max_completion_tokens, m.description, m.huggingface_url, m.price, m.prices, s.headline AS component, s.currency,
  (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, s.price_units, m.extra, m.first_seen_at,
  coalesce(m.last_seen_at, s.last_observed_at) AS last_seen_at, m.last_changed_at, m.missing_since, m.missing_count,
  m.unread, m.unread_since, h.name IS NOT NULL AS held, m.expires_at
FROM models m JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL (
  SELECT CASE s.headline WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> s.headline END AS unit) u
  LEFT JOIN (SELECT DISTINCT f.source_id, e.key AS name FROM findings f, json_each(f.evidence) e
    WHERE f.state = 'open') h ON h.source_id = m.source_id AND h.name = m.name
WHERE m.removed_at IS NULL;

COMMENT ON VIEW catalog IS 'the current catalog: the believed state of each listed model';
COMMENT ON COLUMN catalog.price IS 'the price of the headline component; NULL = unknown, 0 = free';
COMMENT ON COLUMN catalog.prices IS 'component -> price; null = unknown now';
COMMENT ON COLUMN catalog.component IS 'which of the prices is in the column price';
COMMENT ON COLUMN catalog.quantity IS 'price is per so many units; NULL = unknown';
COMMENT ON COLUMN catalog.last_seen_at IS 'the last observation that showed the model as it is believed';
COMMENT ON COLUMN catalog.missing_since IS 'the first observation that lacked the model; NULL = it is there';
COMMENT ON COLUMN catalog.unread_since IS 'since when its prices cannot be read; NULL = they can';
COMMENT ON COLUMN catalog.held IS 'whether an open finding withholds something of it';
