"""`syncer manual`: a page in a pipe, in a terminal, and one that does not exist."""

import os
import pty
import re
import subprocess
import sys

import pytest

from syncer import cli, manual
from tests.cli.home import ROOT


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command prints into a pipe."""
    assert cli.run(["manual", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("topic", manual.TOPICS)
def test_a_pipe_gets_the_page_as_it_is_written(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    """In a pipe each page is its Markdown, without the marks of what is generated."""
    text = shown(capsys, topic)
    assert text == manual.read(topic)
    assert "<!--" not in text


def test_no_topic_is_the_index(capsys: pytest.CaptureFixture[str]) -> None:
    """`syncer manual` begins at the beginning, and a page may be named as a link names it."""
    assert shown(capsys) == manual.read("index") == shown(capsys, "index.md")


def test_the_list_names_each_page(capsys: pytest.CaptureFixture[str]) -> None:
    """`--list` has each page with its heading."""
    lines = shown(capsys, "--list").splitlines()[1:]
    assert [line.split(maxsplit=1) for line in lines] == [[topic, manual.title(topic)] for topic in manual.TOPICS]


@pytest.mark.parametrize(("asked", "hint"), [("trsut", "Did you mean 'trust'?"), ("zzz", "Pages: index, operate")])
def test_an_unknown_page_gets_the_nearest_name(capsys: pytest.CaptureFixture[str], asked: str, hint: str) -> None:
    """A page that does not exist is a usage error with the nearest name, or with all of them."""
    assert cli.run(["manual", asked]) == 2
    said = capsys.readouterr().err
    assert f"The manual has no page {asked!r}." in said
    assert hint in said


@pytest.mark.parametrize("topic", manual.TOPICS)
def test_a_terminal_gets_it_rendered_through_its_pager(topic: str) -> None:
    """In a terminal the page goes through $PAGER, as text of the terminal's width: no marks, no links to files."""
    text = in_a_terminal("manual", topic, PAGER="sed s/^/paged:/", COLUMNS="90", TERM="xterm")
    lines = text.splitlines()
    assert all(line.startswith("paged:") for line in lines)
    assert manual.title(topic) in text
    assert not re.search(r"\]\([a-z]|^paged:(#|\||!)", text, re.MULTILINE)
    assert max(map(len, lines)) <= 90 + len("paged:")


def test_a_long_comment_stands_above_its_line() -> None:
    """In a narrow terminal no comment of an example goes on where the next line of code would begin."""
    text = in_a_terminal("manual", "alerts", PAGER="cat", COLUMNS="80", TERM="xterm")
    assert re.search(r"^ # against the price .* 1 % steps add up *\n min_percent = 5 *$", text, re.MULTILINE)


def in_a_terminal(*arguments: str, **environ: str) -> str:
    """What a command shows in a terminal of its own."""
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "syncer", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal, env={**os.environ, **environ}
    ):
        os.close(terminal)
        shown = b"".join(iter(lambda: _read(screen), b""))
    os.close(screen)
    return shown.decode().replace("\r\n", "\n").rstrip("\n")


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # the other side is closed
        return b""
