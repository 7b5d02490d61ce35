-- Each move of a price, a relisting at another price included; what came by a new reading is no move.
-- SQLite computes in doubles, but 0.3 - 0.1 must read 0.2: the difference is rounded to the last decimal that the
-- larger price can have, the fifteenth of its digits. printf would print NULL as 0.
CREATE VIEW price_changes AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.kind, p.effective_at, p.changed_after,
  p.old_price AS old, p.price AS new,
  CASE WHEN p.price - p.old_price IS NOT NULL THEN
    CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(p.price), abs(p.old_price))), -3),
      p.price - p.old_price) AS REAL) END AS absolute,
  CASE WHEN p.old_price > 0 AND p.price IS NOT NULL THEN CAST(printf('%.12g',
    100 * CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(p.price), abs(p.old_price))), -3),
      p.price - p.old_price) AS REAL) / p.old_price) AS REAL) END AS percent,
  s.currency,
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
WHERE p.model_id = m.id AND p.kind IN ('repriced', 'relisted') AND p.old_price IS NOT p.price;
