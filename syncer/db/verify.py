"""Does the data keep the laws? Every law that SQL can check, row by row; nothing is written.

- One snapshot of the database is looked at, so that a sync in the meantime changes no answer.
- Rows are streamed: of a history, one change and the one before it are in memory.
- A value that cannot even be read (a time in another form, a price that is text) is named first, and nothing more is
  asked then: every other answer would rest on it.
- A verdict names the table, the row and the law. It says what is wrong, not how it came to be, and mends nothing.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.core import money
from syncer.core.catalog import TRACKED, Kind
from syncer.core.doubts import Doubt
from syncer.db.drift import drift
from syncer.db.engine import reading
from syncer.db.tables import changes, feed, findings, metadata, models, notices, rejected_rows, runs, sources
from syncer.db.types import Price, UtcDateTime


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One claim that holds, or one row that breaks a law.

    `table` and `row` (its primary key as text) are None where all is well; then `what` is the claim.
    """

    law: str
    what: str
    table: str | None = None
    row: str | None = None

    @property
    def ok(self) -> bool:
        """Whether this says that something holds."""
        return self.table is None


def verify(engine: Engine) -> Iterator[Verdict]:
    """A verdict on each claim: one that says it holds, or one for each row that breaks it. Raises DatabaseError."""
    schema = (Verdict(law="law 2", table="schema", row=line.split()[1], what=line) for line in drift(engine))
    yield from _or_ok(schema, "law 2", "the schema is the declared one; triggers guard the history")
    with reading(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield from verify_rows(connection)


def verify_rows(connection: Connection) -> Iterator[Verdict]:
    """The verdicts on the rows alone, as the caller's transaction sees them."""
    legible = True
    for verdict in _or_ok(_illegible(connection), "law 4", "every time, price and document is in its form"):
        legible = verdict.ok
        yield verdict
    for law, claim, check in _CHECKS if legible else ():
        yield from _or_ok(check(connection), law, claim)


def _or_ok(broken: Iterable[Verdict], law: str, claim: str) -> Iterator[Verdict]:
    holds = True
    for verdict in broken:
        holds = False
        yield verdict
    if holds:
        yield Verdict(law=law, what=claim)


# -- rules: a law, a table, what is wrong, and the condition under which it is ----------------------------------------


class _Rule(msgspec.Struct, frozen=True, kw_only=True):
    """`broken` is true of the rows of `table` that break the law; `rows` is what it is asked of, if not the table."""

    law: str
    table: sa.Table
    what: str
    broken: sa.ColumnElement[bool]
    rows: sa.FromClause | None = None

    def verdicts(self, connection: Connection) -> Iterator[Verdict]:
        keys = sa.select(*self.table.primary_key).where(self.broken)
        query = keys.select_from(self.table if self.rows is None else self.rows)
        for key in _stream(connection, query):
            yield Verdict(law=self.law, table=self.table.name, row=_label(key), what=self.what)


def _all_of(*rules: _Rule) -> Callable[[Connection], Iterator[Verdict]]:
    def check(connection: Connection) -> Iterator[Verdict]:
        for rule in rules:
            yield from rule.verdicts(connection)

    return check


def _stream(connection: Connection, query: sa.Select[Any]) -> Iterable[Any]:
    return connection.execute(query, execution_options={"yield_per": 500})


def _label(key: Iterable[Any]) -> str:
    return "/".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)


# -- values that can be read at all ------------------------------------------------------------------------------------

_TIME_GLOB = "{0}{0}{0}{0}-{0}{0}-{0}{0} {0}{0}:{0}{0}:{0}{0}.{0}{0}{0}{0}{0}{0}".format("[0-9]")


def _illegible(connection: Connection) -> Iterator[Verdict]:
    """PostgreSQL refuses a value of another form; SQLite stores anything anywhere."""
    if connection.dialect.name != "sqlite":
        return
    for table in metadata.sorted_tables:
        for column in table.columns:
            for law, what, broken in _sqlite_forms(column):
                rule = _Rule(law=law, table=table, what=f"{column.name} {what}", broken=broken)
                yield from rule.verdicts(connection)


def _sqlite_forms(column: sa.Column[Any]) -> Iterator[tuple[str, str, sa.ColumnElement[bool]]]:
    plain = sa.type_coerce(column, sa.Text)
    if isinstance(column.type, UtcDateTime):
        seconds = sa.func.substr(plain, 1, 19)
        real = sa.func.strftime("%Y-%m-%d %H:%M:%S", seconds, "0 days").is_not_distinct_from(seconds)
        good = plain.op("GLOB", is_comparison=True)(_TIME_GLOB) & real
        yield "law 5", "is no time in the form YYYY-MM-DD HH:MM:SS.ffffff", plain.is_not(None) & ~good
    if isinstance(column.type, Price):
        yield "law 4", "is not a number", sa.func.typeof(column).not_in(["real", "null"])
    if isinstance(column.type, sa.JSON):
        yield "contract", "is not JSON", plain.is_not(None) & (sa.func.json_valid(plain) == 0)


# -- references, the feed ----------------------------------------------------------------------------------------------


def _references(connection: Connection) -> Iterator[Verdict]:
    for table in metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            parent = key.column.table.alias()
            target = parent.c[key.column.name]
            rule = _Rule(
                law="contract",
                table=table,
                what=f"{key.parent.name} points to no row of {key.column.table.name}",
                broken=key.parent.is_not(None) & target.is_(None),
                rows=table.outerjoin(parent, target == key.parent),
            )
            yield from rule.verdicts(connection)


def _feed_ids(connection: Connection, table: sa.Table) -> Iterator[tuple[int, sa.Table]]:
    for (feed_id,) in _stream(connection, sa.select(table.c.id).order_by(table.c.id)):
        yield feed_id, table


def _feed(connection: Connection) -> Iterator[Verdict]:
    last = 0
    for feed_id, table in heapq.merge(
        *(_feed_ids(connection, table) for table in (changes, notices)), key=lambda entry: entry[0]
    ):
        if feed_id != last + 1:
            what = f"its feed id follows {last}: ids are contiguous from 1, over changes and notices together"
            yield Verdict(law="law 8", table=table.name, row=str(feed_id), what=what)
        last = feed_id
    counters = connection.execute(sa.select(feed)).all()
    for counter in counters:
        if counter.last_id != last:
            what = f"it counts to {counter.last_id}, the last feed id is {last}"
            yield Verdict(law="law 8", table="feed", row=counter.feed_id, what=what)
    if len(counters) != 1:
        yield Verdict(law="law 8", table="feed", row="*", what=f"it has {len(counters)} rows instead of one")


# -- runs --------------------------------------------------------------------------------------------------------------

_GOOD = ("changed", "unchanged", "held")
_ENDED_BADLY = ("failed", "abandoned")
_OUTCOMES = (*_GOOD, *_ENDED_BADLY, "skipped", "running")
_later = runs.alias("later")
_look = (
    sa.select(
        runs.c.id,
        runs.c.observed_at,
        sa.func.lag(runs.c.observed_at).over(partition_by=runs.c.source_id, order_by=runs.c.id).label("last"),
    )
    .where(runs.c.observed_at.is_not(None))
    .subquery()
)

_RUNS = _all_of(
    _Rule(
        law="law 5",
        table=runs,
        what="observed_at is not after that of the run before",
        rows=runs.join(_look, _look.c.id == runs.c.id),
        broken=_look.c.observed_at <= _look.c.last,
    ),
    _Rule(
        law="law 7",
        table=runs,
        what="is still running although its source has a later run",
        broken=(runs.c.outcome == "running")
        & sa.exists().where(_later.c.source_id == runs.c.source_id, _later.c.id > runs.c.id),
    ),
    _Rule(
        law="law 7",
        table=runs,
        what="is running, but nobody has its source's lease",
        rows=runs.join(sources),
        broken=(runs.c.outcome == "running") & sources.c.lease_until.is_(None),
    ),
    _Rule(
        law="law 9",
        table=runs,
        what="has a kind or an outcome that there is not",
        broken=runs.c.kind.not_in(["sync", "import", "approve", "revert"]) | runs.c.outcome.not_in(_OUTCOMES),
    ),
    _Rule(
        law="law 9",
        table=runs,
        what="finished_at and the outcome disagree on whether it has ended",
        broken=runs.c.finished_at.is_(None) != (runs.c.outcome == "running"),
    ),
    _Rule(
        law="law 9",
        table=runs,
        what="observed_at and the outcome disagree on whether a catalog was read",
        broken=sa.or_(
            runs.c.outcome.in_(_GOOD) & runs.c.observed_at.is_(None),
            runs.c.outcome.in_((*_ENDED_BADLY, "running")) & runs.c.observed_at.is_not(None),
        ),
    ),
    _Rule(
        law="law 9",
        table=runs,
        what="does not say why it failed or what is held",
        broken=runs.c.outcome.in_((*_ENDED_BADLY, "held")) & runs.c.error.is_(None),
    ),
)


def _counts(connection: Connection) -> Iterator[Verdict]:
    """What a run says it did, against what it wrote."""
    wrote = {kind: sa.func.count().filter(changes.c.kind == kind.value) for kind in Kind}
    said = {kind: runs.c[kind.value] for kind in Kind}
    query = (
        sa.select(runs.c.id, runs.c.outcome, *said.values(), *(count.label(f"wrote_{k}") for k, count in wrote.items()))
        .outerjoin(changes, changes.c.run_id == runs.c.id)
        .group_by(runs.c.id)
        .order_by(runs.c.id)
    )
    for run in _stream(connection, query):
        wrong = [kind for kind in Kind if getattr(run, kind) != getattr(run, f"wrote_{kind}")]
        for kind in wrong:
            what = f"says {getattr(run, kind)} {kind}, but wrote {getattr(run, f'wrote_{kind}')}"
            yield Verdict(law="law 9", table="runs", row=str(run.id), what=what)
        wrote_any = any(getattr(run, f"wrote_{kind}") for kind in Kind)
        if wrote_any != (run.outcome == "changed") and run.outcome != "held":
            what = f"is {run.outcome}, but {'wrote' if wrote_any else 'wrote no'} changes"
            yield Verdict(law="law 1", table="runs", row=str(run.id), what=what)


# -- changes, each by itself -------------------------------------------------------------------------------------------

_reverted = changes.alias("reverted")
_with_run = changes.join(runs, runs.c.id == changes.c.run_id)


def _is_no_look(moment: sa.Column[Any]) -> sa.ColumnElement[bool]:
    return ~sa.exists().where(_later.c.source_id == changes.c.source_id, _later.c.observed_at == moment)


_CHANGES = _all_of(
    _Rule(
        law="law 1",
        table=changes,
        what="its run is of another source",
        rows=_with_run,
        broken=runs.c.source_id != changes.c.source_id,
    ),
    _Rule(
        law="law 5",
        table=changes,
        what="observed_at is not that of its run",
        rows=_with_run,
        broken=runs.c.observed_at.is_distinct_from(changes.c.observed_at),
    ),
    _Rule(
        law="law 2",
        table=changes,
        what="source_id or name is not that of its model",
        rows=changes.join(models, models.c.id == changes.c.model_id),
        broken=(models.c.source_id != changes.c.source_id) | (models.c.name != changes.c.name),
    ),
    _Rule(
        law="law 6",
        table=changes,
        what="effective_at is after observed_at",
        broken=changes.c.effective_at > changes.c.observed_at,
    ),
    _Rule(
        law="law 6",
        table=changes,
        what="changed_after is not before effective_at",
        broken=changes.c.changed_after >= changes.c.effective_at,
    ),
    _Rule(
        law="law 6",
        table=changes,
        what="effective_at is the time of no look",
        broken=_is_no_look(changes.c.effective_at),
    ),
    _Rule(
        law="law 6",
        table=changes,
        what="changed_after is the time of no look",
        broken=changes.c.changed_after.is_not(None) & _is_no_look(changes.c.changed_after),
    ),
    _Rule(
        law="law 6",
        table=changes,
        what="has no changed_after, although it is no baseline",
        broken=changes.c.changed_after.is_(None) & (changes.c.kind != Kind.ADDED.value),
    ),
    _Rule(
        law="contract",
        table=changes,
        what="is removed, but has a raw element",
        broken=(changes.c.kind == Kind.REMOVED.value) & changes.c.raw.is_not(None),
    ),
    _Rule(
        law="law 2",
        table=changes,
        what="reverts_id is not that of an earlier change of its model",
        rows=changes.join(_reverted, _reverted.c.id == changes.c.reverts_id),
        broken=(_reverted.c.model_id != changes.c.model_id) | (_reverted.c.id >= changes.c.id),
    ),
    _Rule(
        law="law 2",
        table=changes,
        what="a run of kind revert, and no other, withdraws changes by reverts_id",
        rows=_with_run,
        broken=(runs.c.kind == "revert") != changes.c.reverts_id.is_not(None),
    ),
)


# -- histories: each change against the one before, the last against its model -----------------------------------------

_RAW_PRICE = sa.Numeric().with_variant(sa.REAL(), "sqlite")  # as it is stored: `Price` would round it right
_STATE = ("name", *TRACKED)


def _histories(connection: Connection) -> Iterator[Verdict]:
    past = sa.select(
        *(changes.c[name] for name in ("model_id", "id", "kind", "observed_at", "effective_at", "changed_after")),
        *(changes.c[name] for name in ("reverts_id", "changed", *_STATE) if name != "price"),
        *(sa.type_coerce(changes.c[name], _RAW_PRICE).label(name) for name in ("old_price", "price")),
    ).order_by(changes.c.model_id, changes.c.id)
    present = sa.select(
        *(models.c[name] for name in ("id", "first_seen_at", "last_changed_at", "removed_at")),
        *(models.c[name] for name in ("missing_since", "missing_looks", *_STATE) if name != "price"),
        sa.type_coerce(models.c.price, _RAW_PRICE).label("price"),
    ).order_by(models.c.id)
    merged = heapq.merge(
        ((row.id, 0, row) for row in _stream(connection, present)),
        ((row.model_id, 1, row) for row in _stream(connection, past)),
        key=lambda entry: entry[:2],
    )
    for _, entries in groupby(merged, key=lambda entry: entry[0]):
        yield from _history([], (row for _, _, row in entries))


def _history(known: list[Any], rows: Iterable[Any]) -> Iterator[Verdict]:
    """One model: its row (unless that is missing, which is named elsewhere), then its changes in feed order."""
    before = first = None
    for row in rows:
        if not hasattr(row, "kind"):
            known.append(row)
            continue
        first = first or row
        for law, what in _wrong_change(row, before):
            yield Verdict(law=law, table="changes", row=str(row.id), what=what)
        before = row
    for model in known:
        for law, what in _wrong_model(model, first, before):
            yield Verdict(law=law, table="models", row=str(model.id), what=what)


def _wrong_change(change: Any, before: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """What is wrong with a change, `before` being the one before it of the same model (None: it is the first)."""
    if change.kind not in _may_follow(before):
        yield "law 2", f"{change.kind} cannot follow {before.kind if before else 'nothing'}"
    if not (_is_canonical(change.price) and _is_canonical(change.old_price)):
        yield "law 4", "price or old_price is not a canonical price"
    if _exact(change.old_price) != (_exact(before.price) if before else None):
        yield "law 2", f"old_price is {change.old_price}, but the price before was {before.price if before else None}"
    if before is not None:
        yield from _wrong_window(change, before)
    moved = _difference(before, change) if before else {}
    if change.kind == Kind.REMOVED and moved:
        yield "law 2", f"a removal keeps the last known state, but {', '.join(moved)} moved"
    elif change.changed != moved:
        yield "law 2", f"changed names {_names(change.changed)}, but {_names(moved)} moved, or by other values"
    if change.kind in {Kind.REPRICED, Kind.UPDATED} and (change.kind == Kind.REPRICED) != ("price" in moved):
        yield "law 2", f"is {change.kind}, but its price {'moved' if 'price' in moved else 'did not move'}"
    if change.kind == Kind.UPDATED and not moved:
        yield "law 2", "is updated, but nothing moved"


def _may_follow(before: Any) -> set[Kind]:  # noqa: ANN401 - a row
    if before is None:
        return {Kind.ADDED}
    return {Kind.RELISTED} if before.kind == Kind.REMOVED else {Kind.REMOVED, Kind.REPRICED, Kind.UPDATED}


def _wrong_window(change: Any, before: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    if change.effective_at <= before.effective_at:
        yield "law 6", f"effective_at is not after that of change {before.id}"
    elif change.changed_after is None:
        return
    elif change.changed_after < before.effective_at:
        yield "law 6", f"its window begins before change {before.id} took effect"


def _wrong_model(model: Any, first: Any, last: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - rows
    """What is wrong with a model's row, given its first and last change (None: it has none)."""
    if not _is_canonical(model.price):
        yield "law 4", "price is not a canonical price"
    if model.missing_looks and model.missing_since is None:
        yield "law 3", "looks have missed it, but missing_since is not set"
    if last is None:
        yield "law 2", "has no history"
        return
    moved = _difference(last, model)
    if moved:
        yield "law 2", f"{', '.join(moved)} is not what its history adds up to"
    if model.removed_at != (last.effective_at if last.kind == Kind.REMOVED else None):
        yield "law 2", f"removed_at does not agree with its last change, {last.kind} ({last.id})"
    if model.last_changed_at != last.effective_at:
        yield "law 6", f"last_changed_at is not effective_at of its last change ({last.id})"
    if model.first_seen_at != first.observed_at:
        yield "law 5", f"first_seen_at is not observed_at of its first change ({first.id})"


def _difference(before: Any, after: Any) -> dict[str, list[Any]]:  # noqa: ANN401 - rows
    """The fields of the state that moved, as `changes.changed` spells it."""
    pairs = {field: [_exact(getattr(before, field)), _exact(getattr(after, field))] for field in _STATE}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}


def _exact(value: Any) -> Any:  # noqa: ANN401 - a column's value
    """A price as it is stored; `repr` of a double is the very digits. All else is exact already."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _is_canonical(price: float | Decimal | None) -> bool:
    try:
        return price is None or money.canonical(_exact(price)) == _exact(price)
    except ValueError:
        return False


def _names(fields: Any) -> str:  # noqa: ANN401 - JSON, as somebody wrote it
    return ", ".join(map(str, fields)) if fields else "nothing"


# -- what is pending, doubtful or unreadable ---------------------------------------------------------------------------


def _last_look(column: sa.Column[Any]) -> sa.ScalarSelect[Any]:
    query = sa.select(column).where(runs.c.source_id == sources.c.id, runs.c.observed_at.is_not(None))
    return query.where(runs.c.kind != "revert").order_by(runs.c.id.desc()).limit(1).scalar_subquery()


_is_pending = sa.or_(
    sa.exists().where(
        models.c.source_id == sources.c.id,
        models.c.removed_at.is_(None),
        models.c.last_seen_at.is_not(None) | models.c.missing_since.is_not(None),
    ),
    sa.exists().where(findings.c.source_id == sources.c.id, findings.c.state == "open"),
    _last_look(runs.c.rejected) > 0,
)


def _urls(connection: Connection) -> Iterator[Verdict]:
    for source in connection.execute(sa.select(sources.c.id, sources.c.url)):
        parts = urlsplit(source.url)
        if parts.username is not None or parts.password is not None or parts.query:
            what = "its url has credentials or a query"  # which is not repeated here
            yield Verdict(law="law 11", table="sources", row=str(source.id), what=what)


_SOURCES = _all_of(
    _Rule(
        law="law 3",
        table=sources,
        what="remembers etag or body_digest although something is pending: the next look might not be read",
        broken=_is_pending & (sources.c.etag.is_not(None) | sources.c.body_digest.is_not(None)),
    ),
    _Rule(
        law="law 6",
        table=sources,
        what="last_good_look_at is not observed_at of its last good look",
        broken=sources.c.last_good_look_at.is_distinct_from(_last_look(runs.c.observed_at)),
    ),
)

_opened, _upheld, _settled = runs.alias("opened"), runs.alias("upheld"), runs.alias("settled")
_with_runs = (
    findings.join(_opened, _opened.c.id == findings.c.opened_run_id)
    .join(_upheld, _upheld.c.id == findings.c.last_run_id)
    .outerjoin(_settled, _settled.c.id == findings.c.settled_run_id)
)
_FINDINGS = _all_of(
    _Rule(
        law="contract",
        table=findings,
        what="has a kind or a state that there is not",
        broken=findings.c.kind.not_in([doubt.value for doubt in Doubt])
        | findings.c.state.not_in(["open", "approved", "rejected", "withdrawn"]),
    ),
    _Rule(
        law="contract",
        table=findings,
        what="its runs are of another source",
        rows=_with_runs,
        broken=sa.or_(*(run.c.source_id != findings.c.source_id for run in (_opened, _upheld, _settled))),
    ),
    _Rule(
        law="law 1",
        table=findings,
        what="was opened, upheld or settled by a run that read no catalog",
        rows=_with_runs,
        broken=sa.or_(
            _opened.c.observed_at.is_(None),
            _upheld.c.observed_at.is_(None),
            findings.c.settled_run_id.is_not(None) & _settled.c.observed_at.is_(None),
        ),
    ),
    _Rule(
        law="law 6",
        table=findings,
        what="its times or runs are out of order",
        rows=_with_runs,
        broken=sa.or_(
            findings.c.opened_at > _opened.c.observed_at,
            findings.c.last_run_id < findings.c.opened_run_id,
            findings.c.settled_run_id < findings.c.opened_run_id,
            findings.c.settled_run_id > findings.c.last_run_id,
        ),
    ),
    _Rule(
        law="contract",
        table=findings,
        what="state and settled_run_id disagree on whether it is settled",
        broken=sa.or_(
            (findings.c.state == "open") & findings.c.settled_run_id.is_not(None),
            findings.c.state.in_(["approved", "withdrawn"]) & findings.c.settled_run_id.is_(None),
        ),
    ),
)

_NOTICES = _all_of(
    _Rule(
        law="contract",
        table=notices,
        what="its run or its finding is of another source",
        rows=notices.outerjoin(runs, runs.c.id == notices.c.run_id).outerjoin(
            findings, findings.c.id == notices.c.finding_id
        ),
        broken=(runs.c.source_id != notices.c.source_id) | (findings.c.source_id != notices.c.source_id),
    ),
    _Rule(
        law="contract",
        table=notices,
        what="has a kind that there is not",
        broken=notices.c.kind.not_in(["failed", "stale", "recovered", "held", "settled"]),
    ),
)

_first, _last = runs.alias("first"), runs.alias("last")
_rejected_said = sa.select(sa.func.coalesce(sa.func.sum(runs.c.rejected), 0)).where(runs.c.source_id == sources.c.id)
_rejected_kept = sa.select(sa.func.coalesce(sa.func.sum(rejected_rows.c.count), 0)).where(
    rejected_rows.c.source_id == sources.c.id
)
_REJECTED = _all_of(
    _Rule(
        law="law 3",
        table=rejected_rows,
        what="its runs are of another source, out of order, or rejected nothing",
        rows=rejected_rows.join(_first, _first.c.id == rejected_rows.c.first_run_id).join(
            _last, _last.c.id == rejected_rows.c.last_run_id
        ),
        broken=sa.or_(
            _first.c.source_id != rejected_rows.c.source_id,
            _last.c.source_id != rejected_rows.c.source_id,
            rejected_rows.c.first_run_id > rejected_rows.c.last_run_id,
            _first.c.rejected == 0,
            _last.c.rejected == 0,
        ),
    ),
    _Rule(
        law="law 3",
        table=sources,
        what="its runs say another number of rejected rows than rejected_rows counts",
        broken=sources.c.pruned_before.is_(None)
        & (_rejected_said.scalar_subquery() != _rejected_kept.scalar_subquery()),
    ),
)

_CHECKS: tuple[tuple[str, str, Callable[[Connection], Iterator[Verdict]]], ...] = (
    ("contract", "every reference has its row", _references),
    ("law 8", "feed ids are contiguous from 1, and the counter is at the last", _feed),
    ("law 9", "every run has ended or is the latest; time rises from run to run (laws 5, 7)", _RUNS),
    ("law 1", "every run wrote what it says, and only a good one wrote", _counts),
    (
        "law 6",
        "every change belongs to its run, source and model, in a window between looks (laws 1, 5)",
        _CHANGES,
    ),
    ("law 2", "every history is a valid sequence in exact prices (law 4) and adds up to the catalog", _histories),
    ("law 3", "no shortcut is remembered while anything is pending", _SOURCES),
    ("law 11", "no source's url holds a secret", _urls),
    ("contract", "every finding's state and runs agree", _FINDINGS),
    ("contract", "every notice is about its source", _NOTICES),
    ("law 3", "every rejected row is counted", _REJECTED),
)
