"""What is doubtful: the kinds of finding, and each rule as a small pure function over what moved or went missing.

Every rule answers one question of one look and knows nothing of earlier findings: decide.py hears those, and says which
models a rule may speak for. Limits, factors and shares are exact; nothing here is a float.
"""

from bisect import bisect
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from syncer.core.model import TRACKED, Change, Snapshot, StoredModel


class FindingKind(StrEnum):
    """The kinds of finding."""

    REMOVALS = "removals"
    REQUIRED = "required"
    UNIT_CHANGE = "unit_change"
    PRICES_GONE = "prices_gone"
    IMPLAUSIBLE_PRICE = "implausible_price"
    SHAPE = "shape"
    REJECTED_ROWS = "rejected_rows"
    REVERTED = "reverted"


ABOUT_REMOVALS = frozenset({FindingKind.REMOVALS, FindingKind.REQUIRED})
ABOUT_REPRICINGS = frozenset({FindingKind.UNIT_CHANGE, FindingKind.PRICES_GONE, FindingKind.IMPLAUSIBLE_PRICE})
ABOUT_THE_RESPONSE = frozenset({FindingKind.SHAPE, FindingKind.REJECTED_ROWS})
"""Doubts about a response as a whole: they withhold no model."""
EVERYTHING = frozenset(FindingKind)

Evidence = Mapping[str, Mapping[str, Any] | None]
"""Each model of a finding -> what is withheld of it: fields and their values, or None for its absence.

Of `shape` it maps each lost field to None; of `rejected_rows` it is empty.
"""

_POWERS_OF_TEN = [Decimal(10) ** power for power in range(1, 34)]  # prices span 33 digits
_FACTORS = [*_POWERS_OF_TEN, Decimal(60), Decimal(3600), Decimal(1024)]
UNIT_FACTORS = tuple(sorted(_FACTORS + [1 / factor for factor in _FACTORS]))
"""What a price moves by when somebody mistakes the unit: tokens, seconds, minutes, hours, KiB, cents."""
_SAME_FACTOR = Decimal("0.001")  # relative: upstream rounds 0.1 / 60 to a few digits
_FEWEST_FOR_A_UNIT = 5
_SMALL_CATALOG = 4


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the rules; DESIGN's names and defaults. The two limits must both be exceeded."""

    removal_limit_count: int = 10
    removal_limit_percent: float = 10
    removal_confirmations: int = 2
    removal_after: timedelta = timedelta(hours=6)
    price_factor_limit: float = 100
    required: tuple[str, ...] = ()

    def exceeded(self, count: int, total: int) -> bool:
        """More than the count *and* more than the share of the total."""
        return count > self.removal_limit_count and count * 100 > _exact(self.removal_limit_percent) * total


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something doubtful. `opened_at` is the first look that showed it; `id` is None until it is stored."""

    kind: FindingKind
    evidence: Evidence
    opened_at: datetime
    id: int | None = None
    state: str = "open"


# -- the rules ---------------------------------------------------------------------------------------------------------


def too_many_missing(missing: int, listed: int, policy: Policy, *, empty: bool) -> bool:
    """Whether `missing` of `listed` models is more than a catalog loses in one step; `empty`: none is left at all."""
    most = listed >= _SMALL_CATALOG and missing * 2 > listed
    return missing > 0 and (empty or most or policy.exceeded(missing, listed))


def unit_change(moves: Collection[Change]) -> list[str]:
    """The models of those repriced that most moved by one and the same factor of a unit mistake."""
    factors = {move.listing.name: unit_factor(move.old_price, move.listing.price) for move in moves}
    counts = Counter(factor for factor in factors.values() if factor is not None)
    factor, count = counts.most_common(1)[0] if counts else (None, 0)
    if count < _FEWEST_FOR_A_UNIT or count * 2 <= len(moves):
        return []
    return [name for name, its in factors.items() if its == factor]


def prices_gone(moves: Collection[Change], priced: int, policy: Policy) -> list[str]:
    """The models of those repriced whose positive price turned unknown or 0, if too many of the `priced` ones did."""
    gone = [move.listing.name for move in moves if (move.old_price or 0) > 0 and not move.listing.price]
    return gone if policy.exceeded(len(gone), priced) else []


def implausible(move: Change, policy: Policy) -> bool:
    """Whether one price moved beyond the factor of one step, up or down."""
    ratio, limit = _ratio(move.old_price, move.listing.price), _exact(policy.price_factor_limit)
    return ratio is not None and (ratio > limit or ratio * limit < 1)


def too_many_rejected(snapshot: Snapshot) -> bool:
    """Whether more than a tenth of the rows could not be read."""
    rejected = len(snapshot.rejected)
    return rejected * 10 > rejected + snapshot.listed


def lost_fields(snapshot: Snapshot, known: Iterable[StoredModel]) -> frozenset[str]:
    """Tracked fields that listed models of the response are known to have, and that none of its elements has."""
    absent = set(TRACKED) - snapshot.fields
    had = [model.listing for model in known if absent and model.listed and model.listing.name in snapshot.listings]
    return frozenset(field for field in absent if any(getattr(listing, field) is not None for listing in had))


def unit_factor(old: object, new: object) -> Decimal | None:
    """The factor of a unit mistake that leads from `old` to `new`, None if there is none."""
    ratio = _ratio(old, new)
    if ratio is None:
        return None
    place = bisect(UNIT_FACTORS, ratio)
    nearest = UNIT_FACTORS[max(place - 1, 0) : place + 1]  # the one below and the one above
    return next((factor for factor in nearest if abs(ratio / factor - 1) <= _SAME_FACTOR), None)


def _ratio(old: object, new: object) -> Decimal | None:
    """How many times `old` the `new` one is; None from or to unknown, 0 or a negative number: there is no factor."""
    if not isinstance(old, int | Decimal) or not isinstance(new, int | Decimal) or old <= 0 or new <= 0:
        return None
    return Decimal(new) / Decimal(old)


def _exact(setting: float) -> Decimal:
    """A setting as a person wrote it: 0.1 is a tenth."""
    return Decimal(str(setting))


# -- in words ----------------------------------------------------------------------------------------------------------


def sentence(kind: FindingKind, evidence: Evidence, prices: Mapping[str, Decimal | None]) -> str:  # noqa: PLR0911 - one line a kind
    """What a finding doubts, in words; `prices` are the believed prices of its models."""
    count = len(evidence)
    match kind:
        case FindingKind.REMOVALS:
            return f"{_models(count)} missing from one response"
        case FindingKind.REQUIRED:
            return f"required and missing: {', '.join(sorted(evidence))}"
        case FindingKind.UNIT_CHANGE:
            name = next(iter(evidence))
            factor = unit_factor(prices.get(name), (evidence[name] or {}).get("price"))
            return f"the prices of {_models(count)} look {_multiplied(factor)}"
        case FindingKind.PRICES_GONE:
            return f"the prices of {_models(count)} are gone"
        case FindingKind.IMPLAUSIBLE_PRICE:
            return f"{_models(count)} moved in price beyond the limit of one step"
        case FindingKind.SHAPE:
            return f"no listed model has the field {', '.join(sorted(evidence))} any more"
        case FindingKind.REJECTED_ROWS:
            return "more than 10 % of the listed models cannot be read"
        case FindingKind.REVERTED:
            return f"upstream repeats what was reverted: {_models(count)}"


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"


def _multiplied(factor: Decimal | None) -> str:
    if factor is None:
        return "multiplied by a unit"
    return f"multiplied by {factor:f}" if factor > 1 else f"divided by {(1 / factor).quantize(Decimal(1)):f}"
