CREATE VIEW availability AS
SELECT s.name AS source, m.name AS model, m.type, c.kind AS began_as, c.listed_from, c.listed_to, c.changed_after,
  m.source_id, m.id AS model_id
FROM models m JOIN sources s ON s.id = m.source_id CROSS JOIN LATERAL (
  SELECT n.kind, n.changed_after, n.effective_at AS listed_from,
    lead(n.effective_at) OVER (ORDER BY n.effective_at) AS listed_to
  FROM changes n WHERE n.model_id = m.id AND n.kind IN ('added', 'relisted', 'removed')) c
WHERE c.kind <> 'removed';

COMMENT ON VIEW availability IS 'each interval in which a model was listed, [listed_from, listed_to)';
COMMENT ON COLUMN availability.listed_to IS 'the first observation that lacked it; NULL = it is listed';
COMMENT ON COLUMN availability.began_as IS 'added or relisted';
