"""JSON text as it stands: where each value begins and ends, without making one object of it.

- This is the slow reader, for what the fast one cannot be asked: how many elements there are before they become
  objects, a body that only the standard json module takes, a key that an object holds twice, the name in an element
  that is too long.
- It trusts that the text is well-formed; where it is not, it ends early, and never runs longer than the text.
- Nesting costs it no stack.
"""

import codecs
import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate, islice
from typing import Any

import msgspec

Bytes = bytes | bytearray

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BETWEEN = rb'[^"\[\]{}]++|' + _STRING
_SHALLOW = rb"[\[{](?:" + _BETWEEN + rb")*+[\]}]"  # an array or object that holds no other
for _ in range(3):  # and up to three levels of others
    _SHALLOW = rb"[\[{](?:" + _BETWEEN + rb"|" + _SHALLOW + rb")*+[\]}]"
_NESTING = re.compile(rb"(?:" + _BETWEEN + rb")*+([\[\]{}])", re.DOTALL)  # up to the next bracket, in C
_INNER_NESTING = re.compile(rb"(?:" + _BETWEEN + rb"|" + _SHALLOW + rb")*+([\[\]{}])", re.DOTALL)
_SCALAR = re.compile(_STRING + rb"|[^\s,\]}]+", re.DOTALL)
_WORD = re.compile(rb'(?:[^"NI]++|' + _STRING + rb")*+(NaN|Infinity)", re.DOTALL)  # outside of texts
_PAIR = rb"\\u[dD][89abAB]..\\u[dD][c-fC-F].."
_LONE = re.compile(rb"(?:[^\\]++|\\[^u]|\\u[^dD]|\\u[dD][0-7]|" + _PAIR + rb")*+\\(u[dD][89a-fA-F]..)", re.DOTALL)
_BEFORE_VALUE = re.compile(rb"[ \t\r\n]*,?[ \t\r\n]*" + _STRING + rb"[ \t\r\n]*:[ \t\r\n]*", re.DOTALL)
_OPENING = frozenset(b"[{")
_STRINGS = re.compile(_STRING, re.DOTALL)
_WHOLE = re.compile(rb'(?:[^"]++|' + _STRING + rb")*+", re.DOTALL)  # up to a text that goes on beyond
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one level down, one level up
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NEAR = 10_000
"""So many brackets are gone through one by one before a value counts as a long one."""
_PIECE = 65_536
_MAX_DOUBLED = 3
_MAX_ODD = 1_000_000
"""So many NaN or lone surrogates are no slip of a catalog."""


def skip_space(text: Bytes, at: int) -> int:
    """Where the next thing begins."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def value_end(text: Bytes, at: int) -> int:
    """Where the value that begins at `at` ends; the end of the text where it never does."""
    if at >= len(text):
        return at
    if text[at] not in _OPENING:
        found = _SCALAR.match(text, at)
        return found.end() if found else len(text)
    return _closing(text, at, 0, _NEAR)


def _closing(text: Bytes, at: int, depth: int, patience: int) -> int:
    """Where the value ends that is `depth` brackets deep at `at`."""
    # Anchored: a search would begin again at each byte of a cut-off text.
    while bracket := (_INNER_NESTING if depth else _NESTING).match(text, at):
        at = bracket.end()
        depth += 1 if text[at - 1] in _OPENING else -1
        if depth == 0:
            return at
        patience -= 1
        if patience == 0:
            return _far_closing(text, at, depth)
    return len(text)


def _far_closing(text: Bytes, at: int, depth: int) -> int:
    """The same of a long value: piece by piece, with the brackets of each added up in C."""
    while at < len(text):
        found = _WHOLE.match(text, at, at + _PIECE)
        piece = found[0] if found else b""
        if not piece:  # a text that is longer than a piece
            found = _SCALAR.match(text, at)
            at = found.end() if found else len(text)
            continue
        steps = array("b", _STRINGS.sub(b"", piece).translate(_STEPS, _NO_BRACKETS))
        if min(accumulate(steps, initial=depth)) <= 0:
            return _closing(text, at, depth, _PIECE + 1)
        depth += sum(steps)
        at += len(piece)
    return len(text)


def items(text: Bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where each item of the array at `at` begins and ends."""
    at = skip_space(text, at + 1)
    while at < len(text) and text[at] != 0x5D:
        end = value_end(text, at)
        if end == at:
            return
        yield at, end
        at = _after_comma(text, end)


def members(text: Bytes, at: int) -> Iterator[tuple[str, int, int]]:
    """The key of each member of the object at `at`, and where its value begins and ends; a key held twice is twice."""
    at = skip_space(text, at + 1)
    while found := _key_and_start(text, at):
        key, start = found
        end = value_end(text, start)
        yield key, start, end
        at = _after_comma(text, end)


def find(text: Bytes, path: tuple[str, ...]) -> bytes | None:
    """The value at a path of keys, as it is written; the last one where an object holds a key twice."""
    at = skip_space(text, 0)
    end = value_end(text, at)
    for wanted in path:
        if text[at : at + 1] != b"{":
            return None
        spans = [(start, stop) for key, start, stop in members(text, at) if key == wanted]
        if not spans:
            return None
        at, end = spans[-1]
    return bytes(text[at:end])


def has_more(text: Bytes, path: tuple[str, ...], limit: int) -> bool:
    """Whether more than `limit` elements stand at `path`, of which each `*` is every key of a map."""
    return any(count > limit for count, _ in enumerate(_elements(text, skip_space(text, 0), path), start=1))


def doubled(text: Bytes) -> tuple[str, ...]:
    """The keys that an object in this value holds twice, at any depth; the first few of them, inner ones first."""
    found: dict[str, None] = {}

    def compare(pairs: list[tuple[str, object]]) -> None:
        if len(found) < _MAX_DOUBLED and len(dict(pairs)) != len(pairs):
            count = Counter(key for key, _ in pairs)
            found.update((key, None) for key in count if count[key] > 1)

    decoder = json.JSONDecoder(object_pairs_hook=compare, parse_int=len, parse_float=len, parse_constant=len)
    with suppress(ValueError, RecursionError):  # what else is wrong with it, the reader of its values says
        decoder.decode(bytes(text).decode("utf-8", "surrogatepass"))
    return tuple(islice(found, _MAX_DOUBLED))


def holds_each_once(raw: bytes, members: Iterable[tuple[str, bytes]]) -> bool:
    """Whether the object's values, one after the other, are exactly these: no key stands there twice."""
    at = skip_space(raw, 0) + 1
    for _, value in members:
        found = _BEFORE_VALUE.match(raw, at)
        if found is None or not raw.startswith(value, found.end()):
            return False
        at = found.end() + len(value)
    return raw[skip_space(raw, at) :].strip() == b"}"


def cleaned(text: bytes) -> Bytes:
    """The text with what only the standard json module takes (lone surrogates, NaN) replaced, at the same length.

    Raises ValueError where there is too much of it.
    """
    clean = bytearray(text)
    odd = 0
    for pattern in (_LONE, _WORD):
        at = 0
        while found := pattern.match(text, at):
            odd += 1
            if odd > _MAX_ODD:
                raise ValueError(f"it holds more than {_MAX_ODD:,} NaN or halves of characters")
            start, at = found.span(1)
            clean[start:at] = b"ufffd" if pattern is _LONE else b"1" * (at - start)
    return clean


def utf8(body: Bytes) -> bytes:
    """The body as UTF-8 (lone surrogates kept), by the rules of json.loads; raises ValueError where it is no text."""
    encoding = json.detect_encoding(bytes(body[:4]))
    if encoding != "utf-8":
        return bytes(body).decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")  # as one text it could take four times the room
    for at in range(0, len(body), _PIECE):
        decoder.decode(bytes(body[at : at + _PIECE]))
    decoder.decode(b"", final=True)
    return bytes(body)


def _starts(text: Bytes, at: int) -> Iterator[tuple[str, int]]:
    """The key of each member, and where its value begins; where that ends is asked only to go on."""
    at = skip_space(text, at + 1)
    while found := _key_and_start(text, at):
        yield found
        at = _after_comma(text, value_end(text, found[1]))


def _key_and_start(text: Bytes, at: int) -> tuple[str, int] | None:
    if text[at : at + 1] != b'"':
        return None
    after_key = value_end(text, at)
    start = skip_space(text, skip_space(text, after_key) + 1)  # past the colon
    return (_text_of(text[at:after_key]), start) if start < len(text) else None


def _after_comma(text: Bytes, at: int) -> int:
    at = skip_space(text, at)
    return skip_space(text, at + 1) if text[at : at + 1] == b"," else at


def _text_of(literal: Bytes) -> str:
    """The text that a JSON string spells, however odd; the literal itself where it spells none."""
    try:
        return str(msgspec.json.decode(literal))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        value: Any = json.loads(bytes(literal).decode("utf-8", "surrogatepass"))
    except ValueError:
        return repr(bytes(literal))
    return str(value)


def _elements(text: Bytes, at: int, path: tuple[str, ...]) -> Iterator[int]:
    """Where each element at `path` begins, in every object that holds a part of it."""
    if not path:
        if text[at : at + 1] == b"[":
            at = skip_space(text, at + 1)
            while at < len(text) and text[at] != 0x5D:
                yield at
                at = _after_comma(text, value_end(text, at))
    elif text[at : at + 1] == b"{":
        for key, start in _starts(text, at):
            if path == ("*",):
                yield start
            elif path[0] in ("*", key):
                yield from _elements(text, start, path[1:])
