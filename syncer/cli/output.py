"""All that the command line prints as rows and lines; nothing else in syncer writes to stdout.

- Upstream text is hostile (law 12). One set of characters, `UNSAFE`, can steer a terminal, reorder or hide text, or
  break a line: tables show it escaped, JSON escapes it (nothing is lost), CSV leaves it out.
- `table` is for eyes (long cells are cut), `json` for programs (one object a line, lossless), `csv` for spreadsheets
  (no cell is a formula, numbers stay numbers).
- Prices are Decimals to the end (law 4); times are aware, and UTC in all output.
"""

import os
import re
import shutil
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

from syncer.cli import tables
from syncer.core.spreadsheet import cell_text, csv_cell, is_number
from syncer.core.text import UNSAFE, json_escape, json_line, number, utc
from syncer.core.words import describe_percent

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Format", "is_styled", "json_line", "print_line", "print_rows", "progress", "safe"]

Format = Literal["table", "json", "csv"]

_EVERY = 10.0  # seconds between two signs of life in a pipe
_LONGEST_CELL = 300  # in a table: names (255 at most) stay whole, a description of 10 MB does not

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_NOT_TEXT = re.compile(rf"[\d.,/:+-]+(e\d+)?$|\d{{1,4}}[-/ ]?({_MONTHS})|({_MONTHS})[a-z]*[-/ ]?\d", re.IGNORECASE)
"""What Excel makes a number or a date of: 1-2, 3/4, 1E5, mar-25, sep2."""


def safe(text: str) -> str:
    """`text` for a terminal or a log, on one line: each unsafe character, line breaks too, as a visible escape."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def print_line(text: str, *, out: TextIO) -> None:
    """Write `text` and a line break; its own line breaks stay, everything else unsafe is escaped."""
    _emit("\n".join(safe(line) for line in text.split("\n")) + "\n", out)


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    format: Format,  # noqa: A002 - the option's name
    out: TextIO,
    title: str | None = None,
    drop: Sequence[str] = (),
    empty: str | None = None,
) -> None:
    """Write `rows`, each as long as `columns`. JSON and CSV stream; a table is gathered first.

    A table fits the terminal, for which the columns `drop` are left out, the first of them first; in a pipe it is whole
    and has no title. `empty` is the sentence that stands for a table without rows.
    """
    if format == "json":
        for row in rows:
            _emit(json_line(dict(zip(columns, row, strict=True))) + "\n", out)
    elif format == "csv":
        _print_csv(columns, rows, out)
    elif (gathered := list(rows)) or empty is None:
        _print_table(columns, gathered, out, title, drop)
    else:
        print_line(empty, out=out)


@contextmanager
def progress(
    label: str, *, total: int | None, err: TextIO, patience: float = 0.5, in_pipe: bool = False
) -> Iterator[Callable[[], None]]:
    """A progress bar on `err` while the block runs; call what it yields once per finished piece.

    It appears after `patience` seconds, and only if `err` is a terminal; `total` None is a wait without known end.
    With `in_pipe`, where `err` is none, a line says every ten seconds how far it is.
    """
    if not err.isatty():
        yield _Lines(label, total, err).advance if in_pipe else lambda: None
        return
    bar = _Bar(label, total, err)
    timer = threading.Timer(patience, bar.show)
    timer.daemon = True
    timer.start()
    try:
        yield bar.advance
    finally:
        timer.cancel()
        timer.join()
        bar.hide()


# --- values -------------------------------------------------------------------------------------------------------


def _emit(text: str, out: TextIO) -> None:
    try:
        out.write(text)
    except UnicodeEncodeError:  # a stream that is not UTF-8: \uXXXX is right in JSON and legible elsewhere
        out.write(re.sub(r"[^\x00-\x7f]", json_escape, text))


# --- CSV ----------------------------------------------------------------------------------------------------------


def _print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    import csv
    import io

    line = io.StringIO()
    writer = csv.writer(line)
    cell = _excel_cell if _is_asked("excel") else csv_cell
    if cell is _excel_cell:
        _emit("\ufeff", out)  # by which Excel knows that it is UTF-8
    for row in _headed(columns, rows):
        writer.writerow([cell(value) for value in row])
        _emit(line.getvalue(), out)
        line.seek(0)
        line.truncate()


def _headed(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield columns
    yield from rows


def _excel_cell(value: Any) -> str:  # noqa: ANN401
    """As in any CSV; text that Excel would take for a date or a number is a formula that gives this very text."""
    cell = csv_cell(value)
    if isinstance(value, str) and _NOT_TEXT.match(cell):
        quoted = cell.replace('"', '""')
        return f'="{quoted}"'
    return cell


# --- tables -------------------------------------------------------------------------------------------------------


def _cell(column: str, value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "-"
    if column == "percent":
        return describe_percent(value).removesuffix(" %")
    if isinstance(value, datetime):
        return utc(value).strftime("%Y-%m-%d %H:%M:%SZ")
    if is_number(value):
        return number(value)
    text = cell_text(value)[: _LONGEST_CELL + 1]
    text = safe(re.sub(r"\s+", " ", text))
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def _print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO, title: str | None, drop: Sequence[str]
) -> None:
    """On a terminal as wide as that, with a title and colours; in a pipe whole, and plain."""
    is_terminal = out.isatty()
    width = shutil.get_terminal_size().columns if is_terminal and not _is_wide() else None
    if is_terminal and title is not None:
        _emit("\n".join(textwrap.wrap(safe(title), width or len(title))) + "\n\n", out)
    for line in tables.draw(columns, rows, _cell, width=width, styled=is_styled(out), ruled=is_terminal, drop=drop):
        _emit(line + "\n", out)


def is_styled(out: TextIO) -> bool:
    """Whether colours and bold are welcome: on a terminal that has them, unless NO_COLOR says otherwise."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _is_wide() -> bool:
    return _is_asked("wide")


def _is_asked(option: str) -> bool:
    """Whether an option of `row_options` was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(f"syncer.{option}"))


class _Lines:
    """Signs of life in a log: a line each ten seconds at most."""

    def __init__(self, label: str, total: int | None, err: TextIO) -> None:
        self._label, self._total, self._err = label, total, err
        self._done = 0
        self._last = time.monotonic()

    def advance(self) -> None:
        self._done += 1
        if time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            of = "" if self._total is None else f" of {self._total}"
            print_line(f"{self._label}: {self._done}{of}", out=self._err)


class _Bar:
    """A rich progress bar that is not there until `show()`, which may come from another thread."""

    def __init__(self, label: str, total: int | None, err: TextIO) -> None:
        self._label, self._total, self._err = safe(label), total, err
        self._done = 0
        self._shown: tuple[Progress, TaskID] | None = None

    def show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=self._err),
            transient=True,
            redirect_stdout=False,  # rows go to stdout, not where the bar is
            redirect_stderr=False,
        )
        self._shown = bar, bar.add_task(self._label, total=self._total)
        bar.start()
        self._update()

    def advance(self) -> None:
        self._done += 1
        self._update()

    def hide(self) -> None:
        if self._shown is not None:
            self._shown[0].stop()

    def _update(self) -> None:
        if self._shown is not None:
            bar, task = self._shown
            bar.update(task, completed=self._done)
