"""The stable surface for reports (views) and the guard of the history (triggers): one text per dialect.

Each view has `source` and `model` columns, and asking one for a single model is a seek: a filter on a name does not
reach into a window function on either database, so PostgreSQL gets LATERAL joins and SQLite correlated lookups.
A migration carries its own frozen copy of these texts; a test holds the two together.
"""

_MODEL = "s.name AS source, m.name AS model, m.source_id, m.id AS model_id"

# `held` is a join with all that is held: asked model by model, a large finding would cost its square.
_CATALOG = f"""\
CREATE VIEW catalog AS
SELECT {_MODEL}, m.alias, m.type, m.context_length, m.max_completion_tokens, m.description, m.price,
  s.currency, s.price_units, m.huggingface_url, m.extra, m.first_seen_at,
  coalesce(m.last_seen_at, s.last_good_look_at) AS last_seen_at, m.last_changed_at, m.missing_since, m.missing_looks,
  h.name IS NOT NULL AND m.last_seen_at IS NOT NULL AS held
FROM models m JOIN sources s ON s.id = m.source_id
  LEFT JOIN (SELECT DISTINCT f.source_id, e.key AS name FROM findings f, json_each(f.evidence) e
    WHERE f.state = 'open') h ON h.source_id = m.source_id AND h.name = m.name
WHERE m.removed_at IS NULL"""

_FEED_EVENTS = """\
CREATE VIEW feed_events AS
SELECT c.id, s.name AS source, c.name AS model, c.source_id, c.model_id, c.run_id, c.kind, c.observed_at,
  c.effective_at, c.changed_after, c.old_price, c.price, c.changed AS data
FROM changes c JOIN sources s ON s.id = c.source_id
UNION ALL
SELECT n.id, s.name, NULL, n.source_id, NULL, n.run_id, n.kind, n.observed_at, NULL, NULL, NULL, NULL, n.data
FROM notices n JOIN sources s ON s.id = n.source_id"""

# `updated` must not end a price period, so it is dropped before looking for the next one; `removed` must, so it is
# dropped after. CROSS JOIN pins SQLite's join order: without it a filter on time picks the wrong index.
_SQLITE_INTERVALS = """\
CREATE VIEW {name} AS
SELECT {model}, {columns}, c.effective_at AS {start},
  (SELECT n.effective_at FROM changes n WHERE n.model_id = c.model_id AND n.effective_at > c.effective_at
    AND {ends} ORDER BY n.effective_at LIMIT 1) AS {end}, c.changed_after
FROM models m CROSS JOIN changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ({begins})"""

_POSTGRESQL_INTERVALS = """\
CREATE VIEW {name} AS
SELECT {model}, {columns}, c.{start}, c.{end}, c.changed_after
FROM models m JOIN sources s ON s.id = m.source_id CROSS JOIN LATERAL (
  SELECT n.kind, n.price, n.changed_after, n.effective_at AS {start},
    lead(n.effective_at) OVER (ORDER BY n.effective_at) AS {end}
  FROM changes n WHERE n.model_id = m.id AND {ends}) c
WHERE c.kind <> 'removed'"""

_PRICE_CHANGES = """\
CREATE VIEW price_changes AS
SELECT {model}, 'price' AS component, c.id, c.run_id, c.kind, c.observed_at, c.effective_at, c.changed_after,
  c.old_price AS old, c.price AS new,
  {absolute} AS absolute,
  CASE WHEN c.old_price > 0 THEN {percent} END AS percent
FROM models m {join} changes c JOIN sources s ON s.id = m.source_id
WHERE c.model_id = m.id AND c.kind IN ('repriced', 'relisted') AND {differs}"""

# A day counts for the price that held last in it; days end with the last good look, since nothing is known beyond.
# A period that another one follows on the very day it ends has no claim on that day.
_FOLLOWED = """\
EXISTS (SELECT 1 FROM changes n WHERE n.model_id = p.model_id AND n.kind IN ('relisted', 'repriced')
    AND n.effective_at >= p.valid_to AND n.effective_at < {next_day})"""

# SQLite has no generate_series: json_each over a made-up array counts the days of one period, and keeps the seek. Its
# date() rounds to milliseconds, up to the next day just before midnight; the text of a time begins with its day.
_SQLITE_DAILY_PRICES = f"""\
CREATE VIEW daily_prices AS
SELECT p.source, p.model, p.source_id, p.model_id, p.component,
  date(p.first_day, '+' || k.key || ' days') AS day, p.price
FROM (
  SELECT p.*, substr(p.valid_from, 1, 10) AS first_day, julianday(CASE
    WHEN p.valid_to IS NULL THEN substr(s.last_good_look_at, 1, 10)
    WHEN p.valid_to = substr(p.valid_to, 1, 10) || ' 00:00:00.000000'
      OR {_FOLLOWED.format(next_day="date(substr(p.valid_to, 1, 10), '+1 day')")}
      THEN date(substr(p.valid_to, 1, 10), '-1 day')
    ELSE substr(p.valid_to, 1, 10) END) - julianday(substr(p.valid_from, 1, 10)) AS days
  FROM price_periods p CROSS JOIN sources s WHERE s.id = p.source_id) p
CROSS JOIN json_each('[' || replace(hex(zeroblob(CAST(p.days AS INTEGER))), '00', '0,') || '0]') k
WHERE k.key <= p.days"""

_POSTGRESQL_DAILY_PRICES = f"""\
CREATE VIEW daily_prices AS
SELECT p.source, p.model, p.source_id, p.model_id, p.component, d.day::date AS day, p.price
FROM price_periods p JOIN sources s ON s.id = p.source_id
CROSS JOIN LATERAL (SELECT p.valid_to AT TIME ZONE 'UTC' AS ended) e
CROSS JOIN LATERAL generate_series(
  date_trunc('day', p.valid_from AT TIME ZONE 'UTC'),
  CASE WHEN e.ended IS NULL THEN date_trunc('day', s.last_good_look_at AT TIME ZONE 'UTC')
    WHEN e.ended = date_trunc('day', e.ended)
      OR {_FOLLOWED.format(next_day="(date_trunc('day', e.ended) + interval '1 day') AT TIME ZONE 'UTC'")}
      THEN date_trunc('day', e.ended) - interval '1 day'
    ELSE date_trunc('day', e.ended) END,
  interval '1 day') AS d(day)"""

_PERCENT = "100 * (c.price - c.old_price) / c.old_price"

# SQLite computes in doubles, but 0.3 - 0.1 must read 0.2 and 300.001 - 300 must read 0.001: the difference is rounded
# to the last decimal that the larger price can have, which is the fifteenth of its digits.
_SQLITE_MOVE = """\
CAST(printf('%.*f', 14 - substr(printf('%.14e', max(abs(c.price), abs(c.old_price))), -3), c.price - c.old_price)
    AS REAL)"""


def _intervals(text: str, held: dict[str, str]) -> dict[str, str]:
    return {
        "price_periods": text.format(
            model=_MODEL,
            name="price_periods",
            columns="'price' AS component, c.price",
            start="valid_from",
            end="valid_to",
            begins="'added', 'relisted', 'repriced'",
            ends="n.kind <> 'updated'",
        ),
        "availability": text.format(
            model=_MODEL,
            name="availability",
            columns=held["availability_columns"],
            start="listed_from",
            end="listed_to",
            begins="'added', 'relisted'",
            ends=held["availability_ends"],
        ),
    }


VIEWS: dict[str, dict[str, str]] = {
    "sqlite": {
        "catalog": _CATALOG,
        **_intervals(
            _SQLITE_INTERVALS,
            {"availability_columns": "c.kind AS began_as", "availability_ends": "n.kind = 'removed'"},
        ),
        # printf would print NULL as 0.
        "price_changes": _PRICE_CHANGES.format(
            model=_MODEL,
            join="CROSS JOIN",
            absolute=f"CASE WHEN c.price - c.old_price IS NOT NULL THEN {_SQLITE_MOVE} END",
            percent="CASE WHEN c.price IS NOT NULL THEN "
            f"CAST(printf('%.12g', 100 * {_SQLITE_MOVE} / c.old_price) AS REAL) END",
            differs="c.old_price IS NOT c.price",
        ),
        "feed_events": _FEED_EVENTS,
        "daily_prices": _SQLITE_DAILY_PRICES,
    },
    "postgresql": {
        "catalog": _CATALOG,
        **_intervals(
            _POSTGRESQL_INTERVALS,
            {
                "availability_columns": "c.kind AS began_as",
                "availability_ends": "n.kind IN ('added', 'relisted', 'removed')",
            },
        ),
        "price_changes": _PRICE_CHANGES.format(
            model=_MODEL,
            join="JOIN",
            absolute="trim_scale(c.price - c.old_price)",
            percent=f"trim_scale(round({_PERCENT}, (11 - floor(log(abs({_PERCENT}))))::int))",
            differs="c.old_price IS DISTINCT FROM c.price",
        ).replace("JOIN changes c JOIN", "JOIN changes c ON c.model_id = m.id JOIN"),
        "feed_events": _FEED_EVENTS,
        "daily_prices": _POSTGRESQL_DAILY_PRICES,
    },
}
"""dialect -> view name -> CREATE VIEW, in an order in which they can be created."""

_APPEND_ONLY = "changes is append-only"

TRIGGERS: dict[str, dict[str, str]] = {
    "sqlite": {
        "changes_no_update": f"""\
CREATE TRIGGER changes_no_update BEFORE UPDATE ON changes
BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END""",
        "changes_no_delete": f"""\
CREATE TRIGGER changes_no_delete BEFORE DELETE ON changes
BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END""",
        # INSERT OR REPLACE deletes without firing the delete trigger: it is stopped where it would insert.
        "changes_in_order": """\
CREATE TRIGGER changes_in_order BEFORE INSERT ON changes
WHEN NEW.id <= (SELECT coalesce(max(id), 0) FROM changes)
  OR EXISTS (SELECT 1 FROM changes WHERE run_id = NEW.run_id AND model_id = NEW.model_id)
BEGIN SELECT RAISE(ABORT, 'changes is append-only'); END""",
    },
    "postgresql": {
        "changes_append_only": """\
CREATE TRIGGER changes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON changes
FOR EACH STATEMENT EXECUTE FUNCTION changes_append_only()""",
    },
}
"""dialect -> trigger name -> CREATE TRIGGER."""

FUNCTIONS: dict[str, dict[str, str]] = {
    "sqlite": {},
    "postgresql": {
        "changes_append_only": f"""\
CREATE FUNCTION changes_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '{_APPEND_ONLY}' USING ERRCODE = 'restrict_violation'; END $$""",
    },
}
"""dialect -> function name -> CREATE FUNCTION; they come before the triggers that call them."""
