"""Bytes + format -> Snapshot.

- A response is usable whole or not at all (envelope.py); one unreadable element or field never costs the others
  (elements.py). What is said of it is short and harmless (words.py).
- An element whose bytes are stored already, and were stored by this reading, is not read again.
- Several elements with one name are gathered before any is passed over, and chosen from by what they say and what is
  believed, never by their place.

What the elements look like is the format's (core/formats.py); limits are constants, and stand in the manual.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from itertools import repeat

import msgspec
from msgspec import Raw

from syncer.core.formats import CompiledFormat
from syncer.core.model import NO_EXTRA, PRICES, Listing, Rejected, Snapshot
from syncer.core.parse import words
from syncer.core.parse.elements import ElementReader, Refused, reader_of
from syncer.core.parse.envelope import Body, Keys, partial_hint, refuse_more, take_apart, total_hint, unwrapped, wrapped
from syncer.core.parse.first import Unmatched, unmatched
from syncer.core.parse.pages import NextPage, next_page
from syncer.core.parse.scan import Bytes
from syncer.errors import BadResponse, ListMoved

__all__ = ["Believed", "NextPage", "Unmatched", "element", "element_digest", "next_page", "snapshot", "unmatched"]

MANY_NAMELESS = 1_000
"""So many elements without a legible name, if they are more than half, are no catalog with a few odd rows."""
MAX_PRICES = 1_000_000
_PRICES_AN_ELEMENT = 5
"""More prices of all models than MAX_PRICES, and than 5 an element, are no catalog: real ones have 40,000 together."""
_MAX_KEYS = 2_000
_MAX_SAID = 10

Believed = Callable[[str], Listing | None]


def element_digest(element: Raw | bytes) -> bytes:
    """The fingerprint of one element with the keys that it stands under: 16 bytes."""
    return blake2b(element, digest_size=16).digest()


def snapshot(
    body: Bytes | Sequence[Bytes],
    fmt: CompiledFormat,
    *,
    observed_at: datetime,
    shown_at: datetime | None = None,
    known: Mapping[bytes, str] | None = None,
    http_partial: str | None = None,
    believed: Believed | None = None,
) -> Snapshot:
    """Read a response whole; several bodies are the pages of one list.

    `known` maps the digest of each element that this parser stored to its model's name; `believed` gives a known
    model as it is stored. `http_partial` is what the headers say against the list's being whole.
    Raises BadResponse where the body is no catalog, or has elements but not one that can be read; ListMoved where the
    pages are not those of one list.
    """
    bodies = [body] if isinstance(body, Bytes) else body
    pages = [take_apart(page, fmt) for page in bodies]
    total = sum(len(page.elements) for page in pages)
    refuse_more(total, sum(map(len, bodies)))
    reading = _Reading(fmt, known or {}, believed or (lambda _: None), total)
    for page in pages:
        reading.read(page)
    reading.choose()
    reading.refuse_what_is_no_catalog()
    return Snapshot(
        observed_at=observed_at,
        shown_at=observed_at if shown_at is None else shown_at,
        parser=fmt.parser,
        headline=fmt.headline,
        listings=reading.listings,
        same=frozenset(reading.same),
        rejected=tuple(reading.rejected),
        duplicates=tuple(reading.duplicates),
        unreadable=tuple(reading.unreadable),
        stated=reading.stated(),
        elements=sum(page.sent for page in pages),
        partial=_partial(pages, fmt, http_partial),
    )


def element(raw: Raw | bytes, fmt: CompiledFormat) -> Listing:
    """One element as it was stored, read again; raises ValueError where it cannot be read any more."""
    keys, value = unwrapped(bytes(raw), fmt.stars) if fmt.stars else ((), raw)
    try:
        listing, _ = reader_of(fmt).read(value, keys, raw if isinstance(raw, Raw) else Raw(raw), element_digest(raw))
    except Refused as why:
        raise ValueError(str(why)) from None
    return listing


class _Reading:
    """The elements of one response while they are read."""

    def __init__(self, fmt: CompiledFormat, known: Mapping[bytes, str], believed: Believed, total: int) -> None:
        self._format, self._known, self._believed, self._total = fmt, known, believed, total
        self._reader: ElementReader = reader_of(fmt)
        self.same: dict[str, Raw | bytes] = {}
        self.listings: dict[str, Listing] = {}
        self.rejected: list[Rejected] = []
        self.duplicates: list[Rejected] = []
        self.unreadable: list[Rejected] = []
        self._several: dict[str, dict[bytes, Listing]] = {}
        self._nameless = self._priced = 0

    def read(self, page: Body) -> None:
        """Each element of one page: known, read, rejected, or one of several with its name."""
        earlier = self.same.keys() | self.listings.keys()  # of the pages before
        known, same, listings = self._known, self.same, self.listings
        for above, part in page.broken:
            if not above or self._may_hold_known(above):
                self._reject(
                    part, Refused("is a part of the response in which models should stand, and no object"), None
                )
        for raw, keys in _let_go(page):
            kept = raw if not keys else self._wrapped(raw, keys)
            if kept is None:
                continue
            digest = blake2b(kept, digest_size=16).digest()
            name, row = known.get(digest), None
            if name is None:
                row = self._read(raw, keys, kept, digest)
                if row is None:
                    continue
                name = row.name
            if name in earlier:
                raise ListMoved(f"the model {words.short(name)} is on two pages: the list changed between them")
            if name in same or name in listings:
                self._gather(name, row or self._again(kept))
            elif row is None:
                same[name] = kept
            else:
                listings[name] = row

    def choose(self) -> None:
        """One of several elements with one name: what is believed, or the smallest; never by its place."""
        for name, rows in self._several.items():
            first = self.listings.pop(name, None) or self._again(self.same.pop(name))
            rows.setdefault(first.digest, first)
            chosen = min(rows.values(), key=_order(self._believed(name)))
            if chosen.digest in self._known:
                self.same[name] = chosen.raw
            else:
                self.listings[name] = self._again(chosen.raw)
            state = _state(chosen)
            for digest, row in sorted(rows.items()):
                if digest != chosen.digest and _state(row) != state:
                    self._record(self.duplicates, row.raw, digest, name, _LEFT_OVER)

    def refuse_what_is_no_catalog(self) -> None:
        """Raise BadResponse where there are elements, but not one that can be read."""
        if self._total and not self.listings and not self.same and self.rejected:
            reason = self.rejected[0].reason
            raise BadResponse(f"none of the {self._total} listed models can be read: the first one {reason}")

    def stated(self) -> frozenset[str]:
        """What any element that was read states, also one that is left over; what the others state is stored."""
        left_over = (row for rows in self._several.values() for row in rows.values())
        return frozenset().union(*{row.stated for row in (*self.listings.values(), *left_over)})

    # -- one element ---------------------------------------------------------------------------------------------------

    def _wrapped(self, raw: Raw | bytes, keys: Keys) -> bytes | None:
        """An element of a map with its keys; None where it is no element, or one without a name."""
        if sum(map(len, keys)) > _MAX_KEYS:
            self._reject(raw, Refused("stands under a key that is too long to be a name"), None)
            return None
        return wrapped(keys, raw)

    def _read(self, raw: Raw | bytes, keys: Keys, kept: Raw | bytes, digest: bytes) -> Listing | None:
        """The listing, or None where the element is rejected, skipped or none at all."""
        try:
            row, said = self._reader.read(raw, keys, kept if isinstance(kept, Raw) else Raw(kept), digest)
        except Refused as why:
            self._refused(raw, keys, kept, digest, why)
            return None
        if self._reader.is_skipped(row.name):
            return None
        if said:
            self._say(row, said)
        self._priced += len(row.prices)
        most = max(MAX_PRICES, _PRICES_AN_ELEMENT * self._total)
        if self._priced > most:
            raise BadResponse(f"the response has more than {most:,} prices, which no catalog has")
        return row

    def _refused(self, raw: Raw | bytes, keys: Keys, kept: Raw | bytes, digest: bytes, why: Refused) -> None:
        """Reject an element; what a map holds beside its objects is none, unless it is called as a known model."""
        name = why.name
        if why.no_object and keys:
            name = self._reader.name_of(bytes(raw), keys)
            if name is None or not self._is_known(name):
                return
        elif name is None and not why.no_object:
            name = self._reader.name_of(bytes(raw), keys)
        if not self._reader.is_skipped(name):
            self._reject(kept, why, name, digest)

    def _reject(self, raw: Raw | bytes, why: Refused, name: str | None, digest: bytes | None = None) -> None:
        self._record(self.rejected, raw, digest or element_digest(raw), name, str(why))
        self._nameless += name is None
        if self._nameless > MANY_NAMELESS and 2 * self._nameless > self._total:
            raise BadResponse(
                f"more than half of the {self._total:,} listed models have no legible name: the first one "
                f"{self.rejected[0].reason}"
            )

    def _is_known(self, name: str) -> bool:
        return name in self._known_names or self._believed(name) is not None

    def _may_hold_known(self, keys: Keys) -> bool:
        """Whether a part of a map that cannot be entered may hold a known model; any other is nothing of ours."""
        prefix, names = self._reader.prefix_of(keys), self._sorted_names
        at = bisect_left(names, prefix)
        return prefix != "" and at < len(names) and names[at].startswith(prefix)

    @cached_property
    def _known_names(self) -> frozenset[str]:
        return frozenset(self._known.values())

    @cached_property
    def _sorted_names(self) -> list[str]:
        return sorted(self._known_names)

    def _say(self, row: Listing, said: Sequence[str]) -> None:
        """Record what of a listing cannot be read, and which keys it holds twice: once, as it is one element."""
        into = self.unreadable if row.unread else self.duplicates
        more = f"; and {len(said) - _MAX_SAID} more" if len(said) > _MAX_SAID else ""
        self._record(into, row.raw, row.digest, row.name, "; ".join(said[:_MAX_SAID]) + more)

    def _record(self, into: list[Rejected], raw: Raw | bytes, digest: bytes, name: str | None, reason: str) -> None:
        into.append(words.reject(raw, digest, name, reason, earlier=into))

    def _gather(self, name: str, row: Listing) -> None:
        few = msgspec.structs.replace(row, extra=NO_EXTRA)  # the chosen one is read again: there may be any number
        self._several.setdefault(name, {}).setdefault(row.digest, few)

    def _again(self, kept: Raw | bytes) -> Listing:
        """An element that is known already, read all the same."""
        return element(kept, self._format)


def _let_go(page: Body) -> Iterator[tuple[Raw | bytes, Keys]]:
    """Each element with its keys. Those of a map are copies, which are held no longer than it takes to read them."""
    elements, keys = page.elements, page.keys
    if keys is None:
        yield from zip(elements, repeat(()))
        return
    for number, above in enumerate(keys):
        raw, elements[number] = elements[number], b""
        yield raw, above


_LEFT_OVER = "is one of several elements with this name, and says something else than the one that counts"


def _state(row: Listing) -> tuple[object, ...]:
    """What of a listing is its state: its fields, its known prices, and what cannot be read."""
    return (row.tracked(), _known_prices(row), row.unread)


def _known_prices(row: Listing) -> tuple[tuple[str, object], ...]:
    return tuple(sorted((component, price) for component, price in row.prices.items() if price is not None))


def _order(believed: Listing | None) -> Callable[[Listing], tuple[object, ...]]:
    """The order in which one of several is chosen: as believed, with the believed prices, the smallest."""

    def order(row: Listing) -> tuple[object, ...]:
        same_prices = (
            believed is not None and PRICES not in row.unread and _known_prices(believed) == _known_prices(row)
        )
        same = same_prices and believed is not None and not row.unread and believed.tracked() == row.tracked()
        prices = (row.price is None, row.price or 0, _known_prices(row))
        fields = tuple("" if value is None else str(value) for value in row.tracked())
        return (not same, not same_prices, prices, fields, bytes(row.raw))

    return order


def _partial(pages: Sequence[Body], fmt: CompiledFormat, http_partial: str | None) -> str | None:
    """What says that the list is not whole. Of several pages only a total above their sum counts."""
    sent = sum(page.sent for page in pages)
    if fmt.pages is not None and fmt.pages.whole:
        return None
    if len(pages) == 1 and fmt.pages is None:
        return partial_hint(pages[0].hints, sent) or http_partial
    totals = {total for page in pages if (total := total_hint(page.hints)) is not None}
    if len(totals) > 1:
        raise ListMoved(f"the pages say that there are {' and '.join(map(str, sorted(totals)))} models in all")
    return f"a total of {max(totals)}" if totals and max(totals) > sent else None
