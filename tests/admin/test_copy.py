"""A copy is equal, on either kind of database; read anew, its past has what nobody mapped then."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.admin.copy import copy_database
from syncer.admin.drift import drift
from syncer.admin.verify import verify
from syncer.core.model import Listing
from syncer.db import engine as db
from syncer.db.schema import metadata
from syncer.errors import DatabaseError, UsageError
from tests.db import START, execute, opened, rows
from tests.db.shop import Shop, listing, wander

if TYPE_CHECKING:
    from tests.postgres import Postgres

HOUR = timedelta(hours=1)
LATER = START + 1000 * HOUR
Fresh = Callable[[str], str]


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Fresh:
    """As many empty databases as a test wants."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{len(list(tmp_path.iterdir()))}.db"
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.start()
        return postgres.create_database()

    return make


def table(engine: Engine, name: str) -> list[dict[str, Any]]:
    """The rows of a table as Python values, in the order of their keys."""
    which = metadata.tables[name]
    with db.reading(engine) as connection:
        found = connection.execute(sa.select(which).order_by(*which.primary_key)).mappings().all()
    return [{name: value for name, value in row.items() if not name.startswith("lease")} for row in found]


def broken(engine: Engine) -> list[Any]:
    """What `syncer db verify` would complain of."""
    return [verdict for verdict in verify(engine) if not verdict.ok]


@pytest.mark.parametrize(("one", "other"), [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")])
def test_a_copy_is_equal(fresh: Fresh, one: str, other: str) -> None:
    """All tables, prices too, are in the copy as they were; both sides keep every law, and the copy goes on."""
    with opened(fresh(one)) as old, opened(fresh(other), ready=False) as new:
        shop = wander(old, runs=40, seed=3)
        copy_database(old, new, now=LATER)
        for name in metadata.tables:
            assert table(new, name) == table(old, name), name
        assert (broken(new), drift(new)) == ([], [])
        shop.engine = new
        shop.at(LATER, {"new": {"input": "1"}})
        assert broken(new) == []


def test_a_broken_original_is_refused(fresh: Fresh) -> None:
    """What breaks a law is not copied: the sentence names the table and the law, and nothing is left of the copy."""
    with opened(fresh("sqlite")) as old, opened(fresh("sqlite"), ready=False) as new:
        wander(old, runs=10, seed=3)
        execute(old, "DROP TRIGGER prices_no_delete", "DELETE FROM prices WHERE change_id = 1")
        with pytest.raises(DatabaseError, match="original breaks law 2 in changes 1"):
            copy_database(old, new, now=LATER)
        assert sa.inspect(new).get_table_names() == []


def test_a_used_target_is_refused(fresh: Fresh) -> None:
    """A copy goes into a database that holds nothing of syncer's."""
    with opened(fresh("sqlite")) as old, opened(fresh("sqlite")) as new, pytest.raises(UsageError, match="not empty"):
        copy_database(old, new, now=LATER)


def read(raw: str, _format: str) -> Listing:
    """What the format reads today: all prices of an element."""
    element = json.loads(raw)
    return listing(element["name"], element["prices"], type=element.get("type"))


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_past_read_anew(fresh: Fresh, kind: str) -> None:
    """A component that nobody mapped has its past in a copy that is read anew, under another feed id."""
    with opened(fresh(kind)) as old, opened(fresh(kind), ready=False) as new:
        shop = Shop(old)

        def sent(hour: int, prices: dict[str, str], **fields: Any) -> None:
            raw = json.dumps({"name": "A", "prices": prices, **fields})
            only = {"input": prices["input"]}
            shop.at(START + hour * HOUR, {"A": listing("A", only, raw=raw, **fields)})

        sent(0, {"input": "1", "output": "2"})
        sent(1, {"input": "2", "output": "2"})
        sent(2, {"input": "2", "output": "3"}, type="Text")
        shop.at(START + 3 * HOUR, {"A": None, "B": listing("B", {"input": "1"}, raw="no JSON")})
        shop.at(START + 4 * HOUR, {"B": listing("B", {"input": "1"}, raw="no JSON either", description="x")})
        shop.at(START + 5 * HOUR, {"A": listing("A", {"input": "2"}, raw='{"name": "A", "prices": {"input": "2"}}')})
        wander(old, runs=20, seed=4, name="other")
        execute(
            old,
            "INSERT INTO consumers (name, position, state, created_at, failing)"
            " VALUES ('bot', 3, 'active', '2026-01-01 00:00:00.000000', '[]')",
        )
        copy_database(old, new, now=LATER, read=read)
        query = (
            "SELECT component, price FROM price_periods WHERE source = 'shop' AND model = 'A' ORDER BY 1, valid_from"
        )
        assert rows(new, query) == [
            ("input", 1), ("input", 2), ("input", 2), ("output", 2), ("output", 3), ("output", None),
        ]  # fmt: skip
        query = "SELECT kind FROM changes WHERE name = 'A' ORDER BY id"
        assert rows(new, query) == [("added",), ("repriced",), ("repriced",), ("removed",), ("relisted",)]
        assert rows(old, query)[2] == ("updated",)
        assert rows(new, "SELECT description FROM models WHERE name = 'B'") == [("x",)]
        assert rows(new, "SELECT feed_id FROM feed") != rows(old, "SELECT feed_id FROM feed")
        assert rows(new, "SELECT position FROM consumers") == [(3,)]
        assert broken(new) == []
