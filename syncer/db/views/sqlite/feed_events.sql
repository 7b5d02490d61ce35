-- The feed: all changes and notices. `price` is that of the headline.
CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, m.name AS model, c.type, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, s.headline AS component, c.old_price, c.price, s.currency,
  CASE s.headline WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || s.headline || '[0]') END AS quantity,
  CASE s.headline WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || s.headline || '[1]') END AS unit,
  c.changed AS data
FROM changes c JOIN models m ON m.id = c.model_id JOIN sources s ON s.id = c.source_id
UNION ALL
SELECT n.id, s.name, m.name, m.type, n.source_id, n.model_id, n.run_id, n.kind, n.observed_at,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id LEFT JOIN models m ON m.id = n.model_id;
