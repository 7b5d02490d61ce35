"""What of the manual is generated: `python -m tests.manual` writes it, tests/test_manual.py finds it stale.

- `commands.md` comes from the click commands, `columns.md` from the tables and views of a new database.
- A block between `<!-- generated: NAME -->` and `<!-- end -->` in any other page comes from the code that NAME names.
"""

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import click
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from syncer import cli
from syncer.db.tables import metadata

ROOT = Path(__file__).resolve().parent.parent
MANUAL = ROOT / "syncer" / "manual"
_BLOCK = re.compile(r"(?<=<!-- generated: )(\w+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
_TERMINAL = 120  # columns: the width at which click would wrap; the page wraps nothing


def generated() -> dict[str, str]:
    """Each page that holds something generated, as it should be: topic -> text."""
    whole = {"commands": commands_page(), "columns": columns_page()}
    texts = {path.stem: path.read_text("utf-8") for path in MANUAL.glob("*.md") if path.stem not in whole}
    return whole | {topic: _refilled(text) for topic, text in texts.items() if _BLOCK.search(text)}


def _refilled(text: str) -> str:
    return _BLOCK.sub(lambda block: block[1] + block[2] + _BLOCKS[block[1]](), text)


def write() -> None:
    """Bring the pages up to the code."""
    for topic, text in generated().items():
        (MANUAL / f"{topic}.md").write_text(text, "utf-8")


# -- commands ----------------------------------------------------------------------------------------------------------

_COMMANDS = """\
# Commands

This page is generated from the commands themselves; `syncer COMMAND --help` says the same. Tables are printed in a
terminal, plain columns in a pipe; `--json` prints one object a line, and `--csv` is safe to open in a spreadsheet. Exit
codes are on the page [operate](operate.md#exit-codes).

Times are written `2026-11-22` (its first instant), `2026-11-22T17:00Z`, `2026-11-22 17:00 Europe/Berlin`, `7d` (so
long ago), `now`, `today` or `yesterday`. They are UTC unless an offset or a zone is given. Durations are written `30s`,
`15m`, `6h`, `7d`, `2w`.

| command | |
|---|---|"""
_GLOBAL = """\
## Global options

They stand before the command: `syncer --config FILE sync`."""


def commands(group: click.Group = cli.cli, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words, in the order of `syncer --help`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        elif not command.hidden:
            yield " ".join((*path, name)), command


def commands_page() -> str:
    """The page `commands`: what `--help` says of each command."""
    every = list(commands())
    index = [f"| [`syncer {words}`](#syncer-{words.replace(' ', '-')}) | {_summary(one)} |" for words, one in every]
    options = [line for words, command in every for line in _command(words, command)]
    return "\n".join([_COMMANDS, *index, "", _GLOBAL, "", *_options(cli.cli, "syncer"), *options])


def _summary(command: click.Command) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _command(words: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=f"syncer {words}", terminal_width=_TERMINAL)
    yield from (
        f"## `syncer {words}`",
        "",
        "```text",
        " ".join((context.command_path, *_usage(command, context))),
        "```",
    )
    yield ""
    yield from _help(command.help or "")
    yield from _options(command, f"syncer {words}")


def _usage(command: click.Command, context: click.Context) -> Sequence[str]:
    return command.collect_usage_pieces(context)


def _help(text: str) -> Iterator[str]:
    """Paragraphs as one line each; what click must not wrap, which it is told by a backspace, as it stands."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ("```text", paragraph.removeprefix("\b\n"), "```", "")
        else:
            yield from (" ".join(paragraph.split()), "")


def _options(command: click.Command, words: str) -> Iterator[str]:
    context = click.Context(command, info_name=words, terminal_width=_TERMINAL)
    records = [option.get_help_record(context) for option in command.params if isinstance(option, click.Option)]
    rows = [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in filter(None, records)]
    if rows:
        yield from ("| option | |", "|---|---|", *rows, "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


# -- columns -----------------------------------------------------------------------------------------------------------

_COLUMNS = """\
# Columns

This page is generated from the schema. [The data page](data.md) explains the tables and views, and why a DATETIME of
SQLite is text.

## Tables
"""


def columns_page() -> str:
    """The page `columns`: each table with the type and the meaning of each column, each view with its columns."""
    tables = [line for table in metadata.sorted_tables for line in _table(table)]
    views = [line for name, names in view_columns().items() for line in _view(name, names)]
    return "\n".join([_COLUMNS, *tables, "## Views", "", *views])


def _table(table: sa.Table) -> Iterator[str]:
    yield from (f"### `{table.name}`", "")
    if table.comment:
        yield from (f"{table.comment[0].upper()}{table.comment[1:]}.", "")
    yield from ("| column | PostgreSQL | SQLite | meaning |", "|---|---|---|---|")
    for column in table.columns:
        types = (column.type.compile(dialect) for dialect in (postgresql.dialect(), sqlite.dialect()))  # type: ignore[no-untyped-call]
        yield f"| `{column.name}` | {' | '.join(types)} | {_cell(column.comment or _target(column))} |"
    yield ""


def _target(column: sa.Column[object]) -> str:
    return ", ".join(f"of `{key.column.table.name}`" for key in column.foreign_keys)


def _view(name: str, columns: Sequence[str]) -> Iterator[str]:
    yield from (f"### `{name}`", "", ", ".join(f"`{column}`" for column in columns), "")


@cache
def view_columns() -> Mapping[str, Sequence[str]]:
    """The columns of each view, in order, as a new database has them."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/syncer.db"
        upgrade = [sys.executable, "-m", "syncer", "db", "upgrade"]
        subprocess.run(
            upgrade, cwd=ROOT, env={**os.environ, "SYNCER_DATABASE_URL": url}, stdout=subprocess.DEVNULL, check=True
        )
        engine = sa.create_engine(url)
        inspector = sa.inspect(engine)
        found = {
            name: [column["name"] for column in inspector.get_columns(name)] for name in inspector.get_view_names()
        }
        engine.dispose()
    return dict(sorted(found.items()))


# -- blocks ------------------------------------------------------------------------------------------------------------


def _fields() -> str:
    from syncer.core.fields import FIELDS

    types = {"name": "text"}  # a name is a text that fits into an index
    rows = [f"| `{field.name}` | {types.get(field.column, field.column)} | {field.comment} |" for field in FIELDS]
    return "\n".join(["| field | type | |", "|---|---|---|", *rows, ""])


def _formats() -> str:
    from syncer.core import formats

    rows = []
    for name in formats.names():
        one = formats.builtin(name)
        listed = ", ".join(f"`{component.name}`" for component in one.components) or "none"
        rows.append(f"| `{name}` | `{one.auth}` | {one.currency or 'unknown'} | {listed} |")
    return "\n".join(["| format | key | currency | prices |", "|---|---|---|---|", *rows, ""])


_BLOCKS = {"fields": _fields, "formats": _formats}

if __name__ == "__main__":
    write()
