-- Each price that held in [valid_from, valid_to); NULL in valid_to: it still holds. A removal ends all of a model's
-- periods, a new reading ends one and begins the next. CROSS JOIN pins the join order: without it a filter on time
-- picks the wrong index. The unit is that of the component without its tier; that of `price` goes by the model's type.
-- It is looked up by json_each, never by a path made of a type: a path misses keys with a quote or a backslash.
CREATE VIEW price_periods AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.price, p.effective_at AS valid_from,
  (SELECT n.effective_at FROM prices n WHERE n.model_id = p.model_id AND n.component = p.component
    AND n.effective_at > p.effective_at ORDER BY n.effective_at LIMIT 1) AS valid_to,
  p.changed_after, s.currency,
  CASE substr(p.component, 1, instr(p.component || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units,
      '$.' || substr(p.component, 1, instr(p.component || '@', '@') - 1) || '[0]') END AS quantity,
  CASE substr(p.component, 1, instr(p.component || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units,
      '$.' || substr(p.component, 1, instr(p.component || '@', '@') - 1) || '[1]') END AS unit,
  m.source_id, m.id AS model_id, p.change_id
FROM models m CROSS JOIN prices p JOIN sources s ON s.id = m.source_id
WHERE p.model_id = m.id AND p.kind <> 'removed';
