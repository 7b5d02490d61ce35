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

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncer.alerts.rules import Item, Notified, Rule, Selection, select
from syncer.core.model import TRACKED, Kind
from syncer.history.feed import ChangeRow
from syncer.history.notices import NoticeRow

START = datetime(2026, 1, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIVE_PERCENT = Rule(min_percent=Decimal(5))


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
        "price": money(price),
        "old_price": None if kind == "added" else money(old),
        "changed": {"price": [money(old), money(price)]} if kind in {"repriced", "relisted"} and old != price else {},
        "reverts_id": None,
        "currency": "USD",
        "unit": None,
    }
    return ChangeRow(**known | more)


def moves(*prices: str | None, **more: Any) -> list[ChangeRow]:
    """One repricing an hour, from the first price on; `start` is the id of the first."""
    start = more.pop("start", 1)
    pairs = pairwise(prices)
    return [change("repriced", new, old, id=start + number, **more) for number, (old, new) in enumerate(pairs)]


def notice(number: int, kind: str, source: str = "main", run_id: int | None = None) -> NoticeRow:
    """A notice with that feed id."""
    return NoticeRow(
        id=number, source=source, run_id=run_id, finding_id=None, kind=kind, observed_at=at(number), data={}
    )


def told_prices(rule: Rule, rows: Sequence[Item], told: Mapping[int, Notified] | None = None) -> list[str | None]:
    """The prices of the changes that are told."""
    chosen = select(rule, rows, told or {}).chosen
    return [None if row.price is None else str(row.price) for row in chosen if isinstance(row, ChangeRow)]


def told_kinds(rule: Rule, rows: Sequence[Item], **more: Any) -> list[str]:
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
    assert select(Rule(), ONE_OF_EACH, {}).chosen == tuple(ONE_OF_EACH)


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
    assert told_kinds(Rule(kinds=frozenset(kinds)), ONE_OF_EACH) == expected


@pytest.mark.parametrize(
    ("rule", "is_told"),
    [
        (Rule(models=("acme/*",)), True),
        (Rule(models=("other/*", "*One")), True),
        (Rule(models=("acme/On",)), False),
        (Rule(models=("ACME/*",)), False),
        (Rule(models=("acme/one",)), False),
        (Rule(models=("acme/[!O]*",)), False),
        (Rule(types=("Image", "Text")), True),
        (Rule(types=("text",)), False),
        (Rule(sources=("main",)), True),
        (Rule(sources=("mai*",)), False),
    ],
    ids=str,
)
def test_models_are_globs_and_types_and_sources_are_words(rule: Rule, is_told: bool) -> None:
    """A model glob must match the whole name, case-sensitive; a type and a source must be the very word."""
    assert bool(select(rule, [change("added")], {}).chosen) is is_told


def test_a_model_of_unknown_type_is_of_no_type() -> None:
    """A change of a model without a type does not pass a filter on types."""
    assert select(Rule(types=("Text",)), [change("added", type=None)], {}).chosen == ()


@pytest.mark.parametrize(
    "rule",
    [
        Rule(models=("other/*",)),
        Rule(types=("Image",)),
        Rule(direction="up"),
        Rule(min_percent=Decimal(99), min_absolute=Decimal(99), quiet=HOUR),
    ],
    ids=str,
)
def test_notices_are_filtered_by_kind_and_source_only(rule: Rule) -> None:
    """What is asked of models and prices keeps no notice back; a source does."""
    notices = [notice(1, "failed"), notice(2, "recovered")]
    assert select(rule, notices, {}).chosen == tuple(notices)
    assert select(Rule(sources=("other",)), notices, {}).chosen == ()


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
    assert bool(select(Rule(direction="up"), rows, {}).chosen) is up
    assert bool(select(Rule(direction="down"), rows, {}).chosen) is down


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("price", ["50", "200"])
def test_direction_and_thresholds_are_asked_of_repricings_only(direction: str, price: str) -> None:
    """To come, to go, to return (at any price) and other news have no direction and no threshold."""
    rule = Rule(direction=direction, min_percent=Decimal(500), min_absolute=Decimal(500), quiet=99 * HOUR)
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
    assert told_prices(Rule(direction=direction, min_percent=Decimal(5)), moves(*prices)) == expected


# -- thresholds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "old", "new", "is_told"),
    [
        (Rule(min_percent=Decimal(5)), "100", "104.999999999999", False),
        (Rule(min_percent=Decimal(5)), "100", "105", True),
        (Rule(min_percent=Decimal(5)), "100", "95.0000000000001", False),
        (Rule(min_percent=Decimal(5)), "100", "95", True),
        (Rule(min_percent=Decimal("33.3")), "3", "3.999", True),
        (Rule(min_percent=Decimal("33.4")), "3", "4", False),
        (Rule(min_absolute=Decimal("0.1")), "0.2", "0.299999999999999", False),
        (Rule(min_absolute=Decimal("0.1")), "0.2", "0.3", True),
        (Rule(min_absolute=Decimal("0.1")), "0.3", "0.2", True),
        (Rule(min_absolute=Decimal(999999999999999)), "0.000000000000000001", "999999999999999", False),
        (Rule(min_absolute=Decimal(999999999999998)), "0.000000000000000001", "999999999999999", True),
        (Rule(min_percent=Decimal(5), min_absolute=Decimal(10)), "100", "109", False),
        (Rule(min_percent=Decimal(5), min_absolute=Decimal(10)), "100", "110", True),
        (Rule(min_percent=Decimal(5), min_absolute=Decimal(10)), "1000", "1010", False),
        (Rule(min_percent=Decimal(0)), "100", "100.000000000001", True),
    ],
)
def test_a_move_is_told_from_its_thresholds_on(rule: Rule, old: str, new: str, is_told: bool) -> None:
    """A move that is exactly the threshold is told and one digit less is not; of two thresholds both are reached."""
    assert bool(select(rule, moves(old, new), {}).chosen) is is_told


@pytest.mark.parametrize(
    ("old", "new"),
    [("0", "0.01"), ("0.01", "0"), (None, "1"), ("1", None), ("-1", "1"), ("1", "-1"), ("-1", "-2"), ("0", None)],
)
def test_from_or_to_no_real_price_reaches_any_threshold(old: str | None, new: str | None) -> None:
    """From or to 0, an unknown or a negative price there is no percentage, and the move is always told."""
    rule = Rule(min_percent=Decimal(500), min_absolute=Decimal(500))
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
    assert first == Selection((), {7: Notified(Decimal(100), None)})
    second = select(FIVE_PERCENT, moves("104", "106", start=2), first.notified)
    assert second.notified == {7: Notified(Decimal(106), at(2))}


@pytest.mark.parametrize(
    ("kind", "entry"),
    [
        ("added", Notified(Decimal(100), at(1))),
        ("relisted", Notified(Decimal(100), at(1))),
        ("repriced", Notified(Decimal(100), at(1))),
        ("removed", Notified(Decimal(80), None)),
        ("updated", Notified(Decimal(80), None)),
    ],
)
def test_a_told_change_that_states_a_price_is_remembered(kind: str, entry: Notified) -> None:
    """Telling that a model came, returned or moved tells its price; to go and other news leave the base alone."""
    assert select(Rule(), [change(kind, "100", "80")], {}).notified == {7: entry}


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
    told = {7: Notified(Decimal(100), at(0)), 8: Notified(Decimal(1), None)}
    assert select(FIVE_PERCENT, moves("100", "102"), told).notified == {}
    assert select(Rule(), moves("100", "102"), told).notified == {7: Notified(Decimal(102), at(1))}


@pytest.mark.parametrize(
    "first",
    [
        Rule(kinds=frozenset({"removed"})),
        Rule(models=("other/*",)),
        Rule(types=("Image",)),
        Rule(sources=("other",)),
    ],
    ids=str,
)
def test_what_a_filter_kept_back_counts_once_it_is_asked_for(first: Rule) -> None:
    """A filter moves no base: after the rule is widened, small moves add up from what was told before it."""
    earlier = select(first, moves("100", "103"), {7: Notified(Decimal(100), at(-9))})
    assert earlier == Selection((), {})
    assert told_prices(FIVE_PERCENT, moves("103", "105", start=2), {7: Notified(Decimal(100), at(-9))}) == ["105"]
    assert select(first, moves("100", "103"), {}).notified == {7: Notified(Decimal(100), None)}


def test_a_model_whose_coming_was_not_asked_for_is_measured_from_its_first_price() -> None:
    """A consumer of repricings only does not hear of a new model's first small step."""
    rule = Rule(kinds=frozenset({"repriced"}), min_percent=Decimal(5))
    rows = [change("added", "100", id=1), *moves("100", "101", "105", start=2)]
    assert told_prices(rule, rows) == ["105"]


def test_what_came_back_to_the_told_price_is_nothing() -> None:
    """A move that was too small to tell and its way back are both silent; the memory stays."""
    told = {7: Notified(Decimal(100), at(0))}
    assert select(FIVE_PERCENT, moves("100", "104", "100"), told) == Selection((), {})
    widened = Rule(kinds=frozenset({"removed"}))
    assert select(widened, moves("100", "104"), told).notified == {}
    assert select(Rule(), moves("104", "100", start=2), told) == Selection((), {})


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
    told = {7: Notified(Decimal(100), at(0))}
    assert bool(select(Rule(quiet=quiet), moves("100", "200", start=2), told).chosen) is is_told


def test_quiet_re_arms() -> None:
    """After the quiet the next move is told, measured from what was told, and a new quiet begins."""
    rule = Rule(quiet=3 * HOUR, min_percent=Decimal(5))
    told = select(rule, moves("100", "110", "150", "200", "111", "116", "200", "300", "400"), {})
    assert [(row.id, str(row.price)) for row in told.chosen if isinstance(row, ChangeRow)] == [
        (1, "110"),
        (5, "116"),  # at 4 the quiet is over, but 111 is too near to 110
        (8, "400"),
    ]


def test_what_was_silenced_and_came_back_is_nothing() -> None:
    """A spike within the quiet is not told, nor is its end after it."""
    rule = Rule(quiet=3 * HOUR)
    assert told_prices(rule, moves("100", "110", "0", "500", "110")) == ["110"]


def test_quiet_silences_repricings_only() -> None:
    """A removal within the quiet is told, and does not prolong it."""
    rows = [*moves("100", "110"), change("removed", "110", "110", id=2), *moves("110", "120", "130", start=3)]
    assert told_kinds(Rule(quiet=3 * HOUR), rows) == ["repriced", "removed", "repriced"]


def test_a_base_that_was_never_told_silences_nothing() -> None:
    """Quiet counts from a telling, not from the first sight."""
    assert told_prices(Rule(quiet=9 * HOUR), moves("100", "110"), {7: Notified(Decimal(100), None)}) == ["110"]


# -- what is silent ----------------------------------------------------------------------------------------------------


def test_a_baseline_is_silent_and_is_the_base() -> None:
    """What a source listed in its first good run is no news, and small moves add up from it."""
    baseline = change("added", "100", changed_after=None)
    assert select(FIVE_PERCENT, [baseline], {}) == Selection((), {7: Notified(Decimal(100), None)})
    assert told_prices(FIVE_PERCENT, [baseline, *moves("100", "104", "105", start=2)]) == ["105"]


def test_an_import_is_silent_and_moves_the_base() -> None:
    """What an imported run brought is no news: neither its changes nor its notices; the next move counts from it."""
    told = {7: Notified(Decimal(100), at(-9))}
    rows: list[Item] = [*moves("100", "200"), change("updated", "200", id=2), notice(3, "held", run_id=3)]
    silent = select(FIVE_PERCENT, rows, told, imported_runs=[1, 2, 3])
    assert silent == Selection((), {7: Notified(Decimal(200), at(-9))})
    assert told_prices(FIVE_PERCENT, moves("200", "205", "210", start=4), silent.notified) == ["210"]


def test_an_imported_removal_states_no_price() -> None:
    """A silent change that states no price leaves the base alone."""
    rows = [*moves("100", "103"), change("removed", "103", "103", id=2)]
    assert select(FIVE_PERCENT, rows, {}, imported_runs=[2]).notified == {7: Notified(Decimal(100), None)}


def test_a_consumer_that_starts_at_the_beginning_is_told_both() -> None:
    """Without `news_only` a baseline and an import are told like all else."""
    rows: list[Item] = [change("added", changed_after=None), *moves("100", "200", start=2), notice(3, "held", run_id=3)]
    assert select(Rule(news_only=False), rows, {}, imported_runs=[2, 3]).chosen == tuple(rows)


# -- net ---------------------------------------------------------------------------------------------------------------

NET = Rule(net=True)


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
            change("repriced", "1", "100", id=2, type="Text", changed={"price": [100, 1], "type": ["Image", "Text"]}),
            change("repriced", "100", "1", id=3),
        ],
    ],
    ids=["there and back", "the long way", "came and went", "went and came", "back and gone", "fields"],
)
def test_net_tells_nothing_of_what_was_undone(rows: list[ChangeRow]) -> None:
    """A model that ends as it began is told nothing with `net`, each of its items without."""
    assert select(NET, rows, {}).chosen == ()
    assert select(Rule(), rows, {}).chosen == tuple(rows)


@pytest.mark.parametrize(
    "rows",
    [
        moves("100", "200", "101"),
        [change("removed", id=1), change("relisted", "90", id=2)],
        [change("updated", id=1, alias="b", changed={"alias": ["a", "b"]}), *moves("100", "90", "100", start=2)],
        [change("added", id=1), change("removed", id=2), change("relisted", id=3)],
    ],
    ids=["not quite", "back at another price", "another field", "came to stay"],
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
    assert select(NET, moves("100", "200", "100"), {7: Notified(Decimal(90), at(0))}).notified == {}
    assert select(NET, moves("100", "200", "100"), {}).notified == {7: Notified(Decimal(100), None)}
    up = Rule(net=True, direction="up", min_percent=Decimal(5))
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
    assert told_kinds(Rule(), [notice(number, kind) for number, kind in enumerate(kinds)]) == expected


def test_trouble_is_remembered_from_one_batch_to_the_next() -> None:
    """A symptom in a later batch is not told either, until the source recovered."""
    first = select(Rule(), [notice(1, "failed")], {})
    assert first.failing == {"main"}
    second = select(Rule(), [notice(2, "stale"), notice(3, "recovered")], {}, failing=first.failing)
    assert told_kinds(Rule(), [notice(2, "stale"), notice(3, "recovered")], failing=first.failing) == ["recovered"]
    assert second.failing == frozenset()


def test_trouble_of_another_source_or_untold_hides_nothing() -> None:
    """Only a trouble of the same source, and one that the consumer was told of, has symptoms."""
    assert told_kinds(Rule(), [notice(1, "failed", "other"), notice(2, "held")]) == ["failed", "held"]
    rule = Rule(kinds=frozenset({"stale", "held"}))
    assert told_kinds(rule, [notice(1, "failed"), notice(2, "held"), notice(3, "stale")]) == ["held", "stale"]


def test_changes_of_a_failing_source_are_told() -> None:
    """What a source shows while it is in trouble was believed, so it is news and no symptom."""
    rows: list[Item] = [notice(1, "failed"), *moves("100", "50", start=2)]
    assert select(Rule(), rows, {}).chosen == tuple(rows)


# -- the fingerprint ---------------------------------------------------------------------------------------------------


def test_the_digest_is_pinned() -> None:
    """A rule has the same digest in each process and release: a batch frozen by one is finished by the next."""
    rule = Rule(kinds=frozenset({"repriced", "removed", "added"}), min_percent=Decimal(5), quiet=HOUR / 2)
    assert rule.digest() == "b206d991e893c75a39cd66f664755151"


@pytest.mark.parametrize(
    "other",
    [
        Rule(kinds=frozenset({"added"})),
        Rule(models=("a",)),
        Rule(types=("a",)),
        Rule(sources=("a",)),
        Rule(direction="up"),
        Rule(min_percent=Decimal(1)),
        Rule(min_absolute=Decimal(1)),
        Rule(quiet=HOUR),
        Rule(net=True),
        Rule(news_only=False),
    ],
    ids=str,
)
def test_each_field_of_a_rule_is_in_its_digest(other: Rule) -> None:
    """Two rules that could choose otherwise have two digests."""
    assert other.digest() != Rule().digest()


# -- what holds for all feeds ------------------------------------------------------------------------------------------

PRICES = st.sampled_from([None, "-1", "0", "10", "95", "99", "100", "101", "102", "104", "105", "106", "111", "200"])
STEPS = st.tuples(st.integers(1, 3), st.sampled_from(["price"] * 6 + ["text", "list", "import"]), PRICES)
THRESHOLDS = st.sampled_from([None, Decimal(1), Decimal(5), Decimal(50)])
KINDS = st.frozensets(st.sampled_from([*(kind.value for kind in Kind), "failed", "stale", "held", "recovered"]))
TROUBLES = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["failed", "stale", "held", "recovered"])), max_size=8
)


def rules(**fixed: Any) -> st.SearchStrategy[Rule]:
    """Random rules without `net`, `fixed` fields apart."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "kinds": KINDS,
        "direction": st.sampled_from([None, "up", "down"]),
        "min_percent": THRESHOLDS,
        "min_absolute": THRESHOLDS,
        "quiet": st.integers(0, 6).map(lambda hours: hours * HOUR),
        "news_only": st.booleans(),
    }
    return st.builds(Rule, **fields | {name: st.just(value) for name, value in fixed.items()})


def feed_of(steps: Iterable[tuple[int, str, str | None]]) -> tuple[list[ChangeRow], list[int]]:
    """A believable feed of three models, and the runs of it that were imports.

    A step moves a model's price ("import": by an imported run), changes a text, or removes or lists the model.
    """
    rows: list[ChangeRow] = []
    imported: list[int] = []
    now: dict[int, tuple[bool, str | None]] = {}
    for number, (model, what, price) in enumerate(steps, 1):
        listed, old = now.get(model, (False, None))
        kind = _next_kind(model in now, listed, what, moved=old != price)
        if kind is None:
            continue
        new = price if kind in {"added", "relisted", "repriced"} else old
        after = None if kind == "added" and number < 3 else at(number - 1)
        rows.append(change(kind, new, old, id=number, model_id=model, changed_after=after))
        now[model] = (kind != "removed", new)
        if what == "import":
            imported.append(number)
    return rows, imported


def _next_kind(known: bool, listed: bool, what: str, *, moved: bool) -> str | None:
    if not listed:
        return "relisted" if known else "added"
    if what in {"price", "import"}:
        return "repriced" if moved else None
    return {"text": "updated", "list": "removed"}[what]


def with_notices(rows: Sequence[ChangeRow], troubles: Iterable[tuple[int, str]]) -> list[Item]:
    """The rows with notices after them, ids of their own."""
    notices = [notice(1000 * hour + number, kind) for number, (hour, kind) in enumerate(troubles)]
    return sorted([*rows, *notices], key=lambda item: item.id if isinstance(item, NoticeRow) else item.id * 1000 + 500)


@given(rules(), st.lists(STEPS, max_size=30), TROUBLES, st.lists(st.integers(0, 40)))
def test_it_does_not_matter_where_a_feed_is_cut(
    rule: Rule, steps: list[tuple[int, str, str | None]], troubles: list[tuple[int, str]], cuts: list[int]
) -> None:
    """Consecutive batches with their memory carried over tell what one batch tells, and end with its memory."""
    rows, imported = feed_of(steps)
    items = with_notices(rows, troubles)
    whole = select(rule, items, {}, imported_runs=imported)
    chosen: tuple[Item, ...] = ()
    told: dict[int, Notified] = {}
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
    rule = Rule(min_percent=percent)
    told: dict[int, Notified] = {}
    for row in feed_of(steps)[0]:
        selection = select(rule, [row], told)
        told |= selection.notified
        last = told[row.model_id].price
        assert not is_far(last, row.price, percent) or row.changed_after is None
        assert (last == row.price) or not selection.chosen


@given(st.sampled_from(["up", "down"]), st.lists(st.tuples(st.integers(1, 3), st.just("price"), PRICES), max_size=30))
def test_no_rise_or_fall_that_was_asked_for_is_ever_lost(
    direction: str, steps: list[tuple[int, str, str | None]]
) -> None:
    """With a direction, a price is never a threshold beyond the farthest one since the last told, the other way."""
    rule = Rule(direction=direction, min_percent=Decimal(5), kinds=frozenset({"repriced"}))
    farthest = min if direction == "up" else max
    told: dict[int, Notified] = {}
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


@given(rules(direction=None, min_absolute=None), st.lists(STEPS, max_size=30))
def test_the_memory_is_what_a_naive_simulation_says(rule: Rule, steps: list[tuple[int, str, str | None]]) -> None:
    """The told items and the memory are those of a reader who keeps, for each model, a diary of what it heard."""
    rows, imported = feed_of(steps)
    selection = select(rule, rows, {}, imported_runs=imported)
    expected = {model: naive(rule, [row for row in rows if row.model_id == model], imported) for model in (1, 2, 3)}
    assert {row.id for row in selection.chosen} == {number for heard, _ in expected.values() for number in heard}
    assert dict(selection.notified) == {model: entry for model, (_, entry) in expected.items() if entry is not None}


def naive(rule: Rule, rows: Sequence[ChangeRow], imported: Sequence[int]) -> tuple[list[int], Notified | None]:
    """The ids of one model's told changes and what is remembered in the end, the slow and plain way."""
    heard: list[int] = []
    base: str | Decimal | None = "nothing yet"
    last: datetime | None = None
    for row in rows:
        if base == "nothing yet":
            base = row.price if row.kind == "added" else row.old_price
        assert not isinstance(base, str)
        if rule.news_only and (row.changed_after is None or row.run_id in imported):
            base = base if row.kind in {"removed", "updated"} else row.price
            continue
        if rule.kinds and row.kind.value not in rule.kinds:
            continue
        if row.kind == "repriced":
            is_early = last is not None and row.observed_at - last < rule.quiet
            if is_early or base == row.price or not is_far(base, row.price, rule.min_percent or Decimal(0)):
                continue
        heard.append(row.id)
        if row.kind not in {"removed", "updated"}:
            base, last = row.price, row.observed_at
    return heard, None if isinstance(base, str) else Notified(base, last)


def is_far(old: Decimal | None, new: Decimal | None, percent: Decimal) -> bool:
    """Whether a move is one, and reaches so many percent; no percentage is far."""
    if old == new:
        return False
    if old is None or new is None or old <= 0 or new <= 0:
        return True
    return abs(Fraction(new) / Fraction(old) - 1) * 100 >= Fraction(percent)
