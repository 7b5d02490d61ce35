CREATE TABLE consumers (
  id SERIAL NOT NULL,
  name VARCHAR(255) COLLATE "C" NOT NULL,
  position BIGINT NOT NULL,
  state VARCHAR(16) NOT NULL,
  reason TEXT,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  failing JSON NOT NULL,
  batch_id VARCHAR(400),
  batch_end BIGINT,
  batch_body TEXT,
  batch_notified JSON,
  batch_since TIMESTAMP WITH TIME ZONE,
  attempts INTEGER DEFAULT '0' NOT NULL,
  next_attempt_at TIMESTAMP WITH TIME ZONE,
  last_delivered_at TIMESTAMP WITH TIME ZONE,
  last_error TEXT,
  lease_owner VARCHAR(255),
  lease_token BIGINT DEFAULT '0' NOT NULL,
  lease_until TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_consumers PRIMARY KEY (id),
  CONSTRAINT uq_consumers_name UNIQUE (name)
);

COMMENT ON TABLE consumers IS 'named readers of the feed with a stored position';
COMMENT ON COLUMN consumers.name IS 'of its [[alerts]] table, or of `syncer changes --cursor`';
COMMENT ON COLUMN consumers.position IS 'the last feed id that it is done with';
COMMENT ON COLUMN consumers.state IS 'active, paused, disabled, or cursor';
COMMENT ON COLUMN consumers.reason IS 'why it is disabled';
COMMENT ON COLUMN consumers.failing IS 'names of sources of whose trouble it was notified';
COMMENT ON COLUMN consumers.batch_id IS 'of the message being handed over; frozen before its first attempt';
COMMENT ON COLUMN consumers.batch_end IS 'its position once that has arrived';
COMMENT ON COLUMN consumers.batch_body IS 'the very bytes of the message';
COMMENT ON COLUMN consumers.batch_notified IS 'what is remembered of each model once it has arrived';
COMMENT ON COLUMN consumers.batch_since IS 'first attempt';
COMMENT ON COLUMN consumers.attempts IS 'failed attempts in a row';
COMMENT ON COLUMN consumers.next_attempt_at IS 'NULL = now';
COMMENT ON COLUMN consumers.lease_token IS 'fencing token; only rises';

CREATE TABLE feed (
  feed_id VARCHAR(32) NOT NULL,
  last_id BIGINT NOT NULL,
  CONSTRAINT pk_feed PRIMARY KEY (feed_id)
);

COMMENT ON TABLE feed IS 'one row: the counter behind the feed ids of changes and notices';
COMMENT ON COLUMN feed.feed_id IS 'random, made with the database';
COMMENT ON COLUMN feed.last_id IS 'the highest feed id given out';

CREATE TABLE sources (
  id SERIAL NOT NULL,
  name VARCHAR(255) COLLATE "C" NOT NULL,
  url TEXT NOT NULL,
  format VARCHAR(64) NOT NULL,
  headline VARCHAR(64) COLLATE "C" NOT NULL,
  currency VARCHAR(16),
  price_units JSONB,
  created_at TIMESTAMP WITH TIME ZONE NOT NULL,
  salt BYTEA NOT NULL,
  lease_owner VARCHAR(255),
  lease_token BIGINT DEFAULT '0' NOT NULL,
  lease_until TIMESTAMP WITH TIME ZONE,
  interval_seconds INTEGER,
  next_due_at TIMESTAMP WITH TIME ZONE,
  etag TEXT,
  body_digest VARCHAR(32),
  stored_with VARCHAR(32),
  stored_at TIMESTAMP WITH TIME ZONE,
  last_observed_at TIMESTAMP WITH TIME ZONE,
  last_shown_at TIMESTAMP WITH TIME ZONE,
  last_judged_at TIMESTAMP WITH TIME ZONE,
  retired_at TIMESTAMP WITH TIME ZONE,
  pruned_before TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_sources PRIMARY KEY (id),
  CONSTRAINT uq_sources_name UNIQUE (name)
);

COMMENT ON TABLE sources IS 'provider endpoints that publish a catalog';
COMMENT ON COLUMN sources.name IS 'as configured; unique';
COMMENT ON COLUMN sources.url IS 'the endpoint last observed, without query or credentials';
COMMENT ON COLUMN sources.format IS 'how that endpoint writes its catalog';
COMMENT ON COLUMN sources.headline IS 'which component is in the columns price and old_price';
COMMENT ON COLUMN sources.currency IS 'of its prices; NULL = unknown, the endpoint does not say';
COMMENT ON COLUMN sources.price_units IS 'component -> [quantity, word]; of the component price by type: type -> [quantity, word]';
COMMENT ON COLUMN sources.salt IS 'salt of the credential fingerprints in runs';
COMMENT ON COLUMN sources.lease_owner IS 'who is syncing this source now; NULL = nobody';
COMMENT ON COLUMN sources.lease_token IS 'fencing token; only rises';
COMMENT ON COLUMN sources.lease_until IS 'when the lease may be taken over';
COMMENT ON COLUMN sources.interval_seconds IS 'how often it is meant to be polled; NULL = not said';
COMMENT ON COLUMN sources.next_due_at IS 'when the daemon will sync it next';
COMMENT ON COLUMN sources.etag IS 'of the last cleanly applied body; NULL while anything is pending';
COMMENT ON COLUMN sources.body_digest IS 'of the last cleanly applied body; NULL while anything is pending';
COMMENT ON COLUMN sources.stored_with IS 'digest of what etag and body_digest hold for (URL, key, rules)';
COMMENT ON COLUMN sources.stored_at IS 'when a whole body was last read; the shortcut holds for a while';
COMMENT ON COLUMN sources.last_observed_at IS 'observed_at of the last run that read the catalog';
COMMENT ON COLUMN sources.last_shown_at IS 'the same, less the Age of that response';
COMMENT ON COLUMN sources.last_judged_at IS 'the last observation that could judge absence';
COMMENT ON COLUMN sources.retired_at IS 'since when nobody is meant to sync it; the next sync clears it';
COMMENT ON COLUMN sources.pruned_before IS 'runs that began earlier may have been pruned; NULL = none was';

CREATE TABLE models (
  id BIGSERIAL NOT NULL,
  source_id INTEGER NOT NULL,
  name VARCHAR(255) COLLATE "C" NOT NULL,
  alias VARCHAR(255),
  type VARCHAR(255),
  context_length BIGINT,
  max_completion_tokens BIGINT,
  description TEXT,
  huggingface_url TEXT,
  expires_at TIMESTAMP WITH TIME ZONE,
  price NUMERIC,
  prices JSONB NOT NULL,
  extra JSON NOT NULL,
  digest BYTEA NOT NULL,
  parser VARCHAR(64) NOT NULL,
  first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
  last_seen_at TIMESTAMP WITH TIME ZONE,
  last_changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  missing_since TIMESTAMP WITH TIME ZONE,
  missing_count INTEGER DEFAULT '0' NOT NULL,
  unread JSON,
  unread_since TIMESTAMP WITH TIME ZONE,
  expiring_told INTEGER,
  removed_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_models PRIMARY KEY (id),
  CONSTRAINT uq_models_source_id_name UNIQUE (source_id, name),
  CONSTRAINT fk_models_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id)
);

CREATE INDEX ix_models_current ON models (source_id, name, digest, parser, price, last_seen_at) WHERE removed_at IS NULL;

CREATE INDEX ix_models_expires_at ON models (source_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX ix_models_name ON models (name);

CREATE INDEX ix_models_unread ON models (source_id, name) WHERE unread IS NOT NULL;

COMMENT ON TABLE models IS 'every model ever listed, in its last known state';
COMMENT ON COLUMN models.name IS 'as upstream sends it; bytewise unique in its source';
COMMENT ON COLUMN models.alias IS 'a name that is easy to interpret';
COMMENT ON COLUMN models.type IS 'the kind of data that the model gives';
COMMENT ON COLUMN models.context_length IS 'tokens';
COMMENT ON COLUMN models.max_completion_tokens IS 'tokens of one response';
COMMENT ON COLUMN models.description IS 'upstream''s own words';
COMMENT ON COLUMN models.huggingface_url IS 'the model''s page';
COMMENT ON COLUMN models.expires_at IS 'when upstream says that the model goes';
COMMENT ON COLUMN models.price IS 'of the headline; NULL = unknown, 0 = free, negative as sent';
COMMENT ON COLUMN models.prices IS 'component -> price, every one ever known; null = unknown now';
COMMENT ON COLUMN models.extra IS 'upstream fields that are not tracked: kept, never a change';
COMMENT ON COLUMN models.digest IS 'of the element these values were read from';
COMMENT ON COLUMN models.parser IS 'the reading that made these values of it';
COMMENT ON COLUMN models.last_seen_at IS 'last observation that showed it as believed; set while missing, unread or withheld, NULL = the last';
COMMENT ON COLUMN models.last_changed_at IS 'effective_at of its latest change';
COMMENT ON COLUMN models.missing_since IS 'first observation that lacked it, while missing or removed';
COMMENT ON COLUMN models.missing_count IS 'judging observations without it';
COMMENT ON COLUMN models.unread IS 'names of its fields that could not be read; NULL = none';
COMMENT ON COLUMN models.unread_since IS 'since when its prices could not be read';
COMMENT ON COLUMN models.expiring_told IS 'days before expires_at that the last notice was for';
COMMENT ON COLUMN models.removed_at IS 'effective_at of its removal; NULL = listed';

CREATE TABLE runs (
  id BIGSERIAL NOT NULL,
  source_id INTEGER NOT NULL,
  kind VARCHAR(16) NOT NULL,
  started_at TIMESTAMP WITH TIME ZONE NOT NULL,
  observed_at TIMESTAMP WITH TIME ZONE,
  finished_at TIMESTAMP WITH TIME ZONE,
  outcome VARCHAR(16) NOT NULL,
  http_status INTEGER,
  listed INTEGER,
  added INTEGER DEFAULT '0' NOT NULL,
  removed INTEGER DEFAULT '0' NOT NULL,
  relisted INTEGER DEFAULT '0' NOT NULL,
  repriced INTEGER DEFAULT '0' NOT NULL,
  updated INTEGER DEFAULT '0' NOT NULL,
  reread INTEGER DEFAULT '0' NOT NULL,
  rejected INTEGER DEFAULT '0' NOT NULL,
  withheld INTEGER DEFAULT '0' NOT NULL,
  credential VARCHAR(16),
  body_digest VARCHAR(32),
  error TEXT,
  CONSTRAINT pk_runs PRIMARY KEY (id),
  CONSTRAINT fk_runs_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id)
);

CREATE INDEX ix_runs_source_id_id ON runs (source_id, id);

CREATE INDEX ix_runs_source_id_observed_at ON runs (source_id, observed_at);

CREATE UNIQUE INDEX uq_runs_running ON runs (source_id) WHERE outcome = 'running';

COMMENT ON TABLE runs IS 'one row for each attempt, whatever came of it';
COMMENT ON COLUMN runs.kind IS 'sync, import, approve or revert';
COMMENT ON COLUMN runs.observed_at IS 'when the response was complete, in a failed import too; NULL if no catalog was read';
COMMENT ON COLUMN runs.outcome IS 'changed, unchanged, held, failed, skipped; running while open, abandoned if its syncer died';
COMMENT ON COLUMN runs.listed IS 'models the response listed; NULL if it was not read (304, same bytes)';
COMMENT ON COLUMN runs.reread IS 'the same bytes, read another way';
COMMENT ON COLUMN runs.rejected IS 'elements that could not be read';
COMMENT ON COLUMN runs.withheld IS 'changes seen but not believed yet';
COMMENT ON COLUMN runs.credential IS 'fingerprint of the key: HMAC under the source''s salt, never it';
COMMENT ON COLUMN runs.body_digest IS 'fingerprint of the response';
COMMENT ON COLUMN runs.error IS 'why it failed, or what is held';

CREATE TABLE changes (
  id BIGINT NOT NULL,
  source_id INTEGER NOT NULL,
  run_id BIGINT NOT NULL,
  model_id BIGINT NOT NULL,
  kind VARCHAR(16) NOT NULL,
  observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  effective_at TIMESTAMP WITH TIME ZONE NOT NULL,
  changed_after TIMESTAMP WITH TIME ZONE,
  old_price NUMERIC,
  price NUMERIC,
  name VARCHAR(255) COLLATE "C" NOT NULL,
  alias VARCHAR(255),
  type VARCHAR(255),
  context_length BIGINT,
  max_completion_tokens BIGINT,
  description TEXT,
  huggingface_url TEXT,
  expires_at TIMESTAMP WITH TIME ZONE,
  prices JSONB NOT NULL,
  changed JSON NOT NULL,
  reverts_id BIGINT,
  raw TEXT,
  CONSTRAINT pk_changes PRIMARY KEY (id),
  CONSTRAINT uq_changes_run_id_model_id UNIQUE (run_id, model_id),
  CONSTRAINT uq_changes_model_id_effective_at UNIQUE (model_id, effective_at),
  CONSTRAINT ck_changes_id CHECK (id > 0),
  CONSTRAINT ck_changes_window CHECK (effective_at <= observed_at AND (changed_after IS NULL OR changed_after < effective_at)),
  CONSTRAINT ck_changes_added CHECK (kind <> 'added' OR old_price IS NULL),
  CONSTRAINT ck_changes_removed CHECK (kind <> 'removed' OR raw IS NULL AND ((price IS NULL) = (old_price IS NULL) AND coalesce(price = old_price, price IS NULL))),
  CONSTRAINT ck_changes_reverts CHECK (reverts_id IS NULL OR reverts_id < id),
  CONSTRAINT fk_changes_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id),
  CONSTRAINT fk_changes_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id),
  CONSTRAINT fk_changes_model_id_models FOREIGN KEY(model_id) REFERENCES models (id),
  CONSTRAINT fk_changes_reverts_id_changes FOREIGN KEY(reverts_id) REFERENCES changes (id)
);

CREATE INDEX ix_changes_observed_at ON changes (observed_at);

COMMENT ON TABLE changes IS 'the history: append-only, the database refuses UPDATE and DELETE';
COMMENT ON COLUMN changes.id IS 'feed id: contiguous, in commit order';
COMMENT ON COLUMN changes.kind IS 'added, removed, relisted, repriced, updated; reread: no news';
COMMENT ON COLUMN changes.observed_at IS 'when the run that wrote it observed the source';
COMMENT ON COLUMN changes.effective_at IS 'first observation that showed the new state';
COMMENT ON COLUMN changes.changed_after IS 'last that still showed the old state; NULL = baseline';
COMMENT ON COLUMN changes.old_price IS 'of the headline before; NULL = unknown, or never listed before';
COMMENT ON COLUMN changes.price IS 'of the headline after (for removed: the last one)';
COMMENT ON COLUMN changes.name IS 'this and what follows: the whole state after the change';
COMMENT ON COLUMN changes.alias IS 'a name that is easy to interpret';
COMMENT ON COLUMN changes.type IS 'the kind of data that the model gives';
COMMENT ON COLUMN changes.context_length IS 'tokens';
COMMENT ON COLUMN changes.max_completion_tokens IS 'tokens of one response';
COMMENT ON COLUMN changes.description IS 'upstream''s own words';
COMMENT ON COLUMN changes.huggingface_url IS 'the model''s page';
COMMENT ON COLUMN changes.expires_at IS 'when upstream says that the model goes';
COMMENT ON COLUMN changes.prices IS 'component -> price, every one ever known; null = unknown';
COMMENT ON COLUMN changes.changed IS 'field -> [old, new]; {} for added and removed';
COMMENT ON COLUMN changes.reverts_id IS 'the change that this one takes back';
COMMENT ON COLUMN changes.raw IS 'the element as upstream sent it; NULL for removed';

CREATE TABLE findings (
  id BIGSERIAL NOT NULL,
  source_id INTEGER NOT NULL,
  kind VARCHAR(32) NOT NULL,
  opened_run_id BIGINT NOT NULL,
  opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
  evidence JSON NOT NULL,
  last_run_id BIGINT NOT NULL,
  state VARCHAR(16) NOT NULL,
  settled_run_id BIGINT,
  comment TEXT,
  CONSTRAINT pk_findings PRIMARY KEY (id),
  CONSTRAINT fk_findings_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id),
  CONSTRAINT fk_findings_opened_run_id_runs FOREIGN KEY(opened_run_id) REFERENCES runs (id),
  CONSTRAINT fk_findings_last_run_id_runs FOREIGN KEY(last_run_id) REFERENCES runs (id),
  CONSTRAINT fk_findings_settled_run_id_runs FOREIGN KEY(settled_run_id) REFERENCES runs (id)
);

CREATE INDEX ix_findings_source_id_state ON findings (source_id, state);

COMMENT ON TABLE findings IS 'what is doubtful and withheld until it is settled';
COMMENT ON COLUMN findings.kind IS 'the rule that withholds';
COMMENT ON COLUMN findings.opened_at IS 'the first observation that showed what is withheld';
COMMENT ON COLUMN findings.evidence IS 'model -> {"since": time, "fields": withheld values, null = its absence}; the ceiling of an approval';
COMMENT ON COLUMN findings.last_run_id IS 'last run in which it still held';
COMMENT ON COLUMN findings.state IS 'open, approved, rejected, confirmed or withdrawn';
COMMENT ON COLUMN findings.settled_run_id IS 'the run that settled it; NULL for a rejection';
COMMENT ON COLUMN findings.comment IS 'of the person who settled it';

CREATE TABLE notified (
  consumer_id INTEGER NOT NULL,
  model_id BIGINT NOT NULL,
  component VARCHAR(64) COLLATE "C" NOT NULL,
  price NUMERIC,
  notified_at TIMESTAMP WITH TIME ZONE,
  CONSTRAINT pk_notified PRIMARY KEY (consumer_id, model_id, component),
  CONSTRAINT fk_notified_consumer_id_consumers FOREIGN KEY(consumer_id) REFERENCES consumers (id),
  CONSTRAINT fk_notified_model_id_models FOREIGN KEY(model_id) REFERENCES models (id)
);

COMMENT ON TABLE notified IS 'which price of each model each consumer was last notified of';
COMMENT ON COLUMN notified.price IS 'what its next move is measured from; NULL = unknown';
COMMENT ON COLUMN notified.notified_at IS 'when it was last notified; NULL = never, price is the base';

CREATE TABLE rejected_rows (
  source_id INTEGER NOT NULL,
  digest BYTEA NOT NULL,
  name VARCHAR(255) COLLATE "C",
  reason TEXT NOT NULL,
  raw TEXT NOT NULL,
  first_run_id BIGINT NOT NULL,
  last_run_id BIGINT NOT NULL,
  count INTEGER NOT NULL,
  CONSTRAINT pk_rejected_rows PRIMARY KEY (source_id, digest),
  CONSTRAINT fk_rejected_rows_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id),
  CONSTRAINT fk_rejected_rows_first_run_id_runs FOREIGN KEY(first_run_id) REFERENCES runs (id),
  CONSTRAINT fk_rejected_rows_last_run_id_runs FOREIGN KEY(last_run_id) REFERENCES runs (id)
);

COMMENT ON TABLE rejected_rows IS 'elements of responses that could not be read, with the reason';
COMMENT ON COLUMN rejected_rows.digest IS 'of the element''s raw JSON';
COMMENT ON COLUMN rejected_rows.name IS 'NULL where not even the name could be read';
COMMENT ON COLUMN rejected_rows.raw IS 'the beginning of the element as upstream sent it';
COMMENT ON COLUMN rejected_rows.count IS 'how often it was seen';

CREATE TABLE notices (
  id BIGINT NOT NULL,
  source_id INTEGER NOT NULL,
  run_id BIGINT,
  finding_id BIGINT,
  model_id BIGINT,
  kind VARCHAR(16) NOT NULL,
  observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
  data JSON NOT NULL,
  CONSTRAINT pk_notices PRIMARY KEY (id),
  CONSTRAINT ck_notices_id CHECK (id > 0),
  CONSTRAINT fk_notices_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id),
  CONSTRAINT fk_notices_run_id_runs FOREIGN KEY(run_id) REFERENCES runs (id),
  CONSTRAINT fk_notices_finding_id_findings FOREIGN KEY(finding_id) REFERENCES findings (id),
  CONSTRAINT fk_notices_model_id_models FOREIGN KEY(model_id) REFERENCES models (id)
);

CREATE INDEX ix_notices_model_id ON notices (model_id);

CREATE INDEX ix_notices_observed_at ON notices (observed_at);

CREATE INDEX ix_notices_source_id_id ON notices (source_id, id);

COMMENT ON TABLE notices IS 'a source''s health in the feed';
COMMENT ON COLUMN notices.id IS 'feed id, from the same counter as changes';
COMMENT ON COLUMN notices.run_id IS 'the run that noticed; NULL where none did';
COMMENT ON COLUMN notices.finding_id IS 'for held and settled';
COMMENT ON COLUMN notices.model_id IS 'for missing and returned';
COMMENT ON COLUMN notices.kind IS 'failed, stale, recovered, held, settled, unreadable, ...';
COMMENT ON COLUMN notices.data IS 'what there is to say';

CREATE TABLE prices (
  model_id BIGINT NOT NULL,
  component VARCHAR(64) COLLATE "C" NOT NULL,
  effective_at TIMESTAMP WITH TIME ZONE NOT NULL,
  change_id BIGINT NOT NULL,
  kind VARCHAR(16) NOT NULL,
  changed_after TIMESTAMP WITH TIME ZONE,
  old_price NUMERIC,
  price NUMERIC,
  CONSTRAINT pk_prices PRIMARY KEY (model_id, component, effective_at) INCLUDE (kind, price),
  CONSTRAINT ck_prices_component CHECK (component <> ''),
  CONSTRAINT ck_prices_window CHECK (changed_after IS NULL OR changed_after < effective_at),
  CONSTRAINT ck_prices_added CHECK (kind <> 'added' OR old_price IS NULL),
  CONSTRAINT ck_prices_removed CHECK (kind <> 'removed' OR ((price IS NULL) = (old_price IS NULL) AND coalesce(price = old_price, price IS NULL))),
  CONSTRAINT ck_prices_repriced CHECK (kind <> 'repriced' OR NOT ((price IS NULL) = (old_price IS NULL) AND coalesce(price = old_price, price IS NULL))),
  CONSTRAINT fk_prices_model_id_models FOREIGN KEY(model_id) REFERENCES models (id),
  CONSTRAINT fk_prices_change_id_changes FOREIGN KEY(change_id) REFERENCES changes (id)
);

CREATE INDEX ix_prices_reread ON prices (effective_at) WHERE kind = 'reread';

COMMENT ON TABLE prices IS 'the moves of each price: append-only, the database refuses UPDATE and DELETE';
COMMENT ON COLUMN prices.component IS 'input, output, ...; the seed''s only one is price';
COMMENT ON COLUMN prices.effective_at IS 'first observation that showed the new price';
COMMENT ON COLUMN prices.kind IS 'added, removed, relisted, repriced; reread: no news';
COMMENT ON COLUMN prices.changed_after IS 'last that still showed the old price; NULL = baseline';
COMMENT ON COLUMN prices.old_price IS 'NULL = unknown, or never known before';
COMMENT ON COLUMN prices.price IS 'NULL = unknown, 0 = free (for removed: the last one)';

CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;

CREATE FUNCTION refuse_unknown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%.% has an unknown value', TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes
FOR EACH STATEMENT EXECUTE FUNCTION append_only();

CREATE TRIGGER changes_kind AFTER INSERT ON changes FOR EACH ROW
WHEN (NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'updated', 'reread'))
EXECUTE FUNCTION refuse_unknown('kind');

CREATE TRIGGER consumers_state AFTER INSERT OR UPDATE OF state ON consumers FOR EACH ROW
WHEN (NEW.state NOT IN ('active', 'paused', 'disabled', 'cursor'))
EXECUTE FUNCTION refuse_unknown('state');

CREATE TRIGGER findings_kind AFTER INSERT ON findings FOR EACH ROW
WHEN (NEW.kind NOT IN (
  'moved_source', 'partial', 'nameless', 'required', 'removals', 'shape', 'unit_change', 'prices_gone',
  'mass_repricing', 'implausible_price', 'reverted'))
EXECUTE FUNCTION refuse_unknown('kind');

CREATE TRIGGER findings_state AFTER INSERT OR UPDATE OF state ON findings FOR EACH ROW
WHEN (NEW.state NOT IN ('open', 'approved', 'rejected', 'confirmed', 'withdrawn'))
EXECUTE FUNCTION refuse_unknown('state');

CREATE TRIGGER notices_kind AFTER INSERT ON notices FOR EACH ROW
WHEN (NEW.kind NOT IN (
  'failed', 'stale', 'recovered', 'held', 'settled', 'unreadable', 'readable', 'missing', 'returned', 'expiring'))
EXECUTE FUNCTION refuse_unknown('kind');

CREATE TRIGGER prices_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON prices
FOR EACH STATEMENT EXECUTE FUNCTION append_only();

CREATE TRIGGER prices_kind AFTER INSERT ON prices FOR EACH ROW
WHEN (NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'reread'))
EXECUTE FUNCTION refuse_unknown('kind');

CREATE TRIGGER runs_kind AFTER INSERT ON runs FOR EACH ROW
WHEN (NEW.kind NOT IN ('sync', 'import', 'approve', 'revert'))
EXECUTE FUNCTION refuse_unknown('kind');

CREATE TRIGGER runs_outcome AFTER INSERT OR UPDATE OF outcome ON runs FOR EACH ROW
WHEN (NEW.outcome NOT IN ('running', 'changed', 'unchanged', 'held', 'failed', 'skipped', 'abandoned'))
EXECUTE FUNCTION refuse_unknown('outcome');

-- `held` is a join with all that open findings withhold: asked model by model, a large finding would cost its square.
-- A new tracked field goes to the end: a view that users built on can be replaced only by appending columns.
CREATE VIEW catalog AS
SELECT s.name AS source, m.name AS model, m.source_id, m.id AS model_id, m.alias, m.type, m.context_length,
  m.max_completion_tokens, m.description, m.huggingface_url, m.price, m.prices, s.headline AS component, s.currency,
  (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, s.price_units, m.extra, m.first_seen_at,
  coalesce(m.last_seen_at, s.last_observed_at) AS last_seen_at, m.last_changed_at, m.missing_since, m.missing_count,
  m.unread, m.unread_since, h.name IS NOT NULL AS held, m.expires_at
FROM models m JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL (
  SELECT CASE s.headline WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> s.headline END AS unit) u
  LEFT JOIN (SELECT DISTINCT f.source_id, e.key AS name FROM findings f, json_each(f.evidence) e
    WHERE f.state = 'open') h ON h.source_id = m.source_id AND h.name = m.name
WHERE m.removed_at IS NULL;

COMMENT ON VIEW catalog IS 'the current catalog: the believed state of each listed model';
COMMENT ON COLUMN catalog.price IS 'the price of the headline component; NULL = unknown, 0 = free';
COMMENT ON COLUMN catalog.prices IS 'component -> price; null = unknown now';
COMMENT ON COLUMN catalog.component IS 'which of the prices is in the column price';
COMMENT ON COLUMN catalog.quantity IS 'price is per so many units; NULL = unknown';
COMMENT ON COLUMN catalog.last_seen_at IS 'the last observation that showed the model as it is believed';
COMMENT ON COLUMN catalog.missing_since IS 'the first observation that lacked the model; NULL = it is there';
COMMENT ON COLUMN catalog.unread_since IS 'since when its prices cannot be read; NULL = they can';
COMMENT ON COLUMN catalog.held IS 'whether an open finding withholds something of it';

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

-- `removed` ends the periods of a model and begins none, so it is dropped after the window.
CREATE VIEW price_periods AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.price, p.valid_from, p.valid_to, p.changed_after,
  s.currency, (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, m.source_id, m.id AS model_id, p.change_id
FROM models m JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL (
  SELECT n.component, n.kind, n.price, n.changed_after, n.change_id, n.effective_at AS valid_from,
    lead(n.effective_at) OVER (PARTITION BY n.component ORDER BY n.effective_at) AS valid_to
  FROM prices n WHERE n.model_id = m.id) p
CROSS JOIN LATERAL (
  SELECT CASE split_part(p.component, '@', 1) WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> split_part(p.component, '@', 1) END AS unit) u
WHERE p.kind <> 'removed';

COMMENT ON VIEW price_periods IS 'each price that held in [valid_from, valid_to), by model and component';
COMMENT ON COLUMN price_periods.price IS 'NULL = unknown, which is a period too; 0 = free';
COMMENT ON COLUMN price_periods.valid_from IS 'the first observation that showed this price';
COMMENT ON COLUMN price_periods.valid_to IS 'the first observation that showed another one, or a removal; NULL = still';
COMMENT ON COLUMN price_periods.changed_after IS
  'the last observation that showed the state before: the true moment is in (changed_after, valid_from]';
COMMENT ON COLUMN price_periods.quantity IS 'price is per so many units; NULL = unknown';

-- log of a float8: that of a numeric costs ten times all the rest, for the same digits.
CREATE VIEW price_changes AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.kind, p.effective_at, p.changed_after,
  p.old_price AS old, p.price AS new, trim_scale(p.price - p.old_price) AS absolute,
  CASE WHEN p.old_price > 0 THEN CASE WHEN p.price = p.old_price THEN 0 ELSE
    trim_scale(round(100 * (p.price - p.old_price) / p.old_price,
      11 - floor(log(abs(100 * (p.price - p.old_price) / p.old_price)::float8))::int)) END END AS percent,
  s.currency, (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit, m.source_id, m.id AS model_id, p.change_id
FROM models m JOIN prices p ON p.model_id = m.id JOIN sources s ON s.id = m.source_id
CROSS JOIN LATERAL (
  SELECT CASE split_part(p.component, '@', 1) WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> split_part(p.component, '@', 1) END AS unit) u
WHERE p.kind IN ('repriced', 'relisted') AND p.old_price IS DISTINCT FROM p.price;

COMMENT ON VIEW price_changes IS 'each move of a price, a relisting at another price included';
COMMENT ON COLUMN price_changes.old IS 'the price before; NULL = unknown';
COMMENT ON COLUMN price_changes.new IS 'the price after; NULL = unknown';
COMMENT ON COLUMN price_changes.percent IS '12 significant digits; NULL from unknown, 0 or a negative price';
COMMENT ON COLUMN price_changes.effective_at IS 'the first observation that showed the new price';
COMMENT ON COLUMN price_changes.changed_after IS
  'the last observation that showed the old price: the true moment is in (changed_after, effective_at]';

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

-- The feed: all changes and notices. `price` is that of the headline.
CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, m.name AS model, c.type, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, s.headline AS component, c.old_price, c.price, s.currency,
  (u.unit ->> 0)::bigint AS quantity, u.unit ->> 1 AS unit,
  c.changed AS data
FROM changes c JOIN models m ON m.id = c.model_id JOIN sources s ON s.id = c.source_id
CROSS JOIN LATERAL (
  SELECT CASE s.headline WHEN 'price' THEN s.price_units -> 'price' -> m.type
    ELSE s.price_units -> s.headline END AS unit) u
UNION ALL
SELECT n.id, s.name, m.name, m.type, n.source_id, n.model_id, n.run_id, n.kind, n.observed_at,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id LEFT JOIN models m ON m.id = n.model_id;

COMMENT ON VIEW feed_events IS 'the feed: all changes and notices; read it by id';
COMMENT ON COLUMN feed_events.id IS 'contiguous, in commit order';
COMMENT ON COLUMN feed_events.data IS 'of a change: field -> [old, new]; of a notice: what there is to say';
COMMENT ON COLUMN feed_events.model IS 'NULL for a notice about the whole source';

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
