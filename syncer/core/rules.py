"""What is doubtful: the kinds of finding, what each holds, and each rule as a small pure function over what moved.

Every rule answers one question of one observation and knows nothing of earlier findings: withheld.py keeps those, and
decide.py says which models a rule may speak for. Limits, factors and shares are exact; nothing here is a float.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Context, Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, get_args

import msgspec

from syncer.core import diff
from syncer.core.model import (
    PRICES,
    TRACKED,
    Change,
    Listing,
    Snapshot,
    StoredModel,
    Tracked,
    component_of,
    price_field,
)


class FindingKind(StrEnum):
    """The rules that withhold something, in the order in which they are asked; `reverted` is a person's own no."""

    MOVED_SOURCE = "moved_source"
    PARTIAL = "partial"
    NAMELESS = "nameless"
    REQUIRED = "required"
    REMOVALS = "removals"
    SHAPE = "shape"
    UNIT_CHANGE = "unit_change"
    PRICES_GONE = "prices_gone"
    MASS_REPRICING = "mass_repricing"
    IMPLAUSIBLE_PRICE = "implausible_price"
    REVERTED = "reverted"


ABSENCES = (FindingKind.REQUIRED, FindingKind.REMOVALS)
PRICE_RULES = (
    FindingKind.UNIT_CHANGE,
    FindingKind.PRICES_GONE,
    FindingKind.MASS_REPRICING,
    FindingKind.IMPLAUSIBLE_PRICE,
    FindingKind.REVERTED,
)
"""The higher first: a model is in one of them at most."""
RESPONSE = ""
"""The key, in a finding's evidence, of what is about the response and about no model: no model has a blank name."""


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding withholds of one model, as far as it is known.

    `since` is the observation that first withheld anything of it. `fields` are the withheld values (the fields of a
    change: prices as "prices.COMPONENT"), None where its absence is withheld. `first` is the first observation that
    showed just this in unbroken succession, None while the last one did not show it (of an absence: the first miss by
    a list that was not empty). `shown` tells of each offending component when a value was first shown.
    """

    since: datetime
    fields: Mapping[str, Any] | None
    first: datetime | None = None
    shown: tuple[tuple[str, Decimal | None, datetime], ...] = ()


Evidence = Mapping[str, Withheld]
"""The models of a finding, by name, and what is withheld of each; or RESPONSE, and what the response said."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something doubtful. `opened_at` is the first observation that showed it; `id` is None until it is stored.

    `state`: open; approved or rejected by a person; confirmed (time settled it); withdrawn (upstream took it back).
    """

    kind: FindingKind
    evidence: Evidence
    opened_at: datetime
    id: int | None = None
    state: str = "open"


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A person's yes: to all findings or these ids (rejected ones too), to all models or those that a glob matches."""

    findings: frozenset[int] | None = None
    models: tuple[str, ...] = ()
    comment: str | None = None

    def covers(self, finding: Finding, name: str) -> bool:
        """Whether it says yes to this model of this finding; what is about the response needs a yes without globs."""
        named = self.findings is not None and finding.id in self.findings
        if not named and (self.findings is not None or finding.state != "open"):
            return False
        return not self.models or (name != RESPONSE and any(fnmatchcase(name, glob) for glob in self.models))


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the rules. The two removal limits must both be exceeded; `patience` None is "never"."""

    removal_confirmations: int = 2
    removal_after: timedelta = timedelta(hours=26)
    removal_limit_count: int = 10
    removal_limit_percent: float = 10
    patience: timedelta | None = timedelta(days=3)
    price_after: timedelta = timedelta(hours=12)
    price_factor_limit: float = 100
    required: tuple[str, ...] = ()


PATIENCE = timedelta(days=3)
"""How long an absence that is hard to judge is watched where nobody set a policy."""
AN_OUTAGE_IS_NO_ABSENCE = timedelta(hours=20)
"""So long after the first miss there must be another one, however long ago the model was last shown."""
_MANY, _MANY_PERCENT = 10, 10
_SMALL = 4
_FEWEST = 2
_FEWEST_ALIKE = 5
_FOUR_DIGITS = Context(prec=4)
_SAME_FACTOR = Decimal("0.0005")  # two factors that round to the same four digits, or would if they were shifted
_NEVER_LOST = frozenset({"expires_at"})


# -- absences ----------------------------------------------------------------------------------------------------------


def too_many_missing(missing: int, listed: int, policy: Policy) -> bool:
    """Whether `missing` of `listed` models are more than a catalog loses in one step."""
    limit = exact(policy.removal_limit_percent)
    beyond = missing > policy.removal_limit_count and missing * 100 > limit * listed
    return missing > 0 and (beyond or missing == listed or _most(missing, listed))


def confirmed(before: StoredModel, *, at: datetime, shown_at: datetime, last_shown: datetime, policy: Policy) -> bool:
    """Whether an absence has been observed often and long enough, this observation being another miss.

    Removed is what `removal_confirmations` misses in a row lack, the last of them `removal_after` after the last
    observation that showed it, and 20 h after the first miss, so that no outage of ours makes an absence old.
    """
    since = before.missing_since or at
    settled = at - since >= min(AN_OUTAGE_IS_NO_ABSENCE, policy.removal_after)
    enough = before.missing_count + 1 >= policy.removal_confirmations
    return enough and settled and shown_at - last_shown >= policy.removal_after


def is_over(since: datetime | None, patience: timedelta | None, at: datetime) -> bool:
    """Whether upstream has kept saying something for so long that it is believed."""
    return since is not None and patience is not None and at - since >= patience


# -- the response ------------------------------------------------------------------------------------------------------


def moved_source(snapshot: Snapshot, known: Mapping[str, StoredModel], listed: Collection[str]) -> bool:
    """Whether a response looks like that of another source: few known models, or few at the price they had."""
    present = [name for name in listed if name in snapshot.same or name in snapshot.listings]
    if not listed:
        return False
    if len(listed) < _SMALL:
        return not present
    alike = sum(name in snapshot.same or _same_headline(snapshot.listings[name], known.get(name)) for name in present)
    return len(present) * 2 < len(listed) or alike * 2 < len(present)


def _same_headline(listing: Listing, before: StoredModel | None) -> bool:
    if before is None:
        return False
    return listing.digest == before.listing.digest or PRICES in listing.unread or listing.price == before.listing.price


def lost_fields(snapshot: Snapshot, known: Iterable[StoredModel]) -> frozenset[str]:
    """Fields and components that many models of the response had, and that none of its elements states any more.

    Of another reading that finds no price at all, or of so few models that half of them says nothing, it is each known
    price that it does not find, however few models had it: a typo.
    """
    had: Counter[str] = Counter()
    finds_none = not any(component_of(field) is not None for field in snapshot.stated)
    typo = False
    for model in known:
        listing = snapshot.listings.get(model.listing.name)
        if listing is None or not model.listed:
            continue
        anew = diff.is_another_reading(model, listing, snapshot)  # may drop a field on purpose, but hardly all prices
        typo = typo or (anew and (finds_none or snapshot.listed < _SMALL))
        had.update(
            field for field in _had(model.listing)
            if field not in snapshot.stated and not (anew and component_of(field) is None)
        )  # fmt: skip
    return frozenset(
        field for field, count in had.items()
        if count > _MANY or _most(count, snapshot.listed) or (typo and component_of(field) is not None)
    )  # fmt: skip


def _had(listing: Listing) -> Iterator[str]:
    yield from (field for field in TRACKED if field not in _NEVER_LOST and getattr(listing, field) is not None)
    yield from (price_field(component) for component, price in listing.prices.items() if price is not None)


def unreadable_rows(snapshot: Snapshot, nameless: int, known: Mapping[str, StoredModel]) -> list[str]:
    """The models without a readable price, if these and the nameless rows are more than a tenth of the rows."""
    names = [name for name, listing in snapshot.listings.items() if PRICES in listing.unread]
    names += snapshot.present_unreadable & known.keys()
    rows = snapshot.listed + len(snapshot.rejected)
    return sorted(names) if (len(names) + nameless) * 10 > rows else []


# -- prices ------------------------------------------------------------------------------------------------------------


def unit_change(moves: Collection[Change], listed: Collection[str], priced: int, policy: Policy) -> list[str]:
    """The models whose prices all moved by one and the same large factor, in the whole source or in one vendor's part.

    The vendor's other moves beyond the limit of one step join them.
    """
    if not _large_factors(moves, policy):  # nearly always: so the catalog's vendors need not be counted
        return []
    found = set(_alike(moves, priced, policy))
    parts: dict[str, list[Change]] = {}
    for move in moves:
        parts.setdefault(vendor(move.listing.name), []).append(move)
    sizes = Counter(map(vendor, listed)) if any(len(part) >= _FEWEST for part in parts.values()) else {}
    for its, part in parts.items():
        if len(part) >= _FEWEST:
            found.update(_alike(part, sizes[its], policy))
    beyond = {vendor(name) for name in found if "/" in name}
    names = (move.listing.name for move in moves if vendor(move.listing.name) in beyond and offending(move, policy))
    return sorted(found.union(names))


def _alike(moves: Collection[Change], priced: int, policy: Policy) -> list[str]:
    """The models of these moves that share the most common large factor, if they are enough to be one mistake."""
    large = _large_factors(moves, policy)
    counts = Counter(_FOUR_DIGITS.create_decimal(factor) for factor in large.values())
    if not counts:
        return []
    most = counts.most_common(1)[0][0]
    names = [name for name, factor in large.items() if abs(factor / most - 1) <= _SAME_FACTOR]
    enough = len(names) >= _FEWEST_ALIKE or (len(names) >= _FEWEST and len(names) >= priced)
    return names if enough and len(names) * 2 > len(moves) else []


def _large_factors(moves: Collection[Change], policy: Policy) -> dict[str, Decimal]:
    """The models all of whose prices moved by one factor that is the limit of one step or more, with it."""
    factors = {move.listing.name: common_factor(move) for move in moves}
    return {name: factor for name, factor in factors.items() if factor is not None and _is_far(factor, policy)}


def common_factor(move: Change) -> Decimal | None:
    """The one factor by which all of a model's comparable prices moved; None if there is none."""
    old = _before(move)
    ratios = [
        ratio
        for component, price in move.listing.prices.items()
        if (ratio := factor_between(old.get(component), price)) is not None
    ]
    if not ratios or any(abs(ratio / ratios[0] - 1) > _SAME_FACTOR for ratio in ratios):
        return None
    return ratios[0]


def _before(move: Change) -> dict[str, Decimal | None]:
    """All prices before a move."""
    return {**move.listing.prices, **{name: old for name, (old, _) in diff.prices_moved(move.changed).items()}}


def prices_gone(moves: Collection[Change], headline: str, priced: int) -> list[str]:
    """The models whose positive price turned unknown, 0 or negative, if they are many of the `priced` ones.

    The free ones that turn with them are among them.
    """
    headlines = {move.listing.name: _headline(move, headline) for move in moves}
    gone = [name for name, (old, new) in headlines.items() if (old or 0) > 0 and not (new or 0) > 0]
    if not _many(len(gone), priced):
        return []
    return gone + [name for name, (old, new) in headlines.items() if old == 0 and not (new or 0) > 0 and new != 0]


def mass_repricing(moves: Collection[Change], headline: str, priced: int) -> list[str]:
    """The models whose price moved, if that is most of a priced catalog at once."""
    moved = [move.listing.name for move in moves if (_headline(move, headline)[0] or 0) > 0]
    all_of_it = len(moved) >= _FEWEST and len(moved) >= priced
    return moved if all_of_it or _most(len(moved), priced) else []


def _headline(move: Change, headline: str) -> tuple[Decimal | None, Decimal | None]:
    """The headline before and after a move; (None, None) where it did not move."""
    return diff.prices_moved(move.changed).get(headline, (None, None))


def offending(move: Change, policy: Policy, headline: str | None = None) -> list[str]:
    """The components of a move that went too far for one step: by the factor limit, from positive to none.

    Without a `headline` a price that turned unknown is none of them.
    """
    prices = diff.prices_moved(move.changed)
    return [name for name, (old, new) in prices.items() if _is_implausible(old, new, policy, unknown=name == headline)]


def _is_implausible(old: Decimal | None, new: Decimal | None, policy: Policy, *, unknown: bool) -> bool:
    if new is None:
        return unknown and old is not None
    if new <= 0:
        return old is not None and old > 0
    factor = factor_between(old, new)
    return factor is not None and _is_far(factor, policy)


def factor_between(old: object, new: object) -> Decimal | None:
    """How many times `old` the `new` price is; None from or to unknown, 0 or a negative number: there is no factor."""
    if not isinstance(old, int | Decimal) or not isinstance(new, int | Decimal) or old <= 0 or new <= 0:
        return None
    return Decimal(new) / Decimal(old)


def _is_far(factor: Decimal, policy: Policy) -> bool:
    """Whether a factor, as far as four digits tell, is the limit of one step or more, up or down."""
    limit = exact(policy.price_factor_limit)
    upward = factor if factor >= 1 else 1 / factor
    return upward >= limit or _FOUR_DIGITS.create_decimal(upward) >= limit


def vendor(name: str) -> str:
    """Whose model it is: its name up to the first slash."""
    return name.partition("/")[0]


# -- how many are many -------------------------------------------------------------------------------------------------


def _many(count: int, total: int) -> bool:
    beyond = count > _MANY and count * 100 > _MANY_PERCENT * total
    return beyond or _most(count, total) or (count >= _FEWEST and count >= total)


def _most(count: int, total: int) -> bool:
    """More than half, of enough to speak of a half."""
    return total >= _SMALL and count * 2 > total


def exact(setting: float) -> Decimal:
    """A setting as a person wrote it: 0.1 is a tenth."""
    return Decimal(str(setting))


# -- evidence as it is stored ------------------------------------------------------------------------------------------


def values_of(change: Change) -> dict[str, Any]:
    """What would be believed of a change: each moved field with its new value."""
    moved = {**change.reread, **change.changed}
    return {field: change.listing.value(field) for field in moved}


def says(listing: Listing, withheld: Mapping[str, Any]) -> bool:
    """Whether a listing states the withheld prices; where none is withheld, all the withheld values."""
    prices = {field: value for field, value in withheld.items() if component_of(field) is not None}
    return all(listing.value(field) == value for field, value in (prices or withheld).items())


def evidence_to_json(evidence: Evidence) -> dict[str, Any]:
    """Evidence as it is stored and shown: times are text, prices stay Decimals."""
    return {name: _entry_to_json(withheld) for name, withheld in evidence.items()}


def _entry_to_json(withheld: Withheld) -> dict[str, Any]:
    fields = withheld.fields
    entry: dict[str, Any] = {
        "since": _text(withheld.since),
        "fields": None if fields is None else {name: _plain(value) for name, value in fields.items()},
    }
    if withheld.first is not None:
        entry["first"] = _text(withheld.first)
    if withheld.shown:
        entry["shown"] = [[component, price, _text(at)] for component, price, at in withheld.shown]
    return entry


def evidence_from_json(stored: Mapping[str, Any]) -> dict[str, Withheld]:
    """Evidence as it was stored; every number may come back as a Decimal."""
    return {name: _entry_from_json(entry) for name, entry in stored.items()}


def _entry_from_json(entry: Mapping[str, Any]) -> Withheld:
    first = entry.get("first")
    return Withheld(
        since=datetime.fromisoformat(entry["since"]),
        fields=None
        if entry["fields"] is None
        else {name: _value(name, kept) for name, kept in entry["fields"].items()},
        first=None if first is None else datetime.fromisoformat(first),
        shown=tuple((component, price, datetime.fromisoformat(at)) for component, price, at in entry.get("shown", ())),
    )


def _value(field: str, stored: object) -> Any:  # noqa: ANN401 - a field's type is the field's
    return datetime.fromisoformat(stored) if field in _TIMES and isinstance(stored, str) else stored


_TIMES = frozenset(field.name for field in msgspec.structs.fields(Tracked) if datetime in get_args(field.type))


def _plain(value: object) -> object:
    return _text(value) if isinstance(value, datetime) else value


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
