"""All that the command line prints as rows and lines; nothing else in syncer writes to stdout.

- Upstream text is hostile (law 12). One set of characters, `_UNSAFE`, can steer a terminal, reorder or hide text, or
  break a line: tables show it escaped, JSON escapes it (nothing is lost), CSV leaves it out. rich never
  sees markup: a model named `[red]` prints as `[red]`.
- `table` is for eyes (long cells are cut), `json` for programs (one object a line, lossless), `csv` for spreadsheets
  (no cell is a formula, numbers stay numbers).
- Prices are Decimals to the end (law 4); times are aware, and UTC in all output.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TextIO
from unicodedata import combining, east_asian_width

import msgspec

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Format = Literal["table", "json", "csv"]

_LONGEST_CELL = 300  # in a table: names (255 at most) stay whole, a description of 10 MB does not
_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 controls: escape sequences begin with one
    "\xad\u061c\u180e\u200b-\u200f\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or turns the direction of writing
    "\u2028-\u202e"  # line and paragraph separators, embeddings and overrides
    "\ud800-\udfff"  # lone surrogates: no encoding carries them
    "\U000e0000-\U000e007f"  # tags: a whole hidden alphabet
    "]"
)
# A cell may also be split at ; or a tab by a spreadsheet whose list separator is not the comma.
_FORMULA = re.compile("^(?=[\t\r\n])|(^|[;\t\r\n])(?=\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20])")
_JSON = msgspec.json.Encoder()


def safe(text: str) -> str:
    """`text` for a terminal or a log, on one line: each unsafe character, line breaks too, as a visible escape."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def json_line(obj: Mapping[str, Any]) -> str:
    """`obj` as JSON on one line: Decimals as plain numbers without loss, aware datetimes as RFC 3339 with Z.

    What JSON has no form for (a path, an enum, a `Secret`) is its `str`. Raises ValueError for a naive datetime.
    """
    return _UNSAFE.sub(_json_escape, _JSON.encode(_json_value(obj)).decode())


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
) -> None:
    """Write `rows`, each as long as `columns`. JSON and CSV stream; a table is gathered first.

    A table is drawn by rich if `out` is a terminal, otherwise it is plain aligned columns without the title.
    """
    if format == "json":
        for row in rows:
            _emit(json_line(dict(zip(columns, row, strict=True))) + "\n", out)
    elif format == "csv":
        _print_csv(columns, rows, out)
    elif out.isatty():
        _print_rich(columns, list(rows), out, title)
    else:
        _print_plain(columns, list(rows), out)


@contextmanager
def progress(label: str, *, total: int | None, err: TextIO, patience: float = 0.5) -> Iterator[Callable[[], None]]:
    """A progress bar on `err` while the block runs; call what it yields once per finished piece.

    It appears after `patience` seconds, and only if `err` is a terminal; `total` None is a wait without known end.
    """
    if not err.isatty():
        yield lambda: None
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


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"A time without a zone is not printed: {moment.isoformat()}")
    return moment.astimezone(UTC)


def _rfc3339(moment: datetime) -> str:
    return _utc(moment).isoformat().replace("+00:00", "Z")


def _number(value: float | Decimal) -> str:
    """A number in plain digits, never with an exponent where it is exact."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _json_value(value: Any) -> Any:  # noqa: ANN401 - a row holds anything
    """`value` in the forms that the encoder writes without loss."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Decimal):
        return msgspec.Raw(_number(value).encode()) if value.is_finite() else None
    if isinstance(value, datetime):
        return _rfc3339(value)
    if isinstance(value, Mapping):
        return {_whole(str(key)): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(item) for item in value]
    return _whole(_text(value))


def _whole(text: str) -> str:
    """`text` with its lone surrogates replaced: JSON readers disagree on them."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _text(value: Any) -> str:  # noqa: ANN401
    """A value that is neither None, a time nor a number, as the text of a cell."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return json_line(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def _emit(text: str, out: TextIO) -> None:
    try:
        out.write(text)
    except UnicodeEncodeError:  # a stream that is not UTF-8: \uXXXX is right in JSON and legible elsewhere
        out.write(re.sub(r"[^\x00-\x7f]", _json_escape, text))


# --- CSV ----------------------------------------------------------------------------------------------------------


def _print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    import csv
    import io

    line = io.StringIO()
    writer = csv.writer(line)
    for row in _headed(columns, rows):
        writer.writerow([_csv_cell(value) for value in row])
        _emit(line.getvalue(), out)
        line.seek(0)
        line.truncate()


def _headed(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield columns
    yield from rows


def _csv_cell(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return ""
    if isinstance(value, datetime):
        return _rfc3339(value)
    return _number(value) if _is_number(value) else _csv_text(_text(value))


def _csv_text(text: str) -> str:
    """`text` on one line, without control characters, and not a formula."""
    kept = _UNSAFE.sub(lambda found: found[0] if found[0] in "\t\r\n" else "", text)
    return re.sub(r"\s*[\t\r\n]\s*", " ", _FORMULA.sub(r"\1'", kept))


# --- tables -------------------------------------------------------------------------------------------------------


def _cell(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return _utc(value).strftime("%Y-%m-%d %H:%M:%SZ")
    if _is_number(value):
        return _number(value)
    text = _text(value)[: _LONGEST_CELL + 1]
    text = safe(re.sub(r"\s+", " ", text))
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def _numeric(rows: Iterable[Sequence[Any]], index: int) -> bool:
    """True if a column holds numbers and nothing else: those stand to the right."""
    values = [row[index] for row in rows if row[index] is not None]
    return bool(values) and all(_is_number(value) for value in values)


def _print_plain(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    right = [_numeric(rows, index) for index in range(len(columns))]
    for line in cells:
        padded = (_pad(*each) for each in zip(line, widths, right, strict=True))
        _emit("  ".join(padded).rstrip() + "\n", out)


def _width(text: str) -> int:
    """How many places `text` takes on a screen: an ideograph takes two, an accent none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _pad(text: str, width: int, right: bool) -> str:
    blank = " " * (width - _width(text))
    return blank + text if right else text + blank


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO, title: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, title=None if title is None else safe(title), title_justify="left")
    for index, column in enumerate(columns):
        right = _numeric(rows, index)
        table.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    # Without the three, rich reads names as markup, emoji codes and things to colour.
    console = Console(file=out, markup=False, emoji=False, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    _emit(drawn.get(), out)


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
