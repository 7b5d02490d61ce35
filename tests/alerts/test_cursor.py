"""`syncer changes --cursor`: what is new since a name last looked, moved on only after it was written."""

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncer.alerts import consumers
from syncer.db.engine import open_engine, reading, writing
from syncer.errors import Fenced
from tests.cli.home import Home, Said
from tests.upstream import Reply, model


@pytest.fixture
def shop(home: Home) -> Home:
    """A shop whose first observation is done, and whose cursor `finance` has seen that."""
    home.day(model("A", 1), trust=False)
    first = home.syncer("changes", "--cursor", "finance", "--json")
    assert (first.code, first.out) == (0, "")
    assert "finance is a new cursor" in first.err
    return home


def poll(home: Home, *more: str) -> Said:
    """One observation of the cursor `finance`."""
    return home.syncer("changes", "--cursor", "finance", "--json", *more)


def position(home: Home) -> int:
    """Where the cursor stands."""
    ((found,),) = home.sql("SELECT position FROM consumers WHERE name = 'finance'")
    return int(found)


def ids(said: Said) -> list[int]:
    """The feed ids that were printed."""
    return [int(event["id"]) for event in said.json]


def test_a_cursor_shows_what_is_new_once(shop: Home) -> None:
    """Each observation shows what came since the last one, changes and notices alike; `--peek` does not move it."""
    shop.day(model("A", 2), trust=False)
    assert ids(poll(shop, "--peek")) == ids(poll(shop, "--peek")) == [2]
    assert ids(poll(shop)) == [2]
    assert poll(shop).out == ""
    shop.configure()
    shop.upstream.reply(Reply(status=404))
    assert shop.syncer("sync").code == 1
    assert [event["type"] for event in poll(shop).json] == ["syncer.source.failed"]


def test_peek_makes_no_cursor(home: Home) -> None:
    """A peek under a new name leaves no trace."""
    home.day(model("A", 1), trust=False)
    assert home.syncer("changes", "--cursor", "x", "--peek").code == 0
    assert home.sql("SELECT count(*) FROM consumers") == [(0,)]


def test_a_table_and_csv_move_it_too(shop: Home) -> None:
    """The other forms show the same and move the same."""
    shop.day(model("A", 2), trust=False)
    assert "repriced" in shop.syncer("changes", "--cursor", "finance").out
    shop.day(model("A", 3), trust=False)
    assert "repriced" in shop.syncer("changes", "--cursor", "finance", "--csv").out
    assert position(shop) == 3


def test_a_first_observation_at_another_source_is_no_news(shop: Home) -> None:
    """A baseline is passed over, as for consumers; --after still shows it."""
    shop.configure({"name": "other", "url": shop.upstream.url})
    shop.serve(model("A", 1), model("B", 2))
    assert shop.syncer("sync").code == 0
    assert poll(shop).out == ""
    assert position(shop) == 3


def test_it_stays_when_the_output_could_not_be_written(shop: Home) -> None:
    """With a full disk or a reader that went away before the end, the next observation shows everything again."""
    shop.day(model("A", 2), trust=False)
    looking = ("changes", "--cursor", "finance", "--json")
    with Path("/dev/full").open("w") as full, shop.started(*looking, options={"stdout": full}) as child:
        assert child.wait(60) == 1
    closed, pipe = os.pipe()
    os.close(closed)
    with shop.started(*looking, options={"stdout": pipe}) as child:
        os.close(pipe)
        assert child.wait(60) == 141
    assert position(shop) == 1
    assert ids(poll(shop)) == [2]


def test_killed_while_it_prints_it_stays(shop: Home) -> None:
    """Killed before all was written, an observation has moved nothing."""
    many = [model(f"m{number:04}", description="x" * 500) for number in range(500)]
    shop.day(model("A", 1), *many, trust=False)
    near, far = socket.socketpair()  # nobody reads: what is printed beyond its buffer waits
    with near, shop.started("changes", "--cursor", "finance", "--json", options={"stdout": far}) as child:
        far.close()
        assert near.recv(1, socket.MSG_PEEK)
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    assert position(shop) == 1
    assert len(ids(poll(shop))) == 500


def test_of_two_observations_at_once_one_moves_it(shop: Home) -> None:
    """Two at once may both show the same news; both moving it is impossible, and the loser says so."""
    shop.day(model("A", 2), trust=False)
    with shop.engine() as engine:

        def move(end: int) -> str:
            try:
                with writing(engine) as connection:
                    consumers.move_cursor(connection, "finance", 1, end, now=datetime.now(UTC))
            except Fenced as lost:
                return str(lost)
            return "moved"

        with ThreadPoolExecutor(2) as pool:
            said = sorted(pool.map(move, [2, 2]))
    assert said == ["moved", "the cursor finance was moved by somebody else meanwhile: ask again"]
    assert position(shop) == 2


def test_a_consumer_is_no_cursor(shop: Home) -> None:
    """A name of the configuration is refused, delivered to or not; it would lose what the other one reads."""
    shop.configure(top='[[alerts]]\nname = "team"\nfile = "out.jsonl"')
    for _ in range(2):
        refused = shop.syncer("changes", "--cursor", "team")
        assert (refused.code, refused.out) == (2, "")
        assert "team is an [[alerts]] consumer" in refused.err
        assert shop.syncer("alerts", "deliver").code == 0
    shop.configure()
    assert shop.syncer("changes", "--cursor", "team").code == 2


def test_a_position_beyond_the_feed_is_an_error(shop: Home) -> None:
    """A cursor that is ahead of its database says so and how to go on."""
    with shop.engine() as engine, writing(engine) as connection:
        consumers.reposition(connection, "finance", 99)
    said = poll(shop)
    assert (said.code, said.out) == (2, "")
    assert "finance is at feed id 99, but the feed ends at 1" in said.err
    assert shop.syncer("alerts", "skip", "--yes", "finance").code == 0
    assert poll(shop).code == 0


def test_a_reader_may_think(postgres_url: str) -> None:
    """Whoever reads the news through a pager is not cut off by the server; a writer that stops still is."""
    engine = open_engine(postgres_url)
    asked = "SHOW idle_in_transaction_session_timeout"
    with reading(engine, one_moment=True) as connection:
        assert connection.exec_driver_sql(asked).scalar() == "0"
    with writing(engine) as connection:
        assert connection.exec_driver_sql(asked).scalar() == "30s"
    engine.dispose()
