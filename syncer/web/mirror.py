"""The mirror: a source's catalog in the source's own format, as it is believed now or was at any moment.

Clients of the provider keep working while it is down, and a test can run against last March. The elements are those
that upstream sent. `Age` says how old the present catalog is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from syncer import history
from syncer.core.formats import CompiledFormat
from syncer.core.parse.envelope import unwrapped
from syncer.fetch import catalog_url
from syncer.history.elements import elements
from syncer.settings import SourceSettings, format_of
from syncer.web.site import Visit

PREFIX = "/mirror"
_MESSAGE = "Get models list successfully."


def mirror(visit: Visit) -> Response:
    """`/mirror/SOURCE/PATH?at=`, where PATH is that of the source's own address."""
    visit.query.require_known(("at",))
    name, _, path = visit.path.removeprefix(f"{PREFIX}/").partition("/")
    settings = visit.site.source(name)
    if settings is None:
        raise HTTPException(404, f"there is no source {name!r} in this configuration")
    fmt = format_of(settings)
    if path not in paths_of(settings, fmt):
        raise HTTPException(404, f"the catalog of {name} is at {PREFIX}/{name}/{paths_of(settings, fmt)[0]}")
    at = visit.query.moment("at")
    _require_observed(visit, name, at or visit.now)
    body = envelope(fmt, elements(visit.connection, source=name, at=at or visit.now))
    headers = {} if at is not None else {"age": str(_age(visit, name))}
    return Response(body, media_type="application/json", headers=headers)


def paths_of(settings: SourceSettings, fmt: CompiledFormat) -> tuple[str, ...]:
    """Under which paths a client may ask: what follows a base URL, the whole path of the source, or none."""
    whole = urlsplit(catalog_url(settings.url, fmt.endpoint)).path.strip("/")
    return tuple(dict.fromkeys((fmt.endpoint.strip("/") or whole, whole, "")))


def _require_observed(visit: Visit, name: str, at: datetime) -> None:
    for unknown in history.not_observed(visit.connection, at=at, source=name):
        first = unknown.first_observed_at
        when = "has never been observed" if first is None else f"was first observed at {first.isoformat()}"
        raise HTTPException(404, f"not observed then: {name} {when}")


def _age(visit: Visit, name: str) -> int:
    """How many seconds ago the source was last observed."""
    seen = next(row.last_observed_at for row in visit.sources if row.name == name)
    return max(int((visit.now - seen).total_seconds()), 0)


def envelope(fmt: CompiledFormat, raws: Iterable[str]) -> bytes:
    """These elements as a response of the format."""
    pairs = [unwrapped(raw.encode(), fmt.stars) if fmt.stars else ((), raw.encode()) for raw in raws]
    if not fmt.models:
        return _list([bytes(value) for _, value in pairs])
    tree: dict[str, Any] = {}
    for path, value in fmt.success:
        _put(tree, path, value)
    if fmt.success and fmt.message:
        _put(tree, fmt.message, _MESSAGE)
    if not fmt.stars:
        values = [bytes(value) for _, value in pairs]
        _put(tree, fmt.models, msgspec.Raw(_list(_joined(values, fmt.split) if fmt.split else values)))
    for keys, value in pairs if fmt.stars else ():
        rest = iter(keys)
        _put(tree, [next(rest) if part == "*" else part for part in fmt.models], msgspec.Raw(bytes(value)))
    return msgspec.json.encode(tree)


def _list(values: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(values) + b"]"


def _put(tree: dict[str, Any], path: Sequence[str], value: object) -> None:
    """Set what stands at a path, making the objects on the way."""
    *way, last = path
    for part in way:
        tree = tree.setdefault(part, {})
    tree[last] = value


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def _joined(values: Iterable[bytes], split: Sequence[str]) -> list[bytes]:
    """Elements that were split by their list, put together again: those that differ in nothing but its one item."""
    if len(split) > 1:
        return list(values)
    together: dict[tuple[tuple[str, bytes], ...], list[bytes]] = {}
    for value in values:
        members = _members.decode(value)
        items = [bytes(item) for item in _items.decode(members.pop(split[0]))]
        together.setdefault(tuple((key, bytes(one)) for key, one in members.items()), []).extend(items)
    return [
        msgspec.json.encode({**{key: msgspec.Raw(one) for key, one in rest}, split[0]: msgspec.Raw(_list(items))})
        for rest, items in together.items()
    ]
