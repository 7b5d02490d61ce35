"""The manual and the README are true: what they name exists, what exists is named, and what they show works."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_type_hints

import click
import msgspec
import pytest
import sqlalchemy as sa

from syncer import cli, history, manual
from syncer.core.model import Kind
from syncer.core.notices import NoticeKind
from syncer.core.rules import FindingKind
from syncer.db import engine as db
from syncer.db.tables import metadata
from syncer.errors import DatabaseError, SourceBusy, UpstreamError, UsageError
from syncer.service import Syncer
from syncer.settings import AlertSettings, Settings, SourceSettings, format_duration
from tests.manual import MANUAL, commands, generated, view_columns
from tests.postgres import Postgres
from tests.story import Story
from tests.upstream import Upstream, model

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = {topic: (MANUAL / f"{topic}.md").read_text("utf-8") for topic in manual.TOPICS}
DOOR = {path: path.read_text("utf-8") for path in sorted((ROOT / ".github").rglob("*.md"))}
WRITTEN = "\n".join([README, *(text for topic, text in PAGES.items() if topic not in {"commands", "columns"})])
CODE = re.findall(r"```(\w+)\n(.*?)```", WRITTEN, re.DOTALL)
GROUPS = {words.split()[0] for words, _ in commands() if " " in words}


def section(page: str, title: str) -> str:
    """The text under a heading, up to the next one of its level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[2]


def named_in(text: str) -> set[str]:
    """The names in the first column of the tables of a text."""
    cells = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}


def options(command: click.Command) -> set[str]:
    """The options of a command, short ones too."""
    return {
        word
        for option in command.params
        if isinstance(option, click.Option)
        for word in (*option.opts, *option.secondary_opts)
    }


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


# -- the pages ---------------------------------------------------------------------------------------------------------


def test_each_page_is_listed() -> None:
    """`TOPICS` names exactly the files there are; each begins with its heading and is named in the index."""
    assert sorted(manual.TOPICS) == sorted(path.stem for path in MANUAL.glob("*.md"))
    assert all(text.startswith("# ") for text in PAGES.values())
    linked = set(re.findall(r"\]\((\w+)\.md\)", PAGES["index"]))
    assert linked | {"index"} == set(manual.TOPICS)


def test_each_page_is_in_the_wheel() -> None:
    """The pages travel with the package."""
    pytest.importorskip("hatchling", reason="the wheel is built without an index: pip install hatchling")
    from hatchling.builders.wheel import WheelBuilder

    packaged = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"syncer/manual/{topic}.md" for topic in manual.TOPICS} <= packaged


def test_the_generated_parts_are_fresh() -> None:
    """What is generated says what the code says now; otherwise run `python -m tests.manual`."""
    stale = [topic for topic, text in generated().items() if PAGES[topic] != text]
    assert not stale, "run: python -m tests.manual"


LINKED = {ROOT / "README.md": README, **{MANUAL / f"{topic}.md": text for topic, text in PAGES.items()}, **DOOR}


@pytest.mark.parametrize("page", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_leads_somewhere(page: Path) -> None:
    """Each relative link names a file that exists, and a heading that the file has."""
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)", LINKED[page]):
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{target}#{anchor}"


def test_the_words_are_plain() -> None:
    """Neither the manual, nor the README, nor a help text uses the private words that were dropped."""
    dropped = [
        "(good|one|last|first) looks?\\b",
        "looker",
        r" is no (?!longer)",
        "stands in",
        "wire format",
        " beat ",
        "one row a ",
    ]
    text = " ".join("\n".join([README, *PAGES.values(), *DOOR.values()]).split())
    assert [found[0] for word in dropped for found in re.finditer(rf".{{20}}{word}.{{20}}", text)] == []


# -- the README --------------------------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    """It is for somebody who decides in a minute; everything else is in the manual."""
    assert len(README.splitlines()) <= 200


def test_the_figures_of_the_readme_are_those_of_the_manual() -> None:
    """Each row of the README's table of costs stands in the page on benchmarks, word for word."""
    rows = [line for line in section(README, "What it costs").splitlines() if line.startswith("|")]
    assert len(rows) > 2
    assert set(rows) - {"|---|---|---|---|---|---|"} <= set(PAGES["benchmarks"].splitlines())


def test_the_first_commands_are_those_of_ci() -> None:
    """CI runs exactly the two commands that the README opens with, nothing else of its own."""
    first = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)[0]
    shown = [line.split("#")[0].strip() for line in first.splitlines()]
    run = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    ran = [line.replace("--quiet ", "").replace("python -m pip", "pip") for line in run if "pip install" in line]
    assert len(shown) == 2
    assert ran == shown


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """Each line of the README's sample is a line of the demo, in that order; `...` stands for anything."""
    (sample,) = re.findall(r"```text\n(Day .*?)```", README, re.DOTALL)
    command = [sys.executable, "-m", "syncer", "demo", "--file", str(tmp_path / "demo.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    printed = iter(done.stdout.splitlines())
    for line in sample.splitlines():
        shown = "*".join(re.sub(r"([\[?*])", r"[\1]", part) for part in line.split("..."))
        assert any(fnmatchcase(out, shown) for out in printed), line


def test_each_built_in_format_is_named() -> None:
    """The formats page has each built-in format, and no other."""
    from syncer.core import formats

    table = section(PAGES["formats"], "Built-in formats")
    assert re.findall(r"^\| `([a-z.]+)` \|", table, re.MULTILINE) == list(formats.names())


# -- commands and options ----------------------------------------------------------------------------------------------


def test_each_option_mentioned_anywhere_exists() -> None:
    """No sentence or example speaks of an option that syncer has not."""
    known = {option for _, command in commands() for option in options(command)} | options(cli.cli) | {"--help"}
    examples = "\n".join(line for _, text in CODE for line in text.splitlines() if "syncer " in line)
    others = ("tests.benchmarks", "pytest", "--strict")
    inline = "\n".join(text for text in re.findall(r"`[^`\n]+`", WRITTEN) if not any(other in text for other in others))
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", examples + inline))
    assert mentioned - known == set()


def test_each_command_mentioned_anywhere_exists() -> None:
    """No sentence or example calls a command that syncer has not; a group may be named by itself."""
    group = "|".join(sorted(GROUPS))
    inline = re.findall(r"`((?:[A-Z_]+=\w+ )?syncer [^`]+)`", "\n".join([WRITTEN, *DOOR.values()]))
    lines = [line for language, text in CODE if language in {"sh", "cron", "text"} for line in text.splitlines()]
    call = re.compile(rf"(?:^|&& |=\w+ |bin/)syncer (?:--[a-z]+ \S+ )?((?:(?:{group}) )?[a-z-]+)")
    calls = [found[1] for text in [*inline, *lines] if (found := call.search(" ".join(text.split())))]
    assert calls
    assert {call for call in calls if call not in GROUPS} - {words for words, _ in commands()} == {
        "hello"
    }  # the recipe's


def test_the_exit_codes_are_those_of_the_code() -> None:
    """Each exit code stands in the manual, in the order of the worst first, and in `syncer --help`."""
    codes = re.findall(r"^\| \*\*(\d+)\*\* \|", section(PAGES["operate"], "Exit codes"), re.MULTILINE)
    failed, usage, _held, busy, _done = map(int, codes)
    assert codes == ["1", "2", "3", "75", "0"]
    assert (UpstreamError.exit_code, DatabaseError.exit_code) == (failed, failed)
    assert (UsageError.exit_code, SourceBusy.exit_code) == (usage, busy)
    help_text = " ".join(str(cli.cli.help).split())
    assert all(f"{code} " in help_text for code in codes)


# -- configuration -----------------------------------------------------------------------------------------------------


def test_each_variable_is_named_and_exists() -> None:
    """The SYNCER_* variables of the manual are those that the settings read."""
    files = [path for path in (ROOT / "syncer").rglob("*.py") if "settings" in path.relative_to(ROOT).as_posix()]
    read = {name for path in files for name in re.findall(r'"(SYNCER_[A-Z_]+)"', path.read_text("utf-8"))}
    assert set(re.findall(r"SYNCER_[A-Z_]+", WRITTEN)) == read
    table = section(PAGES["operate"], "Configuration")
    assert set(re.findall(r"^\| `(SYNCER_[A-Z_]+)` \|", table, re.MULTILINE)) == read


def keys_of(struct: type[msgspec.Struct]) -> set[str]:
    """The keys of one table of syncer.toml: the fields that have a rule."""
    hints = get_type_hints(struct, include_extras=True)
    return {name for name in struct.__struct_fields__ if hasattr(hints[name], "__metadata__")}


def test_each_setting_is_named_and_exists() -> None:
    """The tables of a source's and a consumer's settings name each, and no other; so do the examples for the rest."""
    from syncer.settings import sinks

    assert named_in(section(PAGES["operate"], "Configuration")) == keys_of(SourceSettings)
    consumer = keys_of(AlertSettings).union(*map(keys_of, sinks.kinds().values()))
    assert named_in(section(PAGES["alerts"], "Settings of a consumer")) == consumer
    top, *tables = re.split(r"^\[\[([a-z]+)\]\]$", EXAMPLE, flags=re.MULTILINE)
    given = set(re.findall(r"(?:^|; or )([a-z_]+) =", top, re.MULTILINE)) | set(tables[::2])
    assert given == keys_of(Settings) | {"sources", "alerts"}


EXAMPLE = "\n".join(re.findall(r"```toml\n(.*?)```", PAGES["operate"] + PAGES["alerts"], re.DOTALL))
DEFAULTS = SourceSettings(url="http://x.example")


def test_the_example_configuration_can_be_used(tmp_path: Path) -> None:
    """The syncer.toml of the manual is read as it stands."""
    from syncer.settings import load

    (tmp_path / "syncer.toml").write_text(EXAMPLE)
    settings = load({}, cwd=tmp_path)
    assert [source.name for source in settings.sources] == ["openrouter", "acme"]
    assert [alert.name for alert in settings.alerts] == ["pricing-team", "chat", "job"]


def test_the_example_format_can_be_used(tmp_path: Path) -> None:
    """The format of the formats page is read as it stands."""
    from syncer.settings import load

    examples = re.findall(r"```toml\n(.*?)```", PAGES["formats"], re.DOTALL)
    (tmp_path / "syncer.toml").write_text("\n".join(examples))
    assert [source.format for source in load({}, cwd=tmp_path).sources] == ["openrouter", "acme"]


def default_of(name: str) -> str:
    """A default as the manual writes it."""
    value = getattr(DEFAULTS, name)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return {"trust": {True: "on", False: "off"}}.get(name, {True: "true", False: "false"})[value]
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, int | float | Decimal):
        return f"{Decimal(str(value)).normalize():f}"
    return str(value) if isinstance(value, str) else format_duration(value)


SETTINGS = section(PAGES["operate"], "Configuration") + section(PAGES["trust"], "What is believed, and when")
STATED = dict(re.findall(r"^\| `([a-z_]+)` \| `?([\w\[\]]+)`? \|", SETTINGS, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(STATED))
def test_the_defaults_are_those_of_the_code(name: str) -> None:
    """The tables of settings give each default as it is."""
    assert STATED[name] == default_of(name)


def test_the_limits_are_those_of_the_code() -> None:
    """Each limit that a field or an element is refused for stands in the manual as it is."""
    from syncer.core import fields
    from syncer.core.parse import elements, envelope

    limits = {
        "blank, longer than {} characters": elements.MAX_NAME,
        "Aliases and types beyond {} characters": fields.MAX_SHORT,
        "URLs beyond {}": fields.MAX_URL,
        "descriptions beyond {}": fields.MAX_DESCRIPTION,
        "elements beyond {} bytes": envelope.MAX_ELEMENT,
        "more than {} elements": envelope.MAX_ELEMENTS,
    }
    text = " ".join(PAGES["operate"].split())
    assert [words for words, limit in limits.items() if words.format(f"{limit:,}") not in text] == []


def test_each_extra_is_named() -> None:
    """The page `operate` names each extra of the distribution, and no other."""
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (sentence,) = re.findall(r"The extras are (.*?)\.\n", section(PAGES["operate"], "Installing"), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(extras)


# -- words -------------------------------------------------------------------------------------------------------------


def test_each_kind_is_in_the_glossary() -> None:
    """The glossary has every kind of change and of notice."""
    glossary = section(PAGES["trust"], "Glossary")
    assert [kind for kind in (*Kind, *NoticeKind) if f"`{kind.value}`" not in glossary] == []


def test_each_rule_is_named() -> None:
    """The table of rules has the name of each, as the column `findings.kind` has it."""
    rules = section(PAGES["trust"], "What is believed, and when")
    named = set(re.findall(r"^\| [A-Z][^|(]+ \(`([a-z_]+)`\) \|", rules, re.MULTILINE))
    assert named == {kind.value for kind in FindingKind}


def test_each_question_is_named() -> None:
    """The Python page names every function of `syncer.history`."""
    functions = {name for name in history.__all__ if name[0].islower()} - {"connect"}
    assert named_in(section(PAGES["python"], "Asking about the past")) == functions


def test_each_method_is_named() -> None:
    """The Python page names all that `syncer.open` gives a program to do."""
    inside = {"deliver_to", "reader_of_elements"}  # what the daemon and `db copy --reread` need
    methods = {name for name in vars(Syncer) if not name.startswith("_")} - inside
    assert named_in(section(PAGES["python"], "Syncing from your own program")) == methods


# -- the data contract -------------------------------------------------------------------------------------------------


def entries(title: str) -> dict[str, str]:
    """The entries of a part of the data page: name -> text."""
    found = re.findall(r"^### `([a-z_]+)`\n(.*?)(?=^##|\Z)", section(PAGES["data"], title), re.DOTALL | re.MULTILINE)
    return dict(found)


def test_each_table_and_view_is_named() -> None:
    """The data page has an entry with a query for each table and view of the schema, and for nothing else."""
    assert set(entries("Tables")) == set(metadata.tables)
    assert set(entries("Views")) == set(view_columns())
    for name, text in (entries("Tables") | entries("Views")).items():
        assert re.search(rf"```sql\n[^`]*\bFROM {name}\b", text), name


@pytest.mark.parametrize("view", sorted(entries("Views")))
def test_each_column_of_a_view_is_named(view: str) -> None:
    """The entry of a view names each of its columns, and no other."""
    listed = entries("Views")[view].partition("Columns:")[2].partition("```")[0]
    assert set(re.findall(r"`([a-z_]+)`", listed)) - {"repriced", "relisted", "added"} == set(view_columns()[view])


def queries(page: str) -> list[str]:
    """The SQL of a page, in order."""
    return re.findall(r"```sql\n(.*?)```", PAGES[page], re.DOTALL)


def runs_on(query: str, dialect: str) -> bool:
    """Whether a query is for this database: its first line may name the one that it is for."""
    return query.partition("\n")[0] in {"-- SQLite", "-- PostgreSQL"} - OTHER[dialect] or not query.startswith("--")


OTHER = {"sqlite": {"-- PostgreSQL"}, "postgresql": {"-- SQLite"}}
MAY_BE_EMPTY = {"findings", "notices", "notified"}
"""Whose state a short import does not bring about."""


def element(name: str, prompt: str, completion: str, **more: Any) -> dict[str, Any]:
    """A model as OpenRouter lists it, at these prices per 1,000,000 tokens."""
    pricing = {"prompt": f"{Decimal(prompt).scaleb(-6):f}", "completion": f"{Decimal(completion).scaleb(-6):f}"}
    modalities = {"input_modalities": ["text"], "output_modalities": ["text"]}
    return {"id": name, "name": name, "context_length": 8192, "architecture": modalities, "pricing": pricing, **more}


def history_of_openrouter() -> Iterator[dict[str, Any]]:
    """Three months: two repricings, a removal, a return, a model that is free but for a day, a failed response."""
    large = element("acme/large", "10", "30", expiration_date="2030-06-01")
    small, gone, free = element("acme/small", "1", "2"), element("other/gone", "3", "6"), element("free/tier", "0", "0")
    dearer = element("acme/large", "12", "30", expiration_date="2030-06-01")
    cheaper = element("acme/large", "7.5", "30", expiration_date="2030-06-01")
    back = element("other/gone", "4", "6")
    yield {"observed_at": "2026-01-01T00:00:00Z", "body": body(large, small, gone, free, {"id": ""})}
    yield {"observed_at": "2026-01-20T00:00:00Z", "body": body(large, small, free)}
    yield {"observed_at": "2026-02-10T00:00:00Z", "body": body(large, small, back, free)}
    yield {"observed_at": "2026-02-20T00:00:00Z", "body": body(dearer, small, back, free)}
    yield {"observed_at": "2026-02-21T00:00:00Z", "body": "<html>"}
    yield {"observed_at": "2026-03-05T00:00:00Z", "body": body(cheaper, small, back, free)}
    paid = element("free/tier", "0.5", "0")
    yield {"observed_at": "2026-03-06T00:00:00Z", "body": body(cheaper, small, back, paid)}
    yield {"observed_at": "2026-03-07T00:00:00Z", "body": body(cheaper, small, back, free)}
    yield {"observed_at": "2026-03-20T00:00:00Z", "body": body(cheaper, back, free)}
    yield {"observed_at": "2026-03-31T00:00:00Z", "body": body(cheaper, back, free)}


def body(*models: dict[str, Any]) -> str:
    """A response of OpenRouter."""
    return json.dumps({"data": list(models)})


def imported(url: str, folder: Path, source: str, lines: list[dict[str, Any]], *, trust: str = "off") -> None:
    """Import a recording in OpenRouter's format, as a person would."""
    file = folder / f"{source}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    where = ["--database", url, "import", str(file), "--source", source, "--format", "openrouter", "--trust", trust]
    assert cli.run(where) in {0, 1}  # 1: one of the bodies is not a catalog


@pytest.fixture(scope="module")
def connections(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, sa.Connection]]:
    """A database of each kind with one history of two sources, read-only."""
    folder = tmp_path_factory.mktemp("manual")
    urls = {"sqlite": f"sqlite:///{folder / 'syncer.db'}", "postgresql": postgres.create_database()}
    opened = {}
    for dialect, url in urls.items():
        imported(url, folder, "openrouter", list(history_of_openrouter()))
        offer = body(element("acme/large", "12", "30"))
        imported(url, folder, "reseller", [{"observed_at": "2026-01-01T00:00:00Z", "body": offer}])
        last = {
            "observed_at": "2026-04-01T00:00:00Z",
            "body": body(element("acme/large", "7.5", "30", expiration_date="2030-06-01")),
        }
        imported(url, folder, "openrouter", [last], trust="on")
        assert cli.run(["--database", url, "changes", "--cursor", "reader"]) == 0
        opened[dialect] = db.open_engine(url, read_only=True).connect()
    yield opened
    for connection in opened.values():
        connection.close()
        connection.engine.dispose()


def asked(connection: sa.Connection, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, in values that are equal on both databases."""
    plain = connection.execution_options(no_parameters=True)  # a % is a % for the driver, too
    rows = [tuple(map(_alike, row)) for row in plain.exec_driver_sql(query)]
    connection.rollback()  # PostgreSQL ends whoever stays idle in a transaction, as a slow test after this one would
    return rows


def _alike(value: Any) -> Any:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float | Decimal):
        return f"{Decimal(f'{value:.10g}').normalize():f}"
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, default=_alike)
    text = None if value is None else str(value)
    return text if text is None else re.sub(r"( 00:00:00)?(\.0+)?(\+00:00)?$", "", text)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("query", queries("data"), ids=lambda query: query.partition("FROM ")[2].split()[0])
def test_each_query_of_the_data_page_runs(connections: dict[str, sa.Connection], dialect: str, query: str) -> None:
    """Each query runs as it stands, on the databases that it is for, and finds what there is."""
    if runs_on(query, dialect):
        (table, *_) = re.findall(r"FROM (\w+)", query)
        assert asked(connections[dialect], query) or table in MAY_BE_EMPTY


RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGES["recipes"], re.DOTALL | re.MULTILINE))
ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "Which models fell by 20 % or more in 30 days?": [("acme/large", "12", "7.5", "-37.5")],
    "What did each model cost at the end of each month, as a pivot?": [
        ("acme/large", "10", "12", "7.5"),
        ("acme/small", "1", "1", None),
        ("free/tier", "0", "0", "0"),
        ("other/gone", None, "4", "4"),
    ],
    "How many models come and go each month?": [
        ("openrouter", "2026-01", "0", "1", "0"),
        ("openrouter", "2026-02", "0", "0", "1"),
        ("openrouter", "2026-03", "0", "1", "0"),
    ],
    "What was the lowest price in the 30 days before a cut?": [
        ("acme/large", "2026-03-05", "12", "7.5", "10"),
        ("free/tier", "2026-03-07", "0.5", "0", "0"),
    ],
    "Which models came back after they were gone?": [("openrouter", "other/gone", "2026-01-20", "2026-02-10")],
    "How do two sources compare, model by model?": [("acme/large", "7.5", "12", "1.6")],
    "Which models became free, or stopped being free?": [
        ("free/tier", "input", "2026-03-06", "0", "0.5"),
        ("free/tier", "input", "2026-03-07", "0.5", "0"),
    ],
}


def test_there_are_enough_recipes() -> None:
    """Each recipe is a question with its SQL, and there are a dozen and more."""
    assert len(RECIPES) >= 12
    assert all(title.endswith("?") and "```sql" in text for title, text in RECIPES.items())


@pytest.mark.parametrize("question", RECIPES)
def test_each_recipe_answers_alike_on_both_databases(connections: dict[str, sa.Connection], question: str) -> None:
    """A recipe runs as it stands and finds the same on both databases, and what is known by hand."""
    texts = re.findall(r"```sql\n(.*?)```", RECIPES[question], re.DOTALL)
    found = {
        dialect: asked(connection, query)
        for dialect, connection in connections.items()
        for query in texts
        if runs_on(query, dialect)
    }
    assert found["sqlite"] == found["postgresql"]
    assert found["sqlite"] == ANSWERS.get(question, found["sqlite"])
    assert found["sqlite"]


# -- Python ------------------------------------------------------------------------------------------------------------

PYTHON = re.findall(r"```python\n(.*?)```", PAGES["python"], re.DOTALL)


def test_the_python_examples_have_the_types_they_seem_to_have(tmp_path: Path) -> None:
    """`mypy --strict` accepts the examples of the Python page, and that of the README."""
    (tmp_path / "page.py").write_text("\n".join(PYTHON))
    (tmp_path / "readme.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL)))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "page.py", "readme.py"]
    environ = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The questions of the Python page are answered as they stand."""
    with Upstream() as upstream, Story(f"sqlite:///{tmp_path / 'syncer.db'}", upstream, trust=False) as story:
        story.on("01-01", model("acme/large", 10)).on("03-01", model("acme/large", 5))
    monkeypatch.chdir(tmp_path)
    examples = [text for text in PYTHON if "history.connect" in text]
    assert len(examples) == 2
    exec("\n".join(examples), {})
