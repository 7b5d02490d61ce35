CREATE VIEW catalog_prices AS
SELECT s.name AS source, m.name AS model, m.type, k.key AS component, (k.value #>> '{}')::numeric AS price, s.currency,
  (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, m.source_id, m.id AS model_id
FROM models m JOIN sources s ON s.id = m.source_id CROSS JOIN LATERAL jsonb_each(m.prices) k
CROSS JOIN LATERAL (
  SELECT CASE split_part(k.key, '@', 1) WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> split_part(k.key, '@', 1) END AS unit) u
WHERE m.removed_at IS NULL;

COMMENT ON VIEW catalog_prices IS 'the current catalog with one row for each model and component';
COMMENT ON COLUMN catalog_prices.price IS 'NULL = unknown now, 0 = free, a negative number as upstream sent it';
COMMENT ON COLUMN catalog_prices.quantity IS 'price is per so many units; NULL = unknown';
