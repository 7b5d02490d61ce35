"""What came of each source, consumer or recorded response that had its turn, and what of that is raised."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from syncer.errors import DONE, FAILED, HELD, BadResponse, SeveralErrors, SourceBusy, SyncerError

if TYPE_CHECKING:
    from syncer.alerts.delivery import Delivered
    from syncer.core.formats import CompiledFormat
    from syncer.core.model import Snapshot
    from syncer.core.parse import Unmatched
    from syncer.report import Report


class SyncOutcome(NamedTuple):
    """What came of one source: a report, or what went wrong instead.

    `news` is False for what was said before: the same failure, or what was held already. `events` are the changes as
    CloudEvents, in feed order. `notices` is what it told of the source's health, a sentence each, but for its failure
    and what it holds.
    """

    source: str
    report: "Report | None" = None
    error: Exception | None = None
    news: bool = True
    events: Sequence[dict[str, Any]] = ()
    failed_run: int | None = None
    notices: Sequence[str] = ()

    @property
    def run_id(self) -> int | None:
        """The run that this left, where it left one: a busy source leaves none, nor does a preview."""
        return self.failed_run if self.report is None else self.report.run_id

    @property
    def word(self) -> str:
        """The outcome in one word, as in `runs`; a source that somebody else has is `busy`."""
        if self.report is not None:
            return self.report.outcome
        return "busy" if isinstance(self.error, SourceBusy) else "failed"

    @property
    def exit_code(self) -> int:
        """This source's share of a command's exit code."""
        if self.error is not None:
            return _exit_code(self.error)
        return HELD if self.word == "held" else DONE


class DeliveryOutcome(NamedTuple):
    """What came of one consumer: what was done, or what went wrong instead."""

    consumer: str
    done: "Delivered | None" = None
    error: Exception | None = None

    @property
    def exit_code(self) -> int:
        """This consumer's share of a command's exit code."""
        if self.error is not None:
            return _exit_code(self.error)
        return FAILED if self.done and (self.done.error or self.done.disabled) else DONE

    @property
    def problem(self) -> str | None:
        """What went wrong in this very round."""
        if self.error is not None:
            return str(self.error) if isinstance(self.error, SyncerError) else repr(self.error)
        return self.done.error if self.done else None


class Imported(NamedTuple):
    """What came of one line or commit: a report, None if the source has seen it already, or why it failed."""

    name: str
    report: "Report | None" = None
    error: BadResponse | None = None

    @property
    def word(self) -> str:
        """The outcome in a word or two: as in `runs`, or `already there`."""
        if self.error is not None:
            return "failed"
        return "already there" if self.report is None else self.report.outcome


class Tried(NamedTuple):
    """What a format makes of one response: the models as they are read, and what does not fit."""

    format: "CompiledFormat"
    snapshot: "Snapshot"
    unmatched: "Unmatched"


def raise_bugs(outcomes: Iterable[SyncOutcome | DeliveryOutcome]) -> None:
    """Raise what no person caused, when all have had their turn: one bug as it is, several in an ExceptionGroup."""
    bugs = [one.error for one in outcomes if one.error is not None and not isinstance(one.error, SyncerError)]
    if len(bugs) == 1:
        raise bugs[0]
    if bugs:
        raise ExceptionGroup("several failed for reasons that are bugs in syncer", bugs)


def raise_errors(outcomes: Iterable[SyncOutcome | DeliveryOutcome]) -> None:
    """Raise what went wrong, bugs first: one error as it is, several as SeveralErrors."""
    outcomes = list(outcomes)
    raise_bugs(outcomes)
    errors = [one.error for one in outcomes if isinstance(one.error, SyncerError)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SeveralErrors(errors)


_Outcome = TypeVar("_Outcome", SyncOutcome, DeliveryOutcome)


def checked(outcomes: list[_Outcome], *, check: bool) -> list[_Outcome]:
    """The outcomes; with `check`, what went wrong is raised instead."""
    if check:
        raise_errors(outcomes)
    return outcomes


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, SyncerError) else FAILED
