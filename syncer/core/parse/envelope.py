"""Bytes -> the raw elements of a response, and what its envelope says about them.

- A response is usable whole or not at all: HTML, truncated JSON, another shape or another `success` is a BadResponse,
  in upstream's own words where it has any (law 3).
- The fast decoder never has the last word: what it refuses and the standard json module takes is read by scan.py.
- Elements are counted before they become objects (law 12).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import msgspec
from msgspec import Raw

from syncer.core.formats import CompiledFormat, Path
from syncer.core.parse import scan, words
from syncer.core.parse.scan import Bytes
from syncer.core.prices import JSON_SPACE, json_type
from syncer.errors import BadResponse

MAX_ELEMENTS = 150_000
LARGE_BODY = 64 * 1024 * 1024
_BYTES_AN_ELEMENT = 300
"""A body of more than LARGE_BODY may list more: whoever raised `max_body` has a larger catalog."""
_FEW_COMMAS, _FEW_COMMAS_OF_A_MAP = 3_000_000, 500_000
"""A body with fewer commas cannot hold so many elements that not counting them first would cost 300 MB. Without
maps, a body of more than LARGE_BODY may have more in proportion: catalogs have one in 30 bytes, and this is one in 22.
"""
MAX_ELEMENT = 262_144
"""The longest element that is read, in bytes."""
_MAX_HINT = 65_536
_MAX_SPLIT = 2**26
"""How many bytes the elements that a `split` makes may take in all."""

_META = ("meta", "metadata", "pagination", "paging", "page_info", "pageInfo", "page", "links", "_links")
_MORE = ("has_more", "hasMore", "has_next", "hasNextPage", "truncated", "is_truncated")
_NEXT = (
    *("next", "next_page", "nextPage", "next_url", "next_cursor", "nextCursor", "nextPageToken", "next_page_token"),
    *("@odata.nextLink", "NextPageLink"),
)
_TOTAL = ("total", "total_count", "totalCount", "total_models", "count")
_TOTAL_PAGES = ("total_pages", "totalPages")
_HINTS = (*_META, *_MORE, *_NEXT, *_TOTAL, *_TOTAL_PAGES)
_DEEP = "the response is nested too deeply to be a catalog"

Keys = tuple[str, ...]
Part = tuple[Keys, bytes]
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_list = msgspec.json.Decoder(list[Raw]).decode


class Body(msgspec.Struct, frozen=True):
    """A response taken apart.

    `elements` are the raw elements as sent; `keys` the keys of the maps that each stands under, for a format of maps.
    `broken` are parts in which elements should stand and that cannot be entered, each with the keys above it. `hints`
    are the members of the envelope that may say how much there is, outermost first. `sent` counts the elements, before
    any is split.
    """

    elements: list[Raw | bytes]
    keys: Sequence[Keys] | None
    broken: Sequence[Part]
    hints: Sequence[Mapping[str, bytes]]
    sent: int


def take_apart(body: Bytes, fmt: CompiledFormat) -> Body:
    """The elements of a response in this format; raises BadResponse where it is no catalog."""
    _refuse_too_many(body, fmt)
    patient = False
    try:
        at, hints = _fast(body, fmt)
    except RecursionError:
        raise BadResponse(_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        at, hints = _slow(body, fmt, str(error))
        patient = True
    whole = _of_maps(at, fmt, hints, patient=patient) if fmt.stars else Body(at, None, (), hints, len(at))
    refuse_more(len(whole.elements), len(body))
    return _of_split(whole, fmt, len(body), patient=patient) if fmt.split else whole


def refuse_more(elements: int, size: int) -> None:
    """Raise BadResponse if so many elements are more than a response of so many bytes may list."""
    if elements > _most(size):
        raise _too_many(size)


def _too_many(size: int) -> BadResponse:
    return BadResponse(f"the response lists more than {_most(size):,} elements, which no catalog of its size does")


def _most(size: int) -> int:
    return MAX_ELEMENTS if size <= LARGE_BODY else size // _BYTES_AN_ELEMENT


def _refuse_too_many(body: Bytes, fmt: CompiledFormat) -> None:
    """Raise BadResponse for more elements, or maps of them, than a catalog has, before they become objects."""
    few = _FEW_COMMAS_OF_A_MAP if fmt.stars else _FEW_COMMAS * max(1, len(body) / LARGE_BODY)
    if body.count(b",") < few:
        return
    maps = [fmt.models[:depth] for depth, key in enumerate(fmt.models, 1) if key == "*"]
    if any(scan.has_more(body, path, _most(len(body))) for path in maps or [fmt.models]):
        raise _too_many(len(body))


def partial_hint(hints: Sequence[Mapping[str, bytes]], sent: int) -> str | None:
    """The key that says that the list is not whole, if any does."""
    for level in hints:
        for key, raw in level.items():
            value = _small(raw)
            if key in _META and isinstance(value, dict):
                for inner, held in value.items():
                    if _says_partial(inner, held, sent):
                        return f"{key}.{inner}"
            if _says_partial(key, value, sent):
                return key
    return None


def total_hint(hints: Sequence[Mapping[str, bytes]]) -> int | None:
    """How many elements there are in all, if the envelope says so."""
    return _number_at(hints, _TOTAL)


def page_count(hints: Sequence[Mapping[str, bytes]]) -> int | None:
    """How many pages there are, if the envelope says so."""
    return _number_at(hints, _TOTAL_PAGES)


def text_of(raw: bytes | None) -> str | None:
    """A cursor or a link: a text or a number of the envelope."""
    value = None if raw is None else _small(raw)
    return str(value) if isinstance(value, str) or type(value) is int else None


def wrapped(keys: Keys, value: Raw | bytes) -> bytes:
    """An element of a map with the keys that it stands under: valid JSON, and what is kept of it."""
    written = bytes(value)
    for key in reversed(keys):
        written = b"{" + _encoded(key) + b":" + written + b"}"
    return written


def unwrapped(raw: bytes, stars: int) -> tuple[Keys, Raw | bytes]:
    """The keys and the value of an element of a map that was kept so."""
    keys: list[str] = []
    value: Raw | bytes = raw
    for _ in range(stars):
        ((key, start, end),) = list(scan.members(bytes(value), 0))
        keys.append(key)
        value = bytes(value)[start:end]
    return tuple(keys), value


# -- the fast way ------------------------------------------------------------------------------------------------------


def _fast(body: Bytes, fmt: CompiledFormat, *, whole: bool = False) -> tuple[Any, Sequence[Mapping[str, bytes]]]:
    """The list (as a `whole`, and in a format of maps: its text), and the hints of each level above it."""
    decode, steps, keys = _decoder(fmt.models, tuple(path[0] for path, _ in fmt.success if len(path) == 1), whole=whole)
    value = decode(body)
    hints: list[Mapping[str, bytes]] = []
    for depth in range(steps):
        held = {key: bytes(raw) for key, name in keys[depth] if (raw := getattr(value, name))}
        if depth == 0 and not _succeeds(held, body, fmt):
            raise _explain(body, fmt)
        hints.append({key: raw for key, raw in held.items() if key in _HINTS})
        value = value.at
    if steps == 0 and not _succeeds({}, body, fmt):
        raise _explain(body, fmt)
    return value, [] if fmt.stars else hints


@lru_cache(maxsize=64)
def _decoder(
    models: Path, success: tuple[str, ...], *, whole: bool
) -> tuple[Any, int, Sequence[Sequence[tuple[str, str]]]]:
    """A decoder for the envelopes above the list, in one pass; each level has the next one at `.at`."""
    path = models[: models.index("*")] if "*" in models else models
    at: Any = Raw if whole or "*" in models else list[Raw]
    levels: list[Sequence[tuple[str, str]]] = []
    for depth in reversed(range(len(path))):
        wanted = dict.fromkeys((*_HINTS, *(success if depth == 0 else ())))
        wanted.pop(path[depth], None)
        named = [(key, f"k{index}") for index, key in enumerate(wanted)]
        fields: list[Any] = [("at", at), *((name, Raw, msgspec.field(default=Raw(b""))) for _, name in named)]
        rename = {"at": path[depth]} | {name: key for key, name in named}
        at = msgspec.defstruct("Envelope", fields, rename=rename)
        levels.append(named)
    return msgspec.json.Decoder(at).decode, len(path), levels[::-1]


def _succeeds(held: Mapping[str, bytes], body: Bytes, fmt: CompiledFormat) -> bool:
    """Whether the envelope says what it must."""
    for path, wanted in fmt.success:
        raw = held[path[0]] if len(path) == 1 and path[0] in held else scan.find(body, path)
        value = None if raw is None else _small(raw)
        if type(value) is not type(wanted) or value != wanted:
            return False
    return True


# -- the slow way ------------------------------------------------------------------------------------------------------


def _slow(body: Bytes, fmt: CompiledFormat, complaint: str) -> tuple[Any, Sequence[Mapping[str, bytes]]]:
    """The same of a body that the fast decoder refused: one lone surrogate in one description would cost it whole.

    What it stumbles over is replaced at the same length, so that it finds the places, and the bytes stay as sent.
    """
    if not body.strip(JSON_SPACE.encode()):
        raise BadResponse("the response is empty")
    text, clean = _valid(body, complaint)
    if text != body:  # else it has been counted as it is
        _refuse_too_many(clean, fmt)
    try:
        value, hints = _fast(clean, fmt, whole=True)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _scanned(body, text, fmt), []
    held = memoryview(value)
    start = clean.find(held)
    if fmt.stars:
        return text[start : start + len(held)], hints
    if bytes(held[:1]) != b"[":
        raise _explain(body, fmt)
    elements: list[Raw] = []
    at = start + 1
    found = _list(held)
    refuse_more(len(found), len(text))
    for element in found:
        at = scan.skip_space(text, at)
        elements.append(Raw(text[at : at + len(element)]))
        at = scan.skip_space(text, at + len(element)) + 1  # past the comma
    return elements, hints


def _scanned(body: Bytes, text: bytes, fmt: CompiledFormat) -> Any:  # noqa: ANN401 - a list, or the text of a map
    """The same of an envelope that holds a key twice, once with something else: the last one counts."""
    held = scan.find(text, fmt.models[: fmt.models.index("*")] if fmt.stars else fmt.models)
    if held is None or held[:1] != (b"{" if fmt.stars else b"[") or not _succeeds({}, text, fmt):
        raise _explain(body, fmt)
    return held if fmt.stars else [Raw(held[start:end]) for start, end in scan.items(held, 0)]


def _valid(body: Bytes, complaint: str) -> tuple[bytes, Bytes]:
    """The body as UTF-8, and as what any decoder takes; raises BadResponse where even the json module takes neither."""
    try:
        text = scan.utf8(body)
        clean = scan.cleaned(text)
        msgspec.json.decode(clean, type=Raw)
    except RecursionError:
        raise BadResponse(_DEEP) from None
    except (ValueError, msgspec.DecodeError) as error:
        kind = "HTML" if bytes(body[:512]).lstrip().startswith(b"<") else f"not JSON ({complaint}; {error})"
        raise BadResponse(f"the response is {words.plain(kind)}; {words.begins(body)}") from None
    return text, clean


def _explain(body: Bytes, fmt: CompiledFormat) -> BadResponse:
    """Why a response that is JSON is no catalog, in its own words where it has any."""
    text, _ = _valid(body, "")
    said = words.says(text)
    first = text[(at := scan.skip_space(text, 0)) : at + 1]
    if fmt.models and first != b"{":
        found = json_type(_patient(scan.find(text, ()), whole=False))
        return BadResponse(f"the response is {found} where an object belongs; {said}{words.begins(body)}")
    for path, wanted in fmt.success:
        value = _patient(scan.find(text, path))
        if type(value) is not type(wanted) or value != wanted:
            stated = (
                f"{'.'.join(path)} is {words.short(value)}" if value is not None else f"there is no {'.'.join(path)}"
            )
            message = _patient(scan.find(text, fmt.message)) if fmt.message else None
            told = f"it says: {words.excerpt(message)}; " if isinstance(message, str) and message else said
            return BadResponse(f"upstream does not report success ({stated}); {told}{words.begins(body)}")
    where = "the response"
    for depth in range(len(fmt.models) + 1):
        path = fmt.models[:depth]
        if "*" in path:
            break
        value = _patient(scan.find(text, path), whole=False)
        where = f"`{'.'.join(path)}`" if path else "the response"
        belongs = "a list" if path == fmt.models else "an object"
        if not isinstance(value, list if path == fmt.models else dict):
            return BadResponse(f"{where} is {json_type(value)} where {belongs} belongs; {said}{words.begins(body)}")
    return BadResponse(f"{where} is not in the shape of the format {fmt.name!r}; {said}{words.begins(body)}")


def _patient(raw: bytes | None, *, whole: bool = True) -> Any:  # noqa: ANN401 - any JSON
    """A value of the envelope; of a list or an object only its kind is looked at."""
    if raw is None:
        return None
    if raw[:1] in (b"[", b"{") and not whole:
        return [] if raw[:1] == b"[" else {}
    try:
        return json.loads(raw[:_MAX_HINT].decode("utf-8", "surrogatepass"), parse_constant=str)
    except (ValueError, RecursionError):
        return bytes(raw[:80]).decode("utf-8", "replace")


def _small(raw: bytes) -> Any:  # noqa: ANN401 - any JSON
    """A small value of the envelope; what is too long to be a hint is none."""
    return _patient(raw) if len(raw) <= _MAX_HINT else None


# -- maps, and elements that are several models ------------------------------------------------------------------------


def _of_maps(at: Raw | bytes, fmt: CompiledFormat, hints: Any, *, patient: bool) -> Body:  # noqa: ANN401 - as it came
    """The members of a map, or of each map in a map; a part that cannot be entered may hold any model."""
    elements: list[bytes] = []
    keys: list[Keys] = []
    broken: list[Part] = []
    waiting: list[tuple[bytes, Path, Keys]] = [(bytes(at), fmt.models[fmt.models.index("*") :], ())]
    if waiting[0][0][:1] != b"{":
        raise BadResponse(f"there is no map of models at {'.'.join(fmt.models)!r}; {words.begins(bytes(at))}")
    while waiting:
        raw, path, above = waiting.pop()
        if not path:
            elements.append(raw)
            keys.append(above)
        elif raw[:1] != b"{":
            broken.append((above, raw))
        else:
            members = [(key, value) for key, value in _each_member(raw, patient=patient) if path[0] in ("*", key)]
            star = path[0] == "*"
            waiting += [(value, path[1:], (*above, key) if star else above) for key, value in reversed(members)]
    return Body(elements, keys, broken, hints, len(elements))


def _each_member(text: bytes, *, patient: bool) -> Iterator[tuple[str, bytes]]:
    """Each member of an object; one whose key stands there twice comes twice, which the fast decoder would hide."""
    if not patient:
        held = [(key, bytes(value)) for key, value in _members(text).items()]
        if scan.holds_each_once(text, held):
            yield from held
            return
    for key, start, end in scan.members(text, 0):
        yield key, text[start:end]


def _of_split(whole: Body, fmt: CompiledFormat, size: int, *, patient: bool) -> Body:
    """Each item of the list at `split` as an element of its own: the one around it, with this one item in the list."""
    elements: list[bytes] = []
    keys: list[Keys] = []
    broken: list[Part] = list(whole.broken)
    room = _MAX_SPLIT
    for element, above in zip(map(bytes, whole.elements), whole.keys or repeat(()), strict=False):
        try:
            before, pieces, after = _split(element, fmt.split, patient=patient)
        except (ValueError, msgspec.DecodeError, RecursionError):
            broken.append((above, element))
            continue
        room -= len(pieces) * len(element)
        if room < 0:
            raise BadResponse(f"the models that share an element take more than {_MAX_SPLIT:,} bytes together")
        refuse_more(len(elements) + len(pieces), size)
        elements += [before + piece + after for piece in pieces]
        keys += [above] * len(pieces)
    return Body(elements, keys if fmt.stars else None, broken, whole.hints, whole.sent)


def _split(element: bytes, path: Path, *, patient: bool) -> tuple[bytes, list[bytes], bytes]:
    """The items of the list at `path`, and the text that stands before and after an item when it is the only one."""
    if len(element) > MAX_ELEMENT:
        raise ValueError("it is too long to be read")
    if not path:
        if element == b"null":
            return b"", [], b""
        if element[:1] != b"[":
            raise ValueError("there is no list to split")
        return b"[", [element[start:end] for start, end in scan.items(element, 0)], b"]"
    if element[:1] != b"{":
        raise ValueError("there is no object to split")
    held = dict(_each_member(element, patient=patient))
    before, pieces, after = _split(held.pop(path[0], b"null"), path[1:], patient=patient)
    others = b"".join(_encoded(key) + b":" + value + b"," for key, value in held.items())
    return b"{" + others + _encoded(path[0]) + b":" + before, pieces, after + b"}"


def _encoded(key: str) -> bytes:
    try:
        return msgspec.json.encode(key)
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(key).encode()


# -- hints of a partial list -------------------------------------------------------------------------------------------


def _says_partial(key: str, value: Any, sent: int) -> bool:  # noqa: ANN401 - any JSON
    if key in _MORE:
        return value is True
    if key in _NEXT:
        if isinstance(value, dict):
            return any(isinstance(value.get(at), str) and value[at].strip() for at in ("href", "url"))
        return value.strip() != "" if isinstance(value, str) else type(value) is int and value > 0
    if key in _TOTAL:
        return (_whole_number(value) or 0) > sent
    return key in _TOTAL_PAGES and (_whole_number(value) or 0) > 1


def _number_at(hints: Sequence[Mapping[str, bytes]], keys: tuple[str, ...]) -> int | None:
    for level in hints:
        for key, raw in level.items():
            value = _small(raw)
            pairs = value.items() if key in _META and isinstance(value, dict) else [(key, value)]
            for inner, held in pairs:
                if inner in keys and (number := _whole_number(held)) is not None:
                    return number
    return None


def _whole_number(value: object) -> int | None:
    if type(value) is int:
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else None
