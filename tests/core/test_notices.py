"""notices: what a source's health and its models have to say, once; and the sentences that findings are told in."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from syncer.core import notices, sentences
from syncer.core.notices import Expiring, NoticeKind
from syncer.core.observation import Doubtful
from syncer.core.rules import Finding, FindingKind, Policy, Withheld
from tests.core.world import listing

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("trouble", "doubtful", "kinds"),
    [
        (None, None, []),
        ("failed", None, ["recovered"]),
        ("late", None, ["recovered"]),
        (None, Doubtful.CLOCK, ["stale"]),
        ("clock", Doubtful.CLOCK, []),
        ("clock", Doubtful.CACHED, ["recovered", "stale"]),
        ("failed", Doubtful.CACHED, ["recovered", "stale"]),
        ("cached", None, ["recovered"]),
    ],
)
def test_health_is_told_once_for_each_episode(trouble: str | None, doubtful: Doubtful | None, kinds: list[str]) -> None:
    """Once when it turns bad, once when it turns well, never in between (law 13)."""
    assert [notice.kind.value for notice in notices.of_health(trouble, doubtful, {})] == kinds


@pytest.mark.parametrize(("trouble", "told"), [(None, True), ("clock", True), ("failed", False), ("late", False)])
def test_a_failure_is_told_once(trouble: str | None, told: bool) -> None:
    """Not of a source that is known to fail; a doubtful clock is no word of that."""
    assert bool(notices.of_failure(trouble, "refused", None)) is told
    assert bool(notices.of_lateness(trouble, NOW, timedelta(hours=1))) is told


@pytest.mark.parametrize(
    ("days", "told", "now"),
    [
        (31, None, None),
        (30, None, 30),
        (30, 30, None),
        (7, 30, 7),
        (5, None, 7),
        (1, 7, 1),
        (0.5, 1, None),
        (0, None, None),
    ],
)
def test_ends_are_told_at_their_thresholds(days: float, told: int | None, now: int | None) -> None:
    """At 30, 7 and 1 days, each once; nothing is told of what is over."""
    said, marks = notices.of_expiring([Expiring(name="m", expires_at=NOW + timedelta(days=days), told=told)], NOW)
    assert (len(said), marks) == ((0, {}) if now is None else (1, {"m": now}))


def test_an_import_tells_nothing_of_ends_that_are_past_at_its_end() -> None:
    """Nobody can act on them any more."""
    model = Expiring(name="m", expires_at=NOW + timedelta(days=3))
    assert notices.of_expiring([model], NOW, NOW + timedelta(days=3)) == ([], {})
    assert len(notices.of_expiring([model], NOW, NOW + timedelta(days=2))[0]) == 1


def test_a_notice_names_a_hundred_and_says_how_many() -> None:
    """The count is the whole truth."""
    finding = Finding(
        kind=FindingKind.REMOVALS,
        opened_at=NOW,
        evidence={f"m{number:03}": Withheld(since=NOW, fields=None) for number in range(250)},
    )
    data = notices.of_held(finding, "why", "until").data
    assert (data["count"], len(data["models"]), data["models"][0]) == (250, 100, "m000")
    (unreadable,) = notices.of_unreadable({"m": {"prices"}}, [("odd ", "has outer white space")])
    assert unreadable.data["fields"] == {"m": ["prices"]}
    assert unreadable.data["rows"] == [{"name": "odd ", "reason": "has outer white space"}]


def price(value: object) -> Withheld:
    """A withheld price."""
    price = None if value is None else Decimal(str(value))
    return Withheld(since=NOW, fields={"prices.price": price}, shown=(("price", price, NOW),))


@pytest.mark.parametrize(
    ("kind", "evidence", "words"),
    [
        (FindingKind.REMOVALS, {"b": None, "a": None}, "2 models missing: a, b"),
        (FindingKind.REQUIRED, {"a": None}, "required and missing: a"),
        (
            FindingKind.UNIT_CHANGE,
            {"a": 100, "b": 200},
            "the prices of 2 models look multiplied by 100: a 1 -> 100, b 2 -> 200",
        ),
        (FindingKind.UNIT_CHANGE, {"a": "0.0001"}, "the prices of 1 model look divided by 10000: a 1 -> 0.0001"),
        (FindingKind.PRICES_GONE, {"a": None, "b": 0}, "the prices of 2 models are gone: a 1 -> unknown, b 2 -> 0"),
        (
            FindingKind.MASS_REPRICING,
            {"a": "7.15", "b": "14.3"},
            "2 prices moved at once, multiplied by 7.15: a 1 -> 7.15, b 2 -> 14.3",
        ),
        (FindingKind.MASS_REPRICING, {"a": 2, "b": 9}, "2 prices moved at once: a 1 -> 2, b 2 -> 9"),
        (
            FindingKind.IMPLAUSIBLE_PRICE,
            {"a": 500},
            "1 model moved in price too far for one step: a 1 -> 500 (times 500)",
        ),
    ],
)
def test_a_finding_in_one_sentence(kind: FindingKind, evidence: dict[str, object], words: str) -> None:
    """With the first models, both prices and the factor."""
    absent = kind in {FindingKind.REMOVALS, FindingKind.REQUIRED}
    held = {name: Withheld(since=NOW, fields=None) if absent else price(value) for name, value in evidence.items()}
    assert sentences.sentence(kind, held, {"a": listing("a", 1), "b": listing("b", 2)}) == words


def test_a_component_is_named_where_there_are_several() -> None:
    """The one that moved farthest."""
    held = {"a": Withheld(since=NOW, fields={"prices.input": Decimal(2), "prices.output": Decimal(0)})}
    old = {"a": listing("a", {"input": 1, "output": 4}, "input")}
    words = sentences.sentence(FindingKind.IMPLAUSIBLE_PRICE, held, old)
    assert words == "1 model moved in price too far for one step: a output 4 -> 0"


@pytest.mark.parametrize("kind", list(FindingKind))
@pytest.mark.parametrize("length", [1, 55, 255])
def test_a_sentence_has_at_most_200_characters(kind: FindingKind, length: int) -> None:
    """Whatever the names, the values and their number."""
    names = [f"{number:03}".ljust(length, "x") for number in range(300)]
    held = {name: price(Decimal("123456789.123456")) for name in names}
    old = {name: listing(name, "0.000000001") for name in names}
    response = {"": Withheld(since=NOW, fields={"moved": "u" * 500, "says": "s" * 500, "unreadable": 12})}
    words = sentences.sentence(kind, held | response, old)
    assert len(words) <= 200
    assert words


@pytest.mark.parametrize(
    ("kind", "until"),
    [
        (FindingKind.IMPLAUSIBLE_PRICE, "settles by itself at 2026-01-11T00:00:00Z, if upstream keeps saying it"),
        (FindingKind.UNIT_CHANGE, "settles by itself at 2026-01-13T12:00:00Z, if upstream keeps saying it"),
        (FindingKind.MOVED_SOURCE, "waits for your answer"),
        (FindingKind.PARTIAL, "ends with the next response that does not say so"),
        (FindingKind.NAMELESS, "ends when each row has a name, or when you say that these rows are no models"),
    ],
)
def test_when_a_finding_settles_by_itself(kind: FindingKind, until: str) -> None:
    """In words, for `syncer held` and the notices."""
    assert sentences.settles(kind, {"a": price(500)}, Policy()) == until


def test_an_empty_list_settles_nothing_by_itself() -> None:
    """Nor does anything where `patience` is "never", but what stood for `price_after`."""
    empty = {"a": Withheld(since=NOW, fields=None)}
    assert sentences.settles(FindingKind.REMOVALS, empty, Policy()) == "waits for your answer"
    missed = {"a": Withheld(since=NOW, fields=None, first=NOW)}
    assert sentences.settles_at(FindingKind.REMOVALS, missed, Policy()) == NOW + timedelta(days=3)
    assert sentences.settles_at(FindingKind.REMOVALS, missed, Policy(patience=None)) is None
    assert sentences.settles_at(FindingKind.IMPLAUSIBLE_PRICE, {"a": price(5)}, Policy(patience=None)) is not None


def test_the_kinds_of_notice() -> None:
    """The words of the feed."""
    health, findings = {"failed", "stale", "recovered"}, {"held", "settled"}
    models = {"unreadable", "readable", "missing", "returned", "expiring"}
    assert {kind.value for kind in NoticeKind} == health | findings | models
