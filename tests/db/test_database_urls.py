"""Database URLs as people write them: each is taken, or refused in one sentence that says what to write, and no part of
a password reaches any output (law 11).
"""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from syncer import history
from syncer.cli import logs
from syncer.core.masking import mask_url
from syncer.db import engine as db
from syncer.db import migrate
from syncer.errors import SettingsError, SyncerError
from syncer.settings import load
from syncer.settings.describing import describe
from tests.conftest import clean_environment

CANARIES = ("QzEr", "WvTy", "XkUi")
"""Parts of one password; what stands between them may end it, for a careless reader."""

MARKS = st.sampled_from(["@", ":", "/", "?", "#", "%", "%4", "&", "=", ";", "+", " ", "'", '"', "\\", "%40", "\t", "!"])
NO_AT = "postgresql://app:{0}/catalog"
SHAPES = [
    "postgresql://app:{0}@127.0.0.1:1/catalog?connect_timeout=1",
    "postgresql+psycopg://app:{0}@127.0.0.1:1/catalog",
    "postgres://app:{0}@127.0.0.1:1",
    "postgresql://app:{0}@/catalog?host=127.0.0.1&port=1",
    NO_AT,
    "postgresql://app:{0}@127.0.0.1:1/catalog?sslmode=odd",
    "postgresql://:{0}@127.0.0.1:1/catalog",
    "postgresql://app{0}@127.0.0.1:1/catalog",  # no colon: what follows the user's name may be anything but a name
    "postgresql:///app:{0}@127.0.0.1:1/catalog",
    "postgresql://127.0.0.1:1/app:{0}@catalog",
    "postgresql://127.0.0.1:1/catalog?user=app&password={0}",
    "postgresql://127.0.0.1:1/catalog?user=app&pasword={0}",
    "postgresql://127.0.0.1:1/catalog?sslpassword={0}",
    "postgresql:/app:{0}@127.0.0.1:1/catalog",
    "postgresql//app:{0}@127.0.0.1:1/catalog",
    "postgresq://app:{0}@127.0.0.1:1/catalog",
    "postgresql+asyncpg://app:{0}@127.0.0.1:1/catalog",
    "mysql://app:{0}@127.0.0.1:1/catalog",
    "sqlite://app:{0}@127.0.0.1:1/catalog",
    "sqlite:///postgresql://app:{0}@127.0.0.1:1/catalog",
    "app:{0}@127.0.0.1:1/catalog",
]


@st.composite
def passwords(draw: st.DrawFn) -> str:
    """The canaries with marks before, between and behind them, as they are or percent-encoded."""
    marks = [draw(st.one_of(st.just(""), MARKS)) for _ in range(4)]
    between = [mark or ":" for mark in marks[:3]]
    text = "".join(f"{mark}{canary}" for mark, canary in zip(between, CANARIES, strict=True)) + marks[3]
    return quote(text, safe="") if draw(st.booleans()) else text


def assert_silent(*texts: object) -> None:
    """No part of the password is in any of these."""
    for text in texts:
        assert not [canary for canary in CANARIES if canary.lower() in str(text).lower()], text


@given(shape=st.sampled_from(SHAPES), password=passwords())
@examples(max_examples=200)
def test_no_part_of_a_password_is_ever_shown(shape: str, password: str) -> None:
    """Law 11: settings, errors of opening and of connecting, a log with a traceback and /readyz show no part of it."""
    assume("@" not in password or shape != NO_AT)  # that would be another, well-formed URL: its host is no secret
    url = shape.format(password)
    assert_silent(mask_url(url))
    settings = load({"SYNCER_DATABASE_URL": url}, cwd=Path("/nowhere"))
    assert_silent(repr(settings), describe(settings, {}))
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logs.TextFormatter())
    log = logging.Logger("syncer.test")  # noqa: LOG001 - of this example alone
    log.addHandler(handler)
    said = ""
    try:
        engine = db.open_engine(settings.database_url)
    except SettingsError as error:
        log.exception("it could not be opened")
        said = str(error)
    else:
        try:
            migrate.require_schema(engine)
        except SyncerError as error:
            log.exception("it could not be asked")
            said = str(error)
        assert_silent(db.location(engine))
        engine.dispose()
    assert_silent(said, out.getvalue())
    assert said
    assert "\n" not in said


@pytest.mark.parametrize("command", [["status"], ["sync"], ["config"], ["config", "--check"], ["db", "current"]])
@pytest.mark.parametrize(
    "url", ["postgresql://u:QzEr@WvTyXkUi@127.0.0.1:1/d", "postgresql://u:QzEr%40WvTy@127.0.0.1:1/d"]
)
def test_the_command_line_shows_none_either(tmp_path: Path, command: list[str], url: str) -> None:
    """A command that cannot use the database, or shows it, repeats nothing of a password; not even with -vv."""
    environ = clean_environment() | {"SYNCER_DATABASE_URL": url, "SYNCER_API_URL": "http://127.0.0.1:1"}
    environ["SYNCER_API_KEY"] = "ak_unused"
    arguments = [sys.executable, "-c", "from syncer.cli import main; main()", "-vv", *command]
    done = subprocess.run(arguments, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert_silent(done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    if command[0] != "config":
        assert done.returncode in {1, 2}
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:pa@ss@h/d", "more than one @.*%40"),
        ("postgresql://h/d?application_name=a@b", "an @ that ends no user"),
        ("postgresql://h/d?sslmod=require", "option 1 behind its . is not known: did you mean 'sslmode'"),
        ("postgresql://h/d?prepare_threshold=0", "option 1 behind its . is not known"),
        ("postgresql://h/d?pooler=session", "the only value of the option pooler is transaction"),
        ("postgresql://h/d?sslmode=a&sslmode=b", "gives the option sslmode twice"),
        ("postgresql://h/d%00", "control character"),
        ("sqlite://syncer.db", "three slashes, as in sqlite:///syncer.db"),
        ("sqlite:///", "names no SQLite file"),
        ("sqlite:///:memory:", "names no SQLite file"),
        ("sqlite:///x.db?timeout=long", "an option whose value cannot be used"),
        ("sqlite:///x.db?immutable=1", "option 1 behind its . is not known"),
        ("syncer.db", "not a database URL: try sqlite:///syncer.db"),
    ],
)
def test_mistakes_are_sentences(url: str, said: str) -> None:
    """What a driver would refuse in words of its own is refused up front, with what to write."""
    with pytest.raises(SettingsError, match=said):
        db.open_engine(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@h:5/d?sslmode=require&options=x", "postgresql://u:***@h:5/d?sslmode=require&***"),
        ("postgresql://u@/d?host=/tmp/x", "postgresql://u@/d?host=/tmp/x"),
        ("postgresql://[::1]:5/d", "postgresql://[::1]:5/d"),
        ("sqlite:////srv/a@b.db?mode=rw", "sqlite:////srv/a@b.db?mode=rw"),
        ("https://h/@org/models?key=1#x", "https://h/@org/models?***"),
        ("https://u:p@h/x", "https://u:***@h/x"),
    ],
)
def test_what_is_harmless_is_shown(url: str, shown: str) -> None:
    """Masking leaves what an operator needs to see which database it is."""
    assert mask_url(url) == shown


# -- what a server says ------------------------------------------------------------------------------------------------


def _as_role(url: str, role: str) -> str:
    return url.replace("postgres@", f"{role}@")


def _run(url: str, *statements: str) -> None:
    engine = db.open_engine(url)
    with db.writing(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def _refused(url: str) -> SyncerError:
    engine = db.open_engine(url)
    try:
        with pytest.raises(SyncerError) as caught:
            migrate.ensure_schema(engine)
        assert "\n" not in str(caught.value)
        return caught.value
    finally:
        engine.dispose()


def test_a_role_that_may_not_create(postgres_url: str) -> None:
    """PostgreSQL 15: a role that may not make tables in the schema public is told which right it lacks."""
    name = f"app_{os.urandom(4).hex()}"
    _run(postgres_url, f"CREATE ROLE {name} LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    error = _refused(_as_role(postgres_url, name))
    assert f"GRANT USAGE, CREATE ON SCHEMA public TO {name}" in str(error)
    assert "permission denied for schema public" in str(error)


def test_a_role_that_may_only_read(postgres_url: str) -> None:
    """A database that takes no writes (a standby, a read-only role) is out of order as in an outage; reading works."""
    name = f"reader_{os.urandom(4).hex()}"
    _run(postgres_url, f"CREATE ROLE {name} LOGIN SUPERUSER")
    _run(postgres_url, f"ALTER ROLE {name} SET default_transaction_read_only = on")
    error = _refused(_as_role(postgres_url, name))
    assert "name the primary, or wait until it may write" in str(error)
    assert error.exit_code == 1
    engine = db.open_engine(postgres_url)
    migrate.ensure_schema(engine)
    engine.dispose()
    with history.connect(_as_role(postgres_url, name)) as connection:
        assert connection.exec_driver_sql("SELECT last_id FROM feed").scalar() == 0
    name = f"guest_{os.urandom(4).hex()}"
    _run(postgres_url, f"CREATE ROLE {name} LOGIN")
    engine = db.open_engine(_as_role(postgres_url, name))
    with pytest.raises(SyncerError, match=f"permission denied.*GRANT ... TO {name}"), db.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE feed SET last_id = 1")
    engine.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_utf8(postgres_url: str, encoding: str) -> None:
    """A database that cannot hold every name is refused before anything is made in it."""
    import psycopg

    name = f"odd_{encoding.lower()}_{os.urandom(4).hex()}"
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode())
    error = _refused(postgres_url.replace(postgres_url.split("@/")[1].split("?", maxsplit=1)[0], name))
    assert f"has the encoding {encoding}, and syncer needs UTF8" in str(error)


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_the_style_of_dates_is_ours(postgres_url: str, style: str) -> None:
    """A DateStyle of the database, or of the role, changes nothing for a session of syncer."""
    name = postgres_url.split("@/")[1].split("?", maxsplit=1)[0]
    _run(postgres_url, f"ALTER DATABASE {name} SET datestyle = '{style}'")
    engine = db.open_engine(postgres_url)
    migrate.ensure_schema(engine)
    with db.reading(engine) as connection:
        assert (
            connection.exec_driver_sql("SELECT timestamptz '2026-11-25 12:00+00'").scalar_one().isoformat()[:4]
            == "2026"
        )
    engine.dispose()
    with history.connect(postgres_url) as connection:
        assert connection.exec_driver_sql("SELECT timestamptz '2026-11-25 12:00+00'").scalar_one().year == 2026
        connection.rollback()
        assert connection.exec_driver_sql("SELECT now()").scalar_one().tzinfo is not None


@pytest.mark.parametrize("statement", ["CREATE TABLE models (id int)", "CREATE VIEW catalog AS SELECT 1 AS x"])
def test_tables_of_another_program(sqlite_url: str, postgres_url: str, statement: str) -> None:
    """A name that another program has taken is told as that; its version table is no trouble."""
    for url in (sqlite_url, postgres_url):
        _run(url, "CREATE TABLE alembic_version (version_num text)", statement)
        assert "of another program" in str(_refused(url))
