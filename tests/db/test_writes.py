"""What a decision becomes in the database, and what the next one finds there."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from syncer.core.decision import Decision
from syncer.core.model import Change, Kind, Mark, Rejected, Snapshot
from syncer.core.notices import Notice, NoticeKind
from syncer.core.rules import Finding, FindingKind, Withheld
from syncer.db import bulk, feed, leases, state, writes
from syncer.db.engine import reading, writing
from tests.db import START, opened, rows
from tests.db.shop import PARSER, Shop, listing, stored

MANY = 2 * bulk.PIECE + 1
HOUR = timedelta(hours=1)
MOVES = "SELECT component, kind, old_price, price FROM prices WHERE change_id = {} ORDER BY component"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A fresh database of each kind."""
    with opened(database_url) as made:
        yield made


def moves(engine: Engine, change: int) -> list[tuple[Any, ...]]:
    """The rows of `prices` of one change: (component, kind, old, new)."""
    return [
        (c, kind, *(None if p is None else f"{p:g}" for p in pair))
        for c, kind, *pair in rows(engine, MOVES.format(change))
    ]


def test_a_catalog_of_many_pieces_moves_as_a_whole(engine: Engine) -> None:
    """More models than one statement takes are added, repriced, removed and relisted without losing one."""
    names = [f"maker/{number}" for number in range(MANY)]
    shop = Shop(engine)
    assert shop.at(START, {name: {"input": "1"} for name in names}) == {Kind.ADDED: MANY}
    assert shop.at(START + HOUR, {name: {"input": "2", "output": "1"} for name in names}) == {Kind.REPRICED: MANY}
    assert shop.at(START + 2 * HOUR, dict.fromkeys(names[1:])) == {Kind.REMOVED: MANY - 1}
    again = shop.at(START + 3 * HOUR, {name: {"input": "3", "output": "1"} for name in names})
    assert again == {Kind.REPRICED: 1, Kind.RELISTED: MANY - 1}
    found = stored(engine)
    assert {name: model.listing.price for name, model in found.items()} == dict.fromkeys(names, Decimal(3))
    with reading(engine) as connection:
        catalog = state.catalog(connection, 1, PARSER)
        other = state.catalog(connection, 1, "another parser")
    assert (catalog.listed, catalog.priced, catalog.pending) == (set(names), MANY, set())
    assert set(catalog.by_digest.values()) == set(names)
    assert (other.listed, other.by_digest) == (set(names), {}), "another reading needs each element again"
    assert rows(engine, "SELECT count(*) FROM prices") == [(MANY + 2 * MANY + 2 * (MANY - 1) + 1 + 2 * (MANY - 1),)]


def test_what_each_kind_says_of_each_price(engine: Engine) -> None:
    """Coming, going and returning say something of every component ever known; a move only of those that moved."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1", "output": "2"}})
    shop.at(START + HOUR, {"A": {"input": "1", "image": "9"}})
    shop.at(START + 2 * HOUR, {"A": None})
    shop.at(START + 3 * HOUR, {"A": {"input": "5"}})
    shop.at(START + 4 * HOUR, {"A": listing("A", {"input": "5"}, description="new")})
    assert moves(engine, 1) == [("input", "added", None, "1"), ("output", "added", None, "2")]
    assert moves(engine, 2) == [("image", "repriced", None, "9"), ("output", "repriced", "2", None)]
    assert moves(engine, 3) == [
        ("image", "removed", "9", "9"),
        ("input", "removed", "1", "1"),
        ("output", "removed", None, None),
    ]
    assert moves(engine, 4) == [
        ("image", "relisted", "9", None),
        ("input", "relisted", "1", "5"),
        ("output", "relisted", None, None),
    ]
    assert moves(engine, 5) == []


def test_a_reading_beside_a_move() -> None:
    """Components that came by a new reading of old bytes are `reread`, in the row of a change too."""
    change = Change(
        kind=Kind.REPRICED,
        model_id=1,
        listing=listing("A", {"input": "2", "output": "4", "image": "1"}),
        old_price=Decimal(1),
        changed={"prices.input": (Decimal(1), Decimal(2)), "alias": ("a", "b")},
        reread={"prices.output": (None, Decimal(4)), "prices.input": (Decimal(3), Decimal(1)), "type": (None, "Text")},
        effective_at=START,
        changed_after=None,
    )
    assert list(writes.price_moves(change)) == [
        ("input", Kind.REPRICED, Decimal(1), Decimal(2)),
        ("output", Kind.REREAD, None, Decimal(4)),
    ]
    back = msgspec.structs.replace(change, kind=Kind.RELISTED)
    assert list(writes.price_moves(back)) == [
        ("input", Kind.RELISTED, Decimal(1), Decimal(2)),
        ("output", Kind.REREAD, None, Decimal(4)),
        ("image", Kind.RELISTED, Decimal(1), Decimal(1)),
    ]


def test_marks(engine: Engine) -> None:
    """What was not plainly seen is marked, also of a model that is new or moved; plainly seen again, it is not."""
    shop = Shop(engine)
    unread = Mark(unread=frozenset({"prices", "alias"}), unread_since=START, last_seen_at=START)
    missing = Mark(missing_since=START + HOUR, missing_count=1, last_seen_at=START)
    shop.at(START, {"A": {"input": "1"}, "B": {"input": "1"}, "C": {"input": "1"}}, marks={"B": unread})
    assert stored(engine)["B"].unread == {"prices", "alias"}
    shop.at(START + HOUR, {"A": {"input": "2"}, "B": {"input": "2"}, "C": None}, marks={"A": unread, "C": missing})
    found = stored(engine)
    assert (found["A"].unread_since, found["B"].unread_since) == (START, None)
    with reading(engine) as connection:
        gone = state.stored_models(connection, 1, ["C"])["C"]
        assert state.catalog(connection, 1, PARSER).pending == {"A"}
    assert (gone.listed, gone.missing_since, gone.last_changed_at) == (False, START + HOUR, START + HOUR)


def test_new_bytes_that_say_nothing_new(engine: Engine) -> None:
    """A refreshed model has the new bytes, further fields and parser, no change, and nothing pending."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}})
    new = msgspec.structs.replace(listing("A", {"input": "1"}, raw="{}"), extra=msgspec.Raw(b'{"n":1}'))
    lease = shop.lease(START + HOUR)
    with writing(engine) as connection:
        known = state.stored_models(connection, 1, ["A"])
        shop.write(connection, lease, Decision(refreshed=(new,)), START + HOUR, known)
    model = stored(engine)["A"]
    assert (model.listing.digest, model.listing.extra) == (new.digest, new.extra)
    assert rows(engine, "SELECT count(*) FROM changes") == [(1,)]


def test_rejected_rows_are_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad response cannot fill the disk: known rejects are counted on, of new ones only so many are kept."""
    monkeypatch.setattr(writes, "MOST_REJECTED", 3)
    shop = Shop(engine)
    for hour, first in enumerate((0, 2)):
        rejected = tuple(
            Rejected(name=None, reason="no name", raw="{}", digest=bytes([number]) * 16) for number in range(first, 8)
        )
        lease = shop.lease(START + hour * HOUR)
        with writing(engine) as connection:
            shop.write(connection, lease, Decision(), START + hour * HOUR, {}, rejected=rejected)
    assert sorted(count for (count,) in rows(engine, "SELECT count FROM rejected_rows")) == [1, 1, 1, 1, 1, 2]
    assert rows(engine, "SELECT rejected FROM runs ORDER BY id") == [(8,), (6,)]


def finding(**values: Any) -> Finding:
    """An implausible price, withheld."""
    withheld = Withheld(
        since=START,
        fields={"prices.input": Decimal("0.1"), "context_length": 4096, "expires_at": START},
        shown=(("input", Decimal("0.1"), START),),
    )
    plain: dict[str, Any] = {"kind": FindingKind.IMPLAUSIBLE_PRICE, "evidence": {"A": withheld}, "opened_at": START}
    return Finding(**(plain | values))


def test_findings_come_back_as_they_were(engine: Engine) -> None:
    """Evidence reads back with prices as Decimals, times aware and counts whole; it follows upstream."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}}, opened=(finding(),), reasons=("x",))
    with reading(engine) as connection:
        (found,) = state.findings_in_force(connection, 1)
    assert (found.kind, found.evidence, found.opened_at, found.state) == (
        FindingKind.IMPLAUSIBLE_PRICE, finding().evidence, START, "open",
    )  # fmt: skip
    assert found.id is not None
    moved = {"A": Withheld(since=START, fields={"prices.input": None}), "B": Withheld(since=START, fields=None)}
    shop.at(START + HOUR, {}, kept={found.id: moved}, reasons=("x",))
    with reading(engine) as connection:
        (found,) = state.findings_in_force(connection, 1)
    assert found.evidence == moved
    shop.at(START + 2 * HOUR, {}, settled={found.id: "confirmed"})
    with reading(engine) as connection:
        assert state.findings_in_force(connection, 1) == ()
    assert rows(engine, "SELECT state, settled_run_id FROM findings") == [("confirmed", 3)]


def test_notices_name_their_finding_and_model(engine: Engine) -> None:
    """Law 8: notices come before the changes of their run; they name the finding and the model they are about."""
    shop = Shop(engine)
    said = (
        Notice(kind=NoticeKind.MISSING, model="A"),
        Notice(kind=NoticeKind.HELD, data={"why": "x"}, finding=FindingKind.IMPLAUSIBLE_PRICE),
    )
    shop.at(START, {"A": {"input": "1"}, "B": {"input": "1"}}, opened=(finding(),), notices=said, reasons=("x",))
    assert rows(engine, "SELECT id, model_id, finding_id FROM notices ORDER BY id") == [(1, 1, None), (2, None, 1)]
    assert rows(engine, "SELECT model, type, kind FROM feed_events WHERE id = 1") == [("A", None, "missing")]
    with reading(engine) as connection:
        assert feed.end(connection) == 4
        assert len(feed.feed_id(connection)) == 32


def test_what_was_read_by_another_parser(engine: Engine) -> None:
    """Where bytes and parser are both new, the element of the model's last change is read again, and only there."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}, "B": {"input": "1"}})
    shop.at(START + HOUR, {"A": None})
    fresh = {name: listing(name, {"input": "2"}) for name in ("A", "B", "C")}
    asked: list[str] = []

    def read(raw: str) -> Any:
        asked.append(raw)
        return listing("A", {"input": "7"})

    with reading(engine) as connection:
        known = state.stored_models(connection, 1, ["A", "B", "C"])
        for parser, expected in ((PARSER, 0), ("new", 2)):
            snapshot = Snapshot(
                observed_at=START, shown_at=START, parser=parser, headline="input", listings=fresh, same=frozenset()
            )
            found = state.with_rereads(connection, known, snapshot, read)
            assert len(asked) == expected
    assert {name: model.reread and model.reread.price for name, model in found.items()} == {"A": 7, "B": 7}


def test_expiring_models(engine: Engine) -> None:
    """Listed models that go within some days are found by a seek, with the threshold that was last told."""
    shop = Shop(engine)
    days = {"soon": 5, "later": 40, "gone": 6, "past": -1}
    states = {name: listing(name, {"input": "1"}, expires_at=START + timedelta(days=n)) for name, n in days.items()}
    shop.at(START, states)
    shop.at(START + HOUR, {"gone": None})
    with writing(engine) as connection:
        (one,) = state.expiring(connection, 1, START, timedelta(days=30))
        assert (one.name, one.expires_at, one.told) == ("soon", START + timedelta(days=5), None)
        writes.mark_expiring(connection, 1, {one.name: 7})
        (one,) = state.expiring(connection, 1, START, timedelta(days=30))
        assert one.told == 7


def test_a_run_is_one_commit(engine: Engine) -> None:
    """Law 1: what fails midway leaves nothing, and gives its feed ids back."""
    shop = Shop(engine)
    shop.at(START, {"A": {"input": "1"}})
    lease = shop.lease(START + HOUR)
    with pytest.raises(RuntimeError, match="stop"), writing(engine) as connection:  # noqa: PT012 - one transaction
        leases.check_fencing_token(connection, lease)
        known = state.stored_models(connection, 1, ["A"])
        gone = shop._change(known, "A", None, START + HOUR, read_anew=False)
        assert gone is not None
        shop.write(connection, lease, Decision(believed=(gone,)), START + HOUR, known)
        raise RuntimeError("stop")
    assert rows(engine, "SELECT count(*), max(id) FROM changes") == [(1, 1)]
    assert rows(engine, "SELECT last_id FROM feed") == [(1,)]
    assert rows(engine, "SELECT count(*) FROM prices") == [(1,)]


def test_unchanged_models_are_read_from_an_index(sqlite_url: str) -> None:
    """What a sync reads of each unchanged model is in an index a tenth of the table's size."""
    with opened(sqlite_url) as engine:
        sent: list[tuple[Any, ...]] = []
        event.listen(engine, "before_cursor_execute", lambda *call: sent.append(call))
        with reading(engine) as connection:
            state.catalog(connection, 1, PARSER)
            plans = [
                connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                for _, _, statement, parameters, *_ in sent[-2:]
            ]
        assert sorted(row[-1] for plan in plans for row in plan) == [
            "SEARCH models USING INDEX ix_models_current (source_id=?)",
            "SEARCH models USING INDEX ix_models_unread (source_id=?)",
        ]
