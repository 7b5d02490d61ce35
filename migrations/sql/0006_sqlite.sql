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
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, 'price' AS component, c.price, c.effective_at AS valid_from,
  (SELECT n.effective_at FROM changes n WHERE n.model_id = c.model_id AND n.effective_at > c.effective_at
    AND n.kind <> 'updated' ORDER BY n.effective_at LIMIT 1) AS valid_to, c.changed_after
FROM models m CROSS JOIN changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('added', 'relisted', 'repriced')

CREATE VIEW availability AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, c.kind AS began_as, c.effective_at AS listed_from,
  (SELECT n.effective_at FROM changes n WHERE n.model_id = c.model_id AND n.effective_at > c.effective_at
    AND n.kind = 'removed' ORDER BY n.effective_at LIMIT 1) AS listed_to, c.changed_after
FROM models m CROSS JOIN changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('added', 'relisted')

CREATE VIEW price_changes AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, 'price' AS component, c.id, c.run_id, c.kind, c.observed_at, c.effective_at, c.changed_after,
  c.old_price AS old, c.price AS new,
  CASE WHEN c.price - c.old_price IS NOT NULL THEN CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(c.price), abs(c.old_price))), -3), c.price - c.old_price)
    AS REAL) END AS absolute,
  CASE WHEN c.old_price > 0 THEN CASE WHEN c.price IS NOT NULL THEN CAST(printf('%.12g', 100 * CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(c.price), abs(c.old_price))), -3), c.price - c.old_price)
    AS REAL) / c.old_price) AS REAL) END END AS percent
FROM models m CROSS JOIN changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('repriced', 'relisted') AND c.old_price IS NOT c.price

CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, c.name AS model, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, c.old_price, c.price, c.changed AS data
FROM changes c JOIN sources s ON s.id = c.source_id
UNION ALL
SELECT n.id, s.name, NULL, n.source_id, NULL, n.run_id, n.kind, n.observed_at, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id

CREATE VIEW daily_prices AS
SELECT p.source, p.model, p.source_id, p.model_id, p.component,
  date(p.first_day, '+' || k.key || ' days') AS day, p.price
FROM (
  SELECT p.*, substr(p.valid_from, 1, 10) AS first_day, julianday(CASE
    WHEN p.valid_to IS NULL THEN substr(s.last_good_look_at, 1, 10)
    WHEN p.valid_to = substr(p.valid_to, 1, 10) || ' 00:00:00.000000'
      OR EXISTS (SELECT 1 FROM changes n WHERE n.model_id = p.model_id AND n.kind IN ('relisted', 'repriced')
    AND n.effective_at >= p.valid_to AND n.effective_at < date(substr(p.valid_to, 1, 10), '+1 day'))
      THEN date(substr(p.valid_to, 1, 10), '-1 day')
    ELSE substr(p.valid_to, 1, 10) END) - julianday(substr(p.valid_from, 1, 10)) AS days
  FROM price_periods p CROSS JOIN sources s WHERE s.id = p.source_id) p
CROSS JOIN json_each('[' || replace(hex(zeroblob(CAST(p.days AS INTEGER))), '00', '0,') || '0]') k
WHERE k.key <= p.days

CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END

CREATE TRIGGER changes_no_delete BEFORE DELETE ON changes
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END

CREATE TRIGGER changes_in_order BEFORE INSERT ON changes
WHEN NEW.id <= (SELECT coalesce(max(id), 0) FROM changes)
  OR EXISTS (SELECT 1 FROM changes WHERE run_id = NEW.run_id AND model_id = NEW.model_id)
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END
