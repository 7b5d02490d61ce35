"""A real catalog history, lived through again: 44 states of a public price list, over real HTTP (law 10)."""

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Context
from pathlib import Path
from typing import Any

import pytest

from syncer.core.decide import Approval
from tests.story import Story, label
from tests.upstream import Upstream

REPLAY = Path(__file__).parent / "data" / "replay"
CLEAN_OUT = "03-20 05:51:47"
"""The state in which 58 of 229 models go for good, but for one of them."""
TOLD = "03-27 17:12:30"
"""The first state that is three days later."""
_FIFTEEN_DIGITS = Context(prec=15)
_OUR_NAMES = {"model_alias": "alias", "model_type": "type"}


@pytest.fixture(scope="module")
def states() -> list[tuple[str, bytes]]:
    """When each state was observed, as a calendar label, and the response."""
    with gzip.open(REPLAY / "snapshots.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [(_when(state), state["body"].encode()) for state in map(json.loads, lines)]


@pytest.fixture(scope="module")
def expected() -> set[tuple[Any, ...]]:
    """What the independent program found: (when, model, kind, old price, new price, other fields)."""
    lines = (REPLAY / "expected.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for line in map(json.loads, lines[:-1]):
        found.setdefault((_when(line), line["model_name"]), []).append(line)
    return {(*at, *_as_one_row(rows)) for at, rows in found.items()}


@pytest.fixture
def catalog(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source with all rules of trust; a test may turn them off."""
    with Story(database_url, upstream) as story:
        yield story


def live(catalog: Story, states: list[tuple[str, bytes]]) -> None:
    """One observation at each state, when it was."""
    for when, body in states:
        catalog.sends(when, body)


def test_the_replay_gives_exactly_the_expected_changes(
    catalog: Story, states: list[tuple[str, bytes]], expected: set[tuple[Any, ...]]
) -> None:
    """With trust off every change is found in the state where it is, and nothing else, on both databases (law 10)."""
    live(catalog.set(trust=False), states)
    rows = catalog.history()
    assert len(rows) == 354
    assert {_found(row) for row in rows} == expected
    assert catalog.outcomes.count("unchanged") == 7


def test_both_databases_hold_the_same_rows(
    sqlite_url: str, postgres_url: str, upstream: Upstream, states: list[tuple[str, bytes]]
) -> None:
    """The history is the same row for row, ids, windows and raw elements included (law 10)."""
    histories = []
    for url in (sqlite_url, postgres_url):
        with Story(url, upstream, trust=False) as story:
            live(story, states)
            histories.append([vars(row) for row in story.history()])
    assert histories[0] == histories[1]


def test_time_settles_the_clean_out_with_nobody_there(catalog: Story, states: list[tuple[str, bytes]]) -> None:
    """58 models vanish at once: one is back 40 hours later, the other 57 are told a week later, and nothing else waits.

    These are the commits' own times; `patience` of 3 days ends at the first observation at or after it.
    """
    live(catalog, states)
    (finding,) = catalog.findings()
    assert (finding.kind, finding.state, finding.opened_at) == ("removals", "confirmed", CLEAN_OUT)
    held = [run for run in catalog.runs() if run.outcome == "held"]
    assert (held[0].observed_at, [run.withheld for run in held][:2]) == (CLEAN_OUT, [58, 57])
    removed = [row for row in catalog.history() if row.kind == "removed"]
    assert len(removed) == 57
    assert {(row.effective_at, row.changed_after, row.observed_at) for row in removed} == {
        (CLEAN_OUT, "03-11 14:21:51", TOLD)
    }
    kinds = [row.kind for row in catalog.history()]
    assert [kinds.count(kind) for kind in ("added", "removed", "relisted", "repriced")] == [275, 57, 0, 5]
    assert catalog.periods("gpt-4-0314") == [("30", "02-25 03:28:11", None)]


def test_one_approval_settles_the_clean_out(
    catalog: Story, states: list[tuple[str, bytes]], expected: set[tuple[Any, ...]]
) -> None:
    """Approved at once, the removals are effective at the state that showed them: the history is the expected one."""
    until = [when for when, _ in states].index(CLEAN_OUT) + 1
    live(catalog, states[:until])
    catalog.again("03-20 07:00", approving=Approval())
    assert (catalog.run.kind, catalog.run.outcome, catalog.run.removed) == ("approve", "changed", 58)
    live(catalog, states[until:])
    assert {_found(row) for row in catalog.history()} == expected
    assert [finding.state for finding in catalog.findings()] == ["approved"]
    assert "held" not in catalog.outcomes[until:]


def test_whoever_wants_to_be_asked_is(catalog: Story, states: list[tuple[str, bytes]]) -> None:
    """With `patience = "never"` the 57 wait for a person, and are then gone since the first miss."""
    live(catalog.set(patience=None), states)
    (finding,) = catalog.findings("open")
    assert (finding.kind, len(finding.evidence)) == ("removals", 57)
    catalog.again("07-25", approving=Approval())
    removed = [row for row in catalog.history() if row.kind == "removed"]
    assert {(row.effective_at, row.changed_after, row.observed_at) for row in removed} == {
        (CLEAN_OUT, "03-11 14:21:51", "07-25")
    }
    assert (len(removed), len(catalog.current())) == (57, 218)


# -- the two sides in one form -----------------------------------------------------------------------------------------


def _when(line: dict[str, Any]) -> str:
    return label(datetime.fromisoformat(line["observed_at"]))


def _as_one_row(lines: list[dict[str, Any]]) -> tuple[Any, ...]:
    """The lines of one model in one state as the one row that it has in our history."""
    fields = [
        (_OUR_NAMES.get(name, name), line["old"][name], line["new"][name])
        for line in lines
        if "fields" in line
        for name in line["fields"]
    ]
    line = next((line for line in lines if line["kind"] != "changed"), None)
    if line is None:
        return ("updated", None, None, *sorted(fields))
    kind = "relisted" if line.get("again") else line["kind"]
    return (kind, _price(line["old_price"]), _price(line["new_price"]), *sorted(fields))


def _found(row: Any) -> tuple[Any, ...]:
    """A row of ours in the other program's terms: it states no price where the price is no news."""
    old, new = {
        "added": (None, row.price),
        "relisted": (None, row.price),
        "removed": (row.old_price, None),
        "repriced": (row.old_price, row.price),
        "updated": (None, None),
    }[row.kind]
    moved = row.changed if row.kind in {"updated", "repriced"} else {}
    fields = [(name, before, after) for name, (before, after) in moved.items() if name != "prices.price"]
    return (row.effective_at, row.name, row.kind, old, new, *sorted(fields))


def _price(text: str | None) -> str | None:
    """As our history holds it: 15 significant digits (law 4)."""
    return None if text is None else f"{_FIFTEEN_DIGITS.create_decimal(text).normalize():f}"
