"""What came of one run, for whoever asked for it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from syncer.attempt import Attempt
from syncer.core.decision import Decision
from syncer.core.model import Change, Kind, Snapshot
from syncer.core.notices import Notice
from syncer.db.results import RunResult
from syncer.poll import Observation


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one run.

    `result` is how it was closed; `run_id` is None for a preview, of which `changes` are what would be believed.
    `missing` counts the models that were not listed and whose removal is neither confirmed yet nor withheld.
    `announced` says what this run withheld that no earlier one did; the result's `error` also what still is withheld.
    `notices` are what it told of the source's health.
    `warnings` are about the format of a source that is observed for the first time.
    """

    source: str
    kind: str
    run_id: int | None
    result: RunResult
    missing: int = 0
    announced: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def outcome(self) -> str:
        """How the run ended, in a word."""
        return self.result.outcome


def report_of(
    attempt: Attempt,
    run_id: int | None,
    result: RunResult,
    decision: Decision,
    warnings: tuple[str, ...] = (),
    changes: tuple[Change, ...] = (),
) -> Report:
    """A run as it was closed, and what was decided on the way."""
    return Report(
        source=attempt.source.name,
        kind=attempt.kind,
        run_id=run_id,
        result=result,
        missing=decision.unconfirmed,
        announced=decision.announced,
        notices=tuple(decision.notices),
        warnings=warnings,
        changes=changes,
    )


def result_of(
    observation: Observation, snapshot: Snapshot, decision: Decision, counts: Mapping[Kind, int], now: datetime
) -> RunResult:
    """How a run ends that has decided."""
    return RunResult(
        outcome=decision.outcome,
        observed_at=observation.at,
        finished_at=now,
        shown_at=observation.shown_at,
        judged=decision.judges,
        http_status=observation.status,
        listed=snapshot.listed,
        rejected=len(snapshot.rejected) + len(snapshot.unreadable),
        withheld=decision.withheld,
        body_digest=observation.shortcut.body_digest,
        error="; ".join(decision.reasons) or None,
        counts=counts,
        shortcut=None if decision.pending else observation.shortcut,
    )
