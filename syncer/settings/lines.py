"""The line on which each key of a TOML file stands: `tomllib` tells what a file says, and not where.

Read only when something is to be said about the file, and only after `tomllib` took it, so that this scanner may trust
its syntax. A place is a path of keys and list positions: ("sources", 0, "url"). What stands within a value (an inline
table, a list of them) has the line of its key.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator

from syncer.settings.reading import Where

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # two quotes more may stand before the three that end it
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[A-Za-z0-9_+:-]+"
    r"|\n|[^\S\n]+|.",
    re.DOTALL,
)


def find_lines(text: str) -> dict[Where, int]:
    """Place -> line, from 1, of each table's header and each key of a valid TOML file."""
    lines: dict[Where, int] = {}
    counts: dict[Where, int] = {}
    table: Where = ()
    for line, words in _statements(text):
        if words[0] != "[":
            lines.setdefault((*table, *_keys(words)), line)
            continue
        *parents, key = _keys(words[2:] if words[1] == "[" else words[1:])
        table = (*_resolve(parents, counts), key)
        if words[1] == "[":
            lines.setdefault(table, line)
            counts[table] = counts.get(table, -1) + 1
            table = (*table, counts[table])
        lines.setdefault(table, line)
    return lines


def _statements(text: str) -> Iterator[tuple[int, list[str]]]:
    """The line where each header or assignment begins, and its words."""
    line, begun, depth, words = 1, 1, 0, list[str]()
    for found in _TOKEN.finditer(f"{text}\n"):
        token = found[0]
        if token == "\n" and depth == 0 and words:  # noqa: S105 - no password
            yield begun, words
            words = []
        elif not token.isspace() and not token.startswith("#"):
            begun = begun if words else line
            words.append(token)
            depth += (token in {"[", "{"}) - (token in {"]", "}"})
        line += token.count("\n")


def _keys(words: list[str]) -> tuple[str, ...]:
    """The dotted key that `words` begin with."""
    keys: list[str] = []
    for word in words:
        if word in {"=", "]"}:
            break
        if word != ".":
            keys.append(next(iter(tomllib.loads(f"{word} = 0"))))
    return tuple(keys)


def _resolve(keys: Iterable[str], counts: dict[Where, int]) -> Where:
    """The place of a table: within a list of tables, in its last one."""
    place: Where = ()
    for key in keys:
        place = (*place, key)
        if place in counts:
            place = (*place, counts[place])
    return place
