"""JSON text as it stands: where each value begins and ends, without making one object of it.

- This is the slow reader, for what the fast one cannot be asked: how many elements there are before they become objects,
  a body that only the standard json module takes, a key that an object holds twice, the name in an element too long.
- It trusts that the text is well-formed; where it is not, it ends early, and never runs longer than the text.
- Nesting costs it no stack.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

Bytes = bytes | bytearray

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_NESTING = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)  # up to the next bracket, in C
_SCALAR = re.compile(_STRING + rb"|[^\s,\]}]+", re.DOTALL)
_WORD = re.compile(_STRING + rb"|NaN|-?Infinity", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
_BEFORE_VALUE = re.compile(rb"[ \t\r\n]*,?[ \t\r\n]*" + _STRING + rb"[ \t\r\n]*:[ \t\r\n]*", re.DOTALL)
_OPENING, _CLOSING = frozenset(b"[{"), frozenset(b"]}")


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
    depth = 0
    for token in _NESTING.finditer(text, at):
        character = text[token.end() - 1]
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
            if depth == 0:
                return token.end()
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
    while at < len(text) and text[at] == 0x22:
        after_key = value_end(text, at)
        key = text[at:after_key]
        at = skip_space(text, skip_space(text, after_key) + 1)  # past the colon
        end = value_end(text, at)
        if end <= at:
            return
        yield _text_of(key), at, end
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
    count = 0
    for _ in _elements(text, skip_space(text, 0), path):
        count += 1
        if count > limit:
            return True
    return False


def doubled(text: Bytes) -> tuple[str, ...]:
    """The keys that an object in this value holds twice, at any depth."""
    found: list[str] = []
    waiting = [skip_space(text, 0)]
    while waiting:
        at = waiting.pop()
        if text[at : at + 1] == b"[":
            waiting += [start for start, _ in items(text, at) if text[start] in _OPENING]
        elif text[at : at + 1] == b"{":
            seen: set[str] = set()
            for key, start, _ in members(text, at):
                if key in seen:
                    found.append(key)
                seen.add(key)
                if text[start] in _OPENING:
                    waiting.append(start)
    return tuple(dict.fromkeys(found))


def holds_each_once(raw: bytes, members: Iterable[tuple[str, bytes]]) -> bool:
    """Whether the object's values, one after the other, are exactly these: no key stands there twice."""
    at = skip_space(raw, 0) + 1
    for _, value in members:
        found = _BEFORE_VALUE.match(raw, at)
        if found is None or not raw.startswith(value, found.end()):
            return False
        at = found.end() + len(value)
    return raw[skip_space(raw, at) :].strip() == b"}"


def cleaned(text: bytes) -> bytes:
    """The text with what only the standard json module takes (lone surrogates, NaN) replaced, at the same length."""
    clean = bytearray(text)
    for escape in _ESCAPE.finditer(text):
        if escape[1]:
            clean[escape.start(1) : escape.end(1)] = b"ufffd"
    if b"NaN" in text or b"Infinity" in text:
        for word in _WORD.finditer(text):
            if text[word.start()] != 0x22:
                sign = text[word.start() : word.start() + 1] == b"-"
                clean[word.start() + sign : word.end()] = b"1" * (word.end() - word.start() - sign)
    return bytes(clean)


def utf8(body: Bytes) -> bytes:
    """The body as UTF-8 (lone surrogates kept), by the rules of json.loads; raises ValueError where it is no text."""
    text = bytes(body).decode(json.detect_encoding(bytes(body[:4])), "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


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
            yield from (start for start, _ in items(text, at))
    elif text[at : at + 1] == b"{":
        for key, start, _ in members(text, at):
            if path == ("*",):
                yield start
            elif path[0] in ("*", key):
                yield from _elements(text, start, path[1:])
