"""What is believed when: stories over days, through the whole pipeline, on a real database of each kind."""

from collections.abc import Iterator

import pytest

from syncer.core import decide
from syncer.core.decide import FindingKind
from tests.story import Story, body_of
from tests.upstream import Upstream, model


@pytest.fixture
def catalog(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source with all the rules at their defaults: 2 looks and 6 hours, 10 models and 10 %, a factor of 100."""
    with Story(database_url, upstream) as story:
        yield story


def shelf(count: int = 20, price: str | None = "1", first: int = 1) -> dict[str, str | None]:
    """So many models at one price: M01, M02, ..."""
    return {f"M{number:02}": price for number in range(first, first + count)}


def open_findings(catalog: Story) -> dict[str, list[str]]:
    """What is doubted now: kind -> the models (or fields) in it."""
    return {finding.kind: sorted(finding.evidence) for finding in catalog.findings("open")}


# -- one model goes ----------------------------------------------------------------------------------------------------


def test_gone_for_one_look_costs_nothing(catalog: Story) -> None:
    """A model that is missing from one look stays in the catalog with a mark, and its return leaves no history."""
    catalog.on("01-01", **shelf(5)).on("01-02", **shelf(4))
    assert catalog.marked() == {"M05": "01-02"}
    assert "M05" in catalog.current()
    assert catalog.run.outcome == "unchanged"
    catalog.on("01-03", **shelf(5))
    assert catalog.marked() == {}
    assert catalog.outcomes == ["changed", "unchanged", "unchanged"]
    assert len(catalog.changes()) == 5
    assert catalog.periods("M05") == [("1", "01-01", None)]


def test_a_removal_is_confirmed_by_looks_and_hours(catalog: Story) -> None:
    """Missing from every look for six hours: removed then, effective at the first miss, after the last time seen."""
    catalog.on("01-01", **shelf(5)).hourly("01-01 01:00", 6, **shelf(4))
    assert catalog.model("M05").missing_looks == 6
    assert catalog.changes("M05") == ["01-01 added M05 1"]
    catalog.on("01-01 07:00", **shelf(4))
    row = catalog.history("M05")[-1]
    assert (row.kind, row.effective_at, row.changed_after) == ("removed", "01-01 01:00", "01-01")
    assert row.observed_at == "01-01 07:00"
    assert catalog.periods("M05") == [("1", "01-01", "01-01 01:00")]
    assert catalog.on("01-01 08:00", **shelf(4)).run.outcome == "unchanged"


def test_hours_alone_do_not_confirm(catalog: Story) -> None:
    """A daily job needs a second look, however long ago the last one was."""
    catalog.on("01-01", **shelf(5)).on("01-08", **shelf(4))
    assert "M05" in catalog.current()
    assert catalog.on("01-09", **shelf(4)).changes("M05")[-1] == "01-08 removed M05"


def test_a_return_starts_the_count_anew(catalog: Story) -> None:
    """Only consecutive looks confirm: one that shows the model between two that miss it starts over."""
    catalog.on("01-01", **shelf(5)).on("01-02", **shelf(4)).on("01-03", **shelf(5)).on("01-04", **shelf(4))
    assert catalog.marked() == {"M05": "01-04"}
    assert catalog.on("01-05", **shelf(4)).changes("M05")[-1] == "01-04 removed M05"


def test_a_look_that_proves_nothing_confirms_nothing(catalog: Story) -> None:
    """A failed look, or one with an element that may be any model, is no second miss, and no return either."""
    catalog.on("01-01", **shelf(12)).on("01-02", **shelf(11))
    catalog.failing("01-03", b"<html>")
    catalog.on("01-04", {"model_alias": "who knows"}, **shelf(11))
    assert (catalog.model("M12").missing_looks, catalog.marked()) == (1, {"M12": "01-02"})
    assert catalog.on("01-05", **shelf(11)).changes("M12")[-1] == "01-02 removed M12"


def test_an_unreadable_row_is_a_presence(catalog: Story) -> None:
    """A model whose element is there, though it cannot be read, is not missing: the count starts anew."""
    catalog.on("01-01", **shelf(12)).on("01-02", **shelf(11)).on("01-03", model("M12", "dear"), **shelf(11))
    assert catalog.marked() == {}
    assert "M12" in catalog.on("01-04", **shelf(11)).current()
    row = catalog.on("01-05", **shelf(11)).history("M12")[-1]
    assert (row.kind, row.effective_at, row.changed_after) == ("removed", "01-04", "01-01")


def test_a_model_that_comes_back_after_its_removal_is_relisted(catalog: Story) -> None:
    """After a confirmed removal the return is history, with a gap that the periods show."""
    catalog.on("01-01", **shelf(5)).on("01-02", **shelf(4)).on("01-03", **shelf(4)).on("01-05", **shelf(5))
    assert catalog.changes("M05") == ["01-01 added M05 1", "01-02 removed M05", "01-05 relisted M05 1 -> 1"]
    assert catalog.history("M05")[-1].changed_after == "01-03"
    assert catalog.periods("M05") == [("1", "01-01", "01-02"), ("1", "01-05", None)]


def test_at_once_if_the_settings_say_so(catalog: Story) -> None:
    """removal_confirmations = 1 and removal_after = 0s remove at the first miss."""
    catalog.set(removal_confirmations=1, removal_after=catalog.source.removal_after * 0)
    assert catalog.on("01-01", **shelf(5)).on("01-02", **shelf(4)).changes("M05")[-1] == "01-02 removed M05"


def test_one_look_long_after_does_not_remove_what_was_back_meanwhile(catalog: Story) -> None:
    """Body A, then B without m1, then A again, then months later one B: m1 is not removed."""
    body_a, body_b = body_of(m1="1", **shelf(5)), body_of(**shelf(5))
    catalog.sends("01-01", body_a).sends("01-02", body_b).sends("01-03", body_a).sends("06-01", body_b)
    assert catalog.changes("m1") == ["01-01 added m1 1"]
    assert catalog.marked() == {"m1": "06-01"}
    assert catalog.outcomes == ["changed", "unchanged", "unchanged", "unchanged"]


def test_a_second_look_at_the_same_bytes_still_confirms(catalog: Story) -> None:
    """Bytes that are pending are read again, so that a job whose upstream knows ETags can remove."""
    catalog.on("01-01", **shelf(5)).on("01-02", **shelf(4)).again("01-03")
    assert catalog.changes("M05")[-1] == "01-02 removed M05"


# -- another key -------------------------------------------------------------------------------------------------------


def test_a_daily_job_with_a_fresh_token_each_day_still_removes(catalog: Story) -> None:
    """Each look is under another key, and the second one that misses the model removes it."""
    for day, count in enumerate((5, 4, 4), start=1):
        catalog.key = f"ak_token_of_day_{day}"
        catalog.on(f"01-0{day}", **shelf(count))
    assert catalog.changes("M05")[-1] == "01-02 removed M05"


def test_the_first_look_under_another_key_removes_nothing(catalog: Story) -> None:
    """Catalogs differ by account: even where one look is enough, another key's first look confirms no absence."""
    catalog.set(removal_confirmations=1, removal_after=catalog.source.removal_after * 0)
    catalog.on("01-01", **shelf(5))
    catalog.key = "ak_of_another_account"
    assert "M05" in catalog.on("01-02", **shelf(4)).current()
    assert "M05" not in catalog.on("01-03", **shelf(4)).current()


# -- many go at once ---------------------------------------------------------------------------------------------------


def test_a_mass_removal_is_held_and_all_else_applies(catalog: Story) -> None:
    """More than 10 and more than 10 % missing: one finding; what else the response says is believed."""
    catalog.on("01-01", **shelf(50)).on("01-02", **shelf(38, "1"), M99="7", **shelf(1, "2", first=39))
    assert catalog.run.outcome == "held"
    assert open_findings(catalog) == {"removals": [f"M{n}" for n in range(40, 51)]}
    assert catalog.changes()[50:] == ["01-02 added M99 7", "01-02 repriced M39 1 -> 2"]
    assert len(catalog.current()) == 51
    held = {row.model for row in catalog.ask("SELECT * FROM catalog WHERE held = :yes", yes=True)}
    assert held == {f"M{n}" for n in range(40, 51)}
    assert (catalog.run.withheld, catalog.run.error) == (11, "11 models missing from one response")


def test_a_held_removal_is_said_once(catalog: Story) -> None:
    """The look that opens a finding names the doubt; later ones stay held without saying it anew."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5))
    first = catalog.report
    later = catalog.again("01-03").report
    assert first is not None
    assert later is not None
    assert (first.outcome, first.doubts) == ("held", ("15 models missing from one response",))
    assert (later.outcome, later.doubts, later.error) == ("held", (), first.error)
    assert len(catalog.findings()) == 1


def test_a_mass_removal_that_upstream_takes_back_leaves_no_history(catalog: Story) -> None:
    """The finding is withdrawn by itself, even by a body that equals an older one, and nothing was ever removed."""
    whole, part = body_of(**shelf(20)), body_of(**shelf(5))
    catalog.sends("01-01", whole).sends("01-02", part).sends("01-03", part).sends("01-04", whole)
    (finding,) = catalog.findings()
    assert (finding.state, finding.settled_run_id) == ("withdrawn", catalog.run.id)
    assert catalog.outcomes == ["changed", "held", "held", "unchanged"]
    assert len(catalog.changes()) == 20
    assert catalog.marked() == {}
    assert catalog.again("01-05").run.http_status == 304, "and the shortcut is open again"


def test_an_empty_list_is_held(catalog: Story) -> None:
    """An empty but valid list removes nothing by itself, however small the catalog and however often it comes."""
    catalog.on("01-01", A="1").on("01-02").on("01-03").on("01-04")
    assert catalog.outcomes == ["changed", "held", "held", "held"]
    assert catalog.current() == {"A": "1"}


def test_an_approved_mass_removal_is_effective_from_the_first_miss(catalog: Story) -> None:
    """One yes settles the finding: the models are gone since the look that first missed them."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5)).again("01-03", approving=decide.ABOUT_REMOVALS)
    assert (catalog.run.kind, catalog.run.outcome, catalog.run.removed) == ("approve", "changed", 15)
    assert [finding.state for finding in catalog.findings()] == ["approved"]
    row = catalog.history("M20")[-1]
    assert (row.kind, row.effective_at, row.changed_after, row.observed_at) == ("removed", "01-02", "01-01", "01-03")
    assert len(catalog.current()) == 5
    assert catalog.again("01-04").run.outcome == "unchanged"


def test_an_approval_is_a_ceiling(catalog: Story) -> None:
    """What is missing beyond what was shown is not removed with it, and what came back meanwhile stays."""
    catalog.on("01-01", **shelf(40)).on("01-02", **shelf(20)).upstream.serve(body_of(**shelf(19), M40="1"))
    catalog.again("01-03", approving=decide.ABOUT_REMOVALS)
    assert catalog.run.removed == 19
    assert catalog.current() == {**shelf(20), "M40": "1"}
    assert catalog.marked() == {"M20": "01-03"}


def test_a_new_excess_is_a_new_finding(catalog: Story) -> None:
    """Limits count only models that are in no finding; more of them missing at once is another question."""
    catalog.on("01-01", **shelf(60)).on("01-02", **shelf(40)).on("01-03", **shelf(25))
    assert [len(finding.evidence) for finding in catalog.findings("open")] == [20, 15]
    assert catalog.on("01-04", **shelf(40)).outcomes[-1] == "held"
    assert [finding.state for finding in catalog.findings()] == ["open", "withdrawn"]


def test_a_yes_to_prices_is_no_yes_to_removals(catalog: Story) -> None:
    """An approval settles only the kinds that it names."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5)).again("01-03", approving=decide.ABOUT_REPRICINGS)
    assert (catalog.run.outcome, len(catalog.current())) == ("held", 20)


# -- prices ------------------------------------------------------------------------------------------------------------


def test_a_unit_mistake_is_one_finding_and_its_end_leaves_no_history(catalog: Story) -> None:
    """Prices that moved by one factor of a thousand are withheld together, until upstream takes them back."""
    catalog.on("01-01", **shelf(8, "0.25")).on("01-02", **shelf(7, "250"), M08="0.25").again("01-03")
    assert open_findings(catalog) == {"unit_change": sorted(shelf(7))}
    assert catalog.run.error == "the prices of 7 models look multiplied by 1000"
    assert set(catalog.current().values()) == {"0.25"}
    catalog.on("01-04", **shelf(8, "0.25"))
    assert [finding.state for finding in catalog.findings()] == ["withdrawn"]
    assert len(catalog.changes()) == 8


def test_an_approved_unit_change_is_effective_from_its_first_look(catalog: Story) -> None:
    """One yes believes the prices that were shown since they were first seen; another price is held again."""
    catalog.on("01-01", **shelf(7, "0.25")).on("01-02", **shelf(7, "250"))
    catalog.upstream.serve(body_of(**shelf(6, "250"), M07="251"))
    catalog.again("01-03", approving=decide.ABOUT_REPRICINGS)
    assert catalog.changes("M01")[-1] == "01-02 repriced M01 0.25 -> 250"
    assert catalog.history("M01")[-1].changed_after == "01-01"
    assert catalog.periods("M01") == [("0.25", "01-01", "01-02"), ("250", "01-02", None)]
    assert catalog.current()["M07"] == "0.25"
    assert (catalog.run.outcome, open_findings(catalog)) == ("held", {"unit_change": ["M07"]})


def test_a_discount_for_all_is_an_ordinary_repricing(catalog: Story) -> None:
    """Ten per cent off everything is no unit mistake."""
    catalog.on("01-01", **shelf(20, "10")).on("01-02", **shelf(20, "9"))
    assert (catalog.run.outcome, catalog.run.repriced) == ("changed", 20)


def test_an_implausible_price_is_believed_when_seen_again(catalog: Story) -> None:
    """More than a hundred times in one step waits for one more look; the price holds since the first of the two."""
    catalog.on("01-01", **shelf(4), A="0.5").on("01-02", **shelf(4), A="60")
    assert open_findings(catalog) == {"implausible_price": ["A"]}
    assert catalog.current()["A"] == "0.5"
    catalog.again("01-03")
    assert catalog.changes("A") == ["01-01 added A 0.5", "01-02 repriced A 0.5 -> 60"]
    row = catalog.history("A")[-1]
    assert (row.effective_at, row.changed_after, row.observed_at) == ("01-02", "01-01", "01-03")
    assert (catalog.run.outcome, open_findings(catalog)) == ("changed", {})


def test_an_implausible_price_that_was_a_slip_leaves_no_history(catalog: Story) -> None:
    """Back at the next look: withdrawn, and no change was ever written."""
    catalog.on("01-01", **shelf(4), A="0.5").on("01-02", **shelf(4), A="60").on("01-03", **shelf(4), A="0.5")
    assert catalog.changes("A") == ["01-01 added A 0.5"]
    assert [finding.state for finding in catalog.findings()] == ["withdrawn"]


@pytest.mark.parametrize(("before", "after"), [("0", "900"), ("900", "0"), (None, "900"), ("900", None), ("-1", "900")])
def test_there_is_no_factor_from_or_to_nothing(catalog: Story, before: str | None, after: str | None) -> None:
    """From or to 0, unknown or a negative number a single price is believed at once."""
    catalog.on("01-01", **shelf(4), A=before).on("01-02", **shelf(4), A=after)
    assert (catalog.run.outcome, catalog.current()["A"]) == ("changed", after)


def test_prices_that_are_gone_are_one_finding(catalog: Story) -> None:
    """Most prices unknown or 0 from one look to the next: the known ones stay until a person says yes."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(12, None), **shelf(8, "1", first=13))
    assert open_findings(catalog) == {"prices_gone": sorted(shelf(12))}
    assert set(catalog.current().values()) == {"1"}
    catalog.again("01-03", approving=decide.ABOUT_REPRICINGS)
    assert catalog.changes("M01")[-1] == "01-02 repriced M01 1 -> None"
    assert catalog.run.repriced == 12


def test_a_model_with_a_withheld_price_keeps_its_whole_listing(catalog: Story) -> None:
    """What else moved with a doubtful price waits with it."""
    catalog.on("01-01", model("A", 1), **shelf(4)).on("01-02", model("A", 500, context_length=5), **shelf(4))
    assert catalog.model("A").context_length == 32768
    catalog.again("01-03")
    row = catalog.history("A")[-1]
    assert (row.kind, row.changed) == ("repriced", {"price": [1, 500], "context_length": [32768, 5]})


# -- the whole response ------------------------------------------------------------------------------------------------


def _without(field: str, count: int = 5) -> list[dict[str, object]]:
    rows = [model(name, 1) for name in shelf(count)]
    return [{key: value for key, value in row.items() if key != field} for row in rows]


def test_a_field_that_no_row_has_any_more_is_not_read(catalog: Story) -> None:
    """Upstream renames `price`: known prices stay, the run is held, and it ends by itself when the field is back."""
    catalog.on("01-01", **shelf(5)).on("01-02", *_without("price"))
    assert open_findings(catalog) == {"shape": ["price"]}
    assert catalog.run.error == "no listed model has the field price any more"
    assert set(catalog.current().values()) == {"1"}
    catalog.again("01-03").on("01-04", **shelf(5))
    assert catalog.outcomes == ["changed", "held", "held", "unchanged"]
    assert [finding.state for finding in catalog.findings()] == ["withdrawn"]
    assert len(catalog.changes()) == 5


def test_an_approved_shape_is_read_as_it_is(catalog: Story) -> None:
    """A person says that the field is really gone: then it is unknown, and nobody is asked again."""
    catalog.on("01-01", **shelf(5)).on("01-02", *_without("description")).again("01-03", approving=[FindingKind.SHAPE])
    assert catalog.model("M01").description is None
    assert (catalog.run.updated, catalog.run.outcome) == (5, "changed")
    assert catalog.again("01-04").run.outcome == "unchanged"


def test_many_unreadable_rows_hold_the_run(catalog: Story) -> None:
    """More than a tenth of a response that cannot be read is a question to a person; the rest of it applies."""
    broken = [model(name, "x") for name in shelf(3)]
    catalog.on("01-01", **shelf(20)).on("01-02", *broken, **shelf(17, "2", first=4))
    assert (catalog.run.outcome, catalog.run.repriced) == ("held", 17)
    assert open_findings(catalog) == {"rejected_rows": []}
    catalog.on("01-03", **shelf(20, "2"))
    assert [finding.state for finding in catalog.findings()] == ["withdrawn"]


def test_a_required_model_that_is_missing_holds_the_run(catalog: Story) -> None:
    """A name that must be present is not removed by looks and hours; a person must say so."""
    catalog.set(required=("M05",)).on("01-01", **shelf(5)).on("01-02", **shelf(4)).again("01-03").again("01-04")
    assert catalog.outcomes == ["changed", "held", "held", "held"]
    assert catalog.run.error == "required and missing: M05"
    catalog.again("01-05", approving=decide.ABOUT_REMOVALS)
    assert catalog.changes("M05")[-1] == "01-02 removed M05"
    assert catalog.again("01-06").run.outcome == "unchanged"


def test_a_required_model_that_was_never_there_holds_the_run(catalog: Story) -> None:
    """A required name that upstream never listed is asked for, and the rest applies; its coming ends the question."""
    catalog.set(required=("A",)).on("01-01", **shelf(5))
    assert (catalog.run.outcome, catalog.run.added) == ("held", 5)
    assert catalog.on("01-02", **shelf(5), A="1").outcomes == ["held", "changed"]
    assert open_findings(catalog) == {}


def test_without_trust_everything_open_is_believed(catalog: Story) -> None:
    """Turning trust off takes upstream's raw word from the next look on, also for what was held."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5)).set(trust=False).again("01-03")
    assert (catalog.run.outcome, len(catalog.current())) == ("changed", 5)
    assert open_findings(catalog) == {}


def test_a_model_that_came_back_is_held_no_longer(catalog: Story) -> None:
    """The view marks as held what the last look withheld: not the one of a finding that upstream lists again."""
    catalog.on("01-01", **shelf(20)).on("01-02", **shelf(5)).on("01-03", **shelf(6))
    held = {row.model for row in catalog.ask("SELECT * FROM catalog WHERE held = :yes", yes=True)}
    assert held == set(shelf(14, first=7))
