"""A table for eyes: it fits the width it is given, and says what it left out.

- Short of room, long names are cut in the middle, where the least tells them apart; sentences are folded; then the
  columns that matter least are left out, and named below the table.
- Numbers and times are never cut. A percent has one decimal; `--json` has all of it.
- Of upstream's text only printable characters arrive here (law 12): whoever draws escapes it first.
"""

import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple
from unicodedata import combining, east_asian_width

from syncer.core.spreadsheet import is_number

SENTENCES = frozenset({"why", "error", "problem", "reason", "note"})
"""Columns of prose: folded between words."""
_ENOUGH = 24  # columns to which names and sentences shrink before anything is left out
_LEAST = 8  # and after that
_GAP = "  "
_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_STYLES = {
    "changed": _GREEN,
    "unchanged": _DIM,
    "skipped": _DIM,
    "failed": _RED,
    "abandoned": _RED,
    "disabled": _RED,
    "held": _YELLOW,
    "busy": _YELLOW,
    "paused": _YELLOW,
}
_STYLED = frozenset({"outcome", "state"})


class _Column(NamedTuple):
    name: str
    cells: list[str]
    width: int
    right: bool
    bends: bool  # may be narrower than its cells
    told: int  # how many different things it says: 0 where nothing is known

    @property
    def least(self) -> int:
        return min(self.width, _ENOUGH) if self.bends else self.width


def draw(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    cell: Callable[[str, Any], str],
    *,
    width: int | None,
    styled: bool = False,
    ruled: bool = False,
    drop: Collection[str] = (),
) -> Iterator[str]:
    """The lines of a table at most `width` columns wide (None: as wide as it is), its head first.

    `cell` turns a value of the named column into safe text. `drop` names the columns that may be left out, the first
    to go first; `ruled` draws a line below the head, `styled` uses bold and colours.
    """
    drawn = [_column(name, [row[index] for row in rows], cell) for index, name in enumerate(columns)]
    shown = drawn if width is None else _fit(drawn, width, drop)
    widths = [column.width for column in shown]
    heads = [_pad(_cut(column.name, column.width), column.width, column.right) for column in shown]
    yield _style(_GAP.join(heads).rstrip(), _BOLD, styled)
    if ruled:
        yield "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    for number in range(len(rows)):
        yield from _lines(shown, number, styled)
    if left_out := [column.name for column in drawn if column.name not in {other.name for other in shown}]:
        missing = f"left out for want of room: {', '.join(left_out)} (--wide)"
        yield from (_style(line, _DIM, styled) for line in textwrap.wrap(missing, width or len(missing)))


def _column(name: str, values: Sequence[Any], cell: Callable[[str, Any], str]) -> _Column:
    cells = [cell(name, value) for value in values]
    known = [value for value in values if value is not None]
    return _Column(
        name=name,
        cells=cells,
        width=max(map(text_width, [name, *cells])),
        right=bool(known) and all(is_number(value) for value in known),
        bends=any(isinstance(value, str | dict | list | tuple) for value in known),
        told=min(len(set(cells)), 2) if known else 0,
    )


# -- fitting -----------------------------------------------------------------------------------------------------------


def _fit(columns: list[_Column], width: int, drop: Collection[str]) -> list[_Column]:
    shown, told = list(columns), {column.name: column.told for column in columns}
    going = sorted(drop, key=lambda name: told.get(name, 0))  # what says nothing, or one thing, is missed the least
    while _total(column.least for column in shown) > width and going:
        name = going.pop(0)
        shown = [column for column in shown if column.name != name]
    return _narrowed(shown, width)


def _narrowed(columns: list[_Column], width: int) -> list[_Column]:
    """The widest name gives first; what does not fit even so is left to the terminal."""
    widths = [column.width for column in columns]
    for least in (_ENOUGH, _LEAST):
        while _total(widths) > width:
            bending = [at for at, column in enumerate(columns) if column.bends and widths[at] > least]
            if not bending:
                break
            widths[max(bending, key=widths.__getitem__)] -= 1
    return [column._replace(width=narrow) for column, narrow in zip(columns, widths, strict=True)]


def _total(widths: "Collection[int] | Iterator[int]") -> int:
    each = list(widths)
    return sum(each) + len(_GAP) * (len(each) - 1)


# -- drawing -----------------------------------------------------------------------------------------------------------


def _lines(columns: Sequence[_Column], number: int, styled: bool) -> Iterator[str]:
    """One row: as many lines as its longest sentence takes."""
    folded = [_folded(column, column.cells[number]) for column in columns]
    for line in range(max(map(len, folded))):
        parts = (
            _styled_cell(column, parts[line] if line < len(parts) else "", styled)
            for column, parts in zip(columns, folded, strict=True)
        )
        yield _GAP.join(parts).rstrip()


def _folded(column: _Column, text: str) -> list[str]:
    if text_width(text) <= column.width:
        return [text]
    if column.name in SENTENCES and text.isascii():
        return textwrap.wrap(text, column.width)
    return [_cut(text, column.width)]


def _styled_cell(column: _Column, text: str, styled: bool) -> str:
    padded = _pad(text, column.width, column.right)
    return _style(padded, _STYLES.get(text, ""), styled and column.name in _STYLED)


def _style(text: str, style: str, styled: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if styled and style else text


def outcome(word: str, *, styled: bool) -> str:
    """An outcome within a line, in its colour."""
    return _style(word, _STYLES.get(word, ""), styled)


def _cut(text: str, width: int) -> str:
    """`text` without its middle, where that is too long: `deepseek-ai/D…Distill-Qwen-32B`."""
    if text_width(text) <= width:
        return text
    head = _head(text, width - width // 2 - 1)
    return f"{head}…{_head(text[::-1], width // 2)[::-1]}"


def _head(text: str, width: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += _char_width(char)
        if taken > width:
            return text[:index]
    return text


def text_width(text: str) -> int:
    """How many places `text` takes on a screen: an ideograph takes two, an accent none."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * (width - text_width(text))
    return blank + text if right else text + blank
