"""What is believed when: stories over days, through the whole pipeline.

One story of each rule is told on both databases (`catalog`), the others on SQLite (`shop`): a decision is pure.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from syncer.core.decide import Approval
from tests.story import Story, body_of, instant, label
from tests.upstream import Upstream, model


@pytest.fixture
def catalog(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source with all the rules at their defaults: 26 hours, 10 models and 10 %, a factor of 100, 3 days."""
    with Story(database_url, upstream) as story:
        yield story


@pytest.fixture
def shop(sqlite_url: str, upstream: Upstream) -> Iterator[Story]:
    """The same on SQLite only."""
    with Story(sqlite_url, upstream) as story:
        yield story


def shelf(count: int = 20, price: str | None = "1", first: int = 1) -> dict[str, str | None]:
    """So many models at one price: M01, M02, ..."""
    return {f"M{number:02}": price for number in range(first, first + count)}


def open_findings(catalog: Story) -> dict[str, list[str]]:
    """What is withheld now: kind -> the models in it."""
    return {finding.kind: sorted(finding.evidence) for finding in catalog.findings("open")}


# -- one model goes ----------------------------------------------------------------------------------------------------


def test_gone_for_one_observation_costs_nothing(shop: Story) -> None:
    """A model that is missing from one observation stays with a mark, and its return leaves no history."""
    shop.on("01-01", **shelf(5)).on("01-02", **shelf(4))
    assert shop.marked() == {"M05": "01-02"}
    assert "M05" in shop.current()
    assert shop.run.outcome == "unchanged"
    shop.on("01-03", **shelf(5))
    assert shop.marked() == {}
    assert shop.outcomes == ["changed", "unchanged", "unchanged"]
    assert len(shop.changes()) == 5
    assert shop.periods("M05") == [("1", "01-01", None)]
    told = shop.ask("SELECT n.kind, m.name FROM notices n JOIN models m ON m.id = n.model_id ORDER BY n.id")
    assert [(row.kind, row.name) for row in told] == [("missing", "M05"), ("returned", "M05")]


def test_a_removal_is_confirmed_by_misses_and_hours(catalog: Story) -> None:
    """Missing for 26 hours after it was last shown: removed then, effective at the first miss."""
    catalog.on("01-01", **shelf(5)).hourly("01-01 01:00", 25, **shelf(4))
    assert catalog.model("M05").missing_count == 25
    assert catalog.changes("M05") == ["01-01 added M05 1"]
    catalog.on("01-02 02:00", **shelf(4))
    row = catalog.history("M05")[-1]
    assert (row.kind, row.effective_at, row.changed_after) == ("removed", "01-01 01:00", "01-01")
    assert row.observed_at == "01-02 02:00"
    assert catalog.periods("M05") == [("1", "01-01", "01-01 01:00")]
    assert catalog.on("01-02 03:00", **shelf(4)).run.outcome == "unchanged"


def test_hours_alone_do_not_confirm(shop: Story) -> None:
    """A daily job needs a second miss, however long ago the last observation was."""
    shop.on("01-01", **shelf(5)).on("01-08", **shelf(4))
    assert "M05" in shop.current()
    assert shop.on("01-09", **shelf(4)).changes("M05")[-1] == "01-08 removed M05"


def test_a_return_starts_the_count_anew(shop: Story) -> None:
    """Only misses in a row confirm: an observation that shows the model between two of them starts over."""
    shop.on("01-01", **shelf(5)).on("01-02", **shelf(4)).on("01-03", **shelf(5)).on("01-04", **shelf(4))
    assert shop.marked() == {"M05": "01-04"}
    assert shop.on("01-06", **shelf(4)).changes("M05")[-1] == "01-04 removed M05"


def test_an_outage_is_no_absence(shop: Story) -> None:
    """After 30 hours without an answer the first two misses tell nothing: 20 hours lie between them at least."""
    shop.on("01-01", **shelf(5))
    shop.failing("01-01 12:00", b"<html>")
    shop.on("01-02 06:00", **shelf(4)).on("01-02 07:00", **shelf(4)).on("01-03 01:59", **shelf(4))
    assert "M05" in shop.current()
    assert shop.on("01-03 02:00", **shelf(4)).changes("M05")[-1] == "01-02 06:00 removed M05"


def test_what_proves_nothing_confirms_nothing(shop: Story) -> None:
    """A failed run is no second miss, and no return either."""
    shop.on("01-01", **shelf(12)).on("01-02", **shelf(11))
    shop.failing("01-03", b"<html>")
    assert (shop.model("M12").missing_count, shop.marked()) == (1, {"M12": "01-02"})
    assert shop.on("01-05", **shelf(11)).changes("M12")[-1] == "01-02 removed M12"


def test_beside_a_nameless_row_an_absence_takes_patience(catalog: Story) -> None:
    """An element without a legible name may be any model: told at once, and believed after 3 days (law 3)."""
    odd = {"model_alias": "who knows"}
    catalog.on("01-01", **shelf(12)).on("01-02", odd, **shelf(11))
    assert (catalog.run.outcome, list(open_findings(catalog))) == ("held", ["nameless"])
    catalog.on("01-03", odd, **shelf(11)).on("01-04", odd, **shelf(11))
    assert "M12" in catalog.current()
    assert catalog.on("01-05", odd, **shelf(11)).changes("M12")[-1] == "01-02 removed M12"


def test_a_person_may_say_that_nameless_rows_are_no_models(shop: Story) -> None:
    """Approved, such rows hold nothing up, and the run is held no longer."""
    odd = {"model_alias": "who knows"}
    shop.on("01-01", **shelf(12)).on("01-02", odd, **shelf(11)).again("01-03", approving=Approval())
    assert shop.on("01-04", odd, **shelf(11)).changes("M12")[-1] == "01-02 removed M12"
    assert shop.run.outcome != "held"


def test_an_unreadable_row_is_a_presence(shop: Story) -> None:
    """A model whose element is there, though its price cannot be read, is not missing: counted anew (law 3)."""
    shop.on("01-01", **shelf(12)).on("01-02", **shelf(11)).on("01-03", model("M12", "dear"), **shelf(11))
    assert shop.marked() == {}
    assert "M12" in shop.on("01-04", **shelf(11)).current()
    row = shop.on("01-06", **shelf(11)).history("M12")[-1]
    assert (row.kind, row.effective_at) == ("removed", "01-04")


def test_a_model_that_comes_back_after_its_removal_is_relisted(shop: Story) -> None:
    """After a confirmed removal the return is history, with a gap that the periods show."""
    shop.on("01-01", **shelf(5)).on("01-02", **shelf(4)).on("01-03", **shelf(4)).on("01-05", **shelf(5))
    assert shop.changes("M05") == ["01-01 added M05 1", "01-02 removed M05", "01-05 relisted M05 1 -> 1"]
    assert shop.history("M05")[-1].changed_after == "01-03"
    assert shop.periods("M05") == [("1", "01-01", "01-02"), ("1", "01-05", None)]


def test_at_once_if_the_settings_say_so(shop: Story) -> None:
    """removal_confirmations = 1 and removal_after = 0s remove at the first miss."""
    shop.set(removal_confirmations=1, removal_after=shop.source.removal_after * 0)
    assert shop.on("01-01", **shelf(5)).on("01-02", **shelf(4)).changes("M05")[-1] == "01-02 removed M05"


def test_one_miss_long_after_does_not_remove_what_was_back_meanwhile(shop: Story) -> None:
    """Body A, then B without m1, then A again, then months later one B: m1 is not removed."""
    body_a, body_b = body_of(m1="1", **shelf(5)), body_of(**shelf(5))
    shop.sends("01-01", body_a).sends("01-02", body_b).sends("01-03", body_a).sends("06-01", body_b)
    assert shop.changes("m1") == ["01-01 added m1 1"]
    assert shop.marked() == {"m1": "06-01"}
    assert shop.outcomes == ["changed", "unchanged", "unchanged", "unchanged"]


def test_a_second_observation_of_the_same_bytes_still_confirms(shop: Story) -> None:
    """Bytes that are pending are read again, so that a job whose upstream knows ETags can remove."""
    shop.on("01-01", **shelf(5)).on("01-02", **shelf(4)).again("01-03")
    assert shop.changes("M05")[-1] == "01-02 removed M05"


# -- another key -------------------------------------------------------------------------------------------------------


def test_a_daily_job_with_a_fresh_token_each_day_still_removes(shop: Story) -> None:
    """Each observation is under another key: the absence is judged by `patience`."""
    for day, count in enumerate((5, 4, 4, 4, 4), start=1):
        assert "M05" not in shop.marked() or day > 2
        shop.key = f"ak_token_of_day_{day}"
        shop.on(f"01-0{day}", **shelf(count))
    row = shop.history("M05")[-1]
    assert (row.kind, row.effective_at, row.observed_at) == ("removed", "01-02", "01-05")


def test_under_another_key_an_absence_takes_patience(shop: Story) -> None:
    """Catalogs differ by account: even where one miss is enough, another key's misses wait for 3 days."""
    shop.set(removal_confirmations=1, removal_after=shop.source.removal_after * 0)
    shop.on("01-01", **shelf(5))
    shop.key = "ak_of_another_account"
    assert "M05" in shop.on("01-02", **shelf(4)).on("01-04", **shelf(4)).current()
    assert "M05" not in shop.on("01-05", **shelf(4)).current()


# -- many go at once ---------------------------------------------------------------------------------------------------


def test_a_mass_removal_is_held_and_all_else_applies(catalog: Story) -> None:
    """More than 10 and more than 10 % missing: one finding; what else the response says is believed."""
    catalog.on("01-01", **shelf(50)).on("01-02", **shelf(38, "1"), M99="7", **shelf(1, "2", first=39))
    assert catalog.run.outcome == "held"
    assert open_findings(catalog) == {"removals": [f"M{n}" for n in range(40, 51)]}
    assert catalog.changes()[50:] == ["01-02 repriced M39 1 -> 2", "01-02 added M99 7"]
    assert len(catalog.current()) == 51
    held = {row.model for row in catalog.ask("SELECT * FROM catalog WHERE held = :yes", yes=True)}
    assert held == {f"M{n}" for n in range(40, 51)}
    assert catalog.run.withheld == 11
    assert "11 models missing" in catalog.run.error


def test_a_held_removal_is_said_once(shop: Story) -> None:
    """The observation that opens a finding names it; later ones stay held without saying it anew (law 13)."""
    first = shop.on("01-01", **shelf(20)).on("01-02", **shelf(5)).report
    later = shop.again("01-03").report
    assert first is not None
    assert later is not None
    assert (first.outcome, len(first.announced), "15 models missing" in first.announced[0]) == ("held", 1, True)
    assert (later.outcome, later.announced) == ("held", ())
    assert "15 models missing" in (later.result.error or "")
    assert len(shop.findings()) == 1


def test_time_settles_a_mass_removal(catalog: Story) -> None:
    """With nobody there, what each observation of 3 days lacks is gone, since its first miss: `confirmed`, by time."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5)).on("01-03", **shelf(6)).again("01-04")
    assert len(catalog.current()) == 20
    catalog.again("01-05")
    assert (catalog.run.outcome, catalog.run.removed, len(catalog.current())) == ("changed", 14, 6)
    assert [finding.state for finding in catalog.findings()] == ["confirmed"]
    row = catalog.history("M20")[-1]
    assert (row.effective_at, row.changed_after, row.observed_at) == ("01-02", "01-01", "01-05")


def test_a_mass_removal_that_upstream_takes_back_leaves_no_history(shop: Story) -> None:
    """The finding is withdrawn by itself, even by a body that equals an older one, and nothing was ever removed."""
    whole, part = body_of(**shelf(20)), body_of(**shelf(5))
    shop.sends("01-01", whole).sends("01-02", part).sends("01-03", part).sends("01-04", whole)
    (finding,) = shop.findings()
    assert (finding.state, finding.settled_run_id) == ("withdrawn", shop.run.id)
    assert shop.outcomes == ["changed", "held", "held", "unchanged"]
    assert len(shop.changes()) == 20
    assert shop.marked() == {}
    assert shop.again("01-04 01:00").run.http_status == 304, "and the shortcut is open again"


def test_an_empty_list_is_held(shop: Story) -> None:
    """An empty list removes nothing by itself, however small the shop and however often it comes, for a month."""
    shop.on("01-01", A="1").on("01-02").on("01-03").on("02-04")
    assert shop.outcomes == ["changed", "held", "held", "held"]
    assert shop.current() == {"A": "1"}


def test_an_approved_mass_removal_is_effective_from_the_first_miss(catalog: Story) -> None:
    """One yes settles the finding: the models are gone since the observation that first missed them."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5)).again("01-03", approving=Approval())
    assert (catalog.run.kind, catalog.run.outcome, catalog.run.removed) == ("approve", "changed", 15)
    assert [finding.state for finding in catalog.findings()] == ["approved"]
    row = catalog.history("M20")[-1]
    assert (row.kind, row.effective_at, row.changed_after, row.observed_at) == ("removed", "01-02", "01-01", "01-03")
    assert len(catalog.current()) == 5
    assert catalog.again("01-04").run.outcome == "unchanged"


def test_an_approval_is_a_ceiling(shop: Story) -> None:
    """What is missing beyond what was shown is not removed with it, and what came back meanwhile stays."""
    shop.on("01-01", **shelf(40)).on("01-02", **shelf(20)).upstream.serve(body_of(**shelf(19), M40="1"))
    shop.again("01-03", approving=Approval())
    assert shop.run.removed == 19
    assert shop.current() == {**shelf(20), "M40": "1"}
    assert shop.marked() == {"M20": "01-03"}


def test_a_new_excess_joins_the_finding(shop: Story) -> None:
    """A source has one open finding of a rule at most: what goes later joins it, what is back leaves it."""
    shop.on("01-01", **shelf(60)).on("01-02", **shelf(40)).on("01-03", **shelf(25))
    assert [len(finding.evidence) for finding in shop.findings("open")] == [35]
    assert shop.on("01-04", **shelf(40)).outcomes[-1] == "held"
    assert [len(finding.evidence) for finding in shop.findings("open")] == [20]


def test_a_yes_to_one_finding_is_no_yes_to_another(shop: Story) -> None:
    """An approval settles only what it names: a finding by its id, models by a glob."""
    shop.on("01-01", **shelf(20)).on("01-02", **shelf(5, "1000"))
    prices, removals = (next(f.id for f in shop.findings("open") if f.kind == kind) for kind in KINDS)
    shop.again("01-03", approving=Approval(findings=frozenset({prices})))
    assert (shop.run.outcome, shop.run.repriced, len(shop.current())) == ("held", 5, 20)
    shop.again("01-04", approving=Approval(findings=frozenset({removals}), models=("M1*",)))
    assert (shop.run.removed, open_findings(shop)) == (10, {"removals": ["M06", "M07", "M08", "M09", "M20"]})


KINDS = ("unit_change", "removals")


# -- prices ------------------------------------------------------------------------------------------------------------


def test_a_unit_mistake_is_one_finding_and_its_end_leaves_no_history(catalog: Story) -> None:
    """Prices that moved by one factor of a thousand are withheld together, until upstream takes them back."""
    catalog.on("01-01", **shelf(8, "0.25")).on("01-02", **shelf(7, "250"), M08="0.25").again("01-03")
    assert open_findings(catalog) == {"unit_change": sorted(shelf(7))}
    assert "the prices of 7 models look multiplied by 1000" in catalog.run.error
    assert set(catalog.current().values()) == {"0.25"}
    catalog.on("01-04", **shelf(8, "0.25"))
    assert [finding.state for finding in catalog.findings()] == ["withdrawn"]
    assert len(catalog.changes()) == 8


def test_an_approved_unit_change_is_effective_from_its_first_observation(shop: Story) -> None:
    """One yes believes the prices that were shown since they were first seen."""
    shop.on("01-01", **shelf(7, "0.25")).on("01-02", **shelf(7, "250"))
    shop.again("01-03", approving=Approval())
    assert shop.changes("M01")[-1] == "01-02 repriced M01 0.25 -> 250"
    assert shop.history("M01")[-1].changed_after == "01-01"
    assert shop.periods("M01") == [("0.25", "01-01", "01-02"), ("250", "01-02", None)]


def test_time_settles_a_unit_change(shop: Story) -> None:
    """Nobody answers, and upstream keeps saying it for 3 days: believed, since it was first seen."""
    shop.on("01-01", **shelf(7, "0.25")).on("01-02", **shelf(7, "250")).again("01-04 23:00")
    assert set(shop.current().values()) == {"0.25"}
    assert shop.again("01-05").changes("M01")[-1] == "01-02 repriced M01 0.25 -> 250"
    assert [finding.state for finding in shop.findings()] == ["confirmed"]


def test_a_discount_for_all_is_a_mass_repricing(catalog: Story) -> None:
    """Ten per cent off everything may be another currency: withheld until time or a person settles it."""
    catalog.on("01-01", **shelf(20, "10")).on("01-02", **shelf(20, "9"))
    assert open_findings(catalog) == {"mass_repricing": sorted(shelf(20))}
    assert "multiplied by 0.9" in catalog.run.error or "divided by 1.11" in catalog.run.error
    catalog.on("01-03", **shelf(12, "9"), **shelf(8, "10", first=13))
    assert open_findings(catalog) == {"mass_repricing": sorted(shelf(12))}
    assert catalog.again("01-05").run.repriced == 12


def test_a_discount_for_some_is_an_ordinary_repricing(shop: Story) -> None:
    """Half of the prices may move in one observation."""
    shop.on("01-01", **shelf(20, "10")).on("01-02", **shelf(10, "9"), **shelf(10, "10", first=11))
    assert (shop.run.outcome, shop.run.repriced) == ("changed", 10)


def test_an_implausible_price_is_believed_when_it_stands(catalog: Story) -> None:
    """A hundred times or more in one step waits until it has stood for 12 hours; it holds since the first of them."""
    catalog.on("01-01", **shelf(4), A="0.5").on("01-02", **shelf(4), A="50").again("01-02 11:59")
    assert open_findings(catalog) == {"implausible_price": ["A"]}
    assert catalog.current()["A"] == "0.5"
    catalog.again("01-02 12:00")
    assert catalog.changes("A") == ["01-01 added A 0.5", "01-02 repriced A 0.5 -> 50"]
    row = catalog.history("A")[-1]
    assert (row.effective_at, row.changed_after, row.observed_at) == ("01-02", "01-01", "01-02 12:00")
    assert (catalog.run.outcome, open_findings(catalog)) == ("changed", {})


def test_a_price_that_never_stands_still_is_believed_after_patience(shop: Story) -> None:
    """Another implausible value at every poll: after 3 days the one that upstream shows then."""
    shop.on("01-01", **shelf(4), A="0.5")
    for hour in range(73):
        shop.on(label(instant("01-02") + timedelta(hours=hour)), **shelf(4), A=str(60 + hour))
        assert (shop.current()["A"] == "0.5") == (hour < 72)
    assert shop.changes("A")[-1] == "01-05 repriced A 0.5 -> 132"


def test_an_implausible_price_that_was_a_slip_leaves_no_history(shop: Story) -> None:
    """Back at the next observation: withdrawn, and no change was ever written."""
    shop.on("01-01", **shelf(4), A="0.5").on("01-02", **shelf(4), A="60").on("01-03", **shelf(4), A="0.5")
    assert shop.changes("A") == ["01-01 added A 0.5"]
    assert [finding.state for finding in shop.findings()] == ["withdrawn"]


@pytest.mark.parametrize(("before", "after"), [("0", "900"), (None, "900"), ("-1", "900"), (None, "0")])
def test_there_is_no_factor_from_nothing(shop: Story, before: str | None, after: str | None) -> None:
    """From 0, unknown or a negative number a single price is believed at once."""
    shop.on("01-01", **shelf(4), A=before).on("01-02", **shelf(4), A=after)
    assert (shop.run.outcome, shop.current()["A"]) == ("changed", after)


@pytest.mark.parametrize("after", ["0", "-1", None])
def test_a_price_that_is_gone_is_implausible(shop: Story, after: str | None) -> None:
    """From positive to 0, a negative number or unknown: three such moves were false and told at once."""
    shop.on("01-01", **shelf(4), A="900").on("01-02", **shelf(4), A=after)
    assert (shop.current()["A"], open_findings(shop)) == ("900", {"implausible_price": ["A"]})
    assert shop.again("01-02 12:00").current()["A"] == after


def test_prices_that_are_gone_are_one_finding(catalog: Story) -> None:
    """Most prices unknown or 0 from one observation to the next: the known ones stay until it is settled."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(12, None), **shelf(8, "1", first=13))
    assert open_findings(catalog) == {"prices_gone": sorted(shelf(12))}
    assert set(catalog.current().values()) == {"1"}
    catalog.again("01-03", approving=Approval())
    assert catalog.changes("M01")[-1] == "01-02 repriced M01 1 -> None"
    assert catalog.run.repriced == 12


def test_a_model_with_a_withheld_price_keeps_its_whole_listing(shop: Story) -> None:
    """What else moved with a withheld price waits with it (law 6)."""
    shop.on("01-01", model("A", 1), **shelf(4)).on("01-02", model("A", 500, context_length=5), **shelf(4))
    assert shop.model("A").context_length == 32768
    shop.again("01-03")
    row = shop.history("A")[-1]
    assert (row.kind, row.changed) == ("repriced", {"prices.price": [1, 500], "context_length": [32768, 5]})


# -- the whole response ------------------------------------------------------------------------------------------------


def _without(field: str, count: int = 5) -> list[dict[str, object]]:
    rows = [model(name, 1) for name in shelf(count)]
    return [{key: value for key, value in row.items() if key != field} for row in rows]


def test_a_field_that_no_row_has_any_more_is_not_read(catalog: Story) -> None:
    """Upstream renames `price`: known prices stay, the run is held, and it ends by itself when the field is back."""
    catalog.on("01-01", **shelf(5)).on("01-02", *_without("price"))
    assert open_findings(catalog) == {"shape": sorted(shelf(5))}
    assert "no element has price any more" in catalog.run.error
    assert set(catalog.current().values()) == {"1"}
    catalog.again("01-03").on("01-04", **shelf(5))
    assert catalog.outcomes == ["changed", "held", "held", "unchanged"]
    assert [finding.state for finding in catalog.findings()] == ["withdrawn"]
    assert len(catalog.changes()) == 5


def test_an_approved_shape_is_read_as_it_is(shop: Story) -> None:
    """A person says that the field is really gone: then it is unknown, and nobody is asked again."""
    shop.on("01-01", **shelf(5)).on("01-02", *_without("description")).again("01-03", approving=Approval())
    assert shop.model("M01").description is None
    assert (shop.run.updated, shop.run.outcome) == (5, "changed")
    assert shop.again("01-04").run.outcome == "unchanged"


def test_many_unreadable_rows_hold_the_run(shop: Story) -> None:
    """More than a tenth of the rows without a readable price is a finding; the rest of the response applies."""
    broken = [model(name, "x") for name in shelf(3)]
    shop.on("01-01", **shelf(20)).on("01-02", *broken, **shelf(2, "2", first=4), **shelf(15, first=6))
    assert (shop.run.outcome, shop.run.repriced) == ("held", 2)
    assert list(open_findings(shop)) == ["shape"]
    assert shop.current()["M01"] == "1"
    shop.on("01-03", **shelf(5, "2"), **shelf(15, first=6))
    assert [finding.state for finding in shop.findings()] == ["withdrawn"]


def test_a_required_model_that_is_missing_holds_the_run(catalog: Story) -> None:
    """A name that must be present is not removed by two misses; `patience` or a person settles it."""
    catalog.set(required=("M05",)).on("01-01", **shelf(5)).on("01-02", **shelf(4)).again("01-03").again("01-04")
    assert catalog.outcomes == ["changed", "held", "held", "held"]
    assert "M05" in catalog.run.error
    catalog.again("01-04 12:00", approving=Approval())
    assert catalog.changes("M05")[-1] == "01-02 removed M05"


def test_a_required_model_that_was_never_there_holds_the_run(shop: Story) -> None:
    """A required name that upstream never listed is asked for, and the rest applies; its coming ends the question."""
    shop.set(required=("A",)).on("01-01", **shelf(5))
    assert (shop.run.outcome, shop.run.added) == ("held", 5)
    assert shop.on("01-02", **shelf(5), A="1").outcomes == ["held", "changed"]
    assert open_findings(shop) == {}


def test_without_trust_everything_open_is_believed(shop: Story) -> None:
    """Turning trust off takes upstream's raw word from the next observation on, also for what was held."""
    shop.on("01-01", **shelf(20)).on("01-02", **shelf(5)).set(trust=False).again("01-03")
    assert (shop.run.outcome, len(shop.current())) == ("changed", 5)
    assert open_findings(shop) == {}


def test_a_model_that_came_back_is_held_no_longer(shop: Story) -> None:
    """The view marks as held what the last observation withheld: not what upstream lists again."""
    shop.on("01-01", **shelf(20)).on("01-02", **shelf(5)).on("01-03", **shelf(6))
    held = {row.model for row in shop.ask("SELECT * FROM catalog WHERE held = :yes", yes=True)}
    assert held == set(shelf(14, first=7))
