"""A real provider's history, imported in its own format: the moves and the presence that another program found.

`data/catalogs` holds Chutes' `/v1/models`, 73 daily responses of 2026 (MIT, Veightor/chutes-agent-toolkit), and some of
the models of OpenRouter's, 48 of them (Apache-2.0, agentjido/llm_db).
"""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer.core.text import rfc3339
from syncer.importing import import_observation, read_recording
from tests.story import Story, label
from tests.upstream import Upstream

CATALOGS = Path(__file__).parent / "data" / "catalogs"
TOKENS = {"input", "output", "cache_read", "cache_write"}
HTTP = 12
"""So many responses are lived through over HTTP as well."""
Event = tuple[str, str, str, tuple[Any, ...]]


@pytest.fixture
def shop(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source that believes everything at once, in the provider's own format, at a loopback URL."""
    with Story(database_url, upstream, format="chutes", trust=False) as story:
        yield story.set(url=f"{upstream.origin}/v1/models")


@pytest.fixture(scope="module")
def expected() -> set[Event]:
    """What the other program found: (when, model, kind, the moves of the token prices)."""
    with gzip.open(CATALOGS / "chutes.expected.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line, parse_float=Decimal) for line in lines]
    return {
        (row["observed_at"], row["model"], row["kind"], _moves(row.get("moved", {}))) for row in rows if "kind" in row
    }


def _moves(moves: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted((name, *map(_text, pair)) for name, pair in moves.items() if name in TOKENS))


def _text(price: Any) -> str | None:
    return None if price is None else f"{Decimal(str(price)).normalize():f}"


def found(story: Story) -> set[Event]:
    """Our history in the other program's terms."""
    events = set()
    for row in story.history():
        moved = {key.removeprefix("prices."): pair for key, pair in row.changed.items() if key.startswith("prices.")}
        moves = _moves(moved) if row.kind == "repriced" else ()
        if row.kind in {"added", "removed", "relisted"} or moves:
            at = datetime.fromisoformat(f"2026-{row.effective_at}").replace(tzinfo=UTC)
            events.add((rfc3339(at), row.name, row.kind, moves))
    return events


def test_chutes_imported_is_what_happened(shop: Story, expected: set[Event]) -> None:
    """Presence and each move of the token prices are exactly the expected ones, on both databases (laws 4 and 10)."""
    now = datetime(2026, 12, 1, tzinfo=UTC)
    attempt = shop.attempt(clock=lambda: now, kind="import", key=None)
    for recorded in read_recording(CATALOGS / "chutes.jsonl.gz"):
        import_observation(attempt, recorded)
    shop.check_laws()
    assert found(shop) == expected


def test_chutes_over_http_is_the_same(shop: Story, expected: set[Event]) -> None:
    """The first days lived through over HTTP give the same rows."""
    shop.key = None
    lines = list(read_recording(CATALOGS / "chutes.jsonl.gz"))[:HTTP]
    for recorded in lines:
        shop.sends(label(recorded.observed_at), recorded.body)
    end = rfc3339(lines[-1].observed_at + timedelta(seconds=1))
    assert found(shop) == {event for event in expected if event[0] < end}


def test_openrouter_with_nobody_answering(sqlite_url: str, upstream: Upstream) -> None:
    """With the rules on nothing is ever held: each removal is told at its second daily miss, each price at once."""
    with Story(sqlite_url, upstream, format="openrouter") as shop:
        attempt = shop.attempt(clock=lambda: datetime(2026, 12, 1, tzinfo=UTC), kind="import", key=None)
        for recorded in read_recording(CATALOGS / "openrouter.jsonl.gz"):
            import_observation(attempt, recorded)
        shop.check_laws()
        assert (shop.findings(), {*shop.outcomes} <= {"changed", "unchanged"}) == ([], True)
        seen = [run.observed_at for run in shop.runs()]
        for row in shop.history():
            late = seen.index(row.observed_at) - seen.index(row.effective_at)
            assert late == (row.kind == "removed"), row
