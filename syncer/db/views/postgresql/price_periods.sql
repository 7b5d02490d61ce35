-- `removed` ends the periods of a model and begins none, so it is dropped after the window.
CREATE VIEW price_periods AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.price, p.valid_from, p.valid_to, p.changed_after,
  s.currency, (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, m.source_id, m.id AS model_id, p.change_id
FROM models m JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL (
  SELECT n.component, n.kind, n.price, n.changed_after, n.change_id, n.effective_at AS valid_from,
    lead(n.effective_at) OVER (PARTITION BY n.component ORDER BY n.effective_at) AS valid_to
  FROM prices n WHERE n.model_id = m.id) p
CROSS JOIN LATERAL (
  SELECT CASE split_part(p.component, '@', 1) WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> split_part(p.component, '@', 1) END AS unit) u
WHERE p.kind <> 'removed';

COMMENT ON VIEW price_periods IS 'each price that held in [valid_from, valid_to), by model and component';
COMMENT ON COLUMN price_periods.price IS 'NULL = unknown, which is a period too; 0 = free';
COMMENT ON COLUMN price_periods.valid_from IS 'the first observation that showed this price';
COMMENT ON COLUMN price_periods.valid_to IS 'the first observation that showed another one, or a removal; NULL = still';
COMMENT ON COLUMN price_periods.changed_after IS
  'the last observation that showed the state before: the true moment is in (changed_after, valid_from]';
COMMENT ON COLUMN price_periods.quantity IS 'price is per so many units; NULL = unknown';
