"""Changes, runs, the current catalog and freshness, as the feed and the operator see them."""

from datetime import timedelta
from decimal import Decimal

import pytest

from syncer import history
from syncer.core.model import Kind
from syncer.errors import AmbiguousModel, UnknownModel, UnknownSource, UsageError
from tests.history.conftest import Calendar, day
from tests.upstream import model


def test_changes_tell_the_story_in_feed_order(calendar: Calendar) -> None:
    """Each change comes once, in id order, with the whole state, the window, currency and unit."""
    calendar.on(1, a="0.5", b="1").on(2, a="0.7").on(3, a="0.7", b=None)
    with calendar.read() as connection:
        rows = list(history.changes(connection))
    assert [(row.id, row.name, row.kind, row.price, row.old_price) for row in rows] == [
        (1, "a", Kind.ADDED, Decimal("0.5"), None),
        (2, "b", Kind.ADDED, Decimal(1), None),
        (3, "a", Kind.REPRICED, Decimal("0.7"), Decimal("0.5")),
        (4, "b", Kind.REMOVED, Decimal(1), Decimal(1)),
        (5, "b", Kind.RELISTED, None, Decimal(1)),
    ]
    moved = rows[2]
    assert moved.changed == {"prices.price": [Decimal("0.5"), Decimal("0.7")]}
    assert (moved.changed_after, moved.effective_at, moved.observed_at) == (day(1), day(2), day(2))
    assert (moved.currency, moved.unit, moved.source, moved.context_length) == (
        "USD",
        (1_000_000, "token"),
        "default",
        32768,
    )
    assert moved.raw is None
    assert moved.reverts_id is None


def test_raw_is_read_only_on_request(calendar: Calendar) -> None:
    """The element as upstream sent it is there when it is asked for."""
    calendar.on(1, a="0.5")
    with calendar.read() as connection:
        (row,) = history.changes(connection, include_raw=True)
    assert row.raw is not None
    assert '"model_name": "a"' in row.raw


def test_changes_are_filtered_by_time_kind_model_source_run_and_position(calendar: Calendar) -> None:
    """Each filter says what it says: times are half-open, `after` is exclusive, limit takes the first."""
    calendar.on(1, a="1", b="1").on(2, a="2", b="2").on(3, a="3", b="2").on(4, source="other", a="9")

    def ids(**filters: object) -> list[int]:
        with calendar.read() as connection:
            return [row.id for row in history.changes(connection, **filters)]  # type: ignore[arg-type]

    assert ids() == [1, 2, 3, 4, 5, 6]
    assert ids(since=day(2), until=day(3)) == [3, 4]
    assert ids(since=day(2) + timedelta(microseconds=1)) == [5, 6]
    assert ids(until=day(2)) == [1, 2]
    assert ids(kinds={Kind.REPRICED}) == [3, 4, 5]
    assert ids(kinds=["added"]) == [1, 2, 6]
    assert ids(kinds=[]) == []
    assert ids(model="b") == [2, 4]
    assert ids(model="a", source="default") == [1, 3, 5]
    assert ids(source="other") == [6]
    assert ids(after=3) == [4, 5, 6]
    assert ids(after=6) == []
    assert ids(run=2) == [3, 4]
    assert ids(limit=2) == [1, 2]
    assert ids(since=day(1), until=day(4), after=1, kinds={"repriced"}, source="default", limit=1) == [3]


def test_changes_refuse_a_wrong_question_at_once(calendar: Calendar) -> None:
    """A naive time, an unknown kind, source or model, and a position beyond the feed raise before any row is read."""
    calendar.on(1, **{"deepseek-ai/DeepSeek-R1": "1"}).on(2, source="other", **{"deepseek-ai/DeepSeek-R1": "1"})
    with calendar.read() as connection:
        with pytest.raises(ValueError, match="since must be an aware"):
            history.changes(connection, since=day(1).replace(tzinfo=None))
        with pytest.raises(ValueError, match="sold"):
            history.changes(connection, kinds=["sold"])
        with pytest.raises(UnknownSource, match="it has: default, other"):
            history.changes(connection, source="nobody")
        with pytest.raises(UnknownModel, match="did you mean 'deepseek-ai/DeepSeek-R1'") as unknown:
            history.changes(connection, model="deepseek-ai/deepseek-r2")
        assert "deepseek-ai/DeepSeek-R1" in unknown.value.nearest
        with pytest.raises(AmbiguousModel, match="name the source") as ambiguous:
            history.changes(connection, model="deepseek-ai/DeepSeek-R1")
        assert ambiguous.value.candidates == (
            ("default", "deepseek-ai/DeepSeek-R1"),
            ("other", "deepseek-ai/DeepSeek-R1"),
        )
        with pytest.raises(UsageError, match="the feed ends at 2"):
            history.changes(connection, after=3)


def test_the_current_catalog_is_the_view_with_its_unit(calendar: Calendar) -> None:
    """Each listed model of each source, by source and name, with every column of the view."""
    calendar.on(1, model("b", "0.1", model_type="Image", region="eu"), a="1").on(2, source="aside", z="3")
    with calendar.read() as connection:
        rows = list(history.catalog(connection))
        assert list(history.catalog(connection, source="default")) == rows[1:]
        with pytest.raises(UnknownSource):
            history.catalog(connection, source="nobody")
    assert [(row.source, row.model) for row in rows] == [("aside", "z"), ("default", "a"), ("default", "b")]
    assert (rows[1].unit, rows[2].unit) == ((1_000_000, "token"), None)
    assert (rows[2].price, rows[2].extra, rows[2].held) == (Decimal("0.1"), {"region": "eu"}, False)
    assert (rows[2].first_seen_at, rows[2].last_seen_at, rows[2].missing_since) == (day(1), day(1), None)


def test_runs_come_newest_first(calendar: Calendar) -> None:
    """Every attempt is there, the latest first, of one source where asked."""
    calendar.on(1, a="1").on(2, a="1").on(3, source="other", a="1")
    with calendar.read() as connection:
        assert [(run.source, run.outcome) for run in history.runs(connection)] == [
            ("other", "changed"),
            ("default", "unchanged"),
            ("default", "changed"),
        ]
        (latest,) = history.runs(connection, source="default", limit=1)
    assert (latest.outcome, latest.observed_at, latest.started_at) == ("unchanged", day(2), day(2))


def test_freshness_says_who_is_late(calendar: Calendar) -> None:
    """A source is late once three of its intervals passed without a poll, not before, and not on the instant."""
    calendar.on(1, a="1", b="1").on(2, source="other", z="1")
    daily = {"default": timedelta(days=1), "other": timedelta(hours=6)}
    with calendar.read() as connection:
        on_time = history.freshness(connection, now=day(4), intervals=daily)
        too_late = history.freshness(connection, now=day(4) + timedelta(microseconds=1), intervals=daily)
        with pytest.raises(ValueError, match="now must be"):
            history.freshness(connection, now=day(4).replace(tzinfo=None))
    assert [(row.source, row.late) for row in on_time] == [("default", False), ("other", True)]
    assert [(row.source, row.late) for row in too_late] == [("default", True), ("other", True)]
    first = on_time[0]
    assert (first.last_observed_at, first.last_attempt_at, first.last_outcome) == (day(1), day(1), "changed")
    assert (first.listed, first.missing, first.open_findings, first.last_error) == (2, 0, 0, None)


def test_a_notebook_needs_one_line(calendar: Calendar) -> None:
    """`history.connect` gives a connection that answers, that cannot write, and that its end closes, refused or not."""
    calendar.on(1, a="1")
    url = calendar.engine.url.render_as_string(hide_password=False)
    with history.connect(url) as connection:
        assert [row.name for row in history.changes(connection)] == ["a"]
        driver = connection.connection.dbapi_connection
        with pytest.raises(Exception, match=r"read-?only"):
            connection.exec_driver_sql("DELETE FROM rejected_rows")
        connection.rollback()
        assert [row.name for row in history.changes(connection)] == ["a"]
        assert connection.connection.dbapi_connection is driver
    assert getattr(driver, "closed", True)  # SQLite's driver does not say
