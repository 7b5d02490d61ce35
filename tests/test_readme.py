"""The README is true: whatever it names exists, whatever exists is named, and what it shows works as it is shown."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import pytest
import sqlalchemy as sa

from syncer import cli, errors
from syncer.alerts.delivery import Subscription, deliver
from syncer.alerts.rules import Rule
from syncer.core import parse
from syncer.core.decide import Policy
from syncer.db import engine as db
from syncer.db.schema import metadata
from syncer.db.views import VIEWS
from syncer.errors import DatabaseError, SourceBusy, UpstreamError, UsageError
from syncer.settings import AlertSettings, Settings, SourceSettings, format_duration, parse_duration
from tests.story import Story, instant
from tests.upstream import Reply, Upstream, model

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
WORDS = " ".join(README.split())
CODE = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
QUERIES = [text for language, text in CODE if language == "sql"]
ENVIRONMENT = {"SYNCER_API_URL", "SYNCER_API_KEY", "SYNCER_DATABASE_URL", "SYNCER_TRUST"}


def section(title: str) -> str:
    """The text under a heading, up to the next one of its level."""
    found = re.search(rf"^(#+) {title}\n(.*?)(?=^\1 |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[2]


def commands(group: click.Group = cli.cli, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


def options(command: click.Command) -> set[str]:
    """The options of a command, short ones too."""
    return {word for option in command.params if isinstance(option, click.Option) for word in option.opts}


def documented() -> dict[str, set[str]]:
    """The table of commands: the words of each -> its options."""
    rows = re.findall(r"^\| `syncer ([^`]+)` \|(.*?)\|.*\|$", section("Commands"), re.MULTILINE)
    return {re.sub(r" [A-Z[].*", "", words): set(re.findall(r"`(-[^`]+)`", cell)) for words, cell in rows}


# -- commands and options ----------------------------------------------------------------------------------------------


def test_each_command_and_option_is_in_the_table_and_exists() -> None:
    """The table of commands is exactly the commands and options there are."""
    assert documented() == {words: options(command) for words, command in commands()}


def test_each_global_option_is_named() -> None:
    """So are the options before the command."""
    (line,) = re.findall(r"Global options: (.*?)\n\n", section("Commands"), re.DOTALL)
    named = {word.split()[0] for word in re.findall(r"`(-[^`]+)`", line)}
    assert named == options(cli.cli) | {"-h", "--help"}


def test_each_option_mentioned_anywhere_exists() -> None:
    """No sentence or example of the README speaks of an option that syncer has not."""
    known = {option for _, command in commands() for option in options(command)} | options(cli.cli) | {"--help"}
    examples = "\n".join(line for _, text in CODE for line in text.splitlines() if "syncer " in line)
    inline = "\n".join(text for text in re.findall(r"`[^`\n]+`", README) if "tests.benchmarks" not in text)
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", examples + inline))
    assert mentioned <= known


def test_each_command_mentioned_anywhere_exists() -> None:
    """No example of the README calls a command that syncer has not."""
    groups = "(?:db |alerts |schema |source |monitoring )?"
    calls = re.findall(rf"(?:^|&& |`|  )syncer ({groups}[a-z-]+)", README, re.MULTILINE)
    assert calls
    assert set(calls) <= {words for words, _ in commands()}


def test_the_exit_codes_are_those_of_the_code() -> None:
    """Each exit code stands in the README with its meaning, in the order of the worst first."""
    (sentence,) = re.findall(r"Exit codes, the worst of all sources: (.*?) done\.", WORDS)
    assert [int(code) for code in re.findall(r"\*\*(\d+)\*\*", sentence)] == list(errors.WORST_FIRST)
    assert (UpstreamError.exit_code, DatabaseError.exit_code) == (errors.FAILED, errors.FAILED)
    assert UsageError.exit_code == errors.USAGE
    assert SourceBusy.exit_code == errors.BUSY
    help_text = " ".join(str(cli.cli.help).split())
    assert all(f"{code} " in help_text for code in errors.WORST_FIRST)


def test_the_first_commands_are_those_of_ci() -> None:
    """CI runs exactly the two commands the README opens with, nothing else of its own."""
    first = next(text for language, text in CODE if language == "sh")
    shown = [line.split("#")[0].strip() for line in first.splitlines()]
    run = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    ran = [line.replace("--quiet ", "").replace("python -m pip", "pip") for line in run if "pip install" in line]
    assert len(shown) == 2
    assert ran == shown


# -- configuration -----------------------------------------------------------------------------------------------------


def test_each_variable_is_named_and_exists() -> None:
    """The SYNCER_* variables of the README are those that the settings read."""
    source = (ROOT / "syncer" / "settings.py").read_text("utf-8")
    read = set(re.findall(r'"(SYNCER_[A-Z_]+)"', source))
    assert read == ENVIRONMENT
    assert set(re.findall(r"SYNCER_[A-Z_]+", README)) == read
    assert set(re.findall(r"^\| `(SYNCER_[A-Z_]+)` \|", section("Configuration"), re.MULTILINE)) == read


def settings_named_in(title: str) -> set[str]:
    """The names in the first column of a section's tables."""
    rows = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", section(title), re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_each_setting_is_named_and_exists() -> None:
    """The tables of a source's and a consumer's settings name each, and no other; so do the examples for the rest."""
    assert settings_named_in("Configuration") == set(SourceSettings.__struct_fields__)
    assert settings_named_in("Alerts") | {"name"} == set(AlertSettings.__struct_fields__)
    top, *tables = re.split(r"^\[\[([a-z]+)\]\]$", EXAMPLE, flags=re.MULTILINE)
    given = set(re.findall(r"(?:^|; or )([a-z_]+) =", top, re.MULTILINE)) | set(tables[::2])
    assert given | {"path"} == set(Settings.__struct_fields__)


def test_the_example_configuration_can_be_used(tmp_path: Path) -> None:
    """The syncer.toml of the README is read as it stands."""
    from syncer.settings import load

    (tmp_path / "syncer.toml").write_text(EXAMPLE)
    settings = load({}, cwd=tmp_path)
    assert [source.price_units for source in settings.sources] == [{"Text": (1000000, "token"), "Image": (1, "image")}]
    assert [alert.name for alert in settings.alerts] == ["pricing-team", "chat", "job"]


EXAMPLE = "\n".join(text for language, text in CODE if language == "toml")
DEFAULTS = SourceSettings(url="http://x.example")


@pytest.mark.parametrize("name", ["interval", "deadline", "lease", "max_body"])
def test_the_defaults_are_those_of_the_code(name: str) -> None:
    """The table of settings gives each default as it is."""
    (default,) = re.findall(rf"^\| `{name}` \| `?([^`|]+?)`? \|", section("Configuration"), re.MULTILINE)
    value = getattr(DEFAULTS, name)
    assert default == (str(value) if isinstance(value, int) else format_duration(value))


def test_the_rules_defaults_are_those_of_the_code() -> None:
    """The table of rules gives the default of each setting of the rules, and names them all."""
    rules = section("What is believed, and what waits for you")
    rows = re.findall(r"^\| [^|]+ \| ((?:`[a-z_]+`(?:, )?)+) \| ([^|]+) \|", rules, re.MULTILINE)
    defaults: dict[str, str] = {}
    for names, values in rows:
        defaults.update(zip(re.findall(r"[a-z_]+", names), values.replace("`", "").split(", "), strict=True))
    assert set(defaults) == set(Policy.__struct_fields__)
    assert parse_duration(defaults.pop("removal_after")) == DEFAULTS.removal_after
    assert (defaults.pop("required"), DEFAULTS.required) == ("[]", ())
    assert {name: Decimal(value) for name, value in defaults.items()} == {
        name: Decimal(str(getattr(DEFAULTS, name))) for name in defaults
    }


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("names that are blank, longer than {} characters", parse.MAX_NAME),
        ("aliases and types beyond {} characters", parse.MAX_ALIAS),
        ("aliases and types beyond {} characters", parse.MAX_TYPE),
        ("URLs beyond {}", parse.MAX_URL),
        ("descriptions beyond {}", parse.MAX_DESCRIPTION),
        ("elements beyond {} bytes", parse.MAX_ELEMENT),
    ],
)
def test_the_limits_are_those_of_the_code(words: str, limit: int) -> None:
    """Each limit that a row is refused for stands in the README as it is."""
    assert words.format(limit) in WORDS or words.format(f"{limit:,}") in WORDS


# -- the data contract -------------------------------------------------------------------------------------------------


def test_each_table_and_view_is_named() -> None:
    """The data contract has an entry and a query for each table and view of the schema, and for nothing else."""
    entries = set(re.findall(r"^\*\*`([a-z_]+)`\*\*", section("The data"), re.MULTILINE))
    assert entries == set(metadata.tables) | set(VIEWS["sqlite"]) == set(metadata.tables) | set(VIEWS["postgresql"])
    assert len(QUERIES) == len(entries) + 1, "and the catalog as of a moment"
    for name in entries:
        assert [query for query in QUERIES if re.search(rf"\bFROM {name}\b", query)], name


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """A database of each kind with a short history, read-only."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('readme') / 'syncer.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database()
    with Upstream() as upstream, Story(url, upstream, trust=False) as story:
        large, small, gone = model("acme/large", 10), model("acme/small", 1), model("acme/gone", 3)
        story.on("06-01", large, small, gone, model("acme/dead", 1), {"model_name": ""})
        story.on("06-02", large | {"price": 5}, small)
        story.on("11-02", large | {"price": 5}, small, gone)
        story.failing("11-03", Reply(status=404))
        reader = Subscription(name="reader", rule=Rule(), sink=lambda _: None, start="beginning")
        deliver(story.engine, reader, clock=lambda: instant("11-04"), owner="test")
        with db.reading(story.engine) as connection:
            yield connection


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.partition("FROM ")[2].split()[0])
def test_each_query_runs(connection: sa.Connection, query: str) -> None:
    """Each query of the README runs as it stands, on both databases, and finds what there is."""
    rows = connection.exec_driver_sql(query).all()
    assert rows or "> 4711" in query or "FROM findings" in query
