-- Who sells the same model, and at what price. Two listings are one model only if their `identity` is equal, which is
-- the path of the model's page at Hugging Face, or else its name; both in lower case (ASCII), without a "/" at the end.
-- Nothing is guessed: another spelling, a variant (":free") or an address at another host is another identity.
CREATE VIEW offers AS
SELECT CASE WHEN m.huggingface_url LIKE 'https://huggingface.co/_%'
    THEN rtrim(lower(substr(m.huggingface_url, 24)), '/') ELSE lower(m.name) END AS identity,
  s.name AS source, m.name AS model, m.type, k.key AS component,
  (SELECT p.price FROM prices p WHERE p.model_id = m.id AND p.component = k.key
    ORDER BY p.effective_at DESC LIMIT 1) AS price,
  (SELECT p.effective_at FROM prices p WHERE p.model_id = m.id AND p.component = k.key
    ORDER BY p.effective_at DESC LIMIT 1) AS valid_from,
  s.currency,
  CASE substr(k.key, 1, instr(k.key || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || substr(k.key, 1, instr(k.key || '@', '@') - 1) || '[0]') END AS quantity,
  CASE substr(k.key, 1, instr(k.key || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || substr(k.key, 1, instr(k.key || '@', '@') - 1) || '[1]') END AS unit,
  m.source_id, m.id AS model_id
FROM models m CROSS JOIN json_each(m.prices) k JOIN sources s ON s.id = m.source_id
WHERE m.removed_at IS NULL;
