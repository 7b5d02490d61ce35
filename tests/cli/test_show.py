"""`syncer status`, `models`, `changes` and `config`: what is known, for eyes, programs and spreadsheets."""

import csv
import io
import os
import pty
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import pytest

from syncer import cli
from tests.cli.home import KEY, Home
from tests.upstream import Reply, Upstream, model

HOSTILE = {
    "an escape sequence": "evil/\u009b31mred",
    "a formula": '=HYPERLINK("http://evil.example","click")',
    "a formula after a separator": "evil;=1+1",
    "a turned text": "evil/\u202egpj.exe",
    "a hidden text": "evil/\u200bzero\U000e0041",
    "markup": "[red]evil[/red] :smile:",
    "HTML": "<script>alert(1)</script>",
    "SQL": "'; DROP TABLE models; --",
}
TERMINAL = {"COLUMNS": "200", "TERM": "xterm-256color"}
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0041]")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Home]:
    """Three days of one source, which every test of this module only reads."""
    import shutil

    folder = tmp_path_factory.mktemp("history")
    shutil.copy(migrated, folder / "syncer.db")
    with Upstream() as upstream:
        home = Home(folder, f"sqlite:///{folder / 'syncer.db'}", upstream)
        home.day(model("acme/a", Decimal("0.10")), model("acme/b", None), model("acme/c", 0), currency="USD")
        home.day(model("acme/a", Decimal("0.30")), model("acme/b", 2), model("acme/c", 0), trust=False)
        home.day(model("acme/b", 2, context_length=5), model("acme/c", 0), model("acme/d", 7), trust=False)
        yield home


@pytest.fixture
def known(history: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The history, with its directory as the current one."""
    monkeypatch.chdir(history.path)
    return history


def ids(home: Home, *arguments: str) -> list[int]:
    """The feed ids that `syncer changes` lists."""
    return [int(event["id"]) for event in home.syncer("changes", "--json", *arguments).json]


# -- filters and forms -------------------------------------------------------------------------------------------------

FILTERS: dict[str, tuple[tuple[str, ...], list[int]]] = {
    "all": ((), [1, 2, 3, 4, 5, 6, 7, 8]),
    "since is inclusive": (("--since", "2026-01-02"), [4, 5, 6, 7, 8]),
    "until is exclusive": (("--until", "2026-01-02"), [1, 2, 3]),
    "a window in a zone": (("--since", "2026-01-02 01:00 Europe/Berlin", "--until", "2026-01-03T01:00+01:00"), [4, 5]),
    "nothing that lately": (("--since", "1h"), []),
    "one kind": (("--kind", "removed"), [8]),
    "two kinds": (("--kind", "added", "--kind", "updated"), [1, 2, 3, 6, 7]),
    "one model": (("--model", "acme/a"), [1, 4, 8]),
    "by its alias": (("--model", "a"), [1, 4, 8]),
    "one source": (("--source", "shop", "--limit", "2"), [1, 2]),
    "after an id": (("--after", "6"), [7, 8]),
    "after the last": (("--after", "8"), []),
    "all together": (("--model", "acme/b", "--kind", "repriced", "--after", "1", "--limit", "9"), [5]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_changes(known: Home, name: str) -> None:
    """Each filter of `syncer changes`, and their combination, gives exactly its changes, in feed order."""
    arguments, expected = FILTERS[name]
    found = ids(known, *arguments)
    assert found == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "acme/x"), "did you mean"),
        (("--source", "shpo"), "it has: shop"),
        (("--after", "99"), "the feed ends at 8"),
        (("--kind", "moved"), "'added', 'removed'"),
        (("--limit", "0"), "x>=1"),
        (("--json", "--csv"), "exclude each other"),
    ],
)
def test_wrong_filters_of_changes(known: Home, arguments: tuple[str, ...], words: str) -> None:
    """A filter that cannot be exits 2 and says what could."""
    said = known.syncer("changes", *arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.err


def test_each_form_says_the_same(known: Home) -> None:
    """Table, JSON and CSV of the catalog hold the same models and prices; unknown is -, null and empty."""
    table = {row[1]: row[3] for row in known.syncer("models").rows}
    rows = {row["model"]: row for row in known.syncer("models", "--json").json}
    sheet = {row["model"]: row for row in csv.DictReader(io.StringIO(known.syncer("models", "--csv").out))}
    assert table == {"acme/b": "2", "acme/c": "0", "acme/d": "7"}
    assert {name: row["price"] for name, row in rows.items()} == {"acme/b": 2, "acme/c": 0, "acme/d": 7}
    assert {name: row["price"] for name, row in sheet.items()} == table
    assert list(rows["acme/b"]) == list(sheet["acme/b"])
    assert rows["acme/b"]["held"] is False
    assert rows["acme/b"]["first_seen_at"] == "2026-01-01T00:00:00Z"


def test_changes_as_a_sheet(known: Home) -> None:
    """`syncer changes --csv` has one row a change, exact numbers, and empty cells for what is unknown."""
    rows = list(csv.DictReader(io.StringIO(known.syncer("changes", "--csv", "--until", "2026-01-03").out)))
    assert [(row["kind"], row["model"], row["old_price"], row["price"], row["percent"]) for row in rows] == [
        ("added", "acme/a", "", "0.1", ""),
        ("added", "acme/b", "", "", ""),
        ("added", "acme/c", "", "0", ""),
        ("repriced", "acme/a", "0.1", "0.3", "200"),
        ("repriced", "acme/b", "", "2", ""),
    ]


def test_status(known: Home) -> None:
    """`syncer status` has a row a source in each form; this one had no observation for a long time."""
    (row,) = known.syncer("status", "--json").json
    assert row["source"] == "shop"
    assert row["last_observed_at"] == "2026-01-03T00:00:00Z"
    assert (row["outcome"], row["listed"], row["missing"], row["held"], row["flapping"]) == ("changed", 3, 0, 0, 0)
    assert (row["late"], row["error"]) == (True, None)
    assert [sheet["listed"] for sheet in csv.DictReader(io.StringIO(known.syncer("status", "--csv").out))] == ["3"]
    said = known.syncer("status").out.splitlines()
    assert said[0].startswith("shop is late: it was last observed ")
    assert said[-1].startswith("shop ")


def test_status_says_what_is_wrong(home: Home) -> None:
    """What is wrong with a source stands before the table, its last error in a column of JSON and CSV."""
    home.upstream.reply(Reply(status=404))
    error = home.syncer("sync", "--json").json[0]["error"]
    assert home.syncer("status").out.splitlines()[1] == f"shop failed: {error}"
    assert home.syncer("status", "--json").json[0]["error"] == error
    assert error in home.syncer("status", "--csv").out


def test_status_counts_what_is_missing_held_and_flapping(home: Home) -> None:
    """`missing`, `held` and `flapping` of `syncer status` count what they say."""
    rows = [model(f"acme/m{number}", number) for number in range(1, 9)]
    home.day(*rows)
    home.day(*({**row, "price": row["price"] * 1000} for row in rows[1:]))
    (row,) = home.syncer("status", "--json").json
    assert (row["outcome"], row["listed"], row["missing"], row["held"], row["flapping"]) == ("held", 8, 1, 1, 0)
    for price in (5, 6, 5, 6, 5, 6):
        home.serve(model("acme/m1", price), *rows[1:])
        home.configure(trust=False)
        home.syncer("sync")
    assert home.syncer("status", "--json").json[0]["flapping"] == 1


def test_an_empty_database(home: Home) -> None:
    """Before the first sync each question has an empty answer: a heading, no line of JSON, exit code 0."""
    for command in ("status", "models", "changes", "held"):
        assert home.syncer(command, "--json") == (0, "", "")
        assert len(home.syncer(command, "--csv").out.splitlines()) == 1
        assert len(home.syncer(command).out.splitlines()) == 1


@pytest.mark.parametrize("command", ["status", "models", "changes", "held"])
def test_a_missing_database(home: Home, command: str) -> None:
    """Without a database each question exits 2, says what creates it, and creates nothing."""
    home.url = f"sqlite:///{home.path / 'none.db'}"
    home.configure()
    said = home.syncer(command)
    assert (said.code, said.out) == (2, "")
    assert f"there is no syncer database at {home.url} yet: run `syncer sync`" in said.err
    assert not (home.path / "none.db").exists()


# -- hostile names -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(home: Home) -> Home:
    """A provider whose names and aliases want to be executed, seen twice."""
    rows = [model(name, 1 + place, model_alias=name) for place, name in enumerate(HOSTILE.values())]
    refused = model("evil/\x1b[2J", 1)
    home.day(*rows, refused)
    home.day(*(row | {"price": 50} for row in rows), refused)
    return home


def test_hostile_names_are_harmless_in_each_output(hostile: Home) -> None:
    """Law 12: no table, JSON or CSV of any command lets a name steer a terminal or become a formula."""
    questions = [("models",), ("changes",), ("status",), ("held", "--models")]
    commands = [(*command, *form) for command in questions for form in ((), ("--json",), ("--csv",))]
    commands += [("sync", "--dry-run"), ("sync", "--json"), ("sync",)]
    hostile.serve(*(model(name, 70) for name in HOSTILE.values()))
    for command in commands:
        said = hostile.syncer(*command)
        assert said.code in {0, 3}
        assert STEERS.search((said.out + said.err).replace("\r\n", "\n")) is None
    for line in csv.reader(io.StringIO(hostile.syncer("changes", "--csv").out)):
        assert not [cell for cell in line if cell[:1] in {"=", "+", "-", "@", "\t", "\r"} and not number(cell)]


def number(cell: str) -> bool:
    """A negative number is no formula."""
    return re.fullmatch(r"-?\d+(\.\d+)?", cell) is not None


def test_hostile_names_survive_in_json(hostile: Home) -> None:
    """JSON loses nothing of them: a program reads the very names that upstream sent, and can ask for each."""
    assert {row["model"] for row in hostile.syncer("models", "--json").json} <= set(HOSTILE.values())
    listed = {row[0] for row in hostile.sql("SELECT name FROM models")}
    assert {row["model"] for row in hostile.syncer("models", "--json").json} == listed
    for name in listed:
        assert ids(hostile, "--model", name)


def test_a_terminal_is_not_steered(hostile: Home) -> None:
    """In a real terminal rich draws the table, and only rich's own sequences reach it."""
    main, terminal = pty.openpty()
    with hostile.started("models", options={"stdout": terminal}, environ=TERMINAL) as child:
        os.close(terminal)
        shown = b"".join(iter(lambda: _read(main), b"")).decode()
        assert child.wait(60) == 0
    os.close(main)
    assert "Current catalog" in shown
    assert "[red]evil[/red] :smile:" in shown
    assert "<script>" in shown
    assert STEERS.search(re.sub(r"\x1b\[[0-9;]*m|\r", "", shown)) is None


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end is closed
        return b""


# -- config ------------------------------------------------------------------------------------------------------------


def test_config_masks_secrets(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 11: `syncer config` shows what is in force, and neither key nor database password."""
    home.url = "postgresql://me:hunter2@db.example/catalogs"
    home.configure()
    for form in ((), ("--json",)):
        said = home.syncer("config", *form)
        assert said.code == 0
        assert "hunter2" not in said.out
        assert KEY not in said.out
        assert "postgresql://me:***@db.example/catalogs" in said.out
    (described,) = home.syncer("config", "--json").json
    assert described["sources"][0]["api_key_set"] is True
    monkeypatch.delenv("SHOP_KEY")
    assert home.syncer("config", "--json").json[0]["sources"][0]["api_key_set"] is False


def test_config_finds_another_file(home: Home) -> None:
    """--config names another file with several sources; one that is not there exits 2."""
    other = home.path / "deep" / "other.toml"
    other.parent.mkdir()
    other.write_text(
        '[[sources]]\nname = "a"\nurl = "http://a.example"\n[[sources]]\nname = "b"\nurl = "http://b.example"'
    )
    (described,) = home.syncer("--config", str(other), "config", "--json").json
    assert [source["name"] for source in described["sources"]] == ["a", "b"]
    assert described["config"] == str(other)
    missing = home.syncer("--config", "no.toml", "config")
    assert missing.code == 2
    assert "no.toml" in missing.err


def test_config_can_be_pasted_back(home: Home) -> None:
    """What `syncer config` prints is a syncer.toml that configures the same."""
    home.configure(interval="6h", patience="never", removal_limit_percent=2.5)
    first = home.syncer("config")
    (home.path / "syncer.toml").write_text(first.out)
    assert home.syncer("config") == first


def test_config_check_lists_each_mistake(home: Home) -> None:
    """`config --check` prints all mistakes with file and line and exits 2; without any it says so and exits 0."""
    good = home.syncer("config", "--check")
    assert (good.code, good.out) == (0, "nothing is wrong with 1 source and 0 alerts\n")
    home.configure(interval="soon", patience=3)
    bad = home.syncer("config", "--check")
    assert bad.code == 2
    assert [line.split(" cannot be used")[0].split("syncer.toml:")[1] for line in bad.out.splitlines()] == [
        "7: sources[0] (name 'shop'): interval = 'soon'",
        "8: sources[0] (name 'shop'): patience = 3",
    ]
    assert [line["mistake"] for line in home.syncer("config", "--check", "--json").json] == bad.out.splitlines()


def test_a_database_of_the_command_line(home: Home) -> None:
    """`--database` takes the path of a SQLite file, whatever is configured; a password in its URL is refused."""
    home.serve(model("acme/a", 1))
    assert home.syncer("--database", "other.db", "sync").code == 0
    assert (home.path / "other.db").exists()
    refused = home.syncer("--database", f"postgresql://me:{KEY}@h/d", "status")
    assert refused.code == 2
    assert KEY not in refused.err
    assert "PGPASSWORD" in refused.err


@pytest.mark.parametrize(
    ("line", "hint"), [("databse_url = 'x'", "database_url"), ("[[sources]]\nname = 'a'\nintervall = '1h'", "interval")]
)
def test_unknown_settings_are_refused(home: Home, line: str, hint: str) -> None:
    """A setting that nobody knows exits 2 in every command, with the nearest right name."""
    (home.path / "syncer.toml").write_text(line)
    for command in ("config", "sync", "status"):
        said = home.syncer(command)
        assert said.code == 2
        assert f"Did you mean '{hint}'?" in said.err


def test_the_environment_alone_configures_one_source(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """SYNCER_* variables are enough for a first sync."""
    (home.path / "syncer.toml").unlink()
    assert "SYNCER_API_URL" in home.syncer("sync").err
    home.serve(model("acme/a", 1))
    monkeypatch.setenv("SYNCER_API_URL", home.upstream.url)
    monkeypatch.setenv("SYNCER_API_KEY", KEY)
    monkeypatch.setenv("SYNCER_DATABASE_URL", home.url)
    assert home.syncer("sync").out.startswith("default: changed: 1 added")
    assert home.upstream.requests[0].headers["authorization"] == f"Bearer {KEY}"


# -- db ----------------------------------------------------------------------------------------------------------------


def test_db_commands(any_home: Home) -> None:
    """`db current`, `db check` and `db upgrade` say what the schema is and leave a good one alone."""
    home = any_home
    for command, words in {"current": "this syncer works with", "check": "as it should be", "upgrade": " -> "}.items():
        said = home.syncer("db", command)
        assert (said.code, said.err) == (0, "")
        assert words in said.out
    with home.engine() as engine, engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW availability")
    said = home.syncer("db", "check")
    assert said.code == 2
    assert "availability" in said.out


# -- help --------------------------------------------------------------------------------------------------------------


def commands(group: click.Group = cli.cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command there is, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_help_teaches(home: Home, words: tuple[str, ...]) -> None:
    """Each command says what it does, in a sentence that the list does not cut, and explains each of its options."""
    command = dict(commands())[words]
    said = home.syncer(*words, "--help")
    assert said.code == 0
    sentence = command.get_short_help_str(500)
    assert len(sentence.split()) > 2
    assert " ".join(sentence.split()) in " ".join(home.syncer(*words[:-1], "--help").out.split())
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_without_arguments_help_is_shown(home: Home) -> None:
    """`syncer` alone shows what it can do, as click does: on stderr, exit code 2; --help is the same with 0."""
    bare, asked = home.syncer(), home.syncer("--help")
    assert (bare.code, asked.code) == (2, 0)
    assert bare.err.strip() == asked.out.strip()
    assert "syncer demo" in asked.out
    assert home.syncer("-h") == asked
