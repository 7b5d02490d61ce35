"""What is said of a response and its parts: short, harmless (one line of ASCII, law 12), bounded."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw

from syncer.core.model import Rejected

MAX_REJECTED_RAW = 2_000
"""How much of a rejected element is kept, in characters."""
MANY_REJECTED, MANY_REJECTED_RAW = 1_000, 60
"""After so many rejected elements of one response, so little is kept of each, and of why."""

_SAYS = frozenset({"message", "msg", "detail", "details", "error", "errors", "reason", "title", "error_description"})
_MAX_SEARCHED = 65_536
_MAX_WORDS = 3


def reject(raw: Raw | bytes, digest: bytes, name: str | None, reason: str, *, earlier: Sequence[Rejected]) -> Rejected:
    """One element that cannot be read, or a part of one; `earlier` are those of the same response before it."""
    if len(earlier) < MANY_REJECTED:
        limit = MAX_REJECTED_RAW
    else:
        limit, reason = MANY_REJECTED_RAW, reason[:MANY_REJECTED_RAW]
    kept = bytes(memoryview(raw)[: 4 * limit]).decode("utf-8", "replace")[:limit]
    return Rejected(name=name, reason=reason, raw=kept, digest=digest)


def begins(body: bytes | bytearray) -> str:
    """How the response begins."""
    return f"it begins with {excerpt(bytes(body[:120]).decode('utf-8', 'replace'))}"


def says(body: bytes | bytearray) -> str:
    """What the response itself says is wrong, wherever it says so; empty if it says nothing."""
    if len(body) > _MAX_SEARCHED:
        return ""
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError):
        return ""
    words = list(dict.fromkeys(_words(document)))[:_MAX_WORDS]
    return f"it says: {', '.join(map(excerpt, words))}; " if words else ""


def excerpt(value: object) -> str:
    """Upstream's words, short and harmless: one line of ASCII in quotes."""
    text = value if isinstance(value, str) else str(value)
    return ascii(text[:200] + ("..." if len(text) > 200 else ""))


def plain(message: str) -> str:
    """A decoder's complaint without what it says each time, in ASCII."""
    return ascii(message.replace("JSON is malformed: ", ""))[1:-1]


def short(value: object) -> str:
    """The same, for a value within a sentence about something else."""
    text = value if isinstance(value, str) else str(value)
    return ascii(text[:80] + ("..." if len(text) > 80 else ""))


def _words(document: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """The texts under keys that carry a reason, the outermost first."""
    level = [document]
    while level:
        below: list[Any] = []
        for value in level:
            members = value.items() if isinstance(value, dict) else ()
            for key, inner in members:
                if str(key).lower() in _SAYS:
                    yield from (text for text in (inner if isinstance(inner, list) else [inner]) if _is_text(text))
            below += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        level = below


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
