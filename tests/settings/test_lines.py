"""The line of each key: what a mistake is found by."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.settings.lines import find_lines

FILE = '''\
# a comment = with [brackets]
a = 1
"b c" . 'd' = """
x = 1
[no.table]
""""
[t] # comment
list = [ # [
  "]", '[',
  { x = 1 },
]
next = { a = [1,
 2], b = "}" }

[[s]]
name = \'\'\'
y = 2\'\'\'
[s.inner]
deep.er = 2
[[s]]
  name = "z \\" # = " # [[s]]
[[s.sub]]
k = 1979-05-27T07:32:00Z
[[s.sub]]
k = +1.5e3
[ "q.r" . s ]
last = true'''

LINES = {
    ("a",): 2,
    ("b c", "d"): 3,
    ("t",): 7,
    ("t", "list"): 8,
    ("t", "next"): 12,
    ("s",): 15,
    ("s", 0): 15,
    ("s", 0, "name"): 16,
    ("s", 0, "inner"): 18,
    ("s", 0, "inner", "deep", "er"): 19,
    ("s", 1): 20,
    ("s", 1, "name"): 21,
    ("s", 1, "sub"): 22,
    ("s", 1, "sub", 0): 22,
    ("s", 1, "sub", 0, "k"): 23,
    ("s", 1, "sub", 1): 24,
    ("s", 1, "sub", 1, "k"): 25,
    ("q.r", "s"): 26,
    ("q.r", "s", "last"): 27,
}


def test_each_header_and_key_has_its_line() -> None:
    """Comments, strings over several lines, lists, inline tables and nested tables put no key on a wrong line."""
    tomllib.loads(FILE)
    assert find_lines(FILE) == LINES


def test_windows_line_ends_count_as_one() -> None:
    """A file with CRLF has the same lines."""
    assert find_lines(FILE.replace("\n", "\r\n")) == LINES


def toml(text: str) -> str:
    """Text as a TOML string of one of its four forms, whichever can hold it."""
    plain = "".join(sign for sign in text if sign.isprintable())
    return {0: f"'{plain.replace(chr(39), '')}'", 1: f"'''{plain.replace(chr(39), '')}\n'''"}.get(
        len(text) % 4, f'"{plain.replace(chr(92), "").replace(chr(34), chr(92) + chr(34))}"'
    )


@given(st.lists(st.tuples(st.sampled_from(["[x]", "[[y]]", "k", "k.l"]), st.text(max_size=12)), max_size=12))
def test_every_key_of_a_valid_file_is_found(parts: list[tuple[str, str]]) -> None:
    """Whatever stands in the strings, the number of statements found is that of the statements written."""
    lines, places = ["# [", ""], 0
    for number, (form, text) in enumerate(parts):
        if form.startswith("["):
            head, name = form.count("["), form.strip("[]")
            lines.append(f"{'[' * head}{name}{number}{']' * head}")
            places += head
        else:
            lines.append(f"{form}{number} = [{toml(text)}, # {text.splitlines()[:1]}\n {toml(text[:3])}]")
            places += 1
    written = "\n".join(lines)
    assert len(_leaves(tomllib.loads(written))) <= places
    found = find_lines(written)
    assert len([place for place in found if not isinstance(place[-1], int)]) == places - sum(
        form == "[[y]]" for form, _ in parts
    )
    for place, line in found.items():
        key = next(str(part) for part in reversed(place) if isinstance(part, str))
        assert key in written.split("\n")[line - 1]


def _leaves(table: Any) -> list[Any]:
    return [leaf for value in table.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


@pytest.mark.parametrize("text", ["", "\n", "# only", "a=1"])
def test_small_files(text: str) -> None:
    """An empty file has no line; one key without an end of line has."""
    assert len(find_lines(text)) == text.count("=")
