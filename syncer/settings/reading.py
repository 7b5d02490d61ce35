"""A table of the file to the values of a struct: one reader for all tables, by the rules on the struct's fields.

Nothing is raised here: each mistake is collected with its place, so that one reading finds them all.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from syncer.errors import SettingsError
from syncer.settings.rules import Rule, UnfitError
from syncer.settings.wording import nearest, quoted

Where = tuple[str | int, ...]
"""A place in the file: keys and list positions, ("sources", 0, "url")."""


class Mistakes:
    """What is wrong in a file and in the variables laid over it: one sentence each, with file and line."""

    def __init__(self, path: Path | None = None, text: str = "") -> None:
        self.found: list[str] = []
        self._path = path
        self._text = text
        self._lines: dict[Where, int] | None = None

    def add(self, sentence: str, where: Where | None = None) -> None:
        """Note a mistake: at `where` in the file, or (None) in a variable that the sentence names."""
        self.found.append(sentence if where is None else f"{self.place(where)}: {sentence}")

    def place(self, where: Where) -> str:
        """`syncer.toml:12`; of a key that is missing, the line of its table."""
        if self._lines is None:
            from syncer.settings.lines import find_lines

            self._lines = find_lines(self._text)
        line = next((self._lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in self._lines), None)
        return f"{self._path}" if line is None else f"{self._path}:{line}"

    def require_none(self) -> None:
        """Raise SettingsError with the first one, and how to see the others."""
        if self.found:
            more = len(self.found) - 1
            others = f" ({more} more: `syncer config --check` lists all)" if more else ""
            raise SettingsError(f"{self.found[0]}{others}")


@cache
def rules_of(struct: type[msgspec.Struct]) -> Mapping[str, Rule]:
    """Field -> its rule, in order; fields without one are no keys."""
    hints = get_type_hints(struct, include_extras=True)
    return {
        field: rule
        for field in struct.__struct_fields__
        for rule in getattr(hints[field], "__metadata__", ())
        if isinstance(rule, Rule)
    }


def read_table(
    table: Mapping[str, Any], rules: Mapping[str, Rule], place: str, where: Where, mistakes: Mistakes
) -> dict[str, Any]:
    """The values of `table` that are as expected; each key that is not, or that nobody knows, is a mistake."""
    values: dict[str, Any] = {}
    refuse_unknown(table, rules, place, where, mistakes)
    for key, rule in rules.items():
        if key not in table:
            continue
        try:
            values[key] = rule.read(table[key])
        except UnfitError:
            given = f" = {quoted(table[key])}" if rule.quoted else ""
            mistakes.add(f"{place}{key}{given} cannot be used. Expected: {rule.expected}.", (*where, key))
    return values


def refuse_unknown(table: Iterable[str], known: Iterable[str], place: str, where: Where, mistakes: Mistakes) -> None:
    """Each key that nobody knows is a mistake: a setting that is silently ignored is worse than none."""
    known = tuple(known)
    for key in table:
        if key not in known:
            mistakes.add(f"{place}there is no setting {quoted(key)}{nearest(key, known)}", (*where, key))
