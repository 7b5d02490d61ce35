"""One sync, end to end: real HTTP, a real database of each kind, and what must be in it afterwards."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from syncer.attempt import Body
from syncer.db import engine as db
from syncer.db import leases
from syncer.db.leases import Lease, SourceRecord
from syncer.errors import BadResponse, ClockError, FetchError, SourceBusy, SyncerError
from syncer.preview import preview_source
from tests.story import Story, body_of, instant
from tests.upstream import Reply, Upstream, catalog_body, model

KEY = "ak_0123456789abcdefSECRET"
UNNAMED = {"model_alias": "who knows", "price": 1}


@pytest.fixture
def catalog(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source whose word is believed at once."""
    with Story(database_url, upstream, trust=False) as story:
        yield story


@pytest.fixture
def trusting(database_url: str, upstream: Upstream) -> Iterator[Story]:
    """A source with all the rules of trust."""
    with Story(database_url, upstream) as story:
        yield story


# -- the first poll, and looks at the same -----------------------------------------------------------------------------


def test_first_sync(catalog: Story) -> None:
    """The first poll lists all models as a baseline: no price before, and nothing that they were listed after."""
    catalog.set(currency="USD", price_units={"price": {"Text": (1_000_000, "token")}}).on("01-01", A="10", B=None)
    assert catalog.changes() == ["01-01 added A 10", "01-01 added B None"]
    assert [(row.changed_after, row.old_price, row.changed) for row in catalog.history()] == [(None, None, {})] * 2
    assert catalog.current() == {"A": "10", "B": None}
    run = catalog.run
    assert (run.kind, run.outcome, run.http_status, run.listed, run.added) == ("sync", "changed", 200, 2, 2)
    assert (run.started_at, run.observed_at, run.finished_at, run.error) == ("01-01", "01-01", "01-01", None)
    shop = catalog.shop
    assert (shop.currency, shop.price_units) == ("USD", {"price": {"Text": [1_000_000, "token"]}})
    assert shop.url == f"{catalog.upstream.url}/serverless/models"
    assert (shop.lease_owner, shop.lease_until, shop.last_observed_at) == (None, None, "01-01")


def test_the_same_etag_is_unchanged_and_an_observation(catalog: Story) -> None:
    """A 304 costs one row, is never parsed, and counts as an observation that saw everything."""
    catalog.on("01-01", A="10").again("01-01 01:00").on("01-01 02:00")
    run = catalog.runs()[1]
    assert (run.outcome, run.http_status, run.listed, run.observed_at) == ("unchanged", 304, None, "01-01 01:00")
    assert run.body_digest == catalog.runs()[0].body_digest
    assert catalog.history("A")[-1].changed_after == "01-01 01:00"


def test_the_same_bytes_without_an_etag_are_unchanged(catalog: Story) -> None:
    """A body that is the last clean one is not parsed again where upstream knows no ETags."""
    body = body_of(A="10")
    catalog.sends("01-01", body, etag=False).sends("01-01 01:00", body, etag=False)
    assert (catalog.run.outcome, catalog.run.http_status, catalog.run.listed) == ("unchanged", 200, None)
    assert catalog.shop.last_observed_at == "01-01 01:00"


def test_a_new_etag_over_the_same_bytes_is_remembered(catalog: Story) -> None:
    """The same bytes under another ETag are unchanged, and the next request names the new ETag."""
    body = body_of(A="10")
    catalog.sends("01-01", body, etag='"one"').sends("01-01 01:00", body, etag='"two"')
    assert (catalog.run.outcome, catalog.run.listed, catalog.shop.etag) == ("unchanged", None, '"two"')
    catalog.again("01-01 02:00")
    assert catalog.upstream.requests[-1].headers["if-none-match"] == '"two"'
    assert catalog.run.http_status == 304


def test_other_bytes_that_say_the_same_are_unchanged_but_kept(catalog: Story) -> None:
    """A field that is not tracked is no change; the model's row has it all the same, and is not read again."""
    catalog.on("01-01", model("A", hot=False))
    before = catalog.model("A")
    catalog.on("01-02", model("A", hot=True, tags=["new"]))
    after = catalog.model("A")
    assert (catalog.run.outcome, catalog.run.listed, len(catalog.history())) == ("unchanged", 1, 1)
    assert (before.extra, after.extra) == ({"hot": False}, {"hot": True, "tags": ["new"]})
    assert before.digest != after.digest
    assert after.last_changed_at == "01-01"


def test_other_spellings_of_the_same_price_are_no_change(catalog: Story) -> None:
    """Prices are compared as numbers: 0.20, "0.2" and binary float noise are one price (law 4)."""
    for day, price in enumerate((Decimal("0.20"), "0.2", Decimal("0.2000000000000000111")), start=1):
        catalog.on(f"01-0{day}", model("A", price))
    assert catalog.changes() == ["01-01 added A 0.2"]


# -- what a change looks like ------------------------------------------------------------------------------------------


def test_an_added_model(catalog: Story) -> None:
    """A model that came later was not there at the observation before; its row holds the element as it was sent."""
    catalog.on("01-01", A="10").on("01-02", A="10", B="2.50")
    (row,) = catalog.history("B")
    assert (row.kind, row.effective_at, row.changed_after) == ("added", "01-02", "01-01")
    assert (row.old_price, row.price, row.changed) == (None, "2.5", {})
    assert json.loads(row.raw) == model("B", 2.5)
    assert '"price": 2.50' in row.raw


def test_a_removed_model(catalog: Story) -> None:
    """A removal keeps the last known state and has no element of its own."""
    catalog.on("01-01", A="10", B="2").on("01-02", A="10")
    row = catalog.history("B")[-1]
    assert (row.kind, row.effective_at, row.changed_after) == ("removed", "01-02", "01-01")
    assert (row.old_price, row.price, row.changed, row.raw) == ("2", "2", {}, None)
    assert (row.description, row.context_length) == ("What B is good for", 32768)
    assert catalog.model("B").removed_at == "01-02"
    assert catalog.current() == {"A": "10"}


def test_a_relisted_model(catalog: Story) -> None:
    """A return says what is different from the last known state, and when it was last seen to be gone."""
    catalog.on("01-01", A="10", B="2").on("01-02", A="10").on("01-03", A="10").on(
        "01-04", model("B", 3, model_alias="b")
    )
    row = catalog.history("B")[-1]
    assert (row.kind, row.effective_at, row.changed_after) == ("relisted", "01-04", "01-03")
    assert (row.old_price, row.price) == ("2", "3")
    assert row.changed == {"prices.price": [2, 3], "alias": ["B", "b"]}
    assert catalog.model("B").removed_at is None
    assert catalog.periods("B") == [("2", "01-01", "01-02"), ("3", "01-04", None)]


def test_a_return_at_the_same_price_is_a_relisting_that_changes_nothing(catalog: Story) -> None:
    """Back as it was: relisted, with no difference."""
    catalog.on("01-01", A="10").on("01-02").on("01-03", A="10")
    row = catalog.history("A")[-1]
    assert (row.kind, row.old_price, row.price, row.changed) == ("relisted", "10", "10", {})


def test_repriced_models(catalog: Story) -> None:
    """The price moved, to or from unknown, 0 and negative too, which are three different things (law 4)."""
    moves = {
        "A": ("10", "12"),
        "B": ("10", None),
        "C": (None, "10"),
        "D": ("0", "-1"),
        "E": ("1", "0"),
        "F": ("-1", None),
    }
    catalog.on("01-01", **{name: before for name, (before, _) in moves.items()})
    catalog.on("01-02", **{name: after for name, (_, after) in moves.items()})
    for name, (before, after) in moves.items():
        row = catalog.history(name)[-1]
        assert (row.kind, row.old_price, row.price) == ("repriced", before, after)
        assert row.changed == {"prices.price": [None if price is None else int(price) for price in (before, after)]}
        assert (row.effective_at, row.changed_after) == ("01-02", "01-01")
        assert catalog.periods(name) == [(before, "01-01", "01-02"), (after, "01-02", None)]


def test_a_price_and_another_field_are_one_repricing(catalog: Story) -> None:
    """One history row a model and run: if the price moved it is repriced, whatever else moved with it."""
    catalog.on("01-01", model("A", 1)).on("01-02", model("A", 2, context_length=None, description="cheap"))
    row = catalog.history("A")[-1]
    assert row.kind == "repriced"
    changed = {"prices.price": [1, 2], "context_length": [32768, None], "description": ["What A is good for", "cheap"]}
    assert row.changed == changed
    assert (catalog.run.repriced, catalog.run.updated) == (1, 0)


def test_an_updated_model_keeps_its_price_period(catalog: Story) -> None:
    """Other tracked fields only: `updated`, with the price as it was, and no end to the price period."""
    catalog.on("01-01", model("A", 1)).on("01-02", model("A", 1, context_length=65536))
    row = catalog.history("A")[-1]
    assert (row.kind, row.old_price, row.price) == ("updated", "1", "1")
    assert row.changed == {"context_length": [32768, 65536]}
    assert catalog.periods("A") == [("1", "01-01", None)]


def test_names_are_case_sensitive(catalog: Story) -> None:
    """Two names that differ in case, or in an accent's encoding, are two models."""
    catalog.on("01-01", model("acme/x", 1), model("acme/X", 2), model("é", 3), model("e\u0301", 4))
    catalog.on("01-02", model("acme/x", 1), model("é", 3), model("e\u0301", 5))
    assert catalog.changes()[4:] == ["01-02 repriced e\u0301 4 -> 5", "01-02 removed acme/X"]


def test_of_two_elements_of_one_name_the_believed_one_counts(catalog: Story) -> None:
    """Their order is no news: the one that says what is believed wins, the other is recorded as rejected once."""
    catalog.on("01-01", model("A", 1), model("B", 1), model("A", 2), model("B", 1, hot=True))
    catalog.on("01-02", model("A", 2), model("B", 1), model("A", 1))
    assert catalog.current() == {"A": "1", "B": "1"}
    assert [(row.name, row.count) for row in catalog.rejected()] == [("A", 2)]
    assert (catalog.run.outcome, len(catalog.history())) == ("unchanged", 2)


# -- unreadable is not absent (law 3) ----------------------------------------------------------------------------------


def test_an_unreadable_row_keeps_its_last_known_state(catalog: Story) -> None:
    """A listing that cannot be read is never a removal (law 3); it is stored once, with how often it was seen."""
    broken = model("A", "ten dollars")
    catalog.on("01-01", A="10", B="1").on("01-02", broken, B="1").on("01-03", broken, B="2")
    assert catalog.current() == {"A": "10", "B": "2"}
    (row,) = catalog.rejected()
    assert (row.name, row.count, row.first_run_id, row.last_run_id) == ("A", 2, 2, 3)
    assert "price" in row.reason
    assert json.loads(row.raw) == broken
    assert catalog.run.rejected == 1
    assert catalog.model("A").last_seen_at == "01-01"
    catalog.on("01-04", A="12", B="2")
    assert catalog.history("A")[-1].changed_after == "01-01"
    assert catalog.model("A").last_seen_at is None


def test_a_row_without_a_name_proves_no_absence(catalog: Story) -> None:
    """A rejected row whose name could not be read may be any model: nothing is removed at once (law 3)."""
    catalog.on("01-01", A="10", B="1").on("01-02", UNNAMED, A="11")
    assert catalog.current() == {"A": "11", "B": "1"}
    assert [row.name for row in catalog.rejected()] == [None]
    catalog.on("01-03", A="11")
    assert catalog.history("B")[-1].kind == "removed"


def test_a_model_added_beside_an_unnamed_row_may_have_been_there_before(catalog: Story) -> None:
    """The window of an addition begins at the last observation that proved its absence (law 6)."""
    catalog.on("01-01", A="1").on("01-02", UNNAMED, A="1").on("01-03", A="1", B="2")
    assert catalog.history("B")[0].changed_after == "01-01"


BROKEN = {
    "html": (b"<html>maintenance</html>", "HTML"),
    "failed": (
        catalog_body([], status="failed", message="quota exceeded"),
        "quota exceeded",
    ),
    "truncated": (body_of(A="1", B="2")[:-40], "not JSON"),
    "nothing": (b"", "empty"),
    "a list": (b"[1, 2]", "a list where an object belongs"),
    "invalid utf-8": (body_of(A="1").replace(b"What", b"\xff\xfe"), "UTF-8"),
    "none legible": (body_of(UNNAMED, {"price": 2}), "none of the 2 listed models can be read"),
}


def test_a_response_that_cannot_be_read_changes_nothing(catalog: Story) -> None:
    """A failed run leaves everything as it was but its own row, which says the status and what was wrong (law 3)."""
    catalog.on("01-01", A="10", B="1")
    before = _effects(catalog)
    for kind, (body, reason) in BROKEN.items():
        error = catalog.failing("01-02", Reply(body=body, headers={"ETag": '"broken"'}))
        assert isinstance(error, BadResponse), kind
        assert _effects(catalog) == before, kind
        run = catalog.run
        assert (run.outcome, run.http_status, run.observed_at, run.listed) == ("failed", 200, None, None)
        assert reason in run.error == str(error)


def _effects(catalog: Story) -> str:
    """All that a run could have changed, except its own row, the lease's token and the word that it failed."""
    shop = {name: value for name, value in vars(catalog.shop).items() if name != "lease_token"}
    tables = ("changes:", "models:", "findings:", "rejected_rows:")
    return "\n".join([line for line in catalog.everything().splitlines() if line.startswith(tables)] + [str(shop)])


def test_an_empty_list_at_the_very_start_is_a_failure(catalog: Story) -> None:
    """A source that never listed anything is more likely misconfigured than empty; later an empty list is read."""
    error = catalog.failing("01-01", catalog_body([]))
    assert "never listed" in str(error)
    assert catalog.outcomes == ["failed"]
    catalog.on("01-02", A="1").on("01-03")
    assert catalog.outcomes == ["failed", "changed", "changed"]
    assert catalog.history("A")[0].changed_after is None


def test_a_refused_observation_is_a_failed_run(catalog: Story) -> None:
    """An HTTP error is recorded with its status and changes nothing."""
    catalog.on("01-01", A="10")
    before = _effects(catalog)
    error = catalog.failing("01-02", Reply(status=404, headers={"ETag": '"not found"'}))
    assert isinstance(error, FetchError)
    assert _effects(catalog) == before
    assert (catalog.run.outcome, catalog.run.http_status, catalog.run.error) == ("failed", 404, str(error))


def test_a_failed_run_is_no_observation(catalog: Story) -> None:
    """What changed between two observations changed after the first of them, whatever failed in between (law 6)."""
    catalog.on("01-01", A="10")
    catalog.failing("01-02", b"<html>")
    catalog.on("01-03", A="11")
    assert catalog.history("A")[-1].changed_after == "01-01"


# -- the shortcut ------------------------------------------------------------------------------------------------------


def test_the_etag_of_a_body_that_could_not_be_used_is_never_stored(catalog: Story) -> None:
    """After a failed run the next request still names the ETag of the last clean body, and 304 still means that one."""
    good = body_of(A="10")
    catalog.sends("01-01", good, etag='"good"')
    catalog.failing("01-01 01:00", Reply(body=b"<html>", headers={"ETag": '"bad"'}))
    catalog.failing("01-01 02:00")
    assert catalog.upstream.requests[-1].headers["if-none-match"] == '"good"'
    catalog.sends("01-01 03:00", good, etag='"good"')
    assert (catalog.run.outcome, catalog.run.http_status, catalog.run.error) == ("unchanged", 304, None)


def _another_key(catalog: Story) -> None:
    catalog.key = "ak_another"


def _another_url(catalog: Story) -> None:
    catalog.set(url=f"{catalog.upstream.origin}/api/v2")


def _trust_on(catalog: Story) -> None:
    catalog.set(trust=True)


def _another_reading(catalog: Story) -> None:
    fmt = {"extends": "serverless", "fields": {"expires_at": "retires_on"}}
    catalog.set(format="another", formats={"another": fmt})


@pytest.mark.parametrize("change", [_another_key, _another_url, _trust_on, _another_reading])
def test_the_shortcut_holds_only_for_what_it_was_stored_with(catalog: Story, change: Callable[[Story], None]) -> None:
    """Another key, URL, rule or parser may read the same bytes differently: they are asked for and read again."""
    body = body_of(A="10")
    catalog.sends("01-01", body)
    change(catalog)
    catalog.again("01-01 01:00")
    assert "if-none-match" not in catalog.upstream.requests[-1].headers
    assert (catalog.run.outcome, catalog.run.http_status, catalog.run.listed) == ("unchanged", 200, 1)
    catalog.again("01-01 02:00")
    assert catalog.run.http_status == 304, "now it holds for the new ones"
    catalog.sends("01-01 03:00", body, etag=False)
    catalog.key = "ak_third"
    catalog.again("01-01 04:00")
    assert catalog.run.listed == 1, "bytes without an ETag are read again, too"


def test_a_changed_rule_ends_the_shortcut(trusting: Story) -> None:
    """A trust setting that moved is asked of the same bytes too."""
    trusting.on("01-01", A="10").set(required=("B",)).again("01-02")
    assert trusting.outcomes == ["changed", "held"]


PENDING: dict[str, tuple[Any, ...]] = {
    "missing": (model("A", 1), model("C", 1), model("D", 1)),
    "finding": (model("A", 1_000_000), model("B", 1), model("C", 1), model("D", 1)),
    "nameless": (UNNAMED, *map(model, "ABCDEFGHIJKLM")),
}
SETTLED: dict[str, tuple[Any, ...]] = {
    "unread": (model("A", 1), model("B", "x"), *map(model, "CDEFGHIJKLM")),
    "superseded": (model("A", 9), model("A", 1), model("B", 1), *map(model, "CDEFGHIJKLM")),
}


@pytest.mark.parametrize("kind", PENDING)
def test_nothing_pending_is_ever_cut_short(trusting: Story, kind: str) -> None:
    """A missing model, an open finding: neither ETag nor digest is kept, and all is read again."""
    trusting.on("01-01", A="1", B="1", C="1", D="1")
    assert None not in {trusting.shop.etag, trusting.shop.body_digest, trusting.shop.stored_with}
    trusting.on("01-02", *PENDING[kind])
    assert (trusting.shop.etag, trusting.shop.body_digest, trusting.shop.stored_with) == (None, None, None)
    trusting.again("01-02 01:00")
    assert "if-none-match" not in trusting.upstream.requests[-1].headers
    assert (trusting.run.http_status, trusting.run.listed is None) == (200, False)


@pytest.mark.parametrize("kind", SETTLED)
def test_rows_that_are_unread_or_left_over_are_no_reason_to_read_again(catalog: Story, kind: str) -> None:
    """The same bytes give the same unread and rejected rows: the run by the shortcut carries their count on."""
    catalog.on("01-01", A="1", B="1").on("01-01 01:00", *SETTLED[kind])
    rejected = catalog.run.rejected
    catalog.again("01-01 02:00")
    assert (catalog.run.http_status, catalog.run.listed, catalog.run.rejected) == (304, None, rejected)


def test_a_stuck_cache_heals(catalog: Story) -> None:
    """Whatever a cache says, once every `revalidate_after` the request is unconditional."""
    stale, body = '"of the build"', body_of(A="99")
    catalog.sends("01-01", body_of(A="1"), etag=stale)
    for hour in range(1, 24):
        catalog.sends(f"01-01 {hour:02}:00", body, etag=stale)
    assert {(run.outcome, run.http_status) for run in catalog.runs()[1:]} == {("unchanged", 304)}
    catalog.again("01-02")
    assert "if-none-match" not in catalog.upstream.requests[-1].headers
    assert catalog.changes()[-1] == "01-02 repriced A 1 -> 99"


# -- one clock (law 5) -------------------------------------------------------------------------------------------------


def test_a_clock_a_little_behind_is_clamped(catalog: Story) -> None:
    """Up to five minutes behind the last observation, an observation is dated one microsecond after it (law 5)."""
    catalog.on("01-01 06:00", A="1").on("01-01 05:55", A="2").again("01-01 05:58")
    assert [run.observed_at for run in catalog.runs()] == [
        "01-01 06:00",
        "01-01 06:00:00.000001",
        "01-01 06:00:00.000002",
    ]
    assert catalog.periods("A")[-1] == ("2", "01-01 06:00:00.000001", None)


def test_a_clock_far_behind_is_refused(catalog: Story) -> None:
    """Further behind fails the run with both times named, and nothing is stamped with the wrong time (law 5)."""
    catalog.on("01-01 06:00", A="1")
    before = _effects(catalog)
    error = catalog.failing("01-01 05:54:59.999999", body_of(A="2"))
    assert isinstance(error, ClockError)
    assert "2026-01-01T05:54:59Z" in str(error)
    assert "2026-01-01T06:00:00Z" in str(error)
    assert _effects(catalog) == before
    assert (catalog.run.outcome, catalog.run.observed_at, catalog.run.error) == ("failed", None, str(error))
    assert catalog.on("01-01 06:01", A="2").changes()[-1] == "01-01 06:01 repriced A 1 -> 2"


def test_a_304_has_a_time_too(catalog: Story) -> None:
    """An observation that was not parsed is dated by the same rule (law 5)."""
    catalog.on("01-01 06:00", A="1").again("01-01 05:59")
    assert catalog.run.observed_at == "01-01 06:00:00.000001"
    assert isinstance(catalog.failing("01-01 03:00"), ClockError)


# -- every attempt leaves a run (law 9), one writer a source (law 7) ---------------------------------------------------


def test_a_bug_leaves_a_run_too(catalog: Story) -> None:
    """Whatever goes wrong, the attempt is recorded with its reason and frees the source (law 9)."""

    def full(source: str, at: datetime, body: Body) -> None:
        raise OSError(28, "No space left on device")

    catalog.archive = full
    with pytest.raises(OSError, match="No space"):
        catalog.on("01-01", A="1")
    assert (catalog.run.outcome, catalog.run.error) == ("failed", "OSError: [Errno 28] No space left on device")
    catalog.archive = None
    assert catalog.on("01-01 00:01", A="1").outcomes == ["failed", "changed"]


def _acquire(catalog: Story, at: datetime, lease: timedelta = timedelta(minutes=10)) -> Lease:
    """Another syncer takes the source."""
    record = SourceRecord(name=catalog.source.name, url="http://elsewhere", format="serverless", headline="price")
    with db.writing(catalog.engine) as connection:
        return leases.acquire(connection, record, kind="sync", owner="another", now=at, lasts=lease, key=None)


def test_a_source_that_somebody_syncs_is_busy(catalog: Story) -> None:
    """While another holds the lease nothing is asked and no run is written; the message says who has it (law 7)."""
    _acquire(catalog, instant("01-01"))
    error = catalog.failing("01-01 00:09:59", body_of(A="1"))
    assert isinstance(error, SourceBusy)
    assert "another" in str(error)
    assert (catalog.outcomes, catalog.upstream.requests) == (["running"], [])


def test_a_dead_syncers_lease_runs_out(catalog: Story) -> None:
    """When the lease is over the source is taken, and the dead one's run becomes `abandoned` (law 9)."""
    _acquire(catalog, instant("01-01"))
    catalog.on("01-01 00:10", A="1")
    assert catalog.outcomes == ["abandoned", "changed"]
    dead = catalog.runs()[0]
    assert (dead.finished_at, dead.observed_at, dead.error) == (
        "01-01 00:10",
        None,
        "its syncer died or lost its lease",
    )


def test_a_lease_from_a_wrong_clock_is_taken_over(catalog: Story) -> None:
    """A lease that ends further ahead than any lease lives was written by a wrong clock (law 7)."""
    _acquire(catalog, instant("01-01").replace(year=2099))
    assert catalog.on("01-01", A="1").outcomes == ["abandoned", "changed"]


def test_a_syncer_that_lost_its_lease_writes_nothing(catalog: Story) -> None:
    """Taken over while it waits for upstream, it is fenced: nothing of it is written, and its run stays abandoned."""
    catalog.on("01-01", A="1")
    before = _effects(catalog)
    late = Reply(body=body_of(A="2"), on_request=lambda: _acquire(catalog, instant("01-01 06:10")))
    assert isinstance(catalog.failing("01-01 06:00", late), SourceBusy)
    assert catalog.history() == catalog.history("A")
    assert catalog.outcomes == ["changed", "abandoned", "running"]
    assert catalog.changes() == ["01-01 added A 1"]
    assert before.splitlines()[:-1] == _effects(catalog).splitlines()[:-1]


# -- secrets stay out (law 11) -----------------------------------------------------------------------------------------

BORDER = 20  # so much of the key is within what an excerpt shows, if it is cut by length alone


ECHOES = [
    Reply(body=catalog_body([], status="failed", message=f"bad token {KEY}!")),
    Reply(body=catalog_body([], status=f"{KEY}")),
    Reply(body=catalog_body([], status="failed", message="x" * (80 - BORDER) + KEY)),
    Reply(body=b"<html>" + b"x" * (80 - 6 - BORDER) + KEY.encode() + b"</html>"),
    Reply(body=b"<html>" + KEY.encode()),
    Reply(body=f'{{"status": "{KEY}", "data": '.encode()),
    Reply(status=401, body=f"{KEY} is expired".encode()),
    Reply(status=302, headers={"Location": f"https://elsewhere.invalid/?token={KEY}"}),
]


def test_the_key_is_in_no_table_log_or_error(catalog: Story, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Neither the key nor a good part of it is kept or said, though upstream sends it back in its answer (law 11)."""
    caplog.set_level(logging.DEBUG)
    catalog.key = KEY
    said = str(catalog.sends("01-01", body_of(A="1")).report)
    for reply in ECHOES:
        said += f"\n{catalog.failing('01-02', reply)}"
        with pytest.raises(SyncerError) as caught:
            catalog.preview("01-02")
        said += f"\n{caught.value}"
    assert {request.headers["authorization"] for request in catalog.upstream.requests} == {f"Bearer {KEY}"}
    said += f"\n{caplog.text}\n{catalog.everything()}"
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for part in (KEY, KEY[:BORDER], KEY[-BORDER:]):
        assert part not in said
        assert part.encode() not in written


def test_a_bug_does_not_tell_the_key(catalog: Story) -> None:
    """The recorded reason of an unexpected error is without the key, too (law 11)."""

    def careless(source: str, at: datetime, body: Body) -> None:
        raise RuntimeError(f"cannot write for {KEY}")

    catalog.key, catalog.archive = KEY, careless
    with pytest.raises(RuntimeError):
        catalog.on("01-01", A="1")
    assert catalog.run.error == "RuntimeError: cannot write for ***"


def test_runs_carry_a_fingerprint_of_the_key(catalog: Story) -> None:
    """One key has one fingerprint within a source, another has another, and no key has none (law 11)."""
    for hour, key in enumerate((KEY, "ak_another", None, KEY)):
        catalog.key = key
        catalog.on(f"01-01 0{hour}:00", A="1")
    first, second, none, last = (run.credential for run in catalog.runs())
    assert first == last != second
    assert none is None
    assert len(bytes.fromhex(first)) == 8


# -- looking without writing, keeping without looking ------------------------------------------------------------------


def test_a_preview_shows_what_a_sync_then_does_and_writes_nothing(catalog: Story, tmp_path: Path) -> None:
    """The same changes, counts and outcome, and not one row or byte of the database is another."""
    catalog.on("01-01", A="10", B="1")
    catalog.upstream.serve(body_of(A="12", C="3"))
    before, files = catalog.everything(), _bytes(tmp_path)
    shown = catalog.preview("01-02")
    assert (catalog.everything(), _bytes(tmp_path)) == (before, files)
    done = catalog.again("01-02").report
    assert done is not None
    assert (shown.outcome, shown.result.counts, shown.result.observed_at) == (
        done.outcome,
        done.result.counts,
        done.result.observed_at,
    )
    assert [(change.kind, change.listing.name, change.effective_at) for change in shown.changes] == [
        (row.kind, row.name, instant(row.effective_at)) for row in catalog.history()[2:]
    ]


def test_a_preview_shows_what_would_be_held(trusting: Story) -> None:
    """Doubts are shown as they would be, and no finding is written."""
    trusting.on("01-01", A="10", B="1")
    trusting.upstream.serve(catalog_body([]))
    shown = trusting.preview("01-02")
    assert (shown.outcome, len(shown.announced), shown.changes) == ("held", 1, ())
    assert trusting.findings() == []


def test_a_preview_needs_no_database(upstream: Upstream, sqlite_url: str, tmp_path: Path) -> None:
    """Before the first sync everything would be added; no file is made."""
    with Story(sqlite_url, upstream) as other:
        attempt = other.attempt()
    for path in tmp_path.iterdir():
        path.unlink()
    upstream.serve(body_of(A="10", B="1"))
    shown = preview_source(attempt, is_new=True)
    assert [change.listing.name for change in shown.changes] == ["A", "B"]
    assert list(tmp_path.iterdir()) == []


def _bytes(folder: Path) -> list[bytes]:
    """The database files' contents; the shared-memory index beside them holds read marks only."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".db-shm"]


def test_bodies_are_kept_that_had_to_be_read(catalog: Story) -> None:
    """Each body that was not known already is handed on, whole, whether or not it can be used then."""
    kept: list[tuple[str, datetime, bytes]] = []
    catalog.archive = lambda source, at, body: kept.append((source, at, bytes(body)))
    one, two = body_of(A="1"), body_of(A="2")
    catalog.sends("01-01", one).sends("01-01 01:00", one).sends("01-01 02:00", one, etag=False).sends(
        "01-01 03:00", two
    )
    catalog.failing("01-01 04:00", b"<html>")
    catalog.failing("01-01 05:00", Reply(status=404, body=b"no"))
    assert kept == [
        ("shop", instant("01-01"), one),
        ("shop", instant("01-01 03:00"), two),
        ("shop", instant("01-01 04:00"), b"<html>"),
    ]


# -- start-up ----------------------------------------------------------------------------------------------------------

ONE_SYNC = """\
import sys
from datetime import UTC, datetime
from syncer.db import engine as db
from syncer.db.migrate import ensure_schema
from syncer.settings import SourceSettings, format_of
from syncer.attempt import Attempt
from syncer.sync import sync_source

engine = db.open_engine(sys.argv[1])
ensure_schema(engine)
at = datetime(2026, 1, 2, tzinfo=UTC)
source = SourceSettings(name="shop", url=sys.argv[2], trust_date=False)
attempt = Attempt(engine=engine, source=source, format=format_of(source), key="k", clock=lambda: at, owner="a test")
print(sync_source(attempt).outcome)
engine.dispose()
heavy = ("alembic", "jinja2", "rich", "apscheduler", "starlette", "sqlalchemy.orm")
heavy += ("sqlalchemy.dialects." + {"sqlite": "postgresql", "postgresql": "sqlite"}[engine.dialect.name],)
print([name for name in heavy if name in sys.modules])
"""


def test_a_sync_imports_nothing_that_it_does_not_need(catalog: Story) -> None:
    """A cron run on an existing database pays for nothing but its own work, not even for another dialect."""
    catalog.on("01-01", A="1").upstream.serve(body_of(A="2"))
    done = subprocess.run(
        [sys.executable, "-c", ONE_SYNC, catalog.url, catalog.upstream.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.splitlines(), done.stderr) == (["changed", "[]"], "")
