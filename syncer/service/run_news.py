"""What a person is told of one run: its changes, what it said of the source's health, whether its failure is news."""

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine

from syncer.db.engine import reading
from syncer.errors import SourceBusy, SyncerError

if TYPE_CHECKING:
    from syncer.core.notices import Notice
    from syncer.report import Report


def events_of(engine: Engine, report: "Report", limit: int | None) -> list[dict[str, Any]]:
    """The changes of a run as CloudEvents, in feed order."""
    from syncer.alerts.event import events

    with reading(engine) as connection:
        return list(events(connection, run=report.run_id, limit=limit))


def sentences_of(engine: Engine | None, report: "Report") -> list[str]:
    """What a run told of its source's health: not of single models, nor what it holds, which is said in full."""
    from syncer.core.notices import NoticeKind

    left_out = {NoticeKind.HELD, NoticeKind.MISSING, NoticeKind.RETURNED}
    return [_sentence(engine, report, notice) for notice in report.notices if notice.kind not in left_out]


def _sentence(engine: Engine | None, report: "Report", notice: "Notice") -> str:
    from syncer.core.notices import FAILED, LATE, NoticeKind
    from syncer.core.words import describe_duration, describe_notice
    from syncer.db import feed

    if notice.kind == NoticeKind.RECOVERED and notice.data["from"] in {FAILED, LATE}:
        if engine is None or report.run_id is None:  # a preview: it has not recovered yet
            return "is back"
        with reading(engine) as connection:
            lasted = feed.last_outage(connection, report.source)
        return "is back" if lasted is None else f"is back after {describe_duration(lasted)}"
    return f"{notice.kind.value}: {describe_notice({'kind': notice.kind.value, **notice.data})}"


_AN_OUTAGE = 200  # failed runs of one outage in which an error is looked for
_OBSERVATIONS = frozenset({"changed", "unchanged", "held"})


def failed_run(engine: Engine, source: str, error: SyncerError) -> tuple[int | None, bool]:
    """The run in which this was just recorded, and whether it is the first failure of its kind in this outage."""
    from syncer import history

    if isinstance(error, SourceBusy):
        return None, False  # somebody is doing the work
    try:
        with reading(engine) as connection:
            last = list(history.runs(connection, source=source, limit=_AN_OUTAGE))
    except SyncerError:
        return None, True
    if not last or last[0].outcome != "failed":
        return None, True
    outage = takewhile(lambda run: run.outcome not in _OBSERVATIONS, last[1:])
    return last[0].id, _gist(last[0].error) not in {_gist(run.error) for run in outage if run.outcome == "failed"}


def _gist(error: str | None) -> str:
    """An error without what differs each time: numbers, and what is quoted of a page."""
    return re.sub(r"'.*'|\".*\"|\d+", "", error or "")
