"""`syncer prices`, `models --at`, `diff`, `movers`, `changes --follow`, `cost` and `check`: what was true when."""

import csv
import io
import json
import os
import re
import select
import shutil
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer import history as questions
from syncer.cli.questions import by_unit, sparkline
from tests.cli.home import Home, Said, on_a_terminal
from tests.upstream import Reply, Upstream, model

TEXT = {"price": {"Text": [1_000_000, "token"]}}
UNITS: dict[str, Any] = {"currency": "USD", "price_units": TEXT, "trust": False}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Home]:
    """Four days of one source, which every test of this module only reads."""
    folder = tmp_path_factory.mktemp("past")
    shutil.copy(migrated, folder / "syncer.db")
    large, small = model("acme/large", Decimal("0.1")), model("acme/small", 0, context_length=4096)
    with Upstream() as upstream:
        home = Home(folder, f"sqlite:///{folder / 'syncer.db'}", upstream)
        home.day(large, small, model("acme/dark", None), model("acme/varies", -1), model("b/twin", 1), **UNITS)
        home.day(large | {"price": Decimal("0.3")}, small, model("acme/dark", None), model("b/twin", 1), **UNITS)
        home.day(large | {"price": None}, model("c/twin", 2), model("acme/dark", None), **UNITS)
        home.day(
            large | {"price": Decimal("0.2"), "context_length": 8192},
            *(small | {"price": 3}, model("b/twin", 1), model("c/twin", 2), model("acme/dark", None)),
            **UNITS,
        )
        yield home


@pytest.fixture
def past(told: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """That history, with its directory as the current one."""
    monkeypatch.chdir(told.path)
    return told


# -- prices ------------------------------------------------------------------------------------------------------------


def test_stats(past: Home) -> None:
    """`syncer stats`: lowest, highest, mean over known days; for eyes a mean has as many digits as a price."""
    asked = ("stats", "acme/large", "--since", "2026-01-02", "--until", "2026-01-06")
    (row,) = past.syncer(*asked, "--json").json
    assert (row["min"], row["max"], row["priced_for"], row["repricings"]) == (0.2, 0.3, 3 * 86400, 3)
    assert '"mean":0.2333333333333333333333333333,' in past.syncer(*asked, "--json").out
    table = past.syncer(*asked).out
    assert "mean            0.233333333333333\n" in table
    assert "priced_for      3.0 days\n" in table


def test_price_periods(past: Home) -> None:
    """`syncer prices` lists each period with its window, currency and unit; the same in each form."""
    rows = past.syncer("prices", "acme/large", "--json").json
    assert [(row["price"], row["valid_from"], row["valid_to"]) for row in rows] == [
        (0.1, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        (0.3, "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"),
        (None, "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z"),
        (0.2, "2026-01-04T00:00:00Z", None),
    ]
    assert rows[1]["changed_after"] == "2026-01-01T00:00:00Z"
    assert (rows[0]["currency"], rows[0]["unit"]) == ("USD", [1_000_000, "token"])
    sheet = list(csv.DictReader(io.StringIO(past.syncer("prices", "acme/large", "--csv").out)))
    assert [row["price"] for row in sheet] == ["0.1", "0.3", "", "0.2"]
    assert sheet[0]["unit"] == "1000000 token"
    table = past.syncer("prices", "large")
    cells = [line.split("  ") for line in table.out.splitlines()]
    assert [[cell.strip() for cell in row if cell.strip()][2] for row in cells] == ["price", "0.1", "0.3", "-", "0.2"]
    assert "2026-01-02 00:00:00Z" in table.out


def test_a_sparkline_is_for_terminals(past: Home) -> None:
    """On a terminal the prices are drawn, one bar a period; in a pipe nothing is."""
    shown = on_a_terminal(past, "prices", "acme/large")
    assert "acme/large (UTC)" in shown
    assert shown.splitlines()[-1] == "▁█ ▅"
    assert "█" not in past.syncer("prices", "acme/large").out


@pytest.mark.parametrize(
    ("prices", "drawn"),
    [
        ([], ""),
        (["1", "1"], "▁▁"),
        ([None, None], "  "),
        (["0", "7", "1", "3.4"], "▁█▂▄"),
        (["-1", "1", "2"], " ▁█"),
        (["0.000000000000000001", "999999999999999"], "▁█"),
        (["1.1", "1.3", "1.7"], "▁▃█"),
    ],
)
def test_sparkline(prices: list[str | None], drawn: str) -> None:
    """The lowest price is the lowest bar and the highest the highest; unknown and negative ones are blank."""
    assert sparkline([None if price is None else Decimal(price) for price in prices]) == drawn


def test_a_quote(past: Home) -> None:
    """`prices --at` tells every field of a Quote, as lines of name and value for eyes, and as one row for programs."""
    arguments = ("prices", "acme/large", "--at", "2026-01-02 13:00 Europe/Berlin")
    said = past.syncer(*arguments)
    lines = dict(line.split(maxsplit=1) for line in said.out.splitlines()[1:])
    assert list(lines) == list(questions.Quote.__struct_fields__)
    assert (lines["price"], lines["at"], lines["unit"]) == ("0.3", "2026-01-02 12:00:00Z", "1000000 token")
    assert (said.code, said.err) == (0, "")
    (row,) = past.syncer(*arguments, "--json").json
    assert list(row) == list(questions.Quote.__struct_fields__)
    assert (row["listed"], row["price"], row["valid_to"]) == (True, 0.3, "2026-01-03T00:00:00Z")
    assert (row["changed_after"], row["certain_until"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")


def test_a_quote_of_what_is_not_there(past: Home) -> None:
    """Not listed, listed at an unknown price, and beyond what was seen are three things, and look like it."""
    (gone,) = past.syncer("prices", "acme/small", "--at", "2026-01-03", "--json").json
    (dark,) = past.syncer("prices", "acme/dark", "--at", "2026-01-03", "--json").json
    assert [(row["listed"], row["price"]) for row in (gone, dark)] == [(False, None), (True, None)]
    later = past.syncer("prices", "acme/large", "--at", "2026-01-09")
    assert later.code == 0
    assert later.err == "beyond what was seen: the last observation of shop was 2026-01-04 00:00:00Z\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prices", "acme/lage"), "did you mean 'acme/large'"),
        (("prices", "acme/lage", "--at", "2026-01-02"), "did you mean 'acme/large'"),
        (("prices", "twin"), "'b/twin' of source 'shop', 'c/twin' of source 'shop': give a full name"),
        (("prices", "acme/large", "--source", "shpo"), "it has: shop"),
        (("prices", "acme/large", "--at", "noon"), "'noon' is not a time: write 2026-11-22"),
        (("models", "--at", "2026-13-01"), "2026-13-01"),
        (("diff", "now", "2026-01-01"), "is later than 2026-01-01 00:00:00Z"),
        (("diff", "2026-01-01", "--source", "x"), "it has: shop"),
        (("movers", "--since", "2026-01-02", "--until", "2026-01-01"), "Time goes forward"),
        (("changes", "--follow", "--limit", "3"), "leave --limit and --until out"),
        (("changes", "--follow", "--until", "now"), "leave --limit and --until out"),
        (("changes", "--follow", "--csv"), "leave --csv out"),
    ],
)
def test_questions_that_cannot_be_answered(past: Home, arguments: tuple[str, ...], words: str) -> None:
    """They exit 2 and say what could be asked instead, the nearest names too; there is never a pick."""
    said = past.syncer(*arguments)
    assert (said.code, said.out) == (2, "")
    assert words in " ".join(said.err.split())


def test_an_alias_as_it_was(past: Home) -> None:
    """An alias means the model that bore it at the time asked about, when only one did."""
    (then,) = past.syncer("prices", "twin", "--at", "2026-01-02", "--json").json
    assert then["model"] == "b/twin"
    assert past.syncer("prices", "twin", "--at", "2026-01-04").code == 2


# -- the whole catalog -------------------------------------------------------------------------------------------------


def test_models_at(past: Home) -> None:
    """`models --at` is the catalog of that moment, from its first instant on; before it began there is none."""
    assert {row[1]: row[3] for row in past.syncer("models", "--at", "2026-01-03").rows} == {
        "acme/large": "-",
        "c/twin": "2",
        "acme/dark": "-",
    }
    before = {row["model"] for row in past.syncer("models", "--at", "2026-01-02T23:59:59.999999Z", "--json").json}
    assert before == {"acme/large", "acme/small", "acme/dark", "b/twin"}
    (row,) = past.syncer("models", "--at", "2026-01-03", "--source", "shop", "--json").json[1:2]
    assert sorted(row) == sorted(questions.ListedModel.__struct_fields__)
    early = "not observed then: shop was first observed at 2026-01-01T00:00:00Z\n"
    assert past.syncer("models", "--at", "2025-12-31", "--json") == (0, "", early)
    assert past.syncer("prices", "acme/large", "--at", "2025-12-31") == (0, early, "")
    assert past.syncer("diff", "2025-12-31", "2026-01-02", "--json") == (0, "", early)
    assert "Catalog at 2026-01-03 00:00:00Z" in on_a_terminal(past, "models", "--at", "2026-01-03")


def test_diff(past: Home) -> None:
    """`diff A B` is the net difference, B being now by default; there and back again is none."""
    rows = past.syncer("diff", "2026-01-01", "2026-01-04", "--json").json
    assert [(row["kind"], row["model"], row["old_price"], row["price"]) for row in rows] == [
        ("repriced", "acme/large", 0.1, 0.2),
        ("repriced", "acme/small", 0, 3),
        ("removed", "acme/varies", -1, None),
        ("added", "c/twin", None, 2),
    ]
    assert rows[0]["changed"] == {"context_length": [32768, 8192], "prices.price": [0.1, 0.2]}
    assert past.syncer("diff", "2026-01-01").out == past.syncer("diff", "2026-01-01", "2026-01-04").out
    assert past.syncer("diff", "2026-01-01", "2026-01-04").rows[0][-1] == "context_length"
    assert past.syncer("diff", "2026-01-04", "now", "--json") == (0, "", "")
    assert "From 2026-01-01 00:00:00Z to 2026-01-02 00:00:00Z" in on_a_terminal(
        past, "diff", "2026-01-01", "2026-01-02"
    )


def test_movers(past: Home) -> None:
    """`movers` lists the largest net moves in percent; from 0, unknown or a negative there is none."""
    window = ("--since", "2026-01-01", "--until", "2026-01-02")
    (row,) = past.syncer("movers", *window, "--json").json
    assert (row["model"], row["old"], row["new"], row["absolute"], row["percent"]) == ("acme/large", 0.1, 0.3, 0.2, 200)
    assert (row["currency"], row["unit"]) == ("USD", [1_000_000, "token"])
    early = "not observed then: shop was first observed at 2026-01-01T00:00:00Z\n"
    assert past.syncer("movers", "--until", "2026-01-02", "--json") == (0, "", early)
    assert past.syncer("movers", "--since", "2026-01-02", "--limit", "1").rows[0][1] == "acme/large"


# -- following the feed ------------------------------------------------------------------------------------------------


def next_line(child: Any, deadline: float = 30) -> dict[str, Any]:
    """The next JSON line that a process prints."""
    ends_at = time.monotonic() + deadline
    line = bytearray()
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([child.stdout], [], [], ends_at - time.monotonic())
        assert ready, "it never came"
        byte = os.read(child.stdout.fileno(), 1)
        assert byte, "it ended"
        line += byte
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_follow(any_home: Home, number: signal.Signals, code: int) -> None:
    """Law 8: `changes --follow` prints each change as it is committed, once, in order, until a signal ends it."""
    any_home.day(model("a", 1), model("b", 1), trust=False)
    with any_home.started("changes", "--follow", "--after", "1") as child:
        assert next_line(child)["id"] == "2"
        for price in (2, 3, 4):
            any_home.day(model("a", price), model("b", price), trust=False)
            assert [next_line(child)["data"]["price"] for _ in range(2)] == [price, price]
        any_home.upstream.reply(Reply(body=b"<html>"))
        any_home.day(model("a", 4), trust=False)
        event = next_line(child)
        assert (event["type"], event["subject"], event["data"]["kind"]) == ("syncer.model.removed", "b", "removed")
        child.send_signal(number)
        assert child.wait(30) == code
        assert child.stdout.read() == ""
        assert "Traceback" not in child.stderr.read()


def test_follow_with_filters(any_home: Home) -> None:
    """Filters hold for what comes later, too."""
    any_home.day(model("a", 1), model("b", 1), trust=False)
    filters = ("--since", "2026-01-02", "--kind", "repriced", "--model", "b")
    with any_home.started("changes", "--follow", *filters) as child:
        any_home.day(model("a", 2), model("b", 1), trust=False)
        any_home.day(model("a", 2), model("b", 2), trust=False)
        assert next_line(child)["data"]["price"] == 2
        any_home.day(model("a", 2), trust=False)
        any_home.day(model("a", 2), model("b", 5), trust=False)
        any_home.day(model("a", 2), model("b", 7), trust=False)
        assert next_line(child)["data"]["price"] == 7


def test_follow_begins_at_the_end(home: Home) -> None:
    """Without a start, what was there before is not repeated."""
    home.day(model("a", 1), trust=False)
    with home.started("changes", "--follow") as child:
        price = 1
        while not select.select([child.stdout], [], [], 0.1)[0]:  # it may still be starting
            price += 1
            home.day(model("a", price), trust=False)
        assert int(next_line(child)["id"]) > 1


def test_a_follower_that_nobody_reads_ends(home: Home) -> None:
    """`syncer changes --follow | head -1` ends when head does, though no further change ever comes."""
    home.day(model("a", 1))
    with home.started("changes", "--follow", "--after", "0") as child:
        assert next_line(child)["id"] == "1"
        child.stdout.close()
        assert child.wait(30) == 141
        assert child.stderr.read() == ""


# -- cost --------------------------------------------------------------------------------------------------------------


def bill(home: Home, text: str | bytes, *arguments: str) -> Said:
    """`syncer cost` of a CSV with this text."""
    file = home.path / "usage.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return home.syncer("cost", str(file), *arguments)


USAGE = """\
model,time,quantity,unit
acme/large,2026-01-01T12:00Z,1000000,token
acme/large,2026-01-02T00:00:00Z,1,token
acme/large,2026-01-02T00:30:00+01:00,3.5,token
acme/small,2026-01-01,5e6,token
"""


def test_cost(past: Home) -> None:
    """Law 4: each usage is priced with the price of its time, exactly; the table ends with the sum."""
    said = bill(past, USAGE)
    assert said.code == 0
    assert [row[6] for row in said.rows[:4]] == ["0.1", "0.0000003", "0.00000035", "0"]
    assert said.out.splitlines()[-1] == "shop: 0.10000065 USD for 4 rows"
    assert said.err == ""
    rows = bill(past, USAGE, "--json").json
    assert [row["amount"] for row in rows] == [0.1, 3e-07, 3.5e-07, 0]
    assert '"amount":0.00000035' in bill(past, USAGE, "--json").out
    assert (rows[0]["per"], rows[0]["price"], rows[0]["source"]) == ([1_000_000, "token"], 0.1, "shop")
    assert (rows[2]["priced_at"], rows[2]["extrapolated"], rows[2]["reason"]) == ("2026-01-01T23:30:00Z", False, None)


def test_cost_as_of(past: Home) -> None:
    """--as-of prices all of it with the list of that time; beyond the last observation it says so."""
    said = bill(past, USAGE, "--as-of", "2026-01-02", "--source", "shop")
    assert said.out.splitlines()[-1] == "shop: 0.30000135 USD for 4 rows"
    later = bill(past, USAGE, "--as-of", "2026-01-09")
    assert later.code == 0
    assert later.err == "4 rows priced beyond the last observation of the source\n"


UNPRICED = """\
model,time,quantity,unit,source
acme/large,2026-01-03,1,token,
acme/varies,2026-01-01,1,token,
acme/small,2026-01-03,1,token,shop
acme/large,2026-01-01,1,image,
acme/lrge,2026-01-01,1,token,
acme/large,2026-01-01,1,token,elsewhere
twin,2026-01-04,1,token,
twin,2026-01-02,1,token,
"""


def test_what_cannot_be_priced(past: Home) -> None:
    """It is never 0: it comes with the reason, on stderr it is counted, and the exit code is 1."""
    said = bill(past, UNPRICED, "--json")
    assert said.code == 1
    assert said.err == "7 of 8 rows could not be priced\n"
    assert [row["reason"] for row in said.json] == [
        "unknown price",
        "negative price",
        "not listed then",
        "priced in another unit",
        "unknown model",
        "unknown source",
        "ambiguous model",
        None,
    ]
    assert all(row["amount"] is None and row["detail"] for row in said.json[:-1])
    assert "did you mean 'acme/large'" in bill(past, UNPRICED).out


WRONG_USAGE: dict[str, tuple[str | bytes, str]] = {
    "no header": ("", "lacks the column model, time, quantity, unit"),
    "a column is missing": ("model,time,unit\n", "lacks the column quantity: it needs model, time, quantity, unit"),
    "a bad number": (USAGE + "acme/large,2026-01-01,many,token\n", "line 6: quantity 'many' is text that is not a"),
    "a number with a comma": (USAGE + "acme/large,2026-01-01,1,000,token\n", "line 6: it has more or fewer fields"),
    "a short line": (USAGE + "acme/large\n", "line 6: it has more or fewer fields"),
    "a bad time": (USAGE + "acme/large,2026-02-30,1,token\n", "line 6: time '2026-02-30' is not a valid time"),
    "a huge number": (USAGE + "acme/large,2026-01-01,1e999999999,token\n", "line 6: quantity '1e999999999' is out of"),
    "a huge zero": (USAGE + "acme/large,2026-01-01,0e999999999,token\n", "out of all range"),
    "a tiny number": (USAGE + "acme/large,2026-01-01,1e-999999999,token\n", "out of all range"),
    "a NUL": (USAGE + 'acme/large,2026-01-01,"1\0",token\n', "line"),
    "an open quote": (USAGE + '"acme/large,2026-01-01,1,token\n', "line 6: unexpected end of data"),
    "no UTF-8": (USAGE.encode() + b"\xff\n", "is not UTF-8 text"),
}


@pytest.mark.parametrize("name", WRONG_USAGE)
def test_usage_that_cannot_be_read(past: Home, name: str) -> None:
    """A file that is no usage exits 2 and names the line, or the columns that are missing."""
    text, words = WRONG_USAGE[name]
    said = bill(past, text)
    assert (said.code, said.out) == (2, "")
    assert words in said.err


def test_usage_of_a_spreadsheet(past: Home) -> None:
    """A byte order mark, CRLF, other columns and another order are no hindrance."""
    text = "\ufeffnote,unit,quantity,time,model\r\nx,token,2,2026-01-01,large\r\n"
    said = bill(past, text, "--csv")
    (row,) = csv.DictReader(io.StringIO(said.out))
    assert (said.code, row["amount"]) == (0, "0.0000002")


def test_cost_streams(past: Home) -> None:
    """Rows are priced as they are read: what is before a bad line is out when the line is found."""
    said = bill(past, USAGE + "acme/large,never,1,token\n", "--json")
    assert said.code == 2
    assert len(said.json) == 4


# -- check -------------------------------------------------------------------------------------------------------------


def check(home: Home, text: str | bytes, *arguments: str) -> Said:
    """`syncer check` of a file with this text; no age is too old."""
    file = home.path / "models.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return home.syncer("check", str(file), *(arguments or ("--max-age", "90w")))


def test_all_is_well(past: Home) -> None:
    """Models that are there, by name or alias, at their price and context, exit 0."""
    text = (
        "\ufeff# for CI\n\nacme/large  max_price=0.2 min_context=8192\r\nsmall min_context=4096\n  b/twin\nacme/dark\n"
    )
    assert check(past, text) == (0, "all 4 models are as wanted\n", "")
    assert check(past, text, "--json", "--max-age", "90w") == (0, "", "")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("acme/varies", "is not offered"),
        ("acme/never", "is not offered"),
        ("acme/large max_price=0.19999999999999", "price is 0.2, more than 0.19999999999999"),
        ("acme/dark max_price=1000", "price is unknown"),
        ("acme/large min_context=8193", "context length is 8192, less than 8193"),
        ("small max_price=2 min_context=5000", "price is 3, more than 2; context length is 4096, less than 5000"),
    ],
)
def test_a_problem(past: Home, line: str, problem: str) -> None:
    """A model that is gone, too dear, of an unknown price or too small is a row of the table; exit code 1."""
    said = check(past, f"b/twin\n{line}\n")
    assert said.code == 1
    assert [re.split(r"\s{2,}", row) for row in said.out.splitlines()[1:]] == [[line.split(maxsplit=1)[0], problem]]
    again = check(past, f"b/twin\n{line}\n", "--json", "--max-age", "90w")
    assert (again.code, again.json) == (1, [{"model": line.split(maxsplit=1)[0], "problem": problem}])


def test_prices_stand_side_by_side(home: Home) -> None:
    """Input and output are the first columns, in this order, and the unit is said once for all that share it."""
    home.configure(format="openrouter", trust=False)
    prices = '{"prompt":"0.000002","image":"0.01","input_cache_read":"0.0000001","completion":"0.000009"}'
    home.upstream.reply(Reply(body=f'{{"data":[{{"id":"a","pricing":{prices}}}]}}'.encode()))
    assert home.syncer("sync").code == 0
    said = home.syncer("prices", "a").out
    assert said.split()[2:6] == ["input", "output", "cache_read", "image"]
    with questions.connect(home.url) as connection:
        units = by_unit(questions.price_periods(connection, "a"))
    assert {unit: list(names) for unit, names in units.items()} == {
        "USD per 1M tokens": ["input", "cache_read", "output"],
        "USD per image": ["image"],
    }


def test_a_limit_of_one_price_names_it(home: Home) -> None:
    """Of a model with several prices the one that is too dear is said, also where it is the headline."""
    home.configure(format="openrouter", trust=False)
    home.upstream.reply(Reply(body=b'{"data":[{"id":"a","pricing":{"prompt":"0.000002","completion":"0.000009"}}]}'))
    assert home.syncer("sync").code == 0
    said = check(home, "a max_input=1 max_output=8 max_price=1\n", "--json")
    assert [row["problem"] for row in said.json] == [
        "input price is 2, more than 1; output price is 9, more than 8; price is 2, more than 1"
    ]


WRONG_WISHES: dict[str | bytes, str] = {
    "": "names no model",
    "# nothing\n": "names no model",
    "a\nb max_price=cheap": "line 2: max_price=cheap is text that is not a JSON number",
    "a min_context=8k": "line 1: min_context=8k is not a whole number",
    "a maxprice=1": "line 1: maxprice is not a limit: try max_input, max_output, max_price, min_context",
    "a max_price=1 max_price=2": "line 1: max_price is given twice",
    "max_price=1": "line 1: there is no model name",
    "twin": "'twin' may mean 'b/twin' of source 'shop', 'c/twin' of source 'shop'",
    b"\xff": "is not UTF-8 text",
}


@pytest.mark.parametrize("text", WRONG_WISHES)
def test_a_file_that_cannot_be_checked(past: Home, text: str | bytes) -> None:
    """A file that says nothing, or something that is not understood, is no success: exit 2, with the line."""
    said = check(past, text)
    assert (said.code, said.out) == (2, "")
    assert WRONG_WISHES[text] in said.err


def test_stale_data(past: Home) -> None:
    """Data older than --max-age is a warning on stderr, naming the source; the exit code stays."""
    said = check(past, "acme/large", "--max-age", "1d")
    assert said == (
        0,
        "the model is as wanted\n",
        "warning: the data is stale: the last observation of shop was 2026-01-04 00:00Z\n",
    )
    assert check(past, "acme/large", "--max-age", "soon").code == 2
    assert check(past, "acme/large", "--source", "x").code == 2


def test_a_price_that_is_no_amount(home: Home) -> None:
    """A negative price, by which some catalogs mean "varies", is below no limit."""
    home.day(model("a", -1))
    said = check(home, "a max_price=1")
    assert said.code == 1
    assert "price is -1, which is not an amount" in said.out


def test_a_price_that_cannot_be_read_is_below_no_limit(home: Home) -> None:
    """Nobody knows what the model costs now; one that is asked for nothing but being there is as wanted."""
    home.day(model("a", 1))
    home.day(model("a", {"input": 5}))
    said = check(home, "a max_price=2")
    assert (said.code, "price cannot be read since 2026-01-02 00:00Z" in said.out) == (1, True)
    assert check(home, "a").code == 0


def test_offers_of_a_time_before_any_observation(past: Home) -> None:
    """That nobody offered it is said only of a time that was observed (law 6)."""
    early, late = (past.syncer("offers", "acme/varies", "--at", at) for at in ("2025-12-01", "2026-01-04"))
    assert "no offer of acme/varies is known of then" in early.out + early.err
    assert "nobody offered acme/varies then" in late.out + late.err


def test_what_is_not_believed_is_a_warning(home: Home) -> None:
    """A model that one observation did not show, or whose new price is withheld, fails no build; it is said."""
    home.day(model("a", 1), model("b", 1))
    home.day(model("b", 1000))
    said = check(home, "a\nb max_price=1\n")
    assert (said.code, said.out) == (0, "all 2 models are as wanted\n")
    assert said.err.splitlines() == [
        "warning: a was not shown since 2026-01-02 00:00Z, but is not believed gone yet",
        "warning: b: news of it is withheld (syncer held)",
    ]


# -- what the README and the manual show -------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DATA = (ROOT / "syncer" / "manual" / "data.md").read_text("utf-8")


def test_the_example_of_the_readme(past: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python of the README runs as it stands."""
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    periods = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in periods] == ["0.1", "0.3", "None", "0.2"]


@pytest.mark.parametrize("at", ["2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"])
def test_catalog_asof(past: Home, at: str) -> None:
    """The manual's query of the catalog at any moment answers as `models --at`, at the very boundaries."""
    (query,) = [code for code in re.findall(r"```sql\n(.*?)```", DATA, re.DOTALL) if "n.effective_at <=" in code]
    rows = past.sql(query.replace("2026-02-15", at))
    expected = past.syncer("models", "--at", at, "--json").json
    assert [row[:3] for row in rows] == [(row["model"], row["price"], row["context_length"]) for row in expected]
