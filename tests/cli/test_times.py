"""times: a moment as a person writes it is one instant, or an error that shows the forms."""

import csv
import io
import re
import socket
from datetime import UTC, datetime
from importlib.resources import files

import pytest

from syncer.settings.moments import FORMS, parse_moment
from tests.cli.home import Home
from tests.upstream import model

PRESENT = datetime(2026, 11, 22, 17, 7, 35, 123456, UTC)

GOOD = {
    "now": "2026-11-22T17:07:35.123456",
    "today": "2026-11-22T00:00:00",
    "Yesterday": "2026-11-21T00:00:00",
    " 7d ": "2026-11-15T17:07:35.123456",
    "30s": "2026-11-22T17:07:05.123456",
    "2w": "2026-11-08T17:07:35.123456",
    "2026-11-22": "2026-11-22T00:00:00",
    "2026-11-22T17:00": "2026-11-22T17:00:00",
    "2026-11-22 17:00": "2026-11-22T17:00:00",
    "2026-11-22T17:00Z": "2026-11-22T17:00:00",
    "2026-11-22T17:00:00.000001+01:00": "2026-11-22T16:00:00.000001",
    "2026-11-22 Europe/Berlin": "2026-11-21T23:00:00",
    "2026-07-22 Europe/Berlin": "2026-07-21T22:00:00",
    "2026-11-22 17:00 Europe/Berlin": "2026-11-22T16:00:00",
    "2026-11-22T17:00 UTC": "2026-11-22T17:00:00",
    "2026-11-22T17:00 Etc/GMT+5": "2026-11-22T22:00:00",
    "2026-11-22T17:00 America/Argentina/Ushuaia": "2026-11-22T20:00:00",
    "2026-10-25 02:30 Europe/Berlin": "2026-10-25T00:30:00",  # that half hour comes twice: the first is meant
    "2026-03-29 01:59 Europe/Berlin": "2026-03-29T00:59:00",
    "2026-03-29 02:30 Europe/Berlin": "2026-03-29T01:30:00",  # that half hour does not exist: 03:30
    "2026-03-29 03:00 Europe/Berlin": "2026-03-29T01:00:00",
}

BAD = [
    "",
    "7",
    "7y",
    "-7d",
    "tomorrow",
    "last week",
    "2026-13-01",
    "2026-02-29",
    "22.11.2026",
    "2026-11-22T25:00",
    "2026-11-22T17:00+01:00 Europe/Berlin",
    "2026-11-22 Nowhere/Town",
    "2026-11-22 America",
    "2026-11-22 ../etc/passwd",
    "0001-01-01T00:00+14:00",
    "9999-12-31T23:59-10:00",
    "\x1b[31m2026-11-22",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_moment_is_one_instant_in_utc(text: str) -> None:
    """Dates are their first instant, durations go back from now, and zones know their summer time."""
    moment = parse_moment(text, PRESENT)
    assert moment.utcoffset() == PRESENT.utcoffset()
    assert moment.replace(tzinfo=None).isoformat() == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_nonsense_is_refused(text: str) -> None:
    """What is no moment raises ValueError and nothing else."""
    with pytest.raises(ValueError):
        parse_moment(text, PRESENT)


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-22 Nowhere/Town", "\x1b[31m"])
def test_the_error_shows_the_forms(home: Home, text: str) -> None:
    """On the command line nonsense is a usage error that names the option, shows the forms, and steers no terminal."""
    said = home.syncer("changes", "--since", text)
    assert said.code == 2
    assert "--since" in said.err
    assert FORMS in said.err
    assert "\x1b" not in said.err


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("run", "--grace"), "--grace"),
        (("check", "syncer.toml", "--max-age"), "--max-age"),
        (("prune", "--older-than"), "--older-than"),
    ],
)
@pytest.mark.parametrize("text", ["soon", "1.5h", "", "\x1b[31m"])
def test_what_is_no_duration_is_named(home: Home, words: tuple[str, ...], option: str, text: str) -> None:
    """On the command line it is a usage error that names the option and the value, and shows the forms."""
    said = home.syncer(*words, text)
    assert said.code == 2
    assert f"{option}': {text!a} is not a duration such as" in said.err


def test_a_wrong_grace_is_named_before_anything_is_opened(home: Home) -> None:
    """`syncer run` reads its options first: a wrong --grace is the error even where --listen could not be bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = home.syncer("run", "--listen", address, "--grace", "soon")
    assert (said.code, "--grace" in said.err, address in said.err) == (2, True, False), said.err


def test_a_time_that_is_printed_can_be_pasted_into_sql(any_home: Home) -> None:
    """A time of JSON, CSV or a table finds its row: in datetime() on SQLite, as it is on PostgreSQL."""
    home = any_home
    for number in (1, 2, 3):
        home.serve(model("a", number))
        home.observe(datetime(2026, 1, number, 23, 59, 59, 123456, UTC))
    at_two = ("--since", "2026-01-02", "--until", "2026-01-03")
    printed = {
        *(row["time"] for row in home.syncer("changes", "--json", *at_two).json),
        *(row["data"]["effective_at"] for row in home.syncer("changes", "--json", *at_two).json),
        *(row["observed_at"] for row in csv.DictReader(io.StringIO(home.syncer("changes", "--csv", *at_two).out))),
        *(row["effective_at"] for row in home.syncer("export", "changes", *at_two).json),
        *(row["effective_at"] for row in csv.DictReader(io.StringIO(exported(home, *at_two)))),
        " ".join(home.syncer("changes", *at_two).rows[0][1:3]),
    }
    assert len(printed) == 2, "with T and Z as programs write it, and as a person reads it"
    for text in printed:
        pasted = f"datetime('{text}')" if home.url.startswith("sqlite") else f"'{text}'"
        rows = home.sql(f"SELECT new FROM price_changes WHERE effective_at >= {pasted} ORDER BY effective_at")
        assert [float(new) for (new,) in rows] == [2, 3], text


def exported(home: Home, *arguments: str) -> str:
    """The changes as CSV."""
    return home.syncer("export", "changes", "--format", "csv", *arguments).out


def test_the_manual_opens_with_times_that_are_pasted() -> None:
    """The first query of the page on the data wraps a pasted time, before anybody is misled by one that is not."""
    page = (files("syncer") / "manual" / "data.md").read_text()
    first = page.split("```sql")[1].split("```")[0]
    assert re.search(r"effective_at >= datetime\('[0-9-]+T[0-9:]+Z'\)", first)
