"""URL -> Engine: which are taken, what a session is set up to, and what its errors say."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session, selectinload

from syncer.db import engine as db
from syncer.db import migrate
from syncer.db.models import Change, Model, Run, Source
from syncer.errors import DatabaseError, DatabaseNotReady, SettingsError, SourceBusy, SyncerError
from tests.db import START, execute, opened, rows
from tests.db.shop import Shop

SECRET = "hunter2"

# -- URLs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_spellings_of_postgresql(scheme: str) -> None:
    """Each usual spelling of a PostgreSQL URL means psycopg 3."""
    with opened(f"{scheme}://u@db.example/x", ready=False) as engine:
        assert engine.url.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("name", ["with space.db", "a?b.db", "a#b.db", "100%.db", "ünï.db", "a%20b.db"])
def test_paths_of_sqlite(tmp_path: Path, name: str) -> None:
    """A SQLite path may hold any character, percent-encoded in the URL; reading finds the same file."""
    url = f"sqlite:///{quote(str(tmp_path / name))}"
    with opened(url) as engine:
        assert rows(engine, "SELECT last_id FROM feed") == [(0,)]
        assert name in db.location(engine)
    assert (tmp_path / name).is_file()
    with opened(url, ready=False, read_only=True) as engine:
        migrate.require_schema(engine)
        assert name in db.location(engine)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:hunter2@h/d", "mysql"),
        ("mariadb+pymysql://u:hunter2@h/d", "sqlite or postgresql"),
        ("hunter2", "sqlite:///syncer.db"),
        ("", "sqlite:///syncer.db"),
        ("postgresql://u:hunter2@h:port/d", "sqlite:///syncer.db"),
        ("postgresql+nodriver://u:hunter2@h/d", "write postgresql:// without a +"),
        ("postgresql+asyncpg://u:hunter2@h/d", "write postgresql:// without a +"),
    ],
)
def test_urls_that_are_refused(url: str, said: str) -> None:
    """Another database, another driver or no URL at all is a setting to be mended, and is not repeated (law 11)."""
    with pytest.raises(SettingsError) as caught:
        db.open_engine(url)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@127.0.0.1:1/d?connect_timeout=2",
        "postgresql://u@127.0.0.1:1/d?password=hunter2",
        "postgresql://u@127.0.0.1:1/d?sslpassword=hunter2",
    ],
)
def test_no_password_in_an_error(url: str) -> None:
    """Law 11: a database that cannot be reached is named without its password, however that was given."""
    with opened(url, ready=False) as engine:
        with pytest.raises(DatabaseError) as caught:
            migrate.current(engine)
        assert SECRET not in str(caught.value) + repr(caught.value.__cause__) + db.location(engine)
        assert "127.0.0.1" in str(caught.value)


def test_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    """A SQLite file in a missing directory is an error that names it and what to look at; nothing is made."""
    url = f"sqlite:///{tmp_path}/missing/syncer.db"
    with (
        opened(url, ready=False) as engine,
        pytest.raises(DatabaseError, match=r"missing/syncer.db.*/missing does not exist"),
    ):
        migrate.ensure_schema(engine)
    assert list(tmp_path.iterdir()) == []


# -- readers -----------------------------------------------------------------------------------------------------------


def test_readers_create_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """Looking at a database that does not exist says how to create it, and does not."""
    for read_only in (True, False):
        with opened(sqlite_url, ready=False, read_only=read_only) as engine:
            assert migrate.current(engine) is None
            with pytest.raises(DatabaseNotReady, match="syncer sync"):
                migrate.require_schema(engine)
    assert list(tmp_path.iterdir()) == []


def test_readers_write_nothing(sqlite_url: str, tmp_path: Path) -> None:
    """A read-only engine refuses to write, and leaves the file as it was, byte by byte."""
    with opened(sqlite_url):
        pass
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with opened(sqlite_url, ready=False, read_only=True) as engine:
        migrate.require_schema(engine)
        with pytest.raises(DatabaseError, match="readonly"):
            execute(engine, "UPDATE feed SET last_id = 9")
    assert {path: path.read_bytes() for path in before} == before


def test_readers_block_no_writer(database_url: str) -> None:
    """While a reader reads, a writer commits; the reader's transaction began before it."""
    with opened(database_url) as engine, db.reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT last_id FROM feed").scalar() == 0
        execute(engine, "UPDATE feed SET last_id = 0")


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_read_committed_is_pinned(postgres_url: str) -> None:
    """Law 8: transactions run at READ COMMITTED whatever the server's default; times come in UTC whatever its zone."""
    with opened(postgres_url) as engine:
        name = engine.url.database
        execute(
            engine,
            f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'",
            f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'",
        )
    with opened(postgres_url) as engine:
        for session in (db.reading, db.writing, db.schema_change):
            with session(engine) as connection:
                shown = [
                    connection.exec_driver_sql(f"SHOW {setting}").scalar()
                    for setting in ("transaction_isolation", "timezone", "lock_timeout")
                ]
            assert shown == ["read committed", "UTC", "10s"], session


def test_sqlite_sessions(sqlite_url: str) -> None:
    """SQLite: WAL, foreign keys on, in every session, also the one after a schema change."""
    with opened(sqlite_url) as engine:
        for session in (db.reading, db.writing):
            with session(engine) as connection:
                assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
                assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_failed_block_writes_nothing(database_url: str) -> None:
    """Law 1: an error inside rolls back the whole block; a wrong statement, being a bug, keeps its own error."""
    with opened(database_url) as engine:
        with pytest.raises(sa.exc.DBAPIError, match="no_such_column"):
            execute(engine, "UPDATE feed SET last_id = 5", "SELECT no_such_column FROM feed")
        assert rows(engine, "SELECT last_id FROM feed") == [(0,)]


# -- locks -------------------------------------------------------------------------------------------------------------


@contextmanager
def impatient(url: str) -> Iterator[Engine]:
    """An engine that waits 100 ms for a lock instead of ten seconds."""
    with opened(url) as engine:
        engine.dispose()
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA busy_timeout=100"))
        else:
            patience = "SET LOCAL lock_timeout = 100"
            sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(patience))
        yield engine


def test_a_locked_database_is_busy(database_url: str) -> None:
    """A database that another program holds locked is busy (exit 75), not broken: the next run finds it free."""
    with opened(database_url) as other, impatient(database_url) as engine:
        with db.writing(other) as holder:
            holder.exec_driver_sql("UPDATE feed SET last_id = last_id")
            with pytest.raises(SourceBusy, match="locked by another program") as caught:
                execute(engine, "UPDATE feed SET last_id = last_id")
        assert caught.value.exit_code == 75
        execute(engine, "UPDATE feed SET last_id = last_id")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file that is no SQLite database is our error with its name, not a traceback."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at " * 20)
    with opened(f"sqlite:///{path}", ready=False) as engine, pytest.raises(SyncerError, match=r"notes\.txt"):
        migrate.ensure_schema(engine)


# -- mapped classes ----------------------------------------------------------------------------------------------------


def test_mapped_classes(database_url: str) -> None:
    """The classes of syncer.db.models map the tables and their relations, for ORM users."""
    with opened(database_url) as engine:
        shop = Shop(engine)
        shop.at(START, {"A": {"input": "0.1"}, "B": {"input": "2"}})
        shop.at(START + timedelta(days=1), {"A": {"input": "0.3", "output": "1"}, "B": None})
        with Session(engine) as session:
            query = sa.select(Model).join(Model.source).where(Source.name == "shop", Model.name == "A")
            model = session.scalars(query.options(selectinload(Model.changes), selectinload(Model.moves))).one()
            assert model.price == Decimal("0.3")
            assert [(change.kind, change.old_price) for change in model.changes] == [
                ("added", None),
                ("repriced", Decimal("0.1")),
            ]
            assert model.changes[1].changed["prices.input"] == [Decimal("0.1"), Decimal("0.3")]
            assert model.changes[0].effective_at == START
            assert [(move.component, move.price) for move in model.moves if move.component == "output"] == [
                ("output", Decimal(1))
            ]
            assert {each.name for each in model.source.models} == {"A", "B"}
            assert [run.outcome for run in session.scalars(sa.select(Run).order_by(Run.id))] == ["changed"] * 2
            removed = session.scalars(sa.select(Change).where(Change.kind == "removed")).one()
            assert removed.model.removed_at == START + timedelta(days=1)


def test_the_sync_path_stays_light(sqlite_url: str) -> None:
    """A run on SQLite imports neither Alembic nor the ORM nor PostgreSQL's dialect, once its schema is there."""
    with opened(sqlite_url):
        pass
    program = (
        "import sys\n"
        "from syncer.db import engine, feed, leases, migrate, results, state, ticks, writes\n"
        f"made = engine.open_engine({sqlite_url!r})\n"
        "migrate.ensure_schema(made)\n"
        "names = ('alembic', 'sqlalchemy.orm', 'sqlalchemy.dialects.postgresql', 'psycopg', 'jinja2')\n"
        "print([name for name in names if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
