-- Each interval in which a model was listed, [listed_from, listed_to); NULL in listed_to: it still is.
CREATE VIEW availability AS
SELECT s.name AS source, m.name AS model, m.type, c.kind AS began_as, c.effective_at AS listed_from,
  (SELECT n.effective_at FROM changes n WHERE n.model_id = c.model_id AND n.effective_at > c.effective_at
    AND n.kind = 'removed' ORDER BY n.effective_at LIMIT 1) AS listed_to,
  c.changed_after, m.source_id, m.id AS model_id
FROM models m CROSS JOIN changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('added', 'relisted');
