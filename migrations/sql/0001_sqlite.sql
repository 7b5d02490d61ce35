CREATE TABLE consumers (
  id INTEGER NOT NULL,
  name VARCHAR(255) NOT NULL,
  position BIGINT NOT NULL,
  state VARCHAR(16) NOT NULL,
  reason TEXT,
  created_at DATETIME NOT NULL,
  failing JSON NOT NULL,
  batch_id VARCHAR(400),
  batch_end BIGINT,
  batch_body TEXT,
  batch_notified JSON,
  batch_since DATETIME,
  attempts INTEGER DEFAULT '0' NOT NULL,
  next_attempt_at DATETIME,
  last_delivered_at DATETIME,
  last_error TEXT,
  lease_owner VARCHAR(255),
  lease_token BIGINT DEFAULT '0' NOT NULL,
  lease_until DATETIME,
  CONSTRAINT pk_consumers PRIMARY KEY (id),
  CONSTRAINT uq_consumers_name UNIQUE (name)
);

CREATE TABLE feed (
  feed_id VARCHAR(32) NOT NULL,
  last_id BIGINT NOT NULL,
  CONSTRAINT pk_feed PRIMARY KEY (feed_id)
);

CREATE TABLE sources (
  id INTEGER NOT NULL,
  name VARCHAR(255) NOT NULL,
  url TEXT NOT NULL,
  format VARCHAR(64) NOT NULL,
  headline VARCHAR(64) NOT NULL,
  currency VARCHAR(16),
  price_units JSON,
  created_at DATETIME NOT NULL,
  salt BLOB NOT NULL,
  lease_owner VARCHAR(255),
  lease_token BIGINT DEFAULT '0' NOT NULL,
  lease_until DATETIME,
  interval_seconds INTEGER,
  next_due_at DATETIME,
  etag TEXT,
  body_digest VARCHAR(32),
  stored_with VARCHAR(32),
  stored_at DATETIME,
  last_observed_at DATETIME,
  last_shown_at DATETIME,
  last_judged_at DATETIME,
  retired_at DATETIME,
  pruned_before DATETIME,
  CONSTRAINT pk_sources PRIMARY KEY (id),
  CONSTRAINT uq_sources_name UNIQUE (name)
);

CREATE TABLE models (
  id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,
  name VARCHAR(255) NOT NULL,
  alias VARCHAR(255),
  type VARCHAR(255),
  context_length BIGINT,
  max_completion_tokens BIGINT,
  description TEXT,
  huggingface_url TEXT,
  expires_at DATETIME,
  price REAL,
  prices JSON NOT NULL,
  extra JSON NOT NULL,
  digest BLOB NOT NULL,
  parser VARCHAR(64) NOT NULL,
  first_seen_at DATETIME NOT NULL,
  last_seen_at DATETIME,
  last_changed_at DATETIME NOT NULL,
  missing_since DATETIME,
  missing_count INTEGER DEFAULT '0' NOT NULL,
  unread JSON,
  unread_since DATETIME,
  expiring_told INTEGER,
  removed_at DATETIME,
  CONSTRAINT pk_models PRIMARY KEY (id),
  CONSTRAINT uq_models_source_id_name UNIQUE (source_id, name),
  CONSTRAINT fk_models_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id)
);

CREATE INDEX ix_models_current ON models (source_id, name, digest, parser, price, last_seen_at) WHERE removed_at IS NULL;

CREATE INDEX ix_models_expires_at ON models (source_id, expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX ix_models_name ON models (name);

CREATE INDEX ix_models_unread ON models (source_id, name) WHERE unread IS NOT NULL;

CREATE TABLE runs (
  id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,
  kind VARCHAR(16) NOT NULL,
  started_at DATETIME NOT NULL,
  observed_at DATETIME,
  finished_at DATETIME,
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

CREATE TABLE changes (
  id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,
  run_id INTEGER NOT NULL,
  model_id INTEGER NOT NULL,
  kind VARCHAR(16) NOT NULL,
  observed_at DATETIME NOT NULL,
  effective_at DATETIME NOT NULL,
  changed_after DATETIME,
  old_price REAL,
  price REAL,
  name VARCHAR(255) NOT NULL,
  alias VARCHAR(255),
  type VARCHAR(255),
  context_length BIGINT,
  max_completion_tokens BIGINT,
  description TEXT,
  huggingface_url TEXT,
  expires_at DATETIME,
  prices JSON NOT NULL,
  changed JSON NOT NULL,
  reverts_id INTEGER,
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

CREATE TABLE findings (
  id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,
  kind VARCHAR(32) NOT NULL,
  opened_run_id INTEGER NOT NULL,
  opened_at DATETIME NOT NULL,
  evidence JSON NOT NULL,
  last_run_id INTEGER NOT NULL,
  state VARCHAR(16) NOT NULL,
  settled_run_id INTEGER,
  comment TEXT,
  CONSTRAINT pk_findings PRIMARY KEY (id),
  CONSTRAINT fk_findings_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id),
  CONSTRAINT fk_findings_opened_run_id_runs FOREIGN KEY(opened_run_id) REFERENCES runs (id),
  CONSTRAINT fk_findings_last_run_id_runs FOREIGN KEY(last_run_id) REFERENCES runs (id),
  CONSTRAINT fk_findings_settled_run_id_runs FOREIGN KEY(settled_run_id) REFERENCES runs (id)
);

CREATE INDEX ix_findings_source_id_state ON findings (source_id, state);

CREATE TABLE notified (
  consumer_id INTEGER NOT NULL,
  model_id INTEGER NOT NULL,
  component VARCHAR(64) NOT NULL,
  price REAL,
  notified_at DATETIME,
  CONSTRAINT pk_notified PRIMARY KEY (consumer_id, model_id, component),
  CONSTRAINT fk_notified_consumer_id_consumers FOREIGN KEY(consumer_id) REFERENCES consumers (id),
  CONSTRAINT fk_notified_model_id_models FOREIGN KEY(model_id) REFERENCES models (id)
);

CREATE TABLE rejected_rows (
  source_id INTEGER NOT NULL,
  digest BLOB NOT NULL,
  name VARCHAR(255),
  reason TEXT NOT NULL,
  raw TEXT NOT NULL,
  first_run_id INTEGER NOT NULL,
  last_run_id INTEGER NOT NULL,
  count INTEGER NOT NULL,
  CONSTRAINT pk_rejected_rows PRIMARY KEY (source_id, digest),
  CONSTRAINT fk_rejected_rows_source_id_sources FOREIGN KEY(source_id) REFERENCES sources (id),
  CONSTRAINT fk_rejected_rows_first_run_id_runs FOREIGN KEY(first_run_id) REFERENCES runs (id),
  CONSTRAINT fk_rejected_rows_last_run_id_runs FOREIGN KEY(last_run_id) REFERENCES runs (id)
);

CREATE TABLE notices (
  id INTEGER NOT NULL,
  source_id INTEGER NOT NULL,
  run_id INTEGER,
  finding_id INTEGER,
  model_id INTEGER,
  kind VARCHAR(16) NOT NULL,
  observed_at DATETIME NOT NULL,
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

CREATE TABLE prices (
  model_id INTEGER NOT NULL,
  component VARCHAR(64) NOT NULL,
  effective_at DATETIME NOT NULL,
  change_id INTEGER NOT NULL,
  kind VARCHAR(16) NOT NULL,
  changed_after DATETIME,
  old_price REAL,
  price REAL,
  CONSTRAINT pk_prices PRIMARY KEY (model_id, component, effective_at),
  CONSTRAINT ck_prices_component CHECK (component <> ''),
  CONSTRAINT ck_prices_window CHECK (changed_after IS NULL OR changed_after < effective_at),
  CONSTRAINT ck_prices_added CHECK (kind <> 'added' OR old_price IS NULL),
  CONSTRAINT ck_prices_removed CHECK (kind <> 'removed' OR ((price IS NULL) = (old_price IS NULL) AND coalesce(price = old_price, price IS NULL))),
  CONSTRAINT ck_prices_repriced CHECK (kind <> 'repriced' OR NOT ((price IS NULL) = (old_price IS NULL) AND coalesce(price = old_price, price IS NULL))),
  CONSTRAINT fk_prices_model_id_models FOREIGN KEY(model_id) REFERENCES models (id),
  CONSTRAINT fk_prices_change_id_changes FOREIGN KEY(change_id) REFERENCES changes (id)
)
 WITHOUT ROWID;

CREATE INDEX ix_prices_reread ON prices (effective_at) WHERE kind = 'reread';

-- INSERT OR REPLACE deletes without firing the delete trigger: it is stopped where it would insert.
CREATE TRIGGER changes_in_order BEFORE INSERT ON changes
WHEN NEW.id <= (SELECT coalesce(max(id), 0) FROM changes)
  OR EXISTS (SELECT 1 FROM changes WHERE run_id = NEW.run_id AND model_id = NEW.model_id)
  OR EXISTS (SELECT 1 FROM changes WHERE model_id = NEW.model_id AND effective_at >= NEW.effective_at)
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END;

CREATE TRIGGER changes_kind BEFORE INSERT ON changes
WHEN NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'updated', 'reread')
BEGIN SELECT RAISE(ABORT, 'changes.kind has an unknown value'); END;

CREATE TRIGGER changes_no_delete BEFORE DELETE ON changes
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END;

CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END;

CREATE TRIGGER consumers_state BEFORE INSERT ON consumers
WHEN NEW.state NOT IN ('active', 'paused', 'disabled', 'cursor')
BEGIN SELECT RAISE(ABORT, 'consumers.state has an unknown value'); END;

CREATE TRIGGER consumers_state_moved BEFORE UPDATE OF state ON consumers
WHEN NEW.state NOT IN ('active', 'paused', 'disabled', 'cursor')
BEGIN SELECT RAISE(ABORT, 'consumers.state has an unknown value'); END;

CREATE TRIGGER findings_kind BEFORE INSERT ON findings
WHEN NEW.kind NOT IN (
  'moved_source', 'partial', 'nameless', 'required', 'removals', 'shape', 'unit_change', 'prices_gone',
  'mass_repricing', 'implausible_price', 'reverted')
BEGIN SELECT RAISE(ABORT, 'findings.kind has an unknown value'); END;

CREATE TRIGGER findings_state BEFORE INSERT ON findings
WHEN NEW.state NOT IN ('open', 'approved', 'rejected', 'confirmed', 'withdrawn')
BEGIN SELECT RAISE(ABORT, 'findings.state has an unknown value'); END;

CREATE TRIGGER findings_state_moved BEFORE UPDATE OF state ON findings
WHEN NEW.state NOT IN ('open', 'approved', 'rejected', 'confirmed', 'withdrawn')
BEGIN SELECT RAISE(ABORT, 'findings.state has an unknown value'); END;

CREATE TRIGGER notices_kind BEFORE INSERT ON notices
WHEN NEW.kind NOT IN (
  'failed', 'stale', 'recovered', 'held', 'settled', 'unreadable', 'readable', 'missing', 'returned', 'expiring')
BEGIN SELECT RAISE(ABORT, 'notices.kind has an unknown value'); END;

-- INSERT OR REPLACE deletes without firing the delete trigger: it is stopped where it would insert.
CREATE TRIGGER prices_in_order BEFORE INSERT ON prices
WHEN EXISTS (SELECT 1 FROM prices
  WHERE model_id = NEW.model_id AND component = NEW.component AND effective_at >= NEW.effective_at)
BEGIN SELECT RAISE(ABORT, 'prices is append-only'); END;

CREATE TRIGGER prices_kind BEFORE INSERT ON prices
WHEN NEW.kind NOT IN ('added', 'removed', 'relisted', 'repriced', 'reread')
BEGIN SELECT RAISE(ABORT, 'prices.kind has an unknown value'); END;

CREATE TRIGGER prices_no_delete BEFORE DELETE ON prices
BEGIN SELECT RAISE(ABORT, 'prices is append-only'); END;

CREATE TRIGGER prices_no_update BEFORE UPDATE ON prices
BEGIN SELECT RAISE(ABORT, 'prices is append-only'); END;

CREATE TRIGGER runs_kind BEFORE INSERT ON runs
WHEN NEW.kind NOT IN ('sync', 'import', 'approve', 'revert')
BEGIN SELECT RAISE(ABORT, 'runs.kind has an unknown value'); END;

CREATE TRIGGER runs_outcome BEFORE INSERT ON runs
WHEN NEW.outcome NOT IN ('running', 'changed', 'unchanged', 'held', 'failed', 'skipped', 'abandoned')
BEGIN SELECT RAISE(ABORT, 'runs.outcome has an unknown value'); END;

CREATE TRIGGER runs_outcome_moved BEFORE UPDATE OF outcome ON runs
WHEN NEW.outcome NOT IN ('running', 'changed', 'unchanged', 'held', 'failed', 'skipped', 'abandoned')
BEGIN SELECT RAISE(ABORT, 'runs.outcome has an unknown value'); END;

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

-- The current catalog with one row for each component. The price is that of the last row of `prices`, not a number of
-- the JSON: SQLite's own reading of a decimal is off by the last bit now and then.
CREATE VIEW catalog_prices AS
SELECT s.name AS source, m.name AS model, m.type, k.key AS component,
  (SELECT p.price FROM prices p WHERE p.model_id = m.id AND p.component = k.key
    ORDER BY p.effective_at DESC LIMIT 1) AS price,
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

-- Each price that held in [valid_from, valid_to); NULL in valid_to: it still holds. A removal ends all of a model's
-- periods, a new reading ends one and begins the next. CROSS JOIN pins the join order: without it a filter on time
-- picks the wrong index. The unit is that of the component without its tier; that of `price` goes by the model's type.
-- It is looked up by json_each, never by a path made of a type: a path misses keys with a quote or a backslash.
CREATE VIEW price_periods AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.price, p.effective_at AS valid_from,
  (SELECT n.effective_at FROM prices n WHERE n.model_id = p.model_id AND n.component = p.component
    AND n.effective_at > p.effective_at ORDER BY n.effective_at LIMIT 1) AS valid_to,
  p.changed_after, s.currency,
  CASE substr(p.component, 1, instr(p.component || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units,
      '$.' || substr(p.component, 1, instr(p.component || '@', '@') - 1) || '[0]') END AS quantity,
  CASE substr(p.component, 1, instr(p.component || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units,
      '$.' || substr(p.component, 1, instr(p.component || '@', '@') - 1) || '[1]') END AS unit,
  m.source_id, m.id AS model_id, p.change_id
FROM models m CROSS JOIN prices p JOIN sources s ON s.id = m.source_id
WHERE p.model_id = m.id AND p.kind <> 'removed';

-- Each move of a price, a relisting at another price included; what came by a new reading is no move.
-- SQLite computes in doubles, but 0.3 - 0.1 must read 0.2: the difference is rounded to the last decimal that the
-- larger price can have, the fifteenth of its digits. printf would print NULL as 0.
CREATE VIEW price_changes AS
SELECT s.name AS source, m.name AS model, m.type, p.component, p.kind, p.effective_at, p.changed_after,
  p.old_price AS old, p.price AS new,
  CASE WHEN p.price - p.old_price IS NOT NULL THEN
    CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(p.price), abs(p.old_price))), -3),
      p.price - p.old_price) AS REAL) END AS absolute,
  CASE WHEN p.old_price > 0 AND p.price IS NOT NULL THEN CAST(printf('%.12g',
    100 * CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(p.price), abs(p.old_price))), -3),
      p.price - p.old_price) AS REAL) / p.old_price) AS REAL) END AS percent,
  s.currency,
  CASE substr(p.component, 1, instr(p.component || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units,
      '$.' || substr(p.component, 1, instr(p.component || '@', '@') - 1) || '[0]') END AS quantity,
  CASE substr(p.component, 1, instr(p.component || '@', '@') - 1) WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units,
      '$.' || substr(p.component, 1, instr(p.component || '@', '@') - 1) || '[1]') END AS unit,
  m.source_id, m.id AS model_id, p.change_id
FROM models m CROSS JOIN prices p JOIN sources s ON s.id = m.source_id
WHERE p.model_id = m.id AND p.kind IN ('repriced', 'relisted') AND p.old_price IS NOT p.price;

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

-- Each interval in which a model was listed, [listed_from, listed_to); NULL in listed_to: it still is.
CREATE VIEW availability AS
SELECT s.name AS source, m.name AS model, m.type, c.kind AS began_as, c.effective_at AS listed_from,
  (SELECT n.effective_at FROM changes n WHERE n.model_id = c.model_id AND n.effective_at > c.effective_at
    AND n.kind = 'removed' ORDER BY n.effective_at LIMIT 1) AS listed_to,
  c.changed_after, m.source_id, m.id AS model_id
FROM models m CROSS JOIN changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('added', 'relisted');

-- The feed: all changes and notices. `price` is that of the headline.
CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, m.name AS model, c.type, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, s.headline AS component, c.old_price, c.price, s.currency,
  CASE s.headline WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[0]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || s.headline || '[0]') END AS quantity,
  CASE s.headline WHEN 'price' THEN
      (SELECT json_extract(u.value, '$[1]') FROM json_each(s.price_units, '$.price') u WHERE u.key = m.type)
    ELSE json_extract(s.price_units, '$.' || s.headline || '[1]') END AS unit,
  c.changed AS data
FROM changes c JOIN models m ON m.id = c.model_id JOIN sources s ON s.id = c.source_id
UNION ALL
SELECT n.id, s.name, m.name, m.type, n.source_id, n.model_id, n.run_id, n.kind, n.observed_at,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id LEFT JOIN models m ON m.id = n.model_id;

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
