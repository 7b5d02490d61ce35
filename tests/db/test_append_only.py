"""Law 2: the history is append-only, and the database itself refuses everything else."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from syncer.db import engine as db
from syncer.db.tables import changes
from tests.db import rows
from tests.story import Story
from tests.upstream import Upstream

COLUMNS = (
    "id, source_id, run_id, model_id, kind, observed_at, effective_at, changed_after, old_price, price, name, alias,"
    " type, context_length, max_completion_tokens, description, huggingface_url, changed, reverts_id, raw"
)


def copied(**values: str) -> str:
    """The SELECT of change 2 with some columns replaced: a row that is right in every other way."""
    picked = (values.get(name.strip(), name.strip()) for name in COLUMNS.split(","))
    return f"SELECT {', '.join(picked)} FROM changes WHERE id = 2"


INTO = f"changes ({COLUMNS})"
EVERYWHERE = {
    "UPDATE": "UPDATE changes SET price = 1 WHERE id = 2",
    "UPDATE of nothing new": "UPDATE changes SET id = id",
    "DELETE": "DELETE FROM changes WHERE id = 2",
    "DELETE of all": "DELETE FROM changes",
    "DELETE of its run": "DELETE FROM runs WHERE id = 1",
    "DELETE of its model": "DELETE FROM models WHERE id = 1",
    "DELETE of its source": "DELETE FROM sources",
    "the id of another": f"INSERT INTO {INTO} {copied(run_id='3')}",
    "ON CONFLICT DO UPDATE": f"INSERT INTO {INTO} {copied()} ON CONFLICT (id) DO UPDATE SET price = 1",
}
BY_DIALECT = {
    "sqlite": {
        "INSERT OR REPLACE by id": f"INSERT OR REPLACE INTO {INTO} {copied(run_id='3')}",
        "INSERT OR REPLACE by run and model": f"INSERT OR REPLACE INTO {INTO} {copied(id='99')}",
        "REPLACE INTO": f"REPLACE INTO {INTO} {copied()}",
        "UPDATE OR REPLACE": "UPDATE OR REPLACE changes SET id = 3 WHERE id = 2",
        "an id out of order": f"INSERT INTO {INTO} {copied(id='0', run_id='3')}",
        "ON CONFLICT by run and model": f"INSERT INTO {INTO} {copied(id='99')} ON CONFLICT (run_id, model_id)"
        " DO UPDATE SET price = 1",
    },
    "postgresql": {
        "UPDATE of no row": "UPDATE changes SET price = 1 WHERE false",
        "DELETE of no row": "DELETE FROM changes WHERE false",
        "TRUNCATE": "TRUNCATE changes",
        "TRUNCATE CASCADE": "TRUNCATE changes CASCADE",
        "TRUNCATE of a parent": "TRUNCATE sources CASCADE",
        "MERGE": "MERGE INTO changes c USING runs r ON c.run_id = r.id WHEN MATCHED THEN DELETE",
        "UPDATE through a view": "UPDATE changes c SET price = 1 FROM models m WHERE m.id = c.model_id",
    },
}
REFUSED = (sqlite3.IntegrityError, psycopg.errors.RestrictViolation, psycopg.errors.IntegrityError)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A history of three changes and three runs; every attempt on it fails."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('kept')}/syncer.db"
    else:
        url = request.getfixturevalue("postgres").create_database()
    with Upstream() as upstream, Story(url, upstream, trust=False) as story:
        story.on("01-01", A="1", B="2").on("01-02", A="1", B="3").on("01-03", A="1", B="3")
        yield story.engine


def statements(engine: Engine) -> dict[str, str]:
    """Every way to change the past that the database at hand knows."""
    return EVERYWHERE | BY_DIALECT[engine.dialect.name]


def test_through_sqlalchemy(kept: Engine) -> None:
    """Law 2: through SQLAlchemy each attempt to change the past is an IntegrityError and changes nothing."""
    before = rows(kept, "SELECT * FROM changes ORDER BY id")
    for statement in statements(kept).values():
        with pytest.raises(sa.exc.IntegrityError), db.writing(kept) as connection:
            connection.exec_driver_sql(statement)
    for attempt in (sa.delete(changes), sa.update(changes).values(name="x")):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), db.writing(kept) as connection:
            connection.execute(attempt)
    assert rows(kept, "SELECT * FROM changes ORDER BY id") == before


def test_through_the_driver(kept: Engine) -> None:
    """Law 2: the database refuses, not our code: a plain driver connection with foreign keys on gets no further."""
    before = rows(kept, "SELECT * FROM changes ORDER BY id")
    for statement in statements(kept).values():
        with closing(raw_connection(kept)) as raw, pytest.raises(REFUSED):
            raw.execute(statement)
    assert rows(kept, "SELECT * FROM changes ORDER BY id") == before


def raw_connection(engine: Engine) -> sqlite3.Connection | psycopg.Connection:
    """A connection of the driver itself, as another program would make it."""
    if engine.dialect.name == "sqlite":
        raw = sqlite3.connect(str(engine.url.database))
        raw.execute("PRAGMA foreign_keys=ON")
        return raw
    return psycopg.connect(engine.url.set(drivername="postgresql").render_as_string())


def test_appending_is_what_is_left(kept: Engine) -> None:
    """Law 2: a new change with the next id is let in, so that the guards above guard and do not merely block."""
    with kept.connect() as connection:
        assert connection.exec_driver_sql(f"INSERT INTO {INTO} {copied(id='99', run_id='3')}").rowcount == 1
        connection.rollback()


def test_no_cascade_anywhere(kept: Engine) -> None:
    """Law 2: no foreign key carries a deletion or an update on to other rows."""
    inspector = sa.inspect(kept)
    keys = [key for table in inspector.get_table_names() for key in inspector.get_foreign_keys(table)]
    assert len(keys) >= 12
    assert [key for key in keys if key["options"]] == []
