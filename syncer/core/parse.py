"""Bytes -> Snapshot. Everything upstream says is doubted here and nowhere else.

- A response is usable whole or not at all: HTML, truncated JSON, another shape or a `status` other than `success`
  raise BadResponse and change nothing (law 3).
- One unreadable element never costs the others: it is rejected with its reason, and with its name if that was legible.
- An element whose bytes are stored already is not read again: its digest names its model.
- Duplicate names: the last one counts; an earlier one that says something else is rejected.

The wire format is DESIGN section 6's; limits on lengths are the constants below, and stand in the README.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from syncer.core import prices
from syncer.core.model import NOTHING, TRACKED, Listing, Rejected, Snapshot
from syncer.errors import BadResponse

VERSION = b"1"
"""Part of each digest: raise it when the same bytes would be read differently, and all elements are read anew."""

MAX_NAME = 255
MAX_ALIAS = 255
MAX_TYPE = 255
MAX_URL = 2_048
MAX_DESCRIPTION = 50_000
MAX_ELEMENT = 262_144
"""The longest element that is read, in bytes; the limits above are in characters."""
MAX_INTEGER = 2**63 - 1
MAX_REJECTED_RAW = 2_000
"""How much of a rejected element is kept, in characters."""

_WIRE = {"alias": "model_alias", "type": "model_type"} | {
    field: field for field in TRACKED if field not in {"alias", "type"}
}
_TRACKED_KEYS = {wire: field for field, wire in _WIRE.items()}
_SUPERSEDED = "another element of the same name follows it and says something else"

Bytes = bytes | bytearray
Raw = msgspec.Raw  # one element as sent: a view into the body, not a copy
_versioned = blake2b(VERSION, digest_size=16)


class _Data(msgspec.Struct):
    models: list[Raw]


class _Envelope(msgspec.Struct):
    data: _Data
    status: str


_read_envelope = msgspec.json.Decoder(_Envelope).decode
_read_object = msgspec.json.Decoder(dict[str, Any], float_hook=prices.decimal_literal).decode


class _Number(msgspec.Struct, frozen=True):
    """A number (or NaN) as it was written: its value may be beyond all arithmetic, and it is not text."""

    literal: str

    def __str__(self) -> str:
        return self.literal


# The patient reader: it takes whatever the standard json module takes, and never trips over a number.
_patient = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number)


class _Unreadable(Exception):  # noqa: N818 - a verdict on one element, caught in this module
    """Why one element cannot be read."""


def body_digest(body: Bytes) -> str:
    """The fingerprint of a whole response, in hex: equal bytes need not be read again."""
    return blake2b(body, digest_size=16).hexdigest()


def element_digest(element: Raw | bytes) -> bytes:
    """The fingerprint of one element of the list: 16 bytes over VERSION and its raw bytes."""
    digest = _versioned.copy()
    digest.update(element)
    return digest.digest()


def snapshot(body: Bytes, observed_at: datetime, known: Mapping[bytes, str]) -> Snapshot:
    """Read a response whole; `known` maps the digest of each listed model's stored element to its name.

    Raises BadResponse where the body is no catalog, or has elements but not one that can be read.
    """
    elements = _elements(body)
    same: dict[str, Raw] = {}  # known already, not read
    read: dict[str, Listing | Rejected] = {}
    rejected: list[Rejected] = []
    for element in elements:
        digest = element_digest(element)
        name, row = known.get(digest), None
        if name is None:
            row = _read(element, digest)
            if isinstance(row, Rejected) and row.name is None:
                rejected.append(row)
                continue
            name = str(row.name)
        if name in same or name in read:
            earlier = same.pop(name) if name in same else read.pop(name)
            rejected.extend(_superseded(earlier, row or element))
        if row is None:
            same[name] = element
        else:
            read[name] = row
    listings = {name: row for name, row in read.items() if isinstance(row, Listing)}
    rejected.extend(row for row in read.values() if isinstance(row, Rejected))
    if elements and not listings and not same:
        raise BadResponse(f"none of the {len(elements)} listed models can be read: the first one {rejected[0].reason}")
    return Snapshot(
        observed_at=observed_at,
        listings=listings,
        same=frozenset(same),
        rejected=tuple(rejected),
        fields=_fields_present(listings.values(), same.values()),
    )


def _fields_present(read: Iterable[Listing], same: Iterable[Raw]) -> frozenset[str]:
    """The tracked fields that any row has as a key; of rows known already, only those that could tell more are read."""
    missing = set(TRACKED)
    for listing in read:
        missing -= listing.fields
    for raw in same:
        if not missing:
            break
        text = bytes(raw)
        if any(f'"{_WIRE[field]}"'.encode() in text for field in missing):
            row = _read(raw, b"")
            missing -= row.fields if isinstance(row, Listing) else set()
    return frozenset(TRACKED) - missing


def _superseded(earlier: Listing | Rejected | Raw, later: Listing | Rejected | Raw) -> Sequence[Rejected]:
    """What is recorded of an element that another one of its name follows: nothing if both say the same."""
    if isinstance(earlier, Rejected):
        return (earlier,)
    old, new = (_read(row, element_digest(row)) if isinstance(row, Raw) else row for row in (earlier, later))
    assert isinstance(old, Listing)  # noqa: S101 - a known element was readable before
    if isinstance(new, Listing) and old.tracked() == new.tracked():
        return ()
    return (_reject(old.raw, old.digest, old.name, _SUPERSEDED),)


# -- the envelope ------------------------------------------------------------------------------------------------------


def _elements(body: Bytes) -> Sequence[Raw]:
    """The raw elements of `data.models`, exactly as sent."""
    try:
        envelope = _read_envelope(body)
    except RecursionError:
        raise BadResponse("the response is nested too deeply to be a catalog") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _patient_elements(body, str(error))
    if envelope.status != "success":
        raise _explain(body)
    return envelope.data.models


def _explain(body: Bytes) -> BadResponse:
    """Why a response that may well be JSON is no catalog."""
    try:
        document, _ = _patient.raw_decode(_text(body).lstrip(prices.JSON_SPACE))
    except RecursionError:
        return BadResponse("the response is nested too deeply to be a catalog")
    except ValueError as error:
        return BadResponse(f"the response is not JSON ({error}); {_begins(body)}")
    if not isinstance(document, dict):
        return BadResponse(f"the response is {_json_type(document)} where an object belongs; {_begins(body)}")
    status, message = document.get("status"), document.get("message")
    if status != "success":
        said = f": {_excerpt(message)}" if isinstance(message, str) and message else ""
        stated = f"status is {_excerpt(status)}" if "status" in document else "there is no status"
        return BadResponse(f"upstream does not report success ({stated}){said}")
    data = document.get("data")
    if not isinstance(data, dict):
        return BadResponse(f"`data` is {_json_type(data)} where an object belongs; {_begins(body)}")
    return BadResponse(f"`data.models` is {_json_type(data.get('models'))} where a list belongs; {_begins(body)}")


def _patient_elements(body: Bytes, complaint: str) -> Sequence[Raw]:
    """The elements of a body that the fast decoder refused but the standard json module takes.

    One lone surrogate or NaN in one description would otherwise cost the whole response.
    """
    if not body.strip(prices.JSON_SPACE.encode()):
        raise BadResponse("the response is empty")
    try:
        text = _text(body)
        _, end = _patient.raw_decode(text, _skip_space(text, 0))
        if _skip_space(text, end) != len(text):
            raise ValueError("something follows the JSON document")
        document = _members(text, _skip_space(text, 0))
        data = _members(text, document["data"][0]) if "data" in document else {}
    except RecursionError:
        raise BadResponse("the response is nested too deeply to be a catalog") from None
    except ValueError as error:
        kind = "HTML" if bytes(body[:512]).lstrip().startswith(b"<") else f"not JSON ({complaint}; {error})"
        raise BadResponse(f"the response is {kind}; {_begins(body)}") from None
    status = _slice(text, document.get("status"))
    if not status.startswith('"') or json.loads(status) != "success":
        raise _explain(body)
    if not _slice(text, data.get("models")).startswith("["):
        raise _explain(body)
    return [Raw(element.encode("utf-8", "surrogatepass")) for element in _items(text, data["models"][0])]


def _text(body: Bytes) -> str:
    """The body as text, by the rules of json.loads; raises ValueError (UnicodeDecodeError) where it is none."""
    return bytes(body).decode(json.detect_encoding(bytes(body[:4])), "surrogatepass")


_SPACE = re.compile(f"[{prices.JSON_SPACE}]*")


def _skip_space(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere


def _members(text: str, at: int) -> dict[str, tuple[int, int]]:
    """Where each value of the (well-formed) object at `at` begins and ends; empty if there is no object."""
    members: dict[str, tuple[int, int]] = {}
    if text[at] != "{":
        return members
    at = _skip_space(text, at + 1)
    while text[at] != "}":
        key, at = _patient.raw_decode(text, at)
        start = _skip_space(text, _skip_space(text, at) + 1)  # past the colon
        _, end = _patient.raw_decode(text, start)
        members[key] = (start, end)
        at = _skip_space(text, end)
        at = _skip_space(text, at + 1) if text[at] == "," else at
    return members


def _items(text: str, at: int) -> Iterator[str]:
    """The source text of each item of the (well-formed) array at `at`."""
    at = _skip_space(text, at + 1)
    while text[at] != "]":
        _, end = _patient.raw_decode(text, at)
        yield text[at:end]
        at = _skip_space(text, end)
        at = _skip_space(text, at + 1) if text[at] == "," else at


def _slice(text: str, span: tuple[int, int] | None) -> str:
    return text[span[0] : span[1]] if span else ""


# -- one element -------------------------------------------------------------------------------------------------------


def _read(raw: Raw, digest: bytes) -> Listing | Rejected:
    """One element as a Listing, or why not. Invalid UTF-8 raises BadResponse: the response itself is broken."""
    try:
        row = _decode(raw)
        name = _name(row.get("model_name"))
    except _Unreadable as why:
        return _reject(raw, digest, _name_of(raw), str(why))
    try:
        return _listing(row, name, raw, digest)
    except _Unreadable as why:
        return _reject(raw, digest, name, str(why))


def _decode(raw: Raw) -> dict[str, Any]:
    if len(raw) > MAX_ELEMENT:
        raise _Unreadable(f"is {len(raw):,} bytes long; at most {MAX_ELEMENT:,} are read")
    try:
        return _read_object(raw)
    except UnicodeDecodeError as error:
        _refuse_invalid_utf8(bytes(raw), error)
        raise _Unreadable("has a lone surrogate") from None
    except msgspec.ValidationError as error:
        raise _Unreadable(f"is not a readable object ({_plain(str(error))})") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _Unreadable(f"is JSON that cannot be kept (a lone surrogate or NaN: {_plain(str(error))})") from None
    except RecursionError:
        raise _Unreadable("is nested too deeply") from None


def _refuse_invalid_utf8(raw: bytes, error: UnicodeDecodeError) -> None:
    try:
        raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        where = _excerpt(raw[max(0, error.start - 20) : error.start + 20].decode("utf-8", "replace"))
        raise BadResponse(f"the response is not valid UTF-8 ({error.reason}, near {where})") from None


def _listing(row: dict[str, Any], name: str, raw: Raw, digest: bytes) -> Listing:
    values = {field: _field(row.get(wire), field) for field, wire in _WIRE.items()}
    return Listing(
        name=name,
        **values,
        extra={key: value for key, value in row.items() if key not in _TRACKED_KEYS and key != "model_name"} or NOTHING,
        fields=_fields_of(tuple(row)),
        raw=raw,
        digest=digest,
    )


@lru_cache(maxsize=64)
def _fields_of(keys: tuple[str, ...]) -> frozenset[str]:
    """The tracked fields among an element's keys: one set for all elements of one make."""
    return frozenset(_TRACKED_KEYS[key] for key in keys if key in _TRACKED_KEYS)


def _field(value: object, field: str) -> Any:  # noqa: ANN401 - the reader of the field knows its type
    """One tracked value as it is kept; null and missing are both unknown."""
    if value is None:
        return None
    try:
        return _READERS[field](value)
    except ValueError as why:
        raise _Unreadable(f"has a {field} that {why} ({_excerpt(value)})") from None


def _name(value: object) -> str:
    """A model's name, kept as sent. Refused: what could be mistaken for another name, or for none."""
    if not isinstance(value, str):
        raise _Unreadable("has no model_name" if value is None else "has a model_name that is not text")
    if len(value) > MAX_NAME:
        raise _Unreadable(f"has a model_name of {len(value):,} characters; at most {MAX_NAME} are kept")
    if value != value.strip() or not value:
        raise _Unreadable("has a model_name that is blank or has outer white space")
    if not value.isprintable():
        categories = {unicodedata.category(character) for character in value}
        if categories & {"Cc", "Cs"}:
            raise _Unreadable("has a model_name with a control character or a lone surrogate")
        if all(category[0] in "CZ" for category in categories):
            raise _Unreadable("has a model_name with nothing visible in it")
    return value


def _name_of(raw: Raw) -> str | None:
    """The name of an element that is otherwise unreadable, if that much can be read."""
    try:
        row = _patient.decode(bytes(raw).decode("utf-8", "surrogatepass"))
        return _name(row.get("model_name")) if isinstance(row, dict) else None
    except (_Unreadable, ValueError, RecursionError):
        return None


def _short_text(limit: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("is not text")
        if len(value) > limit:
            raise ValueError(f"is {len(value):,} characters long; at most {limit:,} are kept")
        if "\0" in value:
            raise ValueError("has a NUL character")
        return value

    return read


def _number(value: object) -> Decimal:
    if isinstance(value, str):
        return prices.json_number(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"is {_json_type(value)}, not a number")
    return Decimal(value)


def _integer(value: object) -> int:
    """A count of tokens: an integer, a numeric string or an integral float, 0 to 2**63 - 1."""
    number = _number(value)
    if number != number.to_integral_value():
        raise ValueError("is a fraction")
    if not 0 <= number <= MAX_INTEGER:
        raise ValueError("is negative" if number < 0 else "is out of range")
    return int(number)  # small by now: int() of 1E+999999999 would be a gigabyte


def _price(value: object) -> Decimal:
    return prices.canonical(_number(value))


_READERS: Mapping[str, Callable[[object], Any]] = {
    "alias": _short_text(MAX_ALIAS),
    "type": _short_text(MAX_TYPE),
    "context_length": _integer,
    "max_completion_tokens": _integer,
    "description": _short_text(MAX_DESCRIPTION),
    "price": _price,
    "huggingface_url": _short_text(MAX_URL),
}


# -- what is said about it ---------------------------------------------------------------------------------------------


def _reject(raw: Raw, digest: bytes, name: str | None, reason: str) -> Rejected:
    kept = bytes(raw)[: 4 * MAX_REJECTED_RAW].decode("utf-8", "replace")[:MAX_REJECTED_RAW]
    return Rejected(name=name, reason=reason, raw=kept, digest=digest)


def _begins(body: Bytes) -> str:
    return f"it begins with {_excerpt(bytes(body[:120]).decode('utf-8', 'replace'))}"


def _excerpt(value: object) -> str:
    """Upstream's words, short and harmless: one line of ASCII in quotes (law 12)."""
    text = value if isinstance(value, str) else str(value)
    return ascii(text[:80] + ("..." if len(text) > 80 else ""))


def _plain(message: str) -> str:
    return message.removeprefix("JSON is malformed: ")


def _json_type(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "missing or null"}
    return names.get(type(value), "a number")
