CREATE VIEW catalog AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, m.alias, m.type, m.context_length, m.max_completion_tokens, m.description, m.price,
  s.currency, s.price_units, m.huggingface_url, m.extra, m.first_seen_at,
  coalesce(m.last_seen_at, s.last_good_look_at) AS last_seen_at, m.last_changed_at, m.missing_since, m.missing_looks,
  h.name IS NOT NULL AND m.last_seen_at IS NOT NULL AS held
FROM models m JOIN sources s ON s.id = m.source_id
  LEFT JOIN (SELECT DISTINCT f.source_id, e.key AS name FROM findings f, json_each(f.evidence) e
    WHERE f.state = 'open') h ON h.source_id = m.source_id AND h.name = m.name
WHERE m.removed_at IS NULL

CREATE VIEW price_periods AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, 'price' AS component, c.price, c.valid_from, c.valid_to, c.changed_after
FROM models m JOIN sources s ON s.id = m.source_id CROSS JOIN LATERAL (
  SELECT n.kind, n.price, n.changed_after, n.effective_at AS valid_from,
    lead(n.effective_at) OVER (ORDER BY n.effective_at) AS valid_to
  FROM changes n WHERE n.model_id = m.id AND n.kind <> 'updated') c
WHERE c.kind <> 'removed'

CREATE VIEW availability AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, c.kind AS began_as, c.listed_from, c.listed_to, c.changed_after
FROM models m JOIN sources s ON s.id = m.source_id CROSS JOIN LATERAL (
  SELECT n.kind, n.price, n.changed_after, n.effective_at AS listed_from,
    lead(n.effective_at) OVER (ORDER BY n.effective_at) AS listed_to
  FROM changes n WHERE n.model_id = m.id AND n.kind IN ('added', 'relisted', 'removed')) c
WHERE c.kind <> 'removed'

CREATE VIEW price_changes AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, 'price' AS component, c.id, c.run_id, c.kind, c.observed_at, c.effective_at, c.changed_after,
  c.old_price AS old, c.price AS new,
  trim_scale(c.price - c.old_price) AS absolute,
  CASE WHEN c.old_price > 0 THEN trim_scale(round(100 * (c.price - c.old_price) / c.old_price, (11 - floor(log(abs(100 * (c.price - c.old_price) / c.old_price))))::int)) END AS percent
FROM models m JOIN changes c ON c.model_id = m.id JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('repriced', 'relisted') AND c.old_price IS DISTINCT FROM c.price

CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, c.name AS model, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, c.old_price, c.price, c.changed AS data
FROM changes c JOIN sources s ON s.id = c.source_id
UNION ALL
SELECT n.id, s.name, NULL, n.source_id, NULL, n.run_id, n.kind, n.observed_at, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id

CREATE VIEW daily_prices AS
SELECT p.source, p.model, p.source_id, p.model_id, p.component, d.day::date AS day, p.price
FROM price_periods p JOIN sources s ON s.id = p.source_id
CROSS JOIN LATERAL (SELECT p.valid_to AT TIME ZONE 'UTC' AS ended) e
CROSS JOIN LATERAL generate_series(
  date_trunc('day', p.valid_from AT TIME ZONE 'UTC'),
  CASE WHEN e.ended IS NULL THEN date_trunc('day', s.last_good_look_at AT TIME ZONE 'UTC')
    WHEN e.ended = date_trunc('day', e.ended)
      OR EXISTS (SELECT 1 FROM changes n WHERE n.model_id = p.model_id AND n.kind IN ('relisted', 'repriced')
    AND n.effective_at >= p.valid_to AND n.effective_at < (date_trunc('day', e.ended) + interval '1 day') AT TIME ZONE 'UTC')
      THEN date_trunc('day', e.ended) - interval '1 day'
    ELSE date_trunc('day', e.ended) END,
  interval '1 day') AS d(day)

CREATE FUNCTION changes_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'changes is append-only' USING ERRCODE = 'restrict_violation'; END $$

CREATE TRIGGER changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes
FOR EACH STATEMENT EXECUTE FUNCTION changes_append_only()
