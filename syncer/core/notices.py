"""What a source's health has to say in the feed: once when it turns bad, once when it turns well, never in between.

Pure: what came of a look goes in, the notices come out. `recovered` stands before a `held` that outlives the trouble.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from syncer.core.rules import Finding

LATE_AFTER = 3
"""So many intervals without a good look make a source late."""
_NAMES_SHOWN = 20


class NoticeKind(StrEnum):
    """The kinds of notice."""

    FAILED = "failed"
    STALE = "stale"
    RECOVERED = "recovered"
    HELD = "held"
    SETTLED = "settled"


TROUBLE = frozenset({NoticeKind.FAILED, NoticeKind.STALE})


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice to be written; `data` is JSON-able and holds nothing secret."""

    kind: NoticeKind
    data: Mapping[str, Any] = {}
    finding_id: int | None = None


def after_observation(
    *, in_trouble: bool, settled: Sequence[tuple[Finding, str]] = (), opened: Sequence[tuple[Finding, int, str]] = ()
) -> list[Notice]:
    """The notices of a good look: `settled` are findings with their final state, `opened` with their id and why."""
    recovered = [Notice(kind=NoticeKind.RECOVERED)] if in_trouble else []
    return [*recovered, *(of_settled(finding, state) for finding, state in settled), *map(_of_opened, opened)]


def of_failure(error: str, http_status: int | None) -> Notice:
    """A source that looked well until now has failed."""
    return Notice(kind=NoticeKind.FAILED, data={"error": error, "http_status": http_status})


def of_staleness(last_good_look_at: datetime | None, interval: timedelta) -> Notice:
    """A source has had no good look for three intervals."""
    last = None if last_good_look_at is None else last_good_look_at.isoformat().replace("+00:00", "Z")
    return Notice(
        kind=NoticeKind.STALE, data={"last_good_look_at": last, "interval_seconds": int(interval.total_seconds())}
    )


def of_settled(finding: Finding, state: str) -> Notice:
    """A finding is no longer open."""
    data = {"finding": finding.kind.value, "state": state, **_models(finding)}
    return Notice(kind=NoticeKind.SETTLED, data=data, finding_id=finding.id)


def is_late(now: datetime, known_since: datetime, interval: timedelta) -> bool:
    """Whether the last good look (or, without one, the first claim) is three intervals ago."""
    return now - known_since > LATE_AFTER * interval


def _of_opened(opened: tuple[Finding, int, str]) -> Notice:
    finding, finding_id, why = opened
    return Notice(
        kind=NoticeKind.HELD,
        data={"finding": finding.kind.value, "why": why, **_models(finding)},
        finding_id=finding_id,
    )


def _models(finding: Finding) -> dict[str, Any]:
    """How many models it is about, and the first of them by name."""
    return {"count": len(finding.evidence), "models": sorted(finding.evidence)[:_NAMES_SHOWN]}
