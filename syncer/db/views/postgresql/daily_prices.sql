-- A period that ends on a day on which the same component begins again has no claim on that day.
CREATE VIEW daily_prices AS
SELECT p.source, p.model, p.type, p.component, d.day::date AS day, p.price, p.currency, p.quantity, p.unit,
  p.source_id, p.model_id
FROM price_periods p JOIN sources s ON s.id = p.source_id
CROSS JOIN LATERAL (SELECT p.valid_to AT TIME ZONE 'UTC' AS ended) e
CROSS JOIN LATERAL generate_series(
  date_trunc('day', p.valid_from AT TIME ZONE 'UTC'),
  CASE WHEN e.ended IS NULL THEN date_trunc('day', s.last_observed_at AT TIME ZONE 'UTC')
    WHEN e.ended = date_trunc('day', e.ended)
      OR EXISTS (SELECT 1 FROM prices n WHERE n.model_id = p.model_id AND n.component = p.component
        AND n.kind <> 'removed' AND n.effective_at >= p.valid_to
        AND n.effective_at < (date_trunc('day', e.ended) + interval '1 day') AT TIME ZONE 'UTC')
      THEN date_trunc('day', e.ended) - interval '1 day'
    ELSE date_trunc('day', e.ended) END,
  interval '1 day') AS d(day);

COMMENT ON VIEW daily_prices IS
  'one row for each UTC day, model and component: the price that held last in that day, up to the last observation';
COMMENT ON COLUMN daily_prices.price IS 'NULL = unknown, 0 = free';
