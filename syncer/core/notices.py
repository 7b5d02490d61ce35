"""What a source's health has to say in the feed."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from syncer.core.rules import FindingKind

LATE_AFTER = 3
"""So many intervals without an observation make a source late."""


class NoticeKind(StrEnum):
    """The kinds of notice."""

    FAILED = "failed"
    STALE = "stale"
    RECOVERED = "recovered"
    HELD = "held"
    SETTLED = "settled"
    UNREADABLE = "unreadable"
    READABLE = "readable"
    MISSING = "missing"
    RETURNED = "returned"
    EXPIRING = "expiring"


TROUBLE = frozenset({NoticeKind.FAILED, NoticeKind.STALE})


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One notice to be written; a finding that was opened with it is named by its kind alone."""

    kind: NoticeKind
    data: Mapping[str, Any] = {}
    model: str | None = None
    finding: FindingKind | None = None
    finding_id: int | None = None


class Expiring(msgspec.Struct, frozen=True, kw_only=True):
    """A listed model that goes soon; `told` is the smallest threshold at which that was announced."""

    name: str
    expires_at: datetime
    told: int | None = None


FAILED, LATE = "failed", "late"


def of_lateness(trouble: str | None, last_observed_at: datetime | None, interval: timedelta) -> list[Notice]:
    """A source has not been observed for three intervals."""
    if trouble in {FAILED, LATE}:
        return []
    last = None if last_observed_at is None else last_observed_at.isoformat().replace("+00:00", "Z")
    data = {"reason": LATE, "last_observed_at": last, "interval_seconds": int(interval.total_seconds())}
    return [Notice(kind=NoticeKind.STALE, data=data)]


def is_late(now: datetime, known_since: datetime, interval: timedelta) -> bool:
    """Whether the last observation (or, without one, the first claim) is three intervals ago."""
    return now - known_since > LATE_AFTER * interval
