-- Who sells the same model, and at what price. Two listings are one model only if their `identity` is equal, which is
-- the path of the model's page at Hugging Face, or else its name; both in lower case (ASCII), without a "/" at the end.
-- Nothing is guessed: another spelling, a variant (":free") or an address at another host is another identity.
CREATE VIEW offers AS
SELECT CASE WHEN m.huggingface_url ILIKE 'https://huggingface.co/_%'
    THEN rtrim(lower(substr(m.huggingface_url, 24) COLLATE "C"), '/')
    ELSE lower(m.name COLLATE "C") END AS identity,
  s.name AS source, m.name AS model, m.type, p.component, p.price, p.valid_from, s.currency,
  (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, m.source_id, m.id AS model_id
FROM models m JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL jsonb_object_keys(m.prices) AS k(component)
CROSS JOIN LATERAL (
  SELECT n.component, n.price, n.effective_at AS valid_from FROM prices n
  WHERE n.model_id = m.id AND n.component = k.component ORDER BY n.effective_at DESC LIMIT 1) p
CROSS JOIN LATERAL (
  SELECT CASE split_part(p.component, '@', 1) WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> split_part(p.component, '@', 1) END AS unit) u
WHERE m.removed_at IS NULL;

COMMENT ON VIEW offers IS 'who sells the same model: rows of equal identity, one for each source, model and component';
COMMENT ON COLUMN offers.identity IS
  'the path of the page at Hugging Face, or else the name; in lower case, and never guessed';
COMMENT ON COLUMN offers.valid_from IS 'since when this price holds';
