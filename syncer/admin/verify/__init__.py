"""Does the data keep the laws? Every law that SQL can check, row by row; nothing is written.

- One snapshot of the database is read, so that a sync in the meantime changes no answer.
- Rows are streamed: of a history, one change and the one before it are in memory.
- A value that cannot even be read (a time in another form, a price that is text) is named first, and nothing more is
  asked then: every other answer would rest on it.
- A verdict names the table, the row and the law. It says what is wrong, not how it came to be, and mends nothing.
"""

from collections.abc import Iterable, Iterator

from sqlalchemy.engine import Connection, Engine

from syncer.admin.drift import drift
from syncer.admin.verify.forms import illegible, references
from syncer.admin.verify.histories import histories
from syncer.admin.verify.pending import FINDINGS, NOTICES, REJECTED, SOURCES, urls
from syncer.admin.verify.rules import Check, Verdict
from syncer.admin.verify.runs import CHANGES, RUNS, counts, feed_ids
from syncer.db.engine import reading

__all__ = ["Verdict", "verify", "verify_rows"]

_CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("contract", "every reference has its row", references),
    ("law 8", "feed ids are contiguous from 1, and the counter is at the last", feed_ids),
    ("law 9", "every run has ended or is the latest; time rises from run to run (laws 5, 7)", RUNS),
    ("law 1", "every run wrote what it says, and only a good one wrote", counts),
    (
        "law 6",
        "every change belongs to its run, source and model, and took effect at an observation (laws 1, 5)",
        CHANGES,
    ),
    ("law 2", "every history is a valid sequence in exact prices (law 4) and adds up to the catalog", histories),
    ("law 3", "no shortcut is remembered while anything is pending", SOURCES),
    ("law 11", "no source's url holds a secret", urls),
    ("contract", "every finding's state and runs agree", FINDINGS),
    ("contract", "every notice is about its source", NOTICES),
    ("law 3", "every rejected row is counted", REJECTED),
)


def verify(engine: Engine) -> Iterator[Verdict]:
    """A verdict on each claim: one that says it holds, or one for each row that breaks it. Raises DatabaseError."""
    schema = (Verdict(law="law 2", table="schema", row=line.split()[1], what=line) for line in drift(engine))
    yield from _or_ok(schema, "law 2", "the schema is the declared one; triggers guard the history")
    with reading(engine, one_moment=True) as connection:
        yield from verify_rows(connection)


def verify_rows(connection: Connection) -> Iterator[Verdict]:
    """The verdicts on the rows alone, as the caller's transaction sees them."""
    legible = True
    for verdict in _or_ok(illegible(connection), "law 4", "every time, price and document is in its form"):
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
