"""output: what a terminal, a program and a spreadsheet get to see, whatever upstream wrote."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import pytest

from syncer.cli import tables
from syncer.cli.output import Format, json_line, print_line, print_rows, progress, safe
from syncer.core.model import Kind

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "a\x00b\x7fc",
    "a\rb\nc\td",
    "abc\u202ecba",
    "zero\u200bwidth\ufeff",
    "line\u2028sep",
    "tag\U000e0041",
    "lone\ud800surrogate",
    "[red]markup[/red] :smile:",
    "<script>alert(1)</script>",
    "'; DROP TABLE models; --",
    '=HYPERLINK("http://evil","x")',
    "name;=1+1",
    "name\t@x",
]
UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0041]"
)
NOON = datetime(2026, 11, 22, 17, 7, 35, 120, tzinfo=UTC)


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Always."""
        return True


def show(
    rows: Sequence[Sequence[Any]],
    format: Format,  # noqa: A002 - as print_rows names it
    columns: Sequence[str] = ("name",),
    out: TextIO | None = None,
) -> str:
    """What print_rows writes."""
    out = io.StringIO() if out is None else out
    print_rows(columns, rows, format=format, out=out)
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def cells(text: str) -> list[list[str]]:
    """CSV read back by an independent reader, strictly, without the header."""
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))[1:]


@pytest.mark.parametrize("format", ["table", "json", "csv"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_output_holds_a_character_that_steers(hostile: str, format: Format) -> None:  # noqa: A002
    """Law 12: no control, bidirectional, zero-width or surrogate character of upstream is left; a row is one line."""
    written = show([[hostile]], format).replace("\r\n", "\n")
    assert not UNSAFE.search(written)
    assert len(written.splitlines()) == (1 if format == "json" else 2)
    written.encode()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_terminal_gets_no_escape_of_upstream(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 12: on a terminal the only escapes are our own styles; upstream's are text."""
    monkeypatch.setenv("TERM", "xterm-256color")
    written = show([[hostile]], "table", out=Terminal())
    assert "\x1b[31m" not in written
    assert not UNSAFE.search(re.sub(r"\x1b\[[0-9;]*m", "", written))


def test_markup_prints_literally() -> None:
    """Law 12: a model named like rich markup or an emoji code prints as it is named."""
    out = Terminal()
    print_rows(["[b]name[/b]"], [["[red]x[/red] :smile: [/]"]], format="table", out=out, title="[i]\x1b[5mall")
    assert "[i]\\x1b[5mall" in out.getvalue()
    assert "[b]name[/b]" in out.getvalue()
    assert "[red]x[/red] :smile: [/]" in out.getvalue()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_json_loses_nothing(hostile: str) -> None:
    """JSON gives hostile text back as it was; only a lone surrogate, which is no text, is replaced."""
    assert json.loads(show([[hostile]], "json"))["name"] == hostile.replace("\ud800", "\ufffd")


@pytest.mark.parametrize(
    "number", ["0.1", "1e-18", "999999999999999", "-1", "0", "0.20", "123456789012345.000000000000000001", "1E+3"]
)
def test_decimals_survive_each_format(number: str) -> None:
    """Law 4: a Decimal is read back as the same number from JSON and CSV, written in plain digits."""
    value = Decimal(number)
    line, text, table = (show([[value]], format, ["price"]) for format in ("json", "csv", "table"))  # noqa: A001
    assert json.loads(line, parse_float=Decimal, parse_int=Decimal) == {"price": value}
    assert cells(text) == [[format(value, "f")]]
    assert table.splitlines()[1].strip() == format(value, "f")
    assert "e" not in line.replace("price", "").lower()


def test_json_forms() -> None:
    """JSON keys are the columns; unknown is null, times are RFC 3339 with Z, values keep their type."""
    east = timezone(timedelta(hours=2))
    row: list[Any] = [
        None,
        NOON,
        NOON.astimezone(east).replace(microsecond=0),
        True,
        10**30,
        Kind.ADDED,
        b"\x01\xff",
        {"a": [Decimal("0.5")]},
    ]
    assert show([row], "json", list("abcdefgh")) == (
        '{"a":null,"b":"2026-11-22T17:07:35.000120Z","c":"2026-11-22T17:07:35Z","d":true,'
        '"e":1000000000000000000000000000000,"f":"added","g":"01ff","h":{"a":[0.5]}}\n'
    )


def test_a_price_that_is_no_number_is_null() -> None:
    """A NaN or an infinity never makes a line that is not JSON."""
    assert (
        json_line({"a": Decimal("NaN"), "b": float("inf"), "c": Decimal("-Infinity")}) == '{"a":null,"b":null,"c":null}'
    )


def test_a_naive_time_is_a_bug() -> None:
    """A time without a zone is refused, in each format."""
    for format in ("json", "csv", "table"):  # noqa: A001
        with pytest.raises(ValueError, match="without a zone"):
            show([[NOON.replace(tzinfo=None)]], format)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' '=1"),
        ("\tx", "' x"),
        ("\rx", "' x"),
        ("  =1", "'  =1"),
        ("\u00a0=1", "'\u00a0=1"),
        ("\uff1d1", "'\uff1d1"),
        ("\x00=1", "'=1"),
        ("\u200b=1", "'=1"),
        ("a;=1", "a;'=1"),
        ("a\n=1", "a '=1"),
        ("a=1", "a=1"),
        ("a-b", "a-b"),
        ('say "hi", x', 'say "hi", x'),
        ("", ""),
    ],
)
def test_no_csv_cell_is_a_formula(text: str, cell: str) -> None:
    """Law 12: text that a spreadsheet would calculate is disarmed with an apostrophe; other text stays as it is."""
    assert cells(show([[text, "x"]], "csv", ["a", "b"])) == [[cell, "x"]]


def test_csv_forms() -> None:
    """In CSV numbers stay numbers, negative ones too; times are RFC 3339, unknown is empty, lines end in CRLF."""
    row = [Decimal(-1), -5, Decimal("1e-18"), NOON, None, True, {"a": None}]
    text = show([row], "csv", list("abcdefg"))
    assert text.startswith("a,b,c,d,e,f,g\r\n-1,-5,0.000000000000000001,2026-11-22T17:07:35.000120Z,,true,")
    assert text.endswith("\r\n")
    assert cells(text)[0][-1] == '{"a":null}'


def test_plain_table_is_aligned() -> None:
    """Piped, a table is aligned columns: numbers right, unknown a dash, times to the second, wide characters right."""
    rows: list[list[Any]] = [["a", Decimal("1.50"), NOON], ["\u6a21\u578b", None, None], ["abcde", Decimal(-10), None]]
    assert show(rows, "table", ["model", "price", "seen"]) == (
        "model  price  seen\na       1.50  2026-11-22 17:07:35Z\n\u6a21\u578b       -  -\nabcde    -10  -\n"
    )


def test_a_megabyte_name_does_not_flood_a_table() -> None:
    """Law 12: a table cuts an endless name; JSON and CSV give it whole."""
    name = "x" * 1_000_000
    assert show([[name]], "table") == f"name\n{'x' * 299}…\n"
    assert show([["x" * 300]], "table") == f"name\n{'x' * 300}\n"
    assert json.loads(show([[name]], "json"))["name"] == name
    assert cells(show([["y" * 100_000]], "csv")) == [["y" * 100_000]]


def test_no_rows_are_still_a_table() -> None:
    """Without rows there is a header (CSV, table) or nothing (JSON)."""
    assert [show([], format) for format in ("table", "json", "csv")] == ["name\n", "", "name\r\n"]  # noqa: A001


def test_rows_stream() -> None:
    """JSON and CSV are written row by row: a history larger than memory can be piped."""
    out = io.StringIO()

    def rows() -> Iterator[list[str]]:
        yield ["first"]
        assert "first" in out.getvalue()
        yield ["second"]

    for format in ("json", "csv"):  # noqa: A001
        out.seek(0)
        out.truncate()
        print_rows(["name"], rows(), format=format, out=out)


def test_a_stream_that_is_not_utf8_is_no_crash() -> None:
    """On a latin-1 or ASCII stream what cannot be encoded is escaped, in JSON without loss."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, "ascii", newline="")
    print_rows(["name"], [["\u6a21\U0001f600"]], format="json", out=out)
    print_rows(["name"], [["\u6a21"]], format="table", out=out)
    out.flush()
    first, *_, last = raw.getvalue().decode().splitlines()
    assert json.loads(first) == {"name": "\u6a21\U0001f600"}
    assert last == "\\u6a21"


def test_safe_shows_what_it_disarms() -> None:
    """Law 12: an unsafe character becomes a visible escape, ordinary text of any script stays."""
    assert safe("\x1b[0m\n\u202e\ud800\U000e0041") == "\\x1b[0m\\n\\u202e\\ud800\\U000e0041"
    assert (
        safe("d\u00e9j\u00e0 \u6a21\u578b \U0001f600 \u0645\u0631\u062d\u0628\u0627")
        == "d\u00e9j\u00e0 \u6a21\u578b \U0001f600 \u0645\u0631\u062d\u0628\u0627"
    )


def test_print_line_keeps_our_line_breaks() -> None:
    """A message of several lines stays so; an escape in it does not."""
    out = io.StringIO()
    print_line("one\ntwo\x1b[2J", out=out)
    assert out.getvalue() == "one\ntwo\\x1b[2J\n"


# --- a table that fits --------------------------------------------------------------------------------------------

COLUMNS = ("source", "model", "type", "price", "currency", "context_length", "missing_since", "held")
NAMES = ("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B", "Qwen/Qwen2.5-VL-72B-Instruct", "black-forest-labs/FLUX.1-schnell")
CATALOG = [("default", name, "Text", Decimal("0.55"), "USD", 131072, None, False) for name in NAMES]


def fitted(width: int, monkeypatch: pytest.MonkeyPatch, **environ: str) -> list[str]:
    """The catalog as a terminal of that width shows it."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    print_rows(COLUMNS, CATALOG, format="table", out=out, drop=("held", "currency", "source", "missing_since"))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 60, 80 and 120 columns no line is longer, prices and times are whole, and what was left out is named."""
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in fitted(width, monkeypatch)]
    assert max(map(len, plain)) <= width
    assert all("0.55" in line and "131072" in line for line in plain[2:5])
    left_out = {60: "source, currency, missing_since, held", 80: "missing_since", 120: None}[width]
    if left_out is None:
        assert all(name in "\n".join(plain) for name in NAMES)
    else:
        assert " ".join(plain[5:]) == f"left out for want of room: {left_out} (--wide)"


@pytest.mark.parametrize(("other", "left_out"), [("input", "component"), ("cache_read", "kind")])
def test_what_says_one_thing_is_missed_the_least(other: str, left_out: str) -> None:
    """Which price it is goes first where it is always the same one, and last where rows differ in it."""
    rows = [("a" * 20, "repriced", "input", Decimal(1)), ("b" * 20, "removed", other, Decimal(2))]
    columns = ("model", "kind", "component", "price")
    lines = tables.draw(columns, rows, lambda _, value: str(value), width=42, drop=("kind", "component"))
    assert f"left out for want of room: {left_out}" in " ".join(lines)


def test_a_long_title_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands above a table is no wider than the terminal either."""
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    print_rows(("a",), [(1,)], format="table", out=out, title="input, output in USD per 1M tokens; image in USD")
    assert max(map(len, out.getvalue().splitlines())) <= 40


def test_a_long_name_is_cut_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models differ at the end of their names as much as at the beginning."""
    line = fitted(60, monkeypatch)[2]
    assert re.search(r"deepseek-ai/\S*…\S*wen-32B", line)


def test_a_sentence_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prose is not cut but folded between its words."""
    monkeypatch.setenv("COLUMNS", "60")
    why = "the prices of 6 models look multiplied by 1000, which no rule of ours can believe at once"
    out = Terminal()
    print_rows(("finding", "why"), [(1, why)], format="table", out=out)
    lines = out.getvalue().splitlines()[2:]
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()[1:]) == why


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_colour_only_where_it_is_welcome(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome has its colour on a terminal, but for NO_COLOR and a dumb one, and never in a pipe."""
    monkeypatch.setenv("TERM", "xterm")
    rows = [("shop", "failed")]
    shown = show(rows, "table", ("source", "outcome"), Terminal())
    assert "\x1b[31mfailed" in shown
    assert "\x1b" not in show(rows, "table", ("source", "outcome"))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert "\x1b" not in show(rows, "table", ("source", "outcome"), Terminal())


def test_a_percent_for_eyes_and_for_programs() -> None:
    """A table shows one decimal of a percent, JSON and CSV all of it."""
    exact = Decimal("33.3333333333")
    assert show([[exact]], "table", ["percent"]).split() == ["percent", "+33.3"]
    assert show([[exact]], "json", ["percent"]) == '{"percent":33.3333333333}\n'
    assert cells(show([[exact]], "csv", ["percent"])) == [["33.3333333333"]]


def test_an_empty_table_says_why() -> None:
    """A table without rows is the sentence that explains it; JSON and CSV stay what programs expect."""
    out = io.StringIO()
    print_rows(["a"], [], format="table", out=out, empty="nothing has been observed yet")
    print_rows(["a"], [], format="json", out=out, empty="nothing has been observed yet")
    assert out.getvalue() == "nothing has been observed yet\n"


# --- progress -----------------------------------------------------------------------------------------------------


@contextmanager
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A real terminal: its stream to write to, and the descriptor that sees what was written."""
    seen, end = os.openpty()
    with os.fdopen(end, "w", encoding="utf-8") as stream:
        yield stream, seen
    os.close(seen)


def test_progress_is_silent_in_a_pipe() -> None:
    """Nothing is drawn where stderr is no terminal."""
    err = io.StringIO()
    with progress("syncing", total=2, err=err, patience=0) as advance:
        advance()
    assert not err.getvalue()


def test_progress_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe long work says how far it is, in a line each ten seconds at most."""
    now = iter([0.0, 5.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr("syncer.cli.output.time.monotonic", lambda: next(now))
    err = io.StringIO()
    with progress("importing", total=9, err=err, in_pipe=True) as advance:
        for _ in range(3):
            advance()
    assert err.getvalue() == "importing: 2 of 9\n"


def test_progress_is_silent_when_quick() -> None:
    """Nothing is drawn for a wait that nobody notices."""
    err = Terminal()
    with progress("syncing", total=1, err=err, patience=60) as advance:
        advance()
    assert not err.getvalue()


def test_progress_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a longer wait shows its label and how far it is, and the label cannot steer."""
    monkeypatch.setenv("TERM", "xterm")
    with terminal() as (err, seen), progress("[b]sync\x1b[2J", total=3, err=err, patience=0) as advance:
        advance()
        written = ""
        while "1/3" not in written:  # the test's own timeout is the deadline
            written += os.read(seen, 65536).decode()
    assert "[b]sync\\x1b[2J" in written


def test_a_value_without_a_form_is_its_str() -> None:
    """A path or another object in a row is its str, never a crash or a repr of its inside."""
    assert json_line({"path": Path("a/b")}) == '{"path":"a/b"}'
    assert show([[Path("a/b"), ["x", "y"]]], "table", ["p", "l"]).splitlines()[1] == "a/b  x, y"
