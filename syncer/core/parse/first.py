"""What a format does not find in a response: for the first observation of a source, and for `syncer try`.

A path that nothing has is a typo, and is said before anything is stored: never 400 unknown prices.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from syncer.core.formats import CompiledFormat
from syncer.core.model import PRICES, Snapshot
from syncer.core.parse.elements import reader_of

_MAX_UNUSED = 100


class Unmatched(msgspec.Struct, frozen=True, kw_only=True):
    """`error`: why the format cannot be this source's. `warnings`: single paths that no element has.

    `unused` are the paths that elements have and nothing reads, the commonest first.
    """

    error: str | None = None
    warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


def unmatched(snapshot: Snapshot, fmt: CompiledFormat) -> Unmatched:
    """What no element of this response has, and what elements have that the format does not read."""
    read = {".".join(component.lookup.path) for component in fmt.components}
    base_of = str if fmt.reader is None else fmt.reader.base_of
    every = (path for row in snapshot.listings.values() for path in _paths(msgspec.json.decode(row.extra)))
    unused = Counter(path for path in every if base_of(path) not in read)
    if not snapshot.listed:
        return Unmatched()
    wanted = [component for component in fmt.components if not component.optional]
    absent = [component for component in wanted if f"{PRICES}.{component.name}" not in snapshot.stated]
    error = None
    if wanted and not _has_a_price(snapshot, fmt):
        paths = ", ".join(f"`{component.lookup}`" for component in wanted)
        error = f"no element has a price: the format {fmt.name!r} looks for {paths}"
        absent = []
    warnings = [f"no element has `{one.lookup}` (the price {one.name})" for one in absent]
    warnings += [
        f"no element has `{lookup}` (the field {field})"
        for field, lookup in fmt.fields.items()
        if field not in snapshot.stated
    ]
    return Unmatched(
        error=error, warnings=tuple(warnings), unused=tuple(path for path, _ in unused.most_common(_MAX_UNUSED))
    )


def _has_a_price(snapshot: Snapshot, fmt: CompiledFormat) -> bool:
    """Whether anything stands at the path of any price in any element; what cannot be read stands there, too."""
    if not any(field.startswith(f"{PRICES}.") for field in snapshot.stated):
        return False
    reader, listings = reader_of(fmt), snapshot.listings.values()
    return any(PRICES not in listing.unread or reader.has_a_price(listing) for listing in listings)


def _paths(extra: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The dotted path of each value that is no object; two levels are enough to find a name."""
    for key, value in extra.items():
        if isinstance(value, dict) and not above:
            yield from _paths(value, f"{key}.")
        else:
            yield above + key
