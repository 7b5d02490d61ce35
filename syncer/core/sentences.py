"""A finding in words: what it withholds, in one sentence of at most 200 characters, and when it settles by itself.

The run's error, the notices and `syncer held` all say the same, because they all ask here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec

from syncer.core.model import Listing, component_of
from syncer.core.rules import PRICE_RULES, RESPONSE, Evidence, FindingKind, Policy, factor_between
from syncer.core.text import rfc3339

MAX_SENTENCE = 200
_MAX_NAME = 60
_ALIKE = Decimal("0.0005")

Believed = Mapping[str, Listing]
"""The believed listings of a finding's models, as far as there are any."""
Show = Callable[[str], str]


class _Case(msgspec.Struct, frozen=True):
    """A finding as the wordings see it: `said` is what it holds of the response itself."""

    names: Sequence[str]
    evidence: Evidence
    believed: Believed
    said: Mapping[str, object]

    def count(self, noun: str) -> str:
        """How many of it there are."""
        return _count(len(self.names), noun)


def sentence(kind: FindingKind, evidence: Evidence, believed: Believed) -> str:
    """What a finding withholds, with the first models, their prices on both sides and the factor."""
    names = sorted(name for name in evidence if name != RESPONSE)
    said = evidence[RESPONSE].fields or {} if RESPONSE in evidence else {}
    case = _Case(names, evidence, believed, said)
    show = _mover(case, farthest=kind is FindingKind.IMPLAUSIBLE_PRICE) if kind in _WITH_PRICES else _plainly
    return _listing_names(_HEADS[kind](case), names, show)


def settles_at(kind: FindingKind, evidence: Evidence, policy: Policy) -> datetime | None:
    """When the first of a finding's models settles by itself if upstream keeps saying it; None if it never does."""
    if kind is FindingKind.IMPLAUSIBLE_PRICE:
        stood = [min(at for _, _, at in its.shown) + policy.price_after for its in evidence.values() if its.shown]
        patient = [] if policy.patience is None else [its.since + policy.patience for its in evidence.values()]
        return min([*stood, *patient], default=None)
    if policy.patience is None or kind in {FindingKind.MOVED_SOURCE, FindingKind.PARTIAL, FindingKind.NAMELESS}:
        return None
    if kind in {FindingKind.REMOVALS, FindingKind.REQUIRED}:
        misses = [its.first for its in evidence.values() if its.first is not None]
        return min(misses) + policy.patience if misses else None
    return min((its.since + policy.patience for its in evidence.values()), default=None)


def settles(kind: FindingKind, evidence: Evidence, policy: Policy) -> str:
    """When a finding settles by itself, in words."""
    if kind is FindingKind.PARTIAL:
        return "ends with the next response that does not say so"
    if kind is FindingKind.NAMELESS:
        return "ends when each row has a name, or when you say that these rows are no models"
    at = settles_at(kind, evidence, policy)
    if at is None:
        return "waits for your answer"
    return f"settles by itself at {rfc3339(at)}, if upstream keeps saying it"


# -- one rule, one wording ---------------------------------------------------------------------------------------------


def _moved_source(case: _Case) -> str:
    missing = sum(case.evidence[name].fields is None for name in case.names)
    moved = f" ({_cut(str(case.said['moved']), 80)})" if "moved" in case.said else ""
    return (
        f"this looks like another source{moved}: {missing} known missing, {len(case.names) - missing} priced otherwise"
    )


def _partial(case: _Case) -> str:
    says = _cut(str(case.said.get("says")), 80)
    return f'the response says that it is not the whole list ({says}); if that means something else: pages = "whole"'


def _nameless(case: _Case) -> str:
    rows = f"{_count(len(case.said), 'row')} without a legible name: an absence takes patience"
    return f"{rows} ({_cut(str(next(iter(case.said.values()), '')), 60)})"


def _required(_: _Case) -> str:
    return "required and missing"


def _removals(case: _Case) -> str:
    return f"{case.count('model')} missing"


def _shape(case: _Case) -> str:
    unread = case.said.get("unreadable")
    rows = [f"more than 10 % of the rows have no readable name or price ({unread})"] if unread else []
    fields = sorted({field for name in case.names for field in case.evidence[name].fields or ()})
    labels = _cut(", ".join(component_of(field) or field for field in fields), 80)
    lost = [f"no element has {labels} any more, {case.count('model')} keep what is known"] if fields else []
    return "; ".join([*rows, *lost])


def _unit_change(case: _Case) -> str:
    return f"the prices of {case.count('model')} look {_multiplied(case) or 'rescaled'}"


def _prices_gone(case: _Case) -> str:
    return f"the prices of {case.count('model')} are gone"


def _mass_repricing(case: _Case) -> str:
    factor = _multiplied(case)
    return f"{case.count('price')} moved at once{factor and ', ' + factor}"


def _implausible(case: _Case) -> str:
    return f"{case.count('model')} moved in price too far for one step"


def _reverted(case: _Case) -> str:
    return f"upstream repeats what was reverted of {case.count('model')}"


_HEADS: Mapping[FindingKind, Callable[[_Case], str]] = {
    FindingKind.MOVED_SOURCE: _moved_source,
    FindingKind.PARTIAL: _partial,
    FindingKind.NAMELESS: _nameless,
    FindingKind.REQUIRED: _required,
    FindingKind.REMOVALS: _removals,
    FindingKind.SHAPE: _shape,
    FindingKind.UNIT_CHANGE: _unit_change,
    FindingKind.PRICES_GONE: _prices_gone,
    FindingKind.MASS_REPRICING: _mass_repricing,
    FindingKind.IMPLAUSIBLE_PRICE: _implausible,
    FindingKind.REVERTED: _reverted,
}
assert set(_HEADS) == set(FindingKind)  # noqa: S101 - a rule without words would withhold in silence
_WITH_PRICES = frozenset(PRICE_RULES) - {FindingKind.REVERTED}


# -- its parts ---------------------------------------------------------------------------------------------------------


def _listing_names(head: str, names: Sequence[str], show: Show) -> str:
    """The head and as many models as there is room for, the last words being how many more there are."""
    text, shown = _cut(head, MAX_SENTENCE), 0
    for name in names:
        longer = f"{text}{', ' if shown else ': '}{show(name)}"
        left = len(names) - shown - 1
        if len(longer) + len(_more(left)) > MAX_SENTENCE:
            break
        text, shown = longer, shown + 1
    return text + _more(len(names) - shown) if shown else text


def _more(count: int) -> str:
    return f" and {count} more" if count else ""


def _plainly(name: str) -> str:
    return _cut(name, _MAX_NAME)


def _mover(case: _Case, *, farthest: bool) -> Show:
    """A model's first moved price on both sides; the one that moved farthest, with its factor, where that is asked."""

    def show(name: str) -> str:
        moves = _moves(name, case)
        component, old, new = max(moves, key=_distance) if farthest else moves[0]
        before = case.believed.get(name)
        label = f" {component}" if before is None or len(before.prices) > 1 else ""
        times = _times(factor_between(old, new)) if farthest else ""
        return f"{_cut(name, _MAX_NAME)}{label} {_number(old)} -> {_number(new)}{times}"

    return show


Move = tuple[str, Decimal | None, Decimal | None]


def _moves(name: str, case: _Case) -> list[Move]:
    """The withheld prices of a model beside the believed ones."""
    old, fields = case.believed.get(name), case.evidence[name].fields or {}
    return [
        (component, None if old is None else old.prices.get(component), fields[field])
        for field in fields
        if (component := component_of(field)) is not None
    ]


def _distance(move: Move) -> Decimal:
    """How far a price moved; from or to none at all is farther than any factor."""
    factor = factor_between(move[1], move[2])
    return Decimal("Infinity") if factor is None else max(factor, 1 / factor)


def _multiplied(case: _Case) -> str:
    """By which common factor most of the prices moved; nothing if there is none to four digits."""
    factors = [factor_between(old, new) for name in case.names for _, old, new in _moves(name, case)]
    known = sorted(factor for factor in factors if factor is not None)
    middle = known[len(known) // 2] if known else Decimal(1)
    if sum(abs(factor / middle - 1) <= _ALIKE for factor in known) * 2 <= len(factors):
        return ""
    return f"multiplied by {_short(middle)}" if middle >= 1 else f"divided by {_short(1 / middle)}"


def _times(factor: Decimal | None) -> str:
    if factor is None:
        return ""
    return f" (times {_short(factor)})" if factor >= 1 else f" (divided by {_short(1 / factor)})"


def _short(factor: Decimal) -> str:
    """A factor to four digits, without an exponent."""
    return f"{Decimal(f'{factor:.4g}').normalize():f}"


def _number(price: Decimal | None) -> str:
    return "unknown" if price is None else f"{Decimal(price):f}"


def _count(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
