"""What a source's health has to say in the feed: once when it turns bad, once when it turns well, never in between.

Pure: what came of an observation goes in, the notices come out, in the order in which the feed gives them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from syncer.core.observation import Doubtful
from syncer.core.rules import RESPONSE, Finding, FindingKind
from syncer.core.text import rfc3339

LATE_AFTER = 3
"""So many intervals without an observation make a source late."""
UNTAKEN_AFTER = timedelta(days=1)
"""So does a tick of its schedule that nobody took for so long: three weeks, or months, would be silence."""
THRESHOLDS = (30, 7, 1)
"""So many days before a model's end it is announced."""
MAX_NAMES = 100
"""So many models a notice names; how many there are it says, too."""
LATE = "late"
FAILED = "failed"


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
    """One notice to be written; `data` is JSON-able and holds nothing secret.

    `model` is the name of the one model that it is about. `finding_id` is the finding's, where it was stored before;
    a notice of a finding that this observation opened has its kind in `finding` alone.
    """

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


# -- health ------------------------------------------------------------------------------------------------------------


def of_health(trouble: str | None, doubtful: Doubtful | None, details: Mapping[str, Any]) -> list[Notice]:
    """What an observation says of its source: that an old trouble is over, that its own time is in doubt.

    `trouble` is what the last notice of the source's health said, if that was bad.
    """
    said = []
    if trouble is not None and trouble != doubtful:
        said.append(Notice(kind=NoticeKind.RECOVERED, data={"from": trouble}))
    if doubtful is not None and trouble != doubtful:
        said.append(Notice(kind=NoticeKind.STALE, data={"reason": doubtful.value, **details}))
    return said


def of_failure(trouble: str | None, error: str, http_status: int | None) -> list[Notice]:
    """A run failed: told once, until a run succeeds."""
    if trouble in {FAILED, LATE}:
        return []
    return [Notice(kind=NoticeKind.FAILED, data={"error": error, "http_status": http_status})]


def of_lateness(trouble: str | None, last_observed_at: datetime | None, interval: timedelta) -> list[Notice]:
    """A source was not observed for three intervals: told once, and not of one that is known to fail."""
    if trouble in {FAILED, LATE}:
        return []
    last = None if last_observed_at is None else rfc3339(last_observed_at)
    data = {"reason": LATE, "last_observed_at": last, "interval_seconds": int(interval.total_seconds())}
    return [Notice(kind=NoticeKind.STALE, data=data)]


def is_late(now: datetime, known_since: datetime, interval: timedelta, due_at: datetime | None) -> bool:
    """Whether the last observation (or, without one, the first lease) is three intervals ago.

    Or whether a tick of the daemon's schedule, `due_at`, came a day ago, and nobody took it or observed since.
    """
    if due_at is not None and known_since < due_at and now - due_at > UNTAKEN_AFTER:
        return True
    return now - known_since > LATE_AFTER * interval


# -- findings ----------------------------------------------------------------------------------------------------------


def of_held(finding: Finding, why: str, until: str) -> Notice:
    """A finding withholds something that no earlier observation withheld: `finding` holds only that."""
    data = {"finding": finding.kind.value, "why": why, "until": until, **_models(finding)}
    return Notice(kind=NoticeKind.HELD, data=data, finding=finding.kind, finding_id=finding.id)


def of_settled(finding: Finding, state: str, comment: str | None = None) -> Notice:
    """A finding is over: approved, rejected, confirmed by time, or withdrawn by upstream."""
    data = {"finding": finding.kind.value, "state": state, **_models(finding)}
    if comment is not None:
        data["comment"] = comment
    return Notice(kind=NoticeKind.SETTLED, data=data, finding=finding.kind, finding_id=finding.id)


def _models(finding: Finding) -> dict[str, Any]:
    return _names(name for name in finding.evidence if name != RESPONSE)


def _names(names: Iterable[str]) -> dict[str, Any]:
    """How many models it is about, and the first of them by name."""
    all_of_them = sorted(names)
    return {"count": len(all_of_them), "models": all_of_them[:MAX_NAMES]}


# -- models ------------------------------------------------------------------------------------------------------------


def of_unreadable(fields: Mapping[str, Iterable[str]], rows: Sequence[tuple[str, str]]) -> list[Notice]:
    """Models of which something cannot be read (and which fields), and rows (name, reason) that were left out."""
    if not fields and not rows:
        return []
    first = sorted(fields)[:MAX_NAMES]
    data: dict[str, Any] = {**_names(fields), "fields": {name: sorted(fields[name]) for name in first}}
    if rows:
        data["rows"] = [{"name": name, "reason": reason} for name, reason in rows[:MAX_NAMES]]
        data["row_count"] = len(rows)
    return [Notice(kind=NoticeKind.UNREADABLE, data=data)]


def of_readable(names: Iterable[str]) -> list[Notice]:
    """Models that can be read whole again."""
    data = _names(names)
    return [Notice(kind=NoticeKind.READABLE, data=data)] if data["count"] else []


def of_missing(name: str, last_shown: datetime | None) -> Notice:
    """A model is missing for the first time; it is not removed yet."""
    return Notice(kind=NoticeKind.MISSING, model=name, data={"model": name, "last_seen_at": _time(last_shown)})


def of_returned(name: str, missing_since: datetime) -> Notice:
    """A model that was missing, and not removed, is there again."""
    return Notice(kind=NoticeKind.RETURNED, model=name, data={"model": name, "missing_since": rfc3339(missing_since)})


def _time(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


# -- what goes soon ----------------------------------------------------------------------------------------------------


def of_expiring(
    models: Iterable[Expiring], at: datetime, after: datetime | None = None
) -> tuple[list[Notice], dict[str, int]]:
    """The models whose end came near enough to be told, in one notice; and the threshold that was told of each.

    Each threshold is told once; of several that have passed only the nearest. `after`: nothing is told of what ends
    before it (an import's own end).
    """
    near: dict[str, tuple[int, datetime]] = {}
    for model in models:
        days = _threshold(model.expires_at - at)
        known = model.told is not None and days is not None and model.told <= days
        if days is not None and not known and (after is None or model.expires_at > after):
            near[model.name] = days, model.expires_at
    if not near:
        return [], {}
    first = sorted(near, key=lambda name: (near[name][1], name))[:MAX_NAMES]
    data = {"count": len(near), "models": {name: rfc3339(near[name][1]) for name in first}}
    return [Notice(kind=NoticeKind.EXPIRING, data=data)], {name: days for name, (days, _) in near.items()}


def _threshold(left: timedelta) -> int | None:
    """The nearest threshold that has come: None if the end is farther than all of them, or over."""
    if left <= timedelta(0):
        return None
    return min((days for days in THRESHOLDS if left <= timedelta(days=days)), default=None)
