"""`syncer source`, `prune`, `db copy` and `db renew-feed`: what a person sees of the upkeep, and the exit codes."""

from datetime import UTC, datetime, timedelta

import pytest

from syncer.db import engine as db
from syncer.db import migrate
from tests.cli.home import Home
from tests.postgres import Postgres
from tests.upstream import model

LARGE = model("acme/large", 10)


def hourly(home: Home, times: int, first: datetime) -> None:
    """So many observations of the same catalog, an hour apart."""
    home.serve(LARGE)
    for hour in range(times):
        home.observe(first + timedelta(hours=hour))


# -- prune -------------------------------------------------------------------------------------------------------------


def test_prune(any_home: Home) -> None:
    """`prune` says what it removed of each source, `--dry-run` what it would; history and laws are as before."""
    hourly(any_home, 10, datetime.now(UTC) - timedelta(days=100))
    hourly(any_home, 3, datetime.now(UTC) - timedelta(days=80))
    before = any_home.syncer("changes", "--json").out
    would = any_home.syncer("prune", "--dry-run")
    assert (would.code, would.out) == (0, "shop: would remove 9 runs and 0 rejected rows\n")
    assert any_home.syncer("prune", "--older-than", "150d", "--json").json == [
        {"source": "shop", "runs": 0, "rejected_rows": 0}
    ]
    assert any_home.sql("SELECT count(*) FROM runs") == [(13,)]
    assert any_home.syncer("prune").out == "shop: removed 9 runs and 0 rejected rows\n"
    assert any_home.sql("SELECT count(*) FROM runs") == [(4,)]
    assert any_home.syncer("prune", "--json").json == [{"source": "shop", "runs": 0, "rejected_rows": 0}]
    assert any_home.syncer("changes", "--json").out == before
    assert any_home.syncer("db", "verify").code == 0
    assert any_home.syncer("sync").code == 0


@pytest.mark.parametrize(("age", "says"), [("soon", "is not a duration such as"), ("23h", "'23h' is less than 1d")])
def test_prune_refuses_what_is_no_age(home: Home, age: str, says: str) -> None:
    """Only a duration of a day or more says how old; anything else is a usage error that says what fits."""
    said = home.syncer("prune", "--older-than", age)
    assert (said.code, says in said.err, "Traceback" in said.err) == (2, True, False), said.err


# -- a source ----------------------------------------------------------------------------------------------------------


def test_rename(any_home: Home) -> None:
    """`source rename` renames the past, and says where syncer.toml still has the old name."""
    any_home.day(LARGE)
    said = any_home.syncer("source", "rename", "shop", "store")
    assert (said.code, said.out) == (0, "shop is now called store\n")
    assert said.err == "syncer.toml still has a source shop: rename it there, before the next sync\n"
    (event,) = any_home.syncer("changes", "--json").json
    assert event["data"]["source"] == "store"
    any_home.configure({"name": "store", "url": any_home.upstream.url, "api_key_env": "SHOP_KEY"})
    assert any_home.syncer("sync").code == 0
    assert any_home.sql("SELECT name FROM sources") == [("store",)]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("rename", "shoop", "x"), 2, "there is no source 'shoop'; there are shop"),
        (("rename", "shop", "a b"), 2, "letters, digits"),
        (("rename", "shop", "shop2"), 75, "shop is being synced by other:1"),
        (("retire", "shoop"), 2, "there is no source 'shoop'"),
        (("retire", "shop"), 75, "shop is being synced by other:1"),
    ],
)
def test_what_is_refused(home: Home, words: tuple[str, ...], code: int, says: str) -> None:
    """A source that is not known or busy, and a name that none may have, end in one line and their exit code."""
    home.day(LARGE)
    home.take("shop")
    said = home.syncer("source", *words)
    assert (said.code, said.err.count("\n")) == (code, 1)
    assert says in said.err


def test_retire(any_home: Home) -> None:
    """A retired source is no longer late in `status`, which says so; the next sync brings it back."""
    any_home.day(LARGE)
    assert any_home.syncer("status", "--json").json[0]["late"] is True
    said = any_home.syncer("source", "retire", "shop")
    assert said.code == 0
    assert said.out.startswith("shop is retired since ")
    assert said.err == "syncer.toml still has a source shop: take it out, or the next sync brings it back\n"
    assert any_home.syncer("status", "--json").json[0]["late"] is False
    assert "shop: retired since " in any_home.syncer("status").out
    assert any_home.syncer("models", "--json").json[0]["model"] == "acme/large"
    assert any_home.syncer("sync").code == 0
    assert "retired" not in any_home.syncer("status").out


# -- the database ------------------------------------------------------------------------------------------------------


def test_copy(home: Home, postgres_url: str) -> None:
    """`db copy` makes an equal database of another kind, says so table by table, and refuses to do it twice."""
    home.day(LARGE)
    said = home.syncer("db", "copy", postgres_url)
    assert said.code == 0, said.err
    assert "changes: 1 rows, digest " in said.out
    assert "is now an equal copy of sqlite:///" in said.out
    again = home.syncer("db", "copy", postgres_url)
    assert (again.code, "is not empty" in again.err) == (2, True)
    before = home.syncer("changes", "--json").out
    home.url = postgres_url
    home.configure()
    assert home.syncer("changes", "--json").out == before
    assert home.syncer("db", "verify").code == home.syncer("db", "check").code == home.syncer("sync").code == 0


def test_copy_refuses_a_password(home: Home) -> None:
    """Law 11: a password on the command line would stand in the process list: it is refused, and not repeated."""
    whole = ("postgresql://u:hunter2@db.example/x", "postgresql://db.example/x?user=u&password=hunter2")
    misspelt = ("u:hunter2@db.example/x", "host=db.example user=u password=hunter2", "password = 'hunter2'")
    commands = [("db", "copy", url) for url in whole] + [("--database", url, "status") for url in whole + misspelt]
    for command in commands:
        said = home.syncer(*command)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "PGPASSWORD" in said.err
        assert "hunter2" not in said.out + said.err


def test_copy_of_nothing(home: Home, postgres: Postgres) -> None:
    """Where there is no database there is nothing to copy; neither side comes into being."""
    home.url = f"sqlite:///{home.path}/none.db"
    home.configure()
    target = postgres.create_database()
    said = home.syncer("db", "copy", target)
    assert (said.code, "there is no syncer database" in said.err) == (2, True)
    assert not (home.path / "none.db").exists()
    engine = db.open_engine(target)
    assert migrate.current(engine) is None
    engine.dispose()


def test_renew_feed(any_home: Home) -> None:
    """`db renew-feed` gives events another origin, and names a consumer that stands beyond the end of the feed."""
    any_home.day(LARGE)
    (before,) = any_home.syncer("changes", "--json").json
    assert any_home.syncer("changes", "--cursor", "finance").code == 0
    with any_home.engine() as engine, db.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE consumers SET position = 9")
    said = any_home.syncer("db", "renew-feed", "--yes")
    assert said.code == 0
    assert "its last id is 1" in said.out
    assert "finance: its position 9 is beyond the end" in said.out
    (after,) = any_home.syncer("changes", "--json").json
    assert (after["id"], after["source"] != before["source"]) == (before["id"], True)
    assert any_home.syncer("alerts", "skip", "--yes", "finance").code == 0
    assert "beyond" not in any_home.syncer("db", "renew-feed", "--yes").out
