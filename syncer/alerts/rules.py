"""Which items of the feed one consumer is told. Pure: no clock, no I/O, no SQL; whoever delivers keeps the memory.

Filters look at the item itself. `kinds` and `sources` hold for all items, `models` and `types` (the name and the type
after it) for changes, `direction` for a repricing: one from or to an unknown or negative price has none and passes.

Silent, with `news_only`: a baseline (`changed_after` None) and what an imported run brought. It is never told, and the
price it states is from then on what the model is measured from.

Memory, for each model, holds for a repricing only; to come, to go, to return and other news is told at any price:

- A move is measured from the price last *told*, so small steps add up, and one that came back to it is nothing.
- `added`, `relisted` and `repriced` state a price; `removed` and `updated` do not, and leave what was told alone.
- A model never told of is measured from its price at the consumer's first position: the old price of the first change
  seen of it, or the price it was added at. No filter moves that: who asks for more kinds or models later is told what
  adds up to the threshold since.
- One thing does move it. With `direction` "up" a rise is measured from the lowest price since the one last told
  ("down": a fall from the highest): a fall that nobody asked for must hide no rise after it, nor count as one.
- Both thresholds must be reached, if both are set. From or to 0, an unknown or a negative price reaches any.
- Within `quiet` of the moment a price was told no repricing of the model is, whatever its size; the first one after
  that is measured from what was told.

`net` looks at all given changes of a model: if it ends as it was before the first that is news (not listed is not
listed, whatever it cost), none is told and the memory stays. It is the one rule for which it matters how a feed is cut.

Notices pass `kinds` and `sources`. From a told `failed` or `stale` until the source's `recovered`, its `stale` and
`held` are symptoms and not told. `failed` is the cause (and comes once an outage), `settled` answers a person: both are
told. So a source's `recovered` must stand in the feed before a `held` that outlives the trouble.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from fnmatch import fnmatchcase
from hashlib import blake2b

import msgspec

from syncer.core.model import TRACKED, Kind
from syncer.history.feed import ChangeRow
from syncer.history.notices import NoticeRow

Item = ChangeRow | NoticeRow

_STATES_A_PRICE = frozenset({Kind.ADDED, Kind.RELISTED, Kind.REPRICED})
_TROUBLE = frozenset({"failed", "stale"})
_SYMPTOMS = frozenset({"stale", "held"})
_FARTHEST = {"up": min, "down": max}
# Two prices of 15 digits, 1e-18 to 1e15, differ in 33 digits: nothing is rounded here, at no boundary.
_EXACT = Context(prec=100)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer asked to be told; the settings of its `[[alerts]]` table. Empty and None mean all.

    `kinds` are kinds of changes and of notices; `models` globs, case-sensitive; `direction` "up" or "down";
    `min_percent` in percent of the price told before, `min_absolute` in the currency of the source. `news_only` is
    False for a consumer that starts at the beginning of the feed.
    """

    kinds: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    direction: str | None = None
    min_percent: Decimal | None = None
    min_absolute: Decimal | None = None
    quiet: timedelta = timedelta(0)
    net: bool = False
    news_only: bool = True

    def digest(self) -> str:
        """A fingerprint, 32 hexadecimal digits, the same in each process; stored with a batch that is frozen."""
        return blake2b(msgspec.json.encode(self, order="sorted"), digest_size=16).hexdigest()


class Notified(msgspec.Struct, frozen=True):
    """The price that a model's next move is measured from, and when the consumer was last told a price of it.

    `price` None is unknown. `at` None: it was told none, and `price` is the base.
    """

    price: Decimal | None
    at: datetime | None


class Selection(msgspec.Struct, frozen=True):
    """The items to tell, in feed order, and the memory to keep once they are delivered.

    `notified` has the models whose entry changed. `failing` are the sources in a trouble that the consumer was told of,
    all of them; it is a fold over the notices alone.
    """

    chosen: tuple[Item, ...]
    notified: Mapping[int, Notified]
    failing: frozenset[str] = frozenset()


def select(
    rule: Rule,
    items: Sequence[Item],
    notified: Mapping[int, Notified],
    *,
    imported_runs: Collection[int] = (),
    failing: Collection[str] = (),
) -> Selection:
    """What of `items`, in feed order, the consumer is told, given what it was told before (model id -> Notified).

    `imported_runs` are the ids of those runs, of the items', that were imports; `failing` is that of the selection
    before.
    """
    imported = frozenset(imported_runs)
    silent = frozenset(item.id for item in items if rule.news_only and is_old(item, imported))
    undone = _undone(items, silent) if rule.net else frozenset()
    chosen: list[Item] = []
    memory: dict[int, Notified] = {}
    troubled = set(failing)
    for item in items:
        if isinstance(item, NoticeRow):
            is_notified = item.id not in silent and _tells_notice(rule, item, troubled)
            _note_trouble(item, troubled, is_notified=is_notified)
        else:
            before = memory.get(item.model_id) or notified.get(item.model_id) or _first_sight(item)
            is_notified, memory[item.model_id] = _hear(
                rule, item, before, is_silent=item.id in silent, is_undone=item.model_id in undone
            )
        if is_notified:
            chosen.append(item)
    changed = {model: entry for model, entry in memory.items() if entry != notified.get(model)}
    return Selection(tuple(chosen), changed, frozenset(troubled))


def is_old(item: Item, imported: Collection[int]) -> bool:
    """Whether it is no news: the baseline of a source, or a recorded past."""
    return item.run_id in imported or (isinstance(item, ChangeRow) and item.changed_after is None)


# -- changes -----------------------------------------------------------------------------------------------------------


def _first_sight(row: ChangeRow) -> Notified:
    return Notified(row.price if row.kind is Kind.ADDED else row.old_price, None)


def _hear(rule: Rule, row: ChangeRow, before: Notified, *, is_silent: bool, is_undone: bool) -> tuple[bool, Notified]:
    """Whether the change is told, and what is remembered of its model after it."""
    if is_silent:
        return False, Notified(row.price, before.at) if row.kind in _STATES_A_PRICE else before
    if is_undone:
        return False, before
    if row.kind is Kind.REPRICED:
        before = Notified(_start(rule, before.price, row.old_price), before.at)
    is_notified = _passes(rule, row) and (row.kind is not Kind.REPRICED or _is_worth_telling(rule, row, before))
    return is_notified, Notified(row.price, row.observed_at) if is_notified and row.kind in _STATES_A_PRICE else before


def _passes(rule: Rule, row: ChangeRow) -> bool:
    """The filters: they look at the change itself."""
    return (
        (not rule.kinds or row.kind in rule.kinds)
        and (not rule.sources or row.source in rule.sources)
        and (not rule.types or row.type in rule.types)
        and (not rule.models or any(fnmatchcase(row.name, glob) for glob in rule.models))
        and (row.kind is not Kind.REPRICED or _is_in_direction(rule, row.old_price, row.price))
    )


def _is_in_direction(rule: Rule, old: Decimal | None, new: Decimal | None) -> bool:
    if rule.direction is None or old is None or new is None or min(old, new) < 0:
        return True
    return _FARTHEST[rule.direction](old, new) == old


def _start(rule: Rule, price: Decimal | None, old: Decimal | None) -> Decimal | None:
    """The price that a move from `old` is measured from, where `price` was told."""
    if rule.direction is None or price is None or old is None or min(price, old) < 0:
        return price
    return _FARTHEST[rule.direction](price, old)


def _is_worth_telling(rule: Rule, row: ChangeRow, before: Notified) -> bool:
    if before.at is not None and row.observed_at < before.at + rule.quiet:
        return False
    return row.price != before.price and _reaches(rule, before.price, row.price)


def _reaches(rule: Rule, start: Decimal | None, price: Decimal | None) -> bool:
    if start is None or price is None or min(start, price) <= 0:
        return True
    move = _EXACT.abs(_EXACT.subtract(price, start))
    if rule.min_absolute is not None and move < rule.min_absolute:
        return False
    # Multiplied out instead of divided: 5 % is 5 %.
    return rule.min_percent is None or _EXACT.multiply(move, Decimal(100)) >= _EXACT.multiply(rule.min_percent, start)


# -- net ---------------------------------------------------------------------------------------------------------------


def _undone(items: Iterable[Item], silent: frozenset[int]) -> frozenset[int]:
    """The models that end as they were before the first of their changes that is news."""
    first: dict[int, ChangeRow] = {}
    last: dict[int, ChangeRow] = {}
    for row in items:
        if isinstance(row, ChangeRow):
            last[row.model_id] = row
            if row.id not in silent:
                first.setdefault(row.model_id, row)
    return frozenset(model for model, row in first.items() if _state_before(row) == _state_after(last[model]))


def _state_before(row: ChangeRow) -> tuple[object, ...] | None:
    """The tracked fields before the change, None for a model that was not listed."""
    if row.kind in {Kind.ADDED, Kind.RELISTED}:
        return None
    return tuple(row.changed[field][0] if field in row.changed else getattr(row, field) for field in TRACKED)


def _state_after(row: ChangeRow) -> tuple[object, ...] | None:
    return None if row.kind is Kind.REMOVED else tuple(getattr(row, field) for field in TRACKED)


# -- notices -----------------------------------------------------------------------------------------------------------


def _tells_notice(rule: Rule, notice: NoticeRow, troubled: Collection[str]) -> bool:
    is_symptom = notice.kind in _SYMPTOMS and notice.source in troubled
    return (
        not is_symptom
        and (not rule.kinds or notice.kind in rule.kinds)
        and (not rule.sources or notice.source in rule.sources)
    )


def _note_trouble(notice: NoticeRow, troubled: set[str], *, is_notified: bool) -> None:
    """Trouble that the consumer was not told of hides nothing from it."""
    if notice.kind == "recovered":
        troubled.discard(notice.source)
    elif notice.kind in _TROUBLE and is_notified:
        troubled.add(notice.source)
