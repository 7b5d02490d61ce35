-- log of a float8: that of a numeric costs ten times all the rest, for the same digits.
CREATE VIEW price_changes AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.kind, p.effective_at, p.changed_after,
  p.old_price AS old, p.price AS new, trim_scale(p.price - p.old_price) AS absolute,
  CASE WHEN p.old_price > 0 THEN CASE WHEN p.price = p.old_price THEN 0 ELSE
    trim_scale(round(100 * (p.price - p.old_price) / p.old_price,
      11 - floor(log(abs(100 * (p.price - p.old_price) / p.old_price)::float8))::int)) END END AS percent,
  s.currency, (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, m.source_id, m.id AS model_id, p.change_id
FROM models m JOIN prices p ON p.model_id = m.id JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL (
  SELECT CASE split_part(p.component, '@', 1) WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> split_part(p.component, '@', 1) END AS unit) u
WHERE p.kind IN ('repriced', 'relisted') AND p.old_price IS DISTINCT FROM p.price;

COMMENT ON VIEW price_changes IS 'each move of a price, a relisting at another price included';
COMMENT ON COLUMN price_changes.old IS 'the price before; NULL = unknown';
COMMENT ON COLUMN price_changes.new IS 'the price after; NULL = unknown';
COMMENT ON COLUMN price_changes.percent IS '12 significant digits; NULL from unknown, 0 or a negative price';
COMMENT ON COLUMN price_changes.effective_at IS 'the first observation that showed the new price';
COMMENT ON COLUMN price_changes.changed_after IS
  'the last observation that showed the old price: the true moment is in (changed_after, effective_at]';
