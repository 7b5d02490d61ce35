"""Which items of the feed one consumer is told: each rule, both sides of each boundary, and what holds for all feeds.

A feed of one model is written as its prices, an hour apart: `moves("100", "101")` is one repricing, from 100 to 101.
"""

import decimal
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.alerts.rules import AlertRule, Item, Key, Notified, Selection, select
from syncer.core.model import TRACKED, Kind
from syncer.history.feed import ChangeRow
from syncer.history.notices import NoticeRow

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
P = (7, "price")
FIVE_PERCENT = AlertRule(min_percent=Decimal(5))


def at(hours: float) -> datetime:
    """So many hours after the start."""
    return START + hours * HOUR


def money(price: str | None) -> Decimal | None:
    """A price as one would write it, None for unknown."""
    return None if price is None else Decimal(price)


def change(kind: str, price: str | None = "100", old: str | None = "100", **more: Any) -> ChangeRow:
    """A change; `id` is also its run and its hour, unless `more` says otherwise."""
    number = more.setdefault("id", 1)
    known: dict[str, Any] = {
        "source": "main",
        "run_id": number,
        "model_id": 7,
        "kind": Kind(kind),
        "observed_at": at(number),
        "effective_at": at(number),
        "changed_after": at(number - 1),
        "name": "acme/One",
        **dict.fromkeys(TRACKED),
        "type": "Text",
        "component": "price",
        "price": money(price),
        "prices": {"price": money(price)},
        "old_price": None if kind == "added" else money(old),
        "changed": {"prices.price": [money(old), money(price)]}
        if kind in {"repriced", "relisted"} and old != price
        else {},
        "reverts_id": None,
        "currency": "USD",
        "unit": None,
        "units": {},
    }
    return ChangeRow(**known | more)


def moves(*prices: str | None, **more: Any) -> list[ChangeRow]:
    """One repricing an hour, from the first price on; `start` is the id of the first."""
    start = more.pop("start", 1)
    pairs = pairwise(prices)
    return [change("repriced", new, old, id=start + number, **more) for number, (old, new) in enumerate(pairs)]


def notice(
    number: int, kind: str, source: str = "main", *, run_id: int | None = None, model: str | None = None, **data: Any
) -> NoticeRow:
    """A notice with that feed id; a stale one is late unless `data` has another reason."""
    known = {"reason": "late"} if kind == "stale" else {}
    return NoticeRow(
        id=number,
        source=source,
        run_id=run_id,
        finding_id=None,
        model=model,
        kind=kind,
        observed_at=at(number),
        data=known | data,
    )


def told_prices(rule: AlertRule, rows: Sequence[Item], told: Mapping[Key, Notified] | None = None) -> list[str | None]:
    """The prices of the changes that are told."""
    chosen = select(rule, rows, told or {}).chosen
    return [None if row.price is None else str(row.price) for row in chosen if isinstance(row, ChangeRow)]


def told_kinds(rule: AlertRule, rows: Sequence[Item], **more: Any) -> list[str]:
    """The kinds of the items that are told."""
    return [str(item.kind) for item in select(rule, rows, {}, **more).chosen]


# -- filters -----------------------------------------------------------------------------------------------------------

ONE_OF_EACH: list[Item] = [
    change("added", id=1, model_id=1),
    change("removed", id=2, model_id=2),
    change("relisted", id=3, model_id=3),
    change("repriced", "50", id=4, model_id=4),
    change("updated", id=5, model_id=5),
    *(notice(6 + number, kind) for number, kind in enumerate(("settled", "held", "failed", "recovered", "stale"))),
]


def test_no_filter_lets_everything_pass() -> None:
    """A rule without filters tells all kinds of changes and notices, in feed order."""
    assert select(AlertRule(), ONE_OF_EACH, {}).chosen == tuple(ONE_OF_EACH)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({"repriced", "removed"}, ["removed", "repriced"]),
        ({"failed", "added"}, ["added", "failed"]),
        ({"nothing"}, []),
    ],
)
def test_kinds_choose_changes_and_notices_alike(kinds: set[str], expected: list[str]) -> None:
    """`kinds` names what is told, of changes and of notices."""
    assert told_kinds(AlertRule(kinds=frozenset(kinds)), ONE_OF_EACH) == expected


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        (AlertRule(models=("acme/*",)), True),
        (AlertRule(models=("other/*", "*One")), True),
        (AlertRule(models=("acme/On",)), False),
        (AlertRule(models=("ACME/*",)), False),
        (AlertRule(models=("acme/one",)), False),
        (AlertRule(models=("acme/[!O]*",)), False),
        (AlertRule(types=("Image", "Text")), True),
        (AlertRule(types=("text",)), False),
        (AlertRule(sources=("main",)), True),
        (AlertRule(sources=("mai*",)), False),
    ],
    ids=str,
)
def test_models_are_globs_and_types_and_sources_are_words(rule: AlertRule, is_told: bool) -> None:
    """A model glob must match the whole name, case-sensitive; a type and a source must be the very word."""
    assert bool(select(rule, [change("added")], {}).chosen) is is_told


def test_a_model_of_unknown_type_is_of_no_type() -> None:
    """A change of a model without a type does not pass a filter on types."""
    assert select(AlertRule(types=("Text",)), [change("added", type=None)], {}).chosen == ()


@pytest.mark.parametrize(
    "rule",
    [
        AlertRule(models=("other/*",)),
        AlertRule(types=("Image",)),
        AlertRule(direction="up"),
        AlertRule(min_percent=Decimal(99), min_absolute=Decimal(99), quiet=HOUR),
    ],
    ids=str,
)
def test_notices_are_filtered_by_kind_and_source_only(rule: AlertRule) -> None:
    """What is asked of models and prices keeps no notice back; a source does."""
    notices = [notice(1, "failed"), notice(2, "recovered")]
    assert select(rule, notices, {}).chosen == tuple(notices)
    assert select(AlertRule(sources=("other",)), notices, {}).chosen == ()


# -- direction ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "up", "down"),
    [
        ("1", "2", True, False),
        ("2", "1", False, True),
        ("0", "1", True, False),
        ("1", "0", False, True),
        (None, "1", True, True),
        ("1", None, True, True),
        ("-1", "1", True, True),
        ("1", "-1", True, True),
    ],
)
def test_direction_is_that_of_the_repricing(old: str | None, new: str | None, up: bool, down: bool) -> None:
    """A repricing passes in its direction; from or to an unknown or negative price there is none, and it passes."""
    rows = moves(old, new)
    assert bool(select(AlertRule(direction="up"), rows, {}).chosen) is up
    assert bool(select(AlertRule(direction="down"), rows, {}).chosen) is down


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("price", ["50", "200"])
def test_direction_and_thresholds_are_asked_of_repricings_only(direction: str, price: str) -> None:
    """To come, to go, to return (at any price) and other news have no direction and no threshold."""
    rule = AlertRule(direction=direction, min_percent=Decimal(500), min_absolute=Decimal(500), quiet=99 * HOUR)
    kinds = ["added", "updated", "removed", "relisted"]
    rows = [change(kind, price, id=number) for number, kind in enumerate(kinds, 1)]
    assert told_kinds(rule, rows) == kinds


@pytest.mark.parametrize(
    ("direction", "prices", "expected"),
    [
        ("up", ["100", "90", "91", "94", "95"], ["95"]),  # from 90: +1.1 %, +4.4 %, +5.6 %
        ("up", ["100", "103", "102", "104.9", "105"], ["105"]),  # a step back keeps what has added up
        ("up", ["100", "10", "90"], ["90"]),
        ("down", ["100", "110", "109", "105", "104"], ["104"]),  # from 110: 5 % is 104.5
        ("down", ["100", "97", "98", "95"], ["95"]),
        ("down", ["0", "5", "4.9", "4.7"], ["4.7"]),
    ],
)
def test_a_move_the_other_way_neither_hides_nor_feigns_one(
    direction: str, prices: list[str], expected: list[str]
) -> None:
    """With a direction, a threshold counts from the farthest price since the last told one, the other way."""
    assert told_prices(AlertRule(direction=direction, min_percent=Decimal(5)), moves(*prices)) == expected


# -- thresholds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "old", "new", "is_told"),
    [
        (AlertRule(min_percent=Decimal(5)), "100", "104.999999999999", False),
        (AlertRule(min_percent=Decimal(5)), "100", "105", True),
        (AlertRule(min_percent=Decimal(5)), "100", "95.0000000000001", False),
        (AlertRule(min_percent=Decimal(5)), "100", "95", True),
        (AlertRule(min_percent=Decimal("33.3")), "3", "3.999", True),
        (AlertRule(min_percent=Decimal("33.4")), "3", "4", False),
        (AlertRule(min_absolute=Decimal("0.1")), "0.2", "0.299999999999999", False),
        (AlertRule(min_absolute=Decimal("0.1")), "0.2", "0.3", True),
        (AlertRule(min_absolute=Decimal("0.1")), "0.3", "0.2", True),
        (AlertRule(min_absolute=Decimal(999999999999999)), "0.000000000000000001", "999999999999999", False),
        (AlertRule(min_absolute=Decimal(999999999999998)), "0.000000000000000001", "999999999999999", True),
        (AlertRule(min_percent=Decimal(5), min_absolute=Decimal(10)), "100", "109", False),
        (AlertRule(min_percent=Decimal(5), min_absolute=Decimal(10)), "100", "110", True),
        (AlertRule(min_percent=Decimal(5), min_absolute=Decimal(10)), "1000", "1010", False),
        (AlertRule(min_percent=Decimal(0)), "100", "100.000000000001", True),
    ],
)
def test_a_move_is_told_from_its_thresholds_on(rule: AlertRule, old: str, new: str, is_told: bool) -> None:
    """A move that is exactly the threshold is told and one digit less is not; of two thresholds both are reached."""
    assert bool(select(rule, moves(old, new), {}).chosen) is is_told


@pytest.mark.parametrize(
    ("old", "new"),
    [("0", "0.01"), ("0.01", "0"), (None, "1"), ("1", None), ("-1", "1"), ("1", "-1"), ("-1", "-2"), ("0", None)],
)
def test_from_or_to_no_real_price_reaches_any_threshold(old: str | None, new: str | None) -> None:
    """From or to 0, an unknown or a negative price there is no percentage, and the move is always told."""
    rule = AlertRule(min_percent=Decimal(500), min_absolute=Decimal(500))
    assert told_prices(rule, moves(old, new)) == [new]


def test_thresholds_do_not_depend_on_the_callers_arithmetic() -> None:
    """Law 4: the comparison is exact under any decimal context of the caller."""
    with decimal.localcontext(prec=2):
        assert told_prices(FIVE_PERCENT, moves("1234.56", "1296.287", "1296.288")) == ["1296.288"]


# -- memory ------------------------------------------------------------------------------------------------------------


def test_creeping_steps_are_told_when_they_add_up() -> None:
    """Five steps of 1 % are told once, when they reach 5 % of the price told before; then it begins anew."""
    prices = [str(price) for price in range(100, 112)]
    assert told_prices(FIVE_PERCENT, moves(*prices)) == ["105", "111"]


def test_a_model_never_told_is_measured_from_its_price_at_the_consumers_first_position() -> None:
    """The old price of the first change seen is kept as the base, with no time of telling."""
    first = select(FIVE_PERCENT, moves("100", "104"), {})
    assert first == Selection((), {P: Notified(Decimal(100), None)})
    second = select(FIVE_PERCENT, moves("104", "106", start=2), first.notified)
    assert second.notified == {P: Notified(Decimal(106), at(2))}


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("added", Notified(Decimal(100), at(1))),
        ("relisted", Notified(Decimal(100), at(1))),
        ("repriced", Notified(Decimal(100), at(1))),
        ("removed", None),
        ("updated", None),
    ],
)
def test_a_told_change_that_states_a_price_is_remembered(kind: str, entry: Notified | None) -> None:
    """Telling that a model came, returned or moved tells its price; to go and other news tell none."""
    assert select(AlertRule(), [change(kind, "100", "80")], {}).notified == ({} if entry is None else {P: entry})


def test_other_news_of_a_model_does_not_hide_what_creeps() -> None:
    """An `updated` told between two steps leaves the price told where it was."""
    rows = [*moves("100", "103"), change("updated", "103", "103", id=2), *moves("103", "106", start=3)]
    assert told_prices(FIVE_PERCENT, rows) == ["103", "106"]


def test_a_return_at_another_price_is_told_and_is_the_new_base() -> None:
    """A relisting is told whatever its price, and the next move is measured from it."""
    rows = [change("removed", id=1), change("relisted", "104", "100", id=2), *moves("104", "106", "110", start=3)]
    assert told_prices(FIVE_PERCENT, rows) == ["100", "104", "110"]


def test_only_entries_that_changed_are_handed_back() -> None:
    """Memory that stays as it was is not written again."""
    told = {P: Notified(Decimal(100), at(0)), (8, "price"): Notified(Decimal(1), None)}
    assert select(FIVE_PERCENT, moves("100", "102"), told).notified == {}
    assert select(AlertRule(), moves("100", "102"), told).notified == {P: Notified(Decimal(102), at(1))}


@pytest.mark.parametrize(
    "first",
    [
        AlertRule(kinds=frozenset({"removed"})),
        AlertRule(models=("other/*",)),
        AlertRule(types=("Image",)),
        AlertRule(sources=("other",)),
    ],
    ids=str,
)
def test_what_a_filter_kept_back_counts_once_it_is_asked_for(first: AlertRule) -> None:
    """A filter moves no base: after the rule is widened, small moves add up from what was told before it."""
    earlier = select(first, moves("100", "103"), {P: Notified(Decimal(100), at(-9))})
    assert earlier == Selection((), {})
    assert told_prices(FIVE_PERCENT, moves("103", "105", start=2), {P: Notified(Decimal(100), at(-9))}) == ["105"]
    assert select(first, moves("100", "103"), {}).notified == {P: Notified(Decimal(100), None)}


def test_a_model_whose_coming_was_not_asked_for_is_measured_from_its_first_price() -> None:
    """A consumer of repricings only does not hear of a new model's first small step."""
    rule = AlertRule(kinds=frozenset({"repriced"}), min_percent=Decimal(5))
    rows = [change("added", "100", id=1), *moves("100", "101", "105", start=2)]
    assert told_prices(rule, rows) == ["105"]


def test_what_came_back_to_the_told_price_is_nothing() -> None:
    """A move that was too small to tell and its way back are both silent; the memory stays."""
    told = {P: Notified(Decimal(100), at(0))}
    assert select(FIVE_PERCENT, moves("100", "104", "100"), told) == Selection((), {})
    widened = AlertRule(kinds=frozenset({"removed"}))
    assert select(widened, moves("100", "104"), told).notified == {}
    assert select(AlertRule(), moves("104", "100", start=2), told) == Selection((), {})


def test_each_model_has_its_own_memory() -> None:
    """Steps of two models, even of one name in two sources, do not add up."""
    rows = [*moves("100", "103"), *moves("100", "103", start=2, model_id=8, source="other")]
    assert select(FIVE_PERCENT, rows, {}).chosen == ()


# -- quiet -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quiet", "is_told"), [(2 * HOUR, True), (2 * HOUR + timedelta(microseconds=1), False), (timedelta(0), True)]
)
def test_quiet_ends_at_its_very_moment(quiet: timedelta, is_told: bool) -> None:
    """Told at T, a move at T + quiet is told and one a microsecond before that is not."""
    told = {P: Notified(Decimal(100), at(0))}
    assert bool(select(AlertRule(quiet=quiet), moves("100", "200", start=2), told).chosen) is is_told


def test_quiet_re_arms() -> None:
    """After the quiet the next move is told, measured from what was told, and a new quiet begins."""
    rule = AlertRule(quiet=3 * HOUR, min_percent=Decimal(5))
    told = select(rule, moves("100", "110", "150", "200", "111", "116", "200", "300", "400"), {})
    assert [(row.id, str(row.price)) for row in told.chosen if isinstance(row, ChangeRow)] == [
        (1, "110"),
        (5, "116"),  # at 4 the quiet is over, but 111 is too near to 110
        (8, "400"),
    ]


def test_what_was_silenced_and_came_back_is_nothing() -> None:
    """A spike within the quiet is not told, nor is its end after it."""
    rule = AlertRule(quiet=3 * HOUR)
    assert told_prices(rule, moves("100", "110", "0", "500", "110")) == ["110"]


def test_quiet_silences_repricings_only() -> None:
    """A removal within the quiet is told, and does not prolong it."""
    rows = [*moves("100", "110"), change("removed", "110", "110", id=2), *moves("110", "120", "130", start=3)]
    assert told_kinds(AlertRule(quiet=3 * HOUR), rows) == ["repriced", "removed", "repriced"]


def test_a_base_that_was_never_told_silences_nothing() -> None:
    """Quiet counts from a telling, not from the first sight."""
    assert told_prices(AlertRule(quiet=9 * HOUR), moves("100", "110"), {P: Notified(Decimal(100), None)}) == ["110"]


# -- what is silent ----------------------------------------------------------------------------------------------------


def test_a_baseline_is_silent_and_is_the_base() -> None:
    """What a source listed in its first good run is no news, and small moves add up from it."""
    baseline = change("added", "100", changed_after=None)
    assert select(FIVE_PERCENT, [baseline], {}) == Selection((), {})
    assert told_prices(FIVE_PERCENT, [baseline, *moves("100", "104", "105", start=2)]) == ["105"]


def test_an_import_is_silent_and_moves_the_base() -> None:
    """What an imported run brought is no news: neither its changes nor its notices; the next move counts from it."""
    told = {P: Notified(Decimal(100), at(-9))}
    rows: list[Item] = [*moves("100", "200"), change("updated", "200", id=2), notice(3, "held", run_id=3)]
    silent = select(FIVE_PERCENT, rows, told, imported_runs=[1, 2, 3])
    assert silent == Selection((), {P: Notified(Decimal(200), at(-9))})
    assert told_prices(FIVE_PERCENT, moves("200", "205", "210", start=4), silent.notified) == ["210"]


def test_an_imported_removal_states_no_price() -> None:
    """A silent change that states no price leaves the base alone."""
    rows = [*moves("100", "103"), change("removed", "103", "103", id=2)]
    assert select(FIVE_PERCENT, rows, {}, imported_runs=[2]).notified == {P: Notified(Decimal(100), None)}


def test_a_consumer_that_starts_at_the_beginning_is_told_both() -> None:
    """Without `news_only` a baseline and an import are told like all else."""
    rows: list[Item] = [change("added", changed_after=None), *moves("100", "200", start=2), notice(3, "held", run_id=3)]
    assert select(AlertRule(news_only=False), rows, {}, imported_runs=[2, 3]).chosen == tuple(rows)


# -- net ---------------------------------------------------------------------------------------------------------------

NET = AlertRule(net=True)


@pytest.mark.parametrize(
    "rows",
    [
        moves("100", "200", "100"),
        moves("100", "200", "300", "100.00"),
        [change("added", id=1), change("removed", id=2)],
        [change("removed", id=1), change("relisted", id=2)],
        [change("relisted", "5", "100", id=1), change("removed", "5", "5", id=2)],
        [
            change("updated", id=1, type="Image", changed={"type": ["Text", "Image"]}),
            change(
                "repriced",
                "1",
                "100",
                id=2,
                type="Text",
                changed={"prices.price": [Decimal(100), Decimal(1)], "type": ["Image", "Text"]},
            ),
            change("repriced", "100", "1", id=3),
        ],
    ],
    ids=["there and back", "the long way", "came and went", "went and came", "back and gone", "fields"],
)
def test_net_tells_nothing_of_what_was_undone(rows: list[ChangeRow]) -> None:
    """A model that ends as it began is told nothing with `net`, each of its items without."""
    assert select(NET, rows, {}).chosen == ()
    assert select(AlertRule(), rows, {}).chosen == tuple(rows)


@pytest.mark.parametrize(
    "rows",
    [
        moves("100", "200", "101"),
        [change("removed", id=1), change("relisted", "90", id=2)],
        [change("added", id=1), change("removed", id=2), change("relisted", id=3)],
    ],
    ids=["not quite", "back at another price", "came to stay"],
)
def test_net_tells_the_rest_as_it_was(rows: list[ChangeRow]) -> None:
    """A model that ends otherwise is told all its items, those between too."""
    assert select(NET, rows, {}).chosen == tuple(rows)


def test_net_looks_at_each_model_apart_and_at_no_notice() -> None:
    """One model's return hides nothing of another one, and a trouble that is over is still told."""
    other = change("repriced", "7", id=9, model_id=8)
    notices = [notice(10, "failed"), notice(11, "recovered")]
    assert select(NET, [*moves("100", "200", "100"), other, *notices], {}).chosen == (other, *notices)


def test_net_keeps_the_memory_as_it_was() -> None:
    """What was undone is not told, so that the told price stays; a first sight is kept as the base."""
    assert select(NET, moves("100", "200", "100"), {P: Notified(Decimal(90), at(0))}).notified == {}
    assert select(NET, moves("100", "200", "100"), {}).notified == {P: Notified(Decimal(100), None)}
    up = AlertRule(net=True, direction="up", min_percent=Decimal(5))
    undone = select(up, moves("100", "50", "100"), {})
    assert told_prices(up, moves("100", "101", start=3), undone.notified) == []


def test_net_begins_with_the_first_news() -> None:
    """A model of the baseline that vanished in the same batch did vanish; a later import may undo it."""
    baseline = change("added", changed_after=None)
    gone = change("removed", id=2)
    assert select(NET, [baseline, gone], {}).chosen == (gone,)
    assert select(NET, moves("100", "200", "100"), {}, imported_runs=[2]).chosen == ()


# -- notices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["failed", "stale", "held", "recovered", "held"], ["failed", "recovered", "held"]),
        (["stale", "held", "failed", "recovered", "stale"], ["stale", "failed", "recovered", "stale"]),
        (["failed", "settled", "recovered"], ["failed", "settled", "recovered"]),
        (["held", "settled", "stale"], ["held", "settled", "stale"]),
    ],
)
def test_symptoms_of_a_failing_source_are_not_told(kinds: list[str], expected: list[str]) -> None:
    """From a told failed or stale to recovered, stale and held are not told; the cause and a person's answer are."""
    assert told_kinds(AlertRule(), [notice(number, kind) for number, kind in enumerate(kinds)]) == expected


def test_trouble_is_remembered_from_one_batch_to_the_next() -> None:
    """A symptom in a later batch is not told either, until the source recovered."""
    first = select(AlertRule(), [notice(1, "failed")], {})
    assert first.failing == {"main"}
    second = select(AlertRule(), [notice(2, "stale"), notice(3, "recovered")], {}, failing=first.failing)
    assert told_kinds(AlertRule(), [notice(2, "stale"), notice(3, "recovered")], failing=first.failing) == ["recovered"]
    assert second.failing == frozenset()


def test_trouble_of_another_source_or_untold_hides_nothing() -> None:
    """Only a trouble of the same source, and one that the consumer was told of, has symptoms."""
    assert told_kinds(AlertRule(), [notice(1, "failed", "other"), notice(2, "held")]) == ["failed", "held"]
    rule = AlertRule(kinds=frozenset({"stale", "held"}))
    assert told_kinds(rule, [notice(1, "failed"), notice(2, "held"), notice(3, "stale")]) == ["held", "stale"]


def test_changes_of_a_failing_source_are_told() -> None:
    """What a source shows while it is in trouble was believed, so it is news and no symptom."""
    rows: list[Item] = [notice(1, "failed"), *moves("100", "50", start=2)]
    assert select(AlertRule(), rows, {}).chosen == tuple(rows)


# -- several prices ----------------------------------------------------------------------------------------------------


def both(number: int, start: Mapping[str, str | None], **moved: str | None) -> ChangeRow:
    """A repricing of a model whose prices were these, to these."""
    before = {name: money(price) for name, price in start.items()}
    after = before | {name: money(price) for name, price in moved.items()}
    changed = {f"prices.{name}": [before.get(name), after[name]] for name in moved}
    return change("repriced", id=number, component="input", prices=after, changed=changed)


def told_ids(rule: AlertRule, rows: Sequence[Item], told: Mapping[Key, Notified] | None = None) -> list[int]:
    """The feed ids of what is told."""
    return [item.id for item in select(rule, rows, told or {}).chosen]


IN_OUT = {"input": "100", "output": "10"}


@pytest.mark.parametrize(
    ("rule", "moved", "is_told"),
    [
        (AlertRule(), {"cache_read": "1"}, True),
        (AlertRule(components=frozenset({"input", "output"})), {"cache_read": "1"}, False),
        (AlertRule(components=frozenset({"input", "output"})), {"cache_read": "1", "output": "11"}, True),
        (AlertRule(components=frozenset({"input"})), {"input@batch": "1"}, False),
        (AlertRule(min_percent=Decimal(5)), {"input": "101", "output": "10.5"}, True),
        (AlertRule(min_percent=Decimal(5)), {"input": "104", "output": "10.4"}, False),
        (AlertRule(min_percent=Decimal(5), components=frozenset({"input"})), {"input": "101", "output": "20"}, False),
        (AlertRule(min_absolute=Decimal(1)), {"input": "100.5", "output": "11"}, True),
        (AlertRule(direction="up"), {"input": "90", "output": "11"}, True),
        (AlertRule(direction="up"), {"input": "90", "output": "9"}, False),
        (AlertRule(direction="up", min_percent=Decimal(50)), {"input": "10", "output": "11"}, False),
    ],
)
def test_a_repricing_is_told_for_what_any_chosen_price_did(
    rule: AlertRule, moved: dict[str, str], is_told: bool
) -> None:
    """Components, direction and thresholds are asked of each price by itself; one that is worth it is enough."""
    assert bool(told_ids(rule, [both(1, IN_OUT, **moved)])) is is_told


def test_creeping_steps_add_up_for_each_price() -> None:
    """Steps of 3 % in turn tell nothing until one of the two has moved by 5 % of what was told of it."""
    rows = [
        both(1, IN_OUT, input="103"),
        both(2, {"input": "103", "output": "10"}, output="10.3"),
        both(3, {"input": "103", "output": "10.3"}, output="10.6"),
        both(4, {"input": "103", "output": "10.6"}, input="106"),
    ]
    first = select(FIVE_PERCENT, rows[:2], {})
    assert first.notified == {(7, "input"): Notified(Decimal(100), None), (7, "output"): Notified(Decimal(10), None)}
    assert told_ids(FIVE_PERCENT, rows) == [3, 4]


def test_what_is_told_along_is_told() -> None:
    """A small move that stands in a message for another one is what its price is measured from afterwards."""
    rows = [both(1, IN_OUT, input="110", output="10.4"), both(2, {"input": "110", "output": "10.4"}, output="10.8")]
    assert told_ids(FIVE_PERCENT, rows) == [1]
    assert select(FIVE_PERCENT, rows, {}).notified[7, "output"] == Notified(Decimal("10.4"), at(1))


def test_quiet_is_of_each_price() -> None:
    """A price that was told leaves the other one free to speak."""
    rows = [
        both(1, IN_OUT, input="110"),
        both(2, {"input": "110", "output": "10"}, input="120"),
        both(3, {"input": "120", "output": "10"}, output="12"),
    ]
    assert told_ids(AlertRule(quiet=9 * HOUR), rows) == [1, 3]


def test_net_is_of_each_price() -> None:
    """A price that went and came back is not told, one that stays moved is."""
    there, stays, back = (
        both(1, IN_OUT, input="110"),
        both(2, {"input": "110", "output": "10"}, output="12"),
        both(3, {"input": "110", "output": "12"}, input="100"),
    )
    assert told_ids(NET, [there, stays, back]) == [2]
    updated = change("updated", id=4, alias="b", changed={"alias": ["a", "b"]}, prices=back.prices)
    assert told_ids(NET, [there, back, updated]) == [4]


def test_net_never_leaves_a_price_where_it_is_not() -> None:
    """If the way out was told along with another price, the way back is told too."""
    out, back = both(1, IN_OUT, input="110", output="12"), both(2, {"input": "110", "output": "12"}, input="100")
    assert told_ids(NET, [out, back]) == [1, 2]
    assert told_ids(AlertRule(net=True, components=frozenset({"input"})), [out, back]) == []


def test_a_price_that_appears_or_goes_reaches_any_threshold() -> None:
    """A component never known before, or not any more, is a move from or to unknown."""
    rule = AlertRule(min_percent=Decimal(500), components=frozenset({"cache_read"}))
    assert told_ids(rule, [both(1, IN_OUT, cache_read="1")]) == [1]
    assert told_ids(rule, [both(1, IN_OUT | {"cache_read": "1"}, cache_read=None)]) == [1]


# -- told on request ---------------------------------------------------------------------------------------------------


def test_some_kinds_are_told_on_request_only() -> None:
    """A model that is missing or returned, and a new reading, are told only to who names them."""
    rows: list[Item] = [
        notice(1, "missing", model="acme/One"),
        notice(2, "returned", model="acme/One"),
        change("reread", "90", "100", id=3, changed={"prices.price": [Decimal(100), Decimal(90)]}),
        notice(4, "expiring"),
    ]
    assert told_kinds(AlertRule(), rows) == ["expiring"]
    asked = AlertRule(kinds=frozenset({"missing", "returned", "reread"}))
    assert told_kinds(asked, rows) == ["missing", "returned", "reread"]


def test_a_notice_about_one_model_passes_its_glob() -> None:
    """Who asks for some models hears of those that are missing, and of every source's health."""
    rule = AlertRule(kinds=frozenset({"missing", "failed"}), models=("acme/*",))
    rows = [notice(1, "missing", model="acme/One"), notice(2, "missing", model="other/Two"), notice(3, "failed")]
    assert told_ids(rule, rows) == [1, 3]


def test_a_new_reading_moves_what_is_measured_from() -> None:
    """After a reread that scales a price, the next move is measured from the new reading."""
    reread = change("reread", "1000000", "1", id=2, changed={"prices.price": [Decimal(1), Decimal(1000000)]})
    told = {P: Notified(Decimal(1), at(0))}
    assert told_prices(FIVE_PERCENT, [reread, *moves("1000000", "1010000", "1060000", start=3)], told) == ["1060000"]


def test_a_doubtful_clock_hides_nothing() -> None:
    """While a source's answers look cached it is observed all the same: what is held then is news."""
    rows = [notice(1, "stale", reason="cached"), notice(2, "held"), notice(3, "stale"), notice(4, "held")]
    assert told_ids(AlertRule(), rows) == [1, 2, 3]


# -- what holds for all feeds ------------------------------------------------------------------------------------------

PRICES = st.sampled_from([None, "-1", "0", "10", "95", "99", "100", "101", "102", "104", "105", "106", "111", "200"])
STEPS = st.tuples(st.integers(1, 3), st.sampled_from(["price"] * 6 + ["text", "list", "import"]), PRICES)
MANY = st.tuples(
    st.integers(1, 3), st.sampled_from(["price", "output", "both"] * 3 + ["text", "list", "import", "reread"]), PRICES
)
THRESHOLDS = st.sampled_from([None, Decimal(1), Decimal(5), Decimal(50)])
KINDS = st.frozensets(st.sampled_from([*(kind.value for kind in Kind), "failed", "stale", "held", "recovered"]))
TROUBLES = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["failed", "stale", "held", "recovered"])), max_size=8
)


def rules(**fixed: Any) -> st.SearchStrategy[AlertRule]:
    """Random rules without `net`, `fixed` fields apart."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "kinds": KINDS,
        "direction": st.sampled_from([None, "up", "down"]),
        "min_percent": THRESHOLDS,
        "min_absolute": THRESHOLDS,
        "quiet": st.integers(0, 6).map(lambda hours: hours * HOUR),
        "components": st.sampled_from([frozenset[str](), frozenset({"price"}), frozenset({"output"})]),
        "news_only": st.booleans(),
    }
    return st.builds(AlertRule, **fields | {name: st.just(value) for name, value in fixed.items()})


def feed_of(steps: Iterable[tuple[int, str, str | None]]) -> tuple[list[ChangeRow], list[int]]:
    """A believable feed of three models with two prices each, and the runs of it that were imports.

    A step moves one price of a model or both ("import": by an imported run, "reread": by a new reading), changes a
    text, or removes or lists the model.
    """
    rows: list[ChangeRow] = []
    imported: list[int] = []
    now: dict[int, tuple[bool, dict[str, Decimal | None]]] = {}
    for number, (model, what, price) in enumerate(steps, 1):
        listed, old = now.get(model, (False, {"price": None, "output": None}))
        moved = {"output": ["output"], "both": ["price", "output"], "reread": ["output"]}.get(what, ["price"])
        asked = old | dict.fromkeys(moved, money(price))
        kind = _next_kind(model in now, listed, what, moved=old != asked)
        if kind is None:
            continue
        new = old if kind in {"removed", "updated"} else asked
        after = None if kind == "added" and number < 3 else at(number - 1)
        changed = {f"prices.{name}": [old[name], new[name]] for name in old if old[name] != new[name]}
        row = change(kind, id=number, model_id=model, changed_after=after, prices=new)
        before = None if kind == "added" else old["price"]
        row = msgspec.structs.replace(
            row, price=new["price"], old_price=before, changed={} if kind == "added" else changed
        )
        rows.append(row)
        now[model] = (kind != "removed", new)
        if what == "import":
            imported.append(number)
    return rows, imported


def _next_kind(known: bool, listed: bool, what: str, *, moved: bool) -> str | None:
    if not listed:
        return "relisted" if known else "added"
    if what in {"text", "list"}:
        return {"text": "updated", "list": "removed"}[what]
    return None if not moved else "reread" if what == "reread" else "repriced"


def with_notices(rows: Sequence[ChangeRow], troubles: Iterable[tuple[int, str]]) -> list[Item]:
    """The rows with notices after them, ids of their own."""
    notices = [notice(1000 * hour + number, kind) for number, (hour, kind) in enumerate(troubles)]
    return sorted([*rows, *notices], key=lambda item: item.id if isinstance(item, NoticeRow) else item.id * 1000 + 500)


@given(rules(), st.lists(MANY, max_size=30), TROUBLES, st.lists(st.integers(0, 40)))
def test_it_does_not_matter_where_a_feed_is_cut(
    rule: AlertRule, steps: list[tuple[int, str, str | None]], troubles: list[tuple[int, str]], cuts: list[int]
) -> None:
    """Consecutive batches with their memory carried over tell what one batch tells, and end with its memory."""
    rows, imported = feed_of(steps)
    items = with_notices(rows, troubles)
    whole = select(rule, items, {}, imported_runs=imported)
    chosen: tuple[Item, ...] = ()
    told: dict[Key, Notified] = {}
    failing: frozenset[str] = frozenset()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(items)], strict=True):
        part = select(rule, items[begin:end], told, imported_runs=imported, failing=failing)
        chosen, told, failing = chosen + part.chosen, told | dict(part.notified), part.failing
    assert (chosen, told, failing) == (whole.chosen, whole.notified, whole.failing)


@given(
    st.sampled_from([Decimal("0.5"), Decimal(1), Decimal(5), Decimal(50)]),
    st.lists(st.tuples(st.integers(1, 3), st.just("price"), PRICES), max_size=30),
)
def test_no_move_beyond_the_threshold_is_ever_lost(percent: Decimal, steps: list[tuple[int, str, str | None]]) -> None:
    """After each item a model's price is within the threshold of what was told: the item that brought it there was."""
    rule = AlertRule(min_percent=percent)
    told: dict[Key, Notified] = {}
    for row in feed_of(steps)[0]:
        selection = select(rule, [row], told)
        told |= selection.notified
        entry = told.get((row.model_id, "price"))
        last = row.price if entry is None else entry.price  # it has not moved yet
        assert not is_far(last, row.price, percent) or row.changed_after is None
        assert (last == row.price) or not selection.chosen


@given(st.sampled_from(["up", "down"]), st.lists(st.tuples(st.integers(1, 3), st.just("price"), PRICES), max_size=30))
def test_no_rise_or_fall_that_was_asked_for_is_ever_lost(
    direction: str, steps: list[tuple[int, str, str | None]]
) -> None:
    """With a direction, a price is never a threshold beyond the farthest one since the last told, the other way."""
    rule = AlertRule(direction=direction, min_percent=Decimal(5), kinds=frozenset({"repriced"}))
    farthest = min if direction == "up" else max
    told: dict[Key, Notified] = {}
    since: dict[int, list[Decimal | None]] = {}
    for row in feed_of(steps)[0]:
        selection = select(rule, [row], told)
        told |= selection.notified
        prices = since.setdefault(row.model_id, [])
        if selection.chosen:
            prices.clear()
        prices.append(row.price)
        real = [price for price in prices if price is not None and price > 0]
        if len(real) == len(prices):
            assert farthest(real) == row.price or not is_far(farthest(real), row.price, Decimal(5))


@given(st.lists(PRICES.filter(lambda price: price is not None and Decimal(price) > 0), min_size=2, max_size=30))
def test_told_moves_chain_up_to_within_the_threshold_of_the_net_move(prices: list[str]) -> None:
    """From one told price to the next, the told moves sum to the net move, but for less than the threshold."""
    rows = moves(*prices)
    rows = [row for row in rows if row.price != row.old_price]
    chain = [Fraction(price) for price in (prices[0], *(told_prices(FIVE_PERCENT, rows))) if price is not None]
    assert all(abs(new - old) * 20 >= old for old, new in pairwise(chain))
    assert abs(Fraction(prices[-1]) - chain[-1]) * 20 < chain[-1]


@given(rules(direction=None, min_absolute=None), st.lists(MANY, max_size=30))
def test_the_memory_is_what_a_naive_simulation_says(rule: AlertRule, steps: list[tuple[int, str, str | None]]) -> None:
    """The told items and the memory are those of a reader who keeps, for each model, a diary of what it heard."""
    rows, imported = feed_of(steps)
    selection = select(rule, rows, {}, imported_runs=imported)
    heard: set[int] = set()
    memory: dict[Key, Notified] = {}
    for model in (1, 2, 3):
        ids, base = naive(rule, [row for row in rows if row.model_id == model], imported)
        heard |= set(ids)
        memory |= {(model, name): entry for name, entry in base.items()}
    assert {row.id for row in selection.chosen} == heard
    assert dict(selection.notified) == memory


def naive(rule: AlertRule, rows: Sequence[ChangeRow], imported: Sequence[int]) -> tuple[list[int], dict[str, Notified]]:
    """The ids of one model's told changes and what is remembered of its prices, the slow and plain way."""
    heard: list[int] = []
    base: dict[str, Notified] = {}
    for row in rows:
        moved = {field.removeprefix("prices."): pair for field, pair in row.changed.items()}
        stated = list(row.prices) if row.kind in {"added", "relisted"} else list(moved)
        is_silent = rule.news_only and (row.changed_after is None or row.run_id in imported)
        is_asked_for = row.kind.value in rule.kinds if rule.kinds else row.kind != "reread"
        if is_silent or row.kind == "reread":
            base |= {name: Notified(row.prices[name], base[name].at) for name in stated if name in base}
            if not is_silent and is_asked_for:
                heard.append(row.id)
            continue
        base |= {name: Notified(old, None) for name, (old, _) in moved.items() if name not in base}
        if not is_asked_for or (row.kind == "repriced" and not any(is_worth(rule, row, n, base[n]) for n in moved)):
            continue
        heard.append(row.id)
        base |= {name: Notified(row.prices[name], row.observed_at) for name in stated}
    return heard, base


def is_worth(rule: AlertRule, row: ChangeRow, name: str, told: Notified) -> bool:
    """Whether the move of one component is worth telling."""
    is_early = told.at is not None and row.observed_at - told.at < rule.quiet
    is_chosen = not rule.components or name in rule.components
    return is_chosen and not is_early and is_far(told.price, row.prices[name], rule.min_percent or Decimal(0))


def is_far(old: Decimal | None, new: Decimal | None, percent: Decimal) -> bool:
    """Whether a move is one, and reaches so many percent; no percentage is far."""
    if old == new:
        return False
    if old is None or new is None or old <= 0 or new <= 0:
        return True
    return abs(Fraction(new) / Fraction(old) - 1) * 100 >= Fraction(percent)
