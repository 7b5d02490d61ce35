-- The current catalog with one row for each component. The price is that of the last row of `prices`, not a number of
-- the JSON: SQLite's own reading of a decimal is off by the last bit now and then.
CREATE VIEW catalog_prices AS
SELECT s.name AS source, m.name AS model, m.type, k.key AS component,
  (SELECT p.price FROM prices p WHERE p.model_id = m.id AND p.component = k.key
    ORDER BY p.effective_at DESC LIMIT 1) AS price,
  s.currency,
  CASE substr(k.key, 1, instr(k.key || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || substr(k.key, 1, instr(k.key || '@', '@') - 1) || '[0]') END AS quantity,
  CASE substr(k.key, 1, instr(k.key || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || substr(k.key, 1, instr(k.key || '@', '@') - 1) || '[1]') END AS unit,
  m.source_id, m.id AS model_id
FROM models m CROSS JOIN json_each(m.prices) k JOIN sources s ON s.id = m.source_id
WHERE m.removed_at IS NULL;
