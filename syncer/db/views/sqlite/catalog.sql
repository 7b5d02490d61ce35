-- The current catalog: the believed state of each listed model. `price` is the headline's, `prices` holds all of them.
-- `held` is a join with all that open findings withhold: asked model by model, a large finding would cost its square.
-- A new tracked field goes to the end: PostgreSQL can replace a view that users built on only by appending columns.
CREATE VIEW catalog AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, m.alias, m.type, m.context_length,
  m.max_completion_tokens, m.description, m.huggingface_url, m.price, m.prices, s.headline AS component, s.currency,
  CASE s.headline WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || s.headline || '[0]') END AS quantity,
  CASE s.headline WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || s.headline || '[1]') END AS unit,
  s.price_units, m.extra, m.first_seen_at, coalesce(m.last_seen_at, s.last_observed_at) AS last_seen_at,
  m.last_changed_at, m.missing_since, m.missing_count, m.unread, m.unread_since, h.name IS NOT NULL AS held,
  m.expires_at
FROM models m JOIN sources s ON s.id = m.source_id
  LEFT JOIN (SELECT DISTINCT f.source_id, e.key AS name FROM findings f, json_each(f.evidence) e
    WHERE f.state = 'open') h ON h.source_id = m.source_id AND h.name = m.name
WHERE m.removed_at IS NULL;
