"""Faults that users of other tools reported: each one's whole kind, through real HTTP, against its right value.

The inputs are in `data/cases`, by number; a story ends where the report says what is right.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer.errors import BadResponse, ClockError
from tests.story import Story, instant, label
from tests.upstream import Reply, Upstream, catalog_body, model

CASES = Path(__file__).parent / "data" / "cases"


@pytest.fixture
def shop(sqlite_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source with all the rules at their defaults."""
    with Story(sqlite_url, upstream) as story:
        yield story


def case(name: str) -> bytes:
    """A recorded response, such as "01/look1"."""
    return (CASES / f"{name}.json").read_bytes()


def notices(shop: Story, *kinds: str) -> list[str]:
    """The notices of these kinds, oldest first."""
    return [row.kind for row in shop.ask("SELECT n.* FROM notices n ORDER BY n.id") if row.kind in kinds]


def held(shop: Story) -> dict[str, int]:
    """What is withheld now: kind -> how many models."""
    return {finding.kind: len(finding.evidence) for finding in shop.findings("open")}


# -- 01: the first page is taken for the whole catalog -----------------------------------------------------------------


def test_a_first_page_removes_nothing(shop: Story) -> None:
    """A response that says itself that it is not the whole list proves no absence, for however long (law 3)."""
    shop.set(removal_after=timedelta(0), removal_confirmations=1)
    for day in range(1, 29):
        shop.sends(f"01-{day:02}", case(f"01/look{min(day, 4)}"))
        assert (shop.run.outcome, list(held(shop))) == ("held", ["partial"])
    assert {row.kind for row in shop.history()} == {"added"}
    assert {"acme/m040", "acme/m039"} <= set(shop.current())
    assert notices(shop, "held") == ["held"], "told once (law 13)"


def test_what_a_partial_response_shows_is_believed_and_its_end_is_told(shop: Story) -> None:
    """Prices of a page apply; the next whole response withdraws the finding by itself."""
    shop.on("01-01", A="1", B="1", C="1", D="1")
    shop.sends("01-02", catalog_body([model("A", 2)], has_more=True))
    assert (shop.current(), held(shop)) == ({"A": "2", "B": "1", "C": "1", "D": "1"}, {"partial": 1})
    shop.on("01-03", A="2", B="1", C="1", D="1")
    assert (shop.run.outcome, notices(shop, "held", "settled")) == ("unchanged", ["held", "settled"])


def test_pages_whole_says_that_the_hints_mean_something_else(shop: Story) -> None:
    """With `pages = "whole"` the same response is the whole list."""
    shop.set(pages="whole").sends("01-01", case("01/look1"))
    assert shop.run.outcome == "changed"


# -- 02: a nameless row switches off all removals ----------------------------------------------------------------------


def test_a_legible_name_that_is_refused_hides_no_removal(shop: Story) -> None:
    """A name with a trailing blank is refused and legible: absences are judged as ever, and `required` is heard."""
    shop.set(removal_after=timedelta(0), required=("acme/m30",))
    shop.sends("01-01", case("02/look1")).sends("01-02", case("02/look2"))
    assert (shop.run.outcome, list(held(shop))) == ("held", ["required"])
    shop.again("01-03")
    assert sorted(row.name for row in shop.history() if row.kind == "removed") == ["acme/m28", "acme/m29"]


@pytest.mark.parametrize(
    "row", [None, {"_comment": "x"}, {"model_name": None}, {"model_name": 42}, {"model_name": " "}]
)
def test_a_nameless_row_is_told_at_once_and_delays_only(shop: Story, row: Any) -> None:
    """Rows without a legible name: held at the first observation, and an absence is believed after `patience`."""
    whole = [model(f"m{number:02}", 1) for number in range(12)]
    shop.on("01-01", *whole, row).on("01-02", *whole[:-1], row)
    assert (shop.run.outcome, list(held(shop)), notices(shop, "held")) == ("held", ["nameless"], ["held"])
    shop.again("01-04 23:00")
    assert "m11" in shop.current()
    assert "m11" not in shop.again("01-05").current()


# -- 03: an unreadable row freezes a price in silence ------------------------------------------------------------------


def test_an_unreadable_price_is_told_and_marked(shop: Story) -> None:
    """The known price stays, with a mark and one notice; two readable observations end it with another (law 13)."""
    shop.sends("01-01", case("03/look1")).sends("01-02", case("03/look2"))
    for hour in range(1, 5):
        shop.again(f"01-02 {hour:02}:00")
    marked = shop.model("acme/m01")
    assert (marked.price, marked.unread, marked.unread_since) == ("1", ["prices"], "01-02")
    assert notices(shop, "unreadable", "readable") == ["unreadable"]
    shop.sends("01-03", case("03/look1")).again("01-03 01:00")
    assert notices(shop, "unreadable", "readable") == ["unreadable", "readable"]
    assert shop.model("acme/m01").unread_since is None


def test_a_secondary_field_that_cannot_be_read_takes_no_price_away(shop: Story) -> None:
    """Each field is read on its own: the price applies, the unreadable field keeps what is known."""
    shop.sends("01-01", case("03/look1")).sends("01-02", case("03/look3"))
    marked = shop.model("acme/m01")
    assert (marked.price, marked.max_completion_tokens) == ("99", 1000)
    assert (marked.unread, marked.unread_since) == (["max_completion_tokens"], None)


# -- 04: duplicates in another order -----------------------------------------------------------------------------------


def test_the_order_of_duplicates_is_no_news(shop: Story) -> None:
    """The same elements in whatever order are the same catalog (law 10); what is left over is told once."""
    shop.sends("01-01", case("04/look1"))
    before = shop.changes()
    for hour in range(1, 6):
        shop.sends(f"01-01 {hour:02}:00", case(f"04/look{1 + hour % 2}"))
    assert shop.changes() == before
    assert set(shop.outcomes[1:]) == {"unchanged"}
    assert {row.name for row in shop.rejected()} == {"acme/dup"}
    assert len(notices(shop, "unreadable")) <= 1


# -- 05 and 06: all prices of a catalog move at once -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("05/look1", "05/look2", "shape"),
        ("05/look1", "05/look3", "prices_gone"),
        ("05/look4a", "05/look4b", "prices_gone"),
        ("06/look1", "06/look2", "unit_change"),
        ("06/small1", "06/small2", "unit_change"),
        ("06/cny1", "06/cny2", "mass_repricing"),
    ],
)
def test_a_catalog_whose_prices_all_move_is_one_finding(shop: Story, before: str, after: str, kind: str) -> None:
    """However small the catalog: withheld as one finding, and believed after `patience` if upstream keeps saying it."""
    count = len(json.loads(case(after))["data"]["models"])
    shop.sends("01-01", case(before)).sends("01-02", case(after)).again("01-04")
    assert (shop.run.outcome, held(shop)) == ("held", {kind: count})
    assert len(shop.history()) == count
    shop.again("01-05")
    assert (shop.run.outcome, shop.run.repriced) == ("changed", count)
    assert [finding.state for finding in shop.findings()] == ["confirmed"]
    assert {row.effective_at for row in shop.history()[count:]} == {"01-02"}


# -- 07: the reason that upstream gives in a 200 -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "words"), [("07/error1", "Incorrect API key"), ("07/error2", "Not authenticated")])
def test_upstreams_own_words_are_in_the_failed_run(shop: Story, name: str, words: str) -> None:
    """An error in a 200 fails the run with what upstream says, wherever in the body it stands."""
    assert isinstance(shop.failing("01-01", case(name)), BadResponse)
    assert words in shop.run.error


# -- 14: a clock that is ahead -----------------------------------------------------------------------------------------


def dated(body: bytes, when: str, *, age: int | None = None) -> Reply:
    """A response that says itself when it is from."""
    headers = {"Date": f"{instant(when):%a, %d %b %Y %H:%M:%S GMT}"}
    return Reply(body=body, headers=headers if age is None else {**headers, "Age": str(age)})


def test_a_clock_far_from_the_response_is_refused(shop: Story) -> None:
    """More than a day from the response's own Date: failed, with both times and the way out (law 5)."""
    shop.set(trust_date=True)
    error = shop.failing("06-01", dated(catalog_body([model("A")]), "01-01"))
    assert isinstance(error, ClockError)
    for words in ("2026-06-01", "2026-01-01", "trust_date"):
        assert words in str(error)
    assert shop.run.observed_at is None
    shop.upstream.reply(dated(catalog_body([model("A")]), "01-01"))
    assert shop.again("01-01").run.outcome == "changed", "the source is not locked"


def test_a_clock_that_is_hours_off_is_told_once(shop: Story) -> None:
    """Between an hour and a day it is a `stale` notice, once an episode, and its end is told (law 13)."""
    shop.set(trust_date=True)
    for hour in (0, 1, 2):
        shop.upstream.reply(dated(catalog_body([model("A", hour + 1)]), f"01-01 {hour + 5:02}:00"))
        shop.again(f"01-01 {hour:02}:00")
    rows = shop.ask("SELECT n.* FROM notices n WHERE n.kind = 'stale'")
    assert [row.data["reason"] for row in rows] == ["clock"]
    shop.upstream.reply(dated(catalog_body([model("A", 9)]), "01-01 08:00"))
    shop.again("01-01 08:00")
    assert notices(shop, "stale", "recovered") == ["stale", "recovered"]


def test_an_old_copy_from_a_cache_is_told(shop: Story) -> None:
    """A response with `Age` was shown that much earlier: `stale`, and the window of a change begins there (law 6)."""
    shop.set(trust_date=True)
    shop.upstream.reply(dated(catalog_body([model("A", 1)]), "01-01 00:00", age=7200))
    shop.again("01-01 02:00")
    rows = shop.ask("SELECT n.* FROM notices n WHERE n.kind = 'stale'")
    assert [row.data["reason"] for row in rows] == ["cached"]
    shop.upstream.reply(dated(catalog_body([model("A", 2)]), "01-01 03:00"))
    assert shop.again("01-01 03:00").history("A")[-1].changed_after == "01-01"


# -- an operator who stops a run ---------------------------------------------------------------------------------------


def test_an_interruption_by_its_operator_is_in_no_notice(shop: Story) -> None:
    """Ctrl-C closes the run as `abandoned` and tells nobody (law 9)."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    shop.archive = interrupt
    with pytest.raises(KeyboardInterrupt):
        shop.on("01-01", A="1")
    assert (shop.outcomes, shop.ask("SELECT * FROM notices")) == (["abandoned"], [])


# -- another format ----------------------------------------------------------------------------------------------------

TWO = {"extends": "serverless", "prices": {"price": "price", "output": "out"}}


def test_another_reading_is_no_news(shop: Story) -> None:
    """The same bytes read by another format: `reread`, never a repricing, asked by no rule."""
    rows = [model(f"m{number}", 1, out=number + 2) for number in range(6)]
    shop.on("01-01", *rows).set(format="two", formats={"two": TWO}).again("01-02")
    assert {row.kind for row in shop.history()[6:]} == {"reread"}
    assert shop.findings() == []
    assert shop.model("m1").prices == {"price": 1, "output": 3}
    moved = shop.ask("SELECT * FROM price_changes WHERE source = :source")
    assert moved == []
    shop.on("01-03", *rows[:-1], model("m5", 1, out=8))
    assert shop.changes("m5")[-1] == "01-03 repriced m5 1 -> 1"


def test_new_bytes_and_a_new_reading_are_told_apart(shop: Story) -> None:
    """What differs by the reading is `reread` in `prices`, what upstream moved is the change, in one row (law 2)."""
    rows = [model(f"m{number}", 1, out=2) for number in range(6)]
    shop.on("01-01", *rows).set(format="two", formats={"two": TWO}).on("01-02", model("m0", 3, out=2), *rows[1:])
    row = shop.history("m0")[-1]
    assert (row.kind, row.changed, row.prices) == ("repriced", {"prices.price": [1, 3]}, {"price": 3, "output": 2})
    kinds = shop.ask("SELECT p.component, p.kind FROM prices p WHERE p.change_id = :id", id=row.id)
    assert {each.component: each.kind for each in kinds} == {"price": "repriced", "output": "reread"}


def test_a_typo_in_a_price_path(shop: Story) -> None:
    """Refused at the first observation, naming the path; on a source with history a `shape` finding."""
    typo = {"extends": "serverless", "prices": {"price": "prcie"}}
    shop.set(format="typo", formats={"typo": typo})
    rows = [model(f"m{number}", Decimal("1.5")) for number in range(12)]
    assert "prcie" in str(shop.failing("01-01", catalog_body(rows)))
    assert shop.history() == []
    shop.set(format="serverless", formats={}).on("01-02", *rows)
    shop.set(format="typo", formats={"typo": typo}).on("01-03", *rows[:-1], model("m11", 2))
    assert shop.run.outcome == "held"
    assert set(shop.current().values()) == {"1.5"}


# -- pages -------------------------------------------------------------------------------------------------------------

PAGED = {"extends": "serverless", "pages": {"cursor": "last", "parameter": "after", "more": "more"}}


def page(*names: str, last: str | None = None) -> Reply:
    """A page that lists these, and says where the next one begins."""
    return Reply(body=catalog_body([model(name, 1) for name in names], more=last is not None, last=last))


@pytest.mark.parametrize(
    "pages",
    [
        [page("A", "B", last="b"), page("B", "C", last="c"), page("D")],
        [page("A", "B", last="b"), page("C", last="b"), page("C", last="b")],
        [page("A", "B", last="b"), Reply(body=b'{"data": {"mod', close_after=9)],
        [page("A", "B", last="b"), Reply(status=404)],
    ],
    ids=["changes under the pages", "repeats a cursor", "ends in the middle", "a page is missing"],
)
def test_pages_that_go_wrong_remove_nothing(shop: Story, pages: list[Reply]) -> None:
    """A snapshot exists only if every page arrived and they agree: else the run fails, and removes nothing (law 3)."""
    shop.set(format="paged", formats={"paged": PAGED}, removal_after=timedelta(0), removal_confirmations=1)
    shop.upstream.reply(page("A", "B", last="b"), page("C", "D", last="d"), page("E"))
    shop.again("01-01")
    assert list(shop.current()) == ["A", "B", "C", "D", "E"]
    for hour in range(1, 3):
        shop.upstream.reply(*pages, *pages, *pages, *pages, *pages)
        shop.failing(label(instant("01-01") + timedelta(hours=hour)))
    assert list(shop.current()) == ["A", "B", "C", "D", "E"]
    assert {row.kind for row in shop.history()} == {"added"}
