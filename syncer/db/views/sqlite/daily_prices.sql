-- A day counts for the price that held last in it; days end with the last observation, since nothing is known beyond.
-- A period that ends on a day on which the same component begins again has no claim on that day. SQLite has no
-- generate_series: json_each over a made-up array counts the days of one period, and keeps the seek. Its date() rounds
-- to milliseconds, up to the next day just before midnight; the text of a time begins with its day.
CREATE VIEW daily_prices AS
SELECT p.source, p.model, p.type, p.component, date(p.first_day, '+' || k.key || ' days') AS day, p.price, p.currency,
  p.quantity, p.unit, p.source_id, p.model_id
FROM (
  SELECT p.*, substr(p.valid_from, 1, 10) AS first_day, julianday(CASE
    WHEN p.valid_to IS NULL THEN substr(s.last_observed_at, 1, 10)
    WHEN p.valid_to = substr(p.valid_to, 1, 10) || ' 00:00:00.000000'
      OR EXISTS (SELECT 1 FROM prices n WHERE n.model_id = p.model_id AND n.component = p.component
        AND n.kind <> 'removed' AND n.effective_at >= p.valid_to
        AND n.effective_at < date(substr(p.valid_to, 1, 10), '+1 day'))
      THEN date(substr(p.valid_to, 1, 10), '-1 day')
    ELSE substr(p.valid_to, 1, 10) END) - julianday(substr(p.valid_from, 1, 10)) AS days
  FROM price_periods p CROSS JOIN sources s WHERE s.id = p.source_id) p
CROSS JOIN json_each('[' || replace(hex(zeroblob(CAST(p.days AS INTEGER))), '00', '0,') || '0]') k
WHERE k.key <= p.days;
