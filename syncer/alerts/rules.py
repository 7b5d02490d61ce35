"""Which items of the feed one consumer is told. Pure: no clock, no I/O, no SQL; whoever delivers keeps the memory.

Filters look at the item itself. `kinds` and `sources` hold for all items, `models` for changes and for notices about
one model, `types` (the type after it) for changes. Without `kinds` all are told but ON_REQUEST. Of a repricing each of
the `components` is asked about, with its `direction`: from or to an unknown or negative price it has none and passes.

Silent, with `news_only`: a baseline (`changed_after` None) and what an imported run brought. It is never told, and the
prices it states are from then on what the model's are measured from. So are those of a `reread`, told or not.

Memory, for each component of a model, holds for repricings only; that a model came, went or returned and other news are
told at any price. A repricing is told if any of its chosen components is worth it:

- A move is measured from the price last *told*, so small steps add up, and one that came back to it is nothing.
- `added` and `relisted` state all prices, `repriced` those that moved, told together with the one that was worth it;
  `removed` and `updated` state none, and leave what was told alone.
- A price never told is measured from what it was at the consumer's first position: the old price of its first move.
  No filter moves that: who asks for more kinds or models later is told what adds up to the threshold since.
- One thing does move it. With `direction` "up" a rise is measured from the lowest price since the one last told
  ("down": a fall from the highest): a fall that nobody asked for must hide no rise after it, nor count as one.
- Both thresholds must be reached, if both are set. From or to 0, an unknown or a negative price reaches any.
- Within `quiet` of the moment a price was told its moves are worth nothing, whatever their size; the first one after
  that is measured from what was told.

`net` looks at all given changes of a model: if it ends as it was before the first that is news (not listed is not
listed, whatever it cost), none is told and the memory stays. A price that ends as it was is worth no repricing in
between, if each of these can be left out whole. It is the one rule for which it matters how a feed is cut.

From a told outage (`failed`, or `stale` because no observation was made) until the source's `recovered`, its `held` and
its further `stale` are symptoms, and not told. So a source's `recovered` must stand in the feed before a `held` that
outlives the trouble.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Context, Decimal
from fnmatch import fnmatchcase

import msgspec

from syncer.core.model import TRACKED, Kind, component_of
from syncer.core.notices import LATE, NoticeKind
from syncer.history.feed import ChangeRow
from syncer.history.notices import NoticeRow

Item = ChangeRow | NoticeRow
Key = tuple[int, str]
"""A price: the id of its model, and the component."""

ON_REQUEST = frozenset({Kind.REREAD.value, NoticeKind.MISSING.value, NoticeKind.RETURNED.value})
"""The kinds that only those are told who name them: an absence that is one comes as `removed`, a reading is no news."""
_STATE_ALL_PRICES = frozenset({Kind.ADDED, Kind.RELISTED})
_STATE_NONE = frozenset({Kind.REMOVED, Kind.UPDATED})
_SYMPTOMS = frozenset({NoticeKind.STALE, NoticeKind.HELD})
_FARTHEST = {"up": min, "down": max}
# Two prices of 15 digits, 1e-18 to 1e15, differ in 33 digits: nothing is rounded here, at no boundary.
_EXACT = Context(prec=100)


class AlertRule(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer asked to be told; the settings of its `[[alerts]]` table. Empty and None mean all.

    `kinds` are kinds of changes and of notices; `models` globs, case-sensitive; `direction` "up" or "down";
    `min_percent` in percent of the price told before, `min_absolute` in the currency of the source. `news_only` is
    False for a consumer that starts at the beginning of the feed.
    """

    kinds: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    components: frozenset[str] = frozenset()
    direction: str | None = None
    min_percent: Decimal | None = None
    min_absolute: Decimal | None = None
    quiet: timedelta = timedelta(0)
    net: bool = False
    news_only: bool = True


class Notified(msgspec.Struct, frozen=True):
    """What a price's next move is measured from, and when the consumer was last told it.

    `price` None is unknown. `at` None: it was told none, and `price` is the base.
    """

    price: Decimal | None
    at: datetime | None


class Selection(msgspec.Struct, frozen=True):
    """The items to tell, in feed order, and the memory to keep once they are delivered.

    `notified` has the prices whose entry changed. `failing` are the sources in an outage that the consumer was told of,
    all of them; it is a fold over the notices alone.
    """

    chosen: tuple[Item, ...]
    notified: Mapping[Key, Notified]
    failing: frozenset[str] = frozenset()


def select(
    rule: AlertRule,
    items: Sequence[Item],
    notified: Mapping[Key, Notified],
    *,
    imported_runs: Collection[int] = (),
    failing: Collection[str] = (),
) -> Selection:
    """What of `items`, in feed order, the consumer is told, given what it was told before.

    `imported_runs` are the ids of those runs, of the items', that were imports; `failing` is that of the selection
    before.
    """
    imported = frozenset(imported_runs)
    silent = frozenset(item.id for item in items if rule.news_only and is_old(item, imported))
    undone = _Undone(rule, items, silent) if rule.net else _NOTHING_UNDONE
    chosen: list[Item] = []
    memory = dict(notified)
    failed = set(failing)
    for item in items:
        if isinstance(item, NoticeRow):
            is_told = item.id not in silent and _tells_notice(rule, item, failed)
            _note_outage(item, failed, is_told=is_told)
        else:
            is_told, entries = _weigh(rule, item, memory, undone, is_silent=item.id in silent)
            memory |= entries
        if is_told:
            chosen.append(item)
    changed = {key: entry for key, entry in memory.items() if entry != notified.get(key)}
    return Selection(tuple(chosen), changed, frozenset(failed))


def is_old(item: Item, imported: Collection[int]) -> bool:
    """Whether it is no news: the baseline of a source, or a recorded past."""
    return item.run_id in imported or (isinstance(item, ChangeRow) and item.changed_after is None)


def is_asked_for(kind: str, kinds: Collection[str]) -> bool:
    """Whether who names these kinds, or none, is told this one."""
    return kind in kinds if kinds else kind not in ON_REQUEST


# -- changes -----------------------------------------------------------------------------------------------------------

_Move = tuple[Decimal | None, Decimal | None]
_Entries = dict[Key, Notified]


def _weigh(
    rule: AlertRule, row: ChangeRow, memory: Mapping[Key, Notified], undone: "_Undone", *, is_silent: bool
) -> tuple[bool, _Entries]:
    """Whether the change is told, and what is to be remembered of its model's prices after it."""
    is_told = not is_silent and row.model_id not in undone.models and _passes(rule, row)
    if row.kind in _STATE_NONE:
        return is_told, {}
    if is_silent or row.kind is Kind.REREAD:
        return is_told, _rebased(row, memory)
    moves = _moves(row)
    before = {key: memory.get(key) or Notified(old, None) for key, (old, _) in moves.items()}
    if row.model_id in undone.models:
        return False, before
    if row.kind is Kind.REPRICED:
        before = {
            key: entry if key in undone.prices else Notified(_start(rule, entry.price, moves[key][0]), entry.at)
            for key, entry in before.items()
        }
        is_told = is_told and any(
            key not in undone.prices and _is_worth_telling(rule, row, moves[key], before[key])
            for key in _chosen(rule, moves)
        )
    return is_told, _told(row, moves) if is_told else before


def _moves(row: ChangeRow) -> dict[Key, _Move]:
    """Each price that moved, with the old and the new one."""
    components = ((component_of(field), pair) for field, pair in row.changed.items())
    return {(row.model_id, component): (pair[0], pair[1]) for component, pair in components if component is not None}


def _chosen(rule: AlertRule, prices: Iterable[Key]) -> Iterator[Key]:
    return (key for key in prices if not rule.components or key[1] in rule.components)


def _told(row: ChangeRow, moves: Mapping[Key, _Move]) -> _Entries:
    """What is remembered of a change that was told: the prices that it states."""
    if row.kind in _STATE_ALL_PRICES:
        return {(row.model_id, name): Notified(price, row.observed_at) for name, price in row.prices.items()}
    return {key: Notified(new, row.observed_at) for key, (_, new) in moves.items()}


def _rebased(row: ChangeRow, memory: Mapping[Key, Notified]) -> _Entries:
    """What was remembered, from now on measured from the prices that the change states.

    A price of which nothing is remembered needs no entry: its next move begins where this one ended.
    """
    stated = {(row.model_id, name): price for name, price in row.prices.items()}
    keys = stated if row.kind in _STATE_ALL_PRICES else _moves(row)
    return {key: Notified(stated.get(key), memory[key].at) for key in keys if key in memory}


def _passes(rule: AlertRule, row: ChangeRow) -> bool:
    """The filters that look at the change alone, whatever it did to a price."""
    return (
        is_asked_for(row.kind, rule.kinds)
        and (not rule.sources or row.source in rule.sources)
        and (not rule.types or row.type in rule.types)
        and _is_of_models(rule, row.name)
    )


def _is_of_models(rule: AlertRule, name: str) -> bool:
    return not rule.models or any(fnmatchcase(name, glob) for glob in rule.models)


def _is_worth_telling(rule: AlertRule, row: ChangeRow, move: _Move, before: Notified) -> bool:
    old, new = move
    if before.at is not None and row.observed_at < before.at + rule.quiet:
        return False
    return _is_in_direction(rule, old, new) and new != before.price and _reaches(rule, before.price, new)


def _is_in_direction(rule: AlertRule, old: Decimal | None, new: Decimal | None) -> bool:
    if rule.direction is None or old is None or new is None or min(old, new) < 0:
        return True
    return _FARTHEST[rule.direction](old, new) == old


def _start(rule: AlertRule, price: Decimal | None, old: Decimal | None) -> Decimal | None:
    """The price that a move from `old` is measured from, where `price` was told."""
    if rule.direction is None or price is None or old is None or min(price, old) < 0:
        return price
    return _FARTHEST[rule.direction](price, old)


def _reaches(rule: AlertRule, start: Decimal | None, price: Decimal | None) -> bool:
    if start is None or price is None or min(start, price) <= 0:
        return True
    move = _EXACT.abs(_EXACT.subtract(price, start))
    if rule.min_absolute is not None and move < rule.min_absolute:
        return False
    # Multiplied out instead of divided: 5 % is 5 %.
    return rule.min_percent is None or _EXACT.multiply(move, Decimal(100)) >= _EXACT.multiply(rule.min_percent, start)


# -- net ---------------------------------------------------------------------------------------------------------------


class _Undone:
    """What ends as it was before the first change of its model that is news: whole models, and single prices.

    A price is undone only if each repricing that moved it moved, of the chosen ones, none but such: a repricing that is
    told tells all of its prices, and one of them must not stay where it was not in the end.
    """

    def __init__(self, rule: AlertRule, items: Iterable[Item], silent: frozenset[int]) -> None:
        first: dict[int, ChangeRow] = {}
        last: dict[int, ChangeRow] = {}
        repricings: list[frozenset[Key]] = []
        for row in items:
            if not isinstance(row, ChangeRow):
                continue
            last[row.model_id] = row
            if row.id not in silent:
                first.setdefault(row.model_id, row)
                if row.kind is Kind.REPRICED:
                    repricings.append(frozenset(_chosen(rule, _moves(row))))
        self.models = frozenset(
            model for model, row in first.items() if _state_before(row) == _state_after(last[model])
        )
        same = {key for model, row in first.items() for key in _same_prices(row, last[model])}
        while kept := {key for moved in repricings if not moved <= same for key in moved & same}:
            same -= kept
        self.prices = frozenset(same)


_NOTHING_UNDONE = _Undone(AlertRule(), (), frozenset())


def _same_prices(first: ChangeRow, last: ChangeRow) -> Iterator[Key]:
    """The prices that are after the last change what they were before the first."""
    if first.kind in _STATE_ALL_PRICES:
        return
    for component, price in _prices_before(first).items():
        if last.prices.get(component) == price:
            yield first.model_id, component


def _prices_before(row: ChangeRow) -> dict[str, Decimal | None]:
    return row.prices | {component: old for (_, component), (old, _) in _moves(row).items()}


def _state_before(row: ChangeRow) -> tuple[object, ...] | None:
    """The tracked fields and the prices before the change, None for a model that was not listed."""
    if row.kind in _STATE_ALL_PRICES:
        return None
    fields = (row.changed[field][0] if field in row.changed else getattr(row, field) for field in TRACKED)
    return (*fields, _known(_prices_before(row)))


def _state_after(row: ChangeRow) -> tuple[object, ...] | None:
    if row.kind is Kind.REMOVED:
        return None
    return (*(getattr(row, field) for field in TRACKED), _known(row.prices))


def _known(prices: Mapping[str, Decimal | None]) -> dict[str, Decimal]:
    """Without those that are unknown: a component that was never known is no key."""
    return {component: price for component, price in prices.items() if price is not None}


# -- notices -----------------------------------------------------------------------------------------------------------


def _tells_notice(rule: AlertRule, notice: NoticeRow, failed: Collection[str]) -> bool:
    is_symptom = notice.kind in _SYMPTOMS and notice.source in failed
    return (
        not is_symptom
        and is_asked_for(notice.kind, rule.kinds)
        and (not rule.sources or notice.source in rule.sources)
        and (notice.model is None or _is_of_models(rule, notice.model))
    )


def _note_outage(notice: NoticeRow, failed: set[str], *, is_told: bool) -> None:
    """An outage that the consumer was not told of hides nothing from it."""
    if notice.kind == NoticeKind.RECOVERED:
        failed.discard(notice.source)
    elif _is_outage(notice) and is_told:
        failed.add(notice.source)


def _is_outage(notice: NoticeRow) -> bool:
    """Whether nothing is observed meanwhile; a doubtful clock or cache goes on to show what is news."""
    return notice.kind == NoticeKind.FAILED or (notice.kind == NoticeKind.STALE and notice.data.get("reason") == LATE)
