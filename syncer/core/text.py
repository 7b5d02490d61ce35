"""JSON as syncer writes it wherever a row or an event leaves it: on one line, without loss, harmless to a terminal.

- One set of characters, `UNSAFE`, can steer a terminal, reorder or hide text, or break a line: JSON escapes them, so
  nothing is lost (law 12).
- Decimals are plain numbers (law 4), times RFC 3339 in UTC. The same value gives the same bytes everywhere.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0 and C1 controls: escape sequences begin with one
    "\xad\u061c\u180e\u200b-\u200f\u2060-\u206f\ufeff\ufff9-\ufffb"  # invisible, or turns the direction of writing
    "\u2028-\u202e"  # line and paragraph separators, embeddings and overrides
    "\ud800-\udfff"  # lone surrogates: no encoding carries them
    "\U000e0000-\U000e007f"  # tags: a whole hidden alphabet
    "]"
)
_JSON = msgspec.json.Encoder()


def json_line(obj: Mapping[str, Any]) -> str:
    """`obj` as JSON on one line: Decimals as plain numbers without loss, aware datetimes as RFC 3339 with Z.

    What JSON has no form for (a path, an enum, a `Secret`) is its `str`. Raises ValueError for a naive datetime.
    """
    return UNSAFE.sub(json_escape, _JSON.encode(_json_value(obj)).decode())


def json_escape(found: re.Match[str]) -> str:
    """The character that was found as JSON escapes it: one or two units of UTF-16."""
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def utc(moment: datetime) -> datetime:
    """`moment` in UTC; raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"A time without a zone is not printed: {moment.isoformat()}")
    return moment.astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """`moment` in UTC with Z; raises ValueError for a naive one."""
    return utc(moment).isoformat().replace("+00:00", "Z")


def number(value: float | Decimal) -> str:
    """A number in plain digits, never with an exponent where it is exact."""
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _json_value(value: Any) -> Any:  # noqa: ANN401 - a row holds anything
    """`value` in the forms that the encoder writes without loss."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Decimal):
        return msgspec.Raw(number(value).encode()) if value.is_finite() else None
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        return {_whole(str(key)): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(item) for item in value]
    return _whole(value.hex() if isinstance(value, bytes) else str(value))


def _whole(text: str) -> str:
    """`text` with its lone surrogates replaced: JSON readers disagree on them."""
    return text if text.isascii() else re.sub("[\ud800-\udfff]", "\ufffd", text)
