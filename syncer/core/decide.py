"""Which changes to believe now. Pure: what was observed, known and withheld goes in, a Decision comes out.

- Only what is doubtful is withheld; everything else of the same response applies (a guard that stops the whole source
  would be an outage of its own).
- A rule asks for time first and for a person second, and nothing waits for ever: what upstream keeps saying for
  `patience` is believed, except of an empty list, a partial response and another source.
- While a finding withholds a value of a model nothing else of that model is believed, except the fields that a shape
  finding or an unreadable field keeps. What is believed late is effective at the first observation that showed it in
  unbroken succession, never behind the model's own last change.
- A finding is `confirmed` where time settled it and `approved` where a person did. An approval is a ceiling: at most
  the very prices and absences in the finding's evidence are applied.
- It does not compare listings (diff.py does), does not know what is doubtful (rules.py does), and writes nothing.

`decide` is the main path: is it the source, is it whole, has it all fields; what is missing; what moved; the sum.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from syncer.core import notices, sentences
from syncer.core.absences import judge_absences
from syncer.core.decision import Decision, DecisionInput
from syncer.core.evaluation import Evaluation
from syncer.core.model import PRICES, TRACKED, Listing, Mark, StoredModel
from syncer.core.notices import Expiring, Notice
from syncer.core.repricings import judge_prices
from syncer.core.response import is_another_source, judge_names, judge_shape, judge_wholeness, withhold_all
from syncer.core.rules import Approval, Evidence, Finding, FindingKind, Policy
from syncer.core.text import rfc3339
from syncer.core.withheld import APPROVED, OPEN

__all__ = ["Approval", "Decision", "DecisionInput", "Evidence", "Finding", "FindingKind", "Policy", "decide"]

NO_MARK = Mark()
_EVERYTHING = frozenset({*TRACKED, PRICES})
_SOON_OVER = frozenset({FindingKind.IMPLAUSIBLE_PRICE})


def decide(seen: DecisionInput, policy: Policy | None, approval: Approval | None = None) -> Decision:
    """What to believe of an observation. `policy` None believes everything at once and settles what was open.

    `approval` says which open findings a person has just said yes to.
    """
    evaluation = Evaluation(seen, policy, approval)
    if is_another_source(evaluation):
        withhold_all(evaluation)
        return _Sum(evaluation, approval).decision()
    judge_wholeness(evaluation)
    judge_names(evaluation)
    judge_shape(evaluation)
    evaluation.find_moves()
    judge_absences(evaluation)
    judge_prices(evaluation)
    return _Sum(evaluation, approval).decision()


class _Sum:
    """What an evaluation comes to: what is believed, how each model is marked, and what there is to tell."""

    def __init__(self, evaluation: Evaluation, approval: Approval | None) -> None:
        self.evaluation, self.seen, self.snapshot = evaluation, evaluation.seen, evaluation.snapshot
        self.findings, self.at = evaluation.findings, evaluation.at
        self.comment = None if approval is None else approval.comment
        beside_shape = [kind for kind in FindingKind if kind is not FindingKind.SHAPE]
        self.silent = self.findings.held_by(*beside_shape) | self.findings.quiet()
        moves = sorted(evaluation.moves.items())  # by name: the order of the elements makes no other history (law 10)
        self.moves = {name: move for name, move in moves if name not in self.silent}
        self.removals = [evaluation.removals[name] for name in sorted(evaluation.removals)]
        self.said_of_ends, self.told = self._find_ends()

    def decision(self) -> Decision:
        """What to write, and what to tell."""
        standing, joined = self.findings.standing(), self.findings.joined()
        undecided = self.evaluation.absent - self.evaluation.removals.keys()
        marks = {**dict(self._marks_of_known()), **dict(self._other_marks())}
        recovering = any(mark.unread and mark.last_seen_at is None for mark in marks.values())
        return Decision(
            believed=(*self.moves.values(), *self.removals),
            refreshed=tuple(self._refreshed()),
            marks=marks,
            opened=self.findings.opened(),
            kept=self.findings.kept(),
            settled={finding.id: state for finding, state in self.findings.settled() if finding.id is not None},
            notices=tuple(self._notices(joined)),
            withheld=len(self.findings.held()),
            unconfirmed=len(undecided - self.silent),
            reasons=tuple(map(self._sentence, standing)),
            announced=tuple(self._sentence(finding) for finding in joined if finding.kind not in _SOON_OVER),
            judges=self._judges(),
            pending=bool(standing or undecided or self.evaluation.unsure or recovering),
        )

    def _judges(self) -> bool:
        """Whether this observation could judge an absence: of the whole list, with a name in each row.

        An empty list judges none while it is not believed: as soon as nothing stays listed beside it, it does.
        """
        whole = self.snapshot.partial is None and not self.evaluation.nameless
        unbelieved = self.evaluation.is_empty and bool(self.seen.listed - self.evaluation.removals.keys())
        return whole and not (self.evaluation.is_another_source or unbelieved)

    def _refreshed(self) -> Iterator[Listing]:
        """New bytes, or a new reading, that say nothing new of what is tracked."""
        for name, state in self.evaluation.states.items():
            if name not in self.evaluation.moves and name not in self.silent and state.digest:
                yield state

    # -- how each model is marked --------------------------------------------------------------------------------------

    def _marks_of_known(self) -> Iterator[tuple[str, Mark]]:
        """The marks that differ from what is stored, or, of a model whose change is believed, from none at all."""
        for name, before in self.seen.known.items():
            if before.listed or name in self.moves:
                mark = self._mark(name, before)
                if mark != (NO_MARK if name in self.moves else _stored(before)):
                    yield name, mark

    def _other_marks(self) -> Iterator[tuple[str, Mark]]:
        """Of added models what cannot be read, and of models of which nothing else is to be said that their end is."""
        for name, move in self.moves.items():
            unread = move.listing.unread
            if name not in self.seen.known and (unread or name in self.told):
                mark = self._unread(unread, None, self.at) if unread else NO_MARK
                yield name, msgspec.structs.replace(mark, expiring_told=self.told.get(name))
        for name, days in self.told.items():
            if name not in self.seen.known and name not in self.moves:
                yield name, Mark(expiring_told=days)

    def _mark(self, name: str, before: StoredModel) -> Mark:
        mark = self._what_was_shown(name, before)
        return msgspec.structs.replace(mark, expiring_told=self.told.get(name, self._told_before(name, before)))

    def _told_before(self, name: str, before: StoredModel) -> int | None:
        """The threshold told of a model's end; another end is announced anew."""
        move = self.moves.get(name)
        ends = before.listing.expires_at if move is None else move.listing.expires_at
        return before.expiring_told if before.listed and ends == before.listing.expires_at else None

    def _what_was_shown(self, name: str, before: StoredModel) -> Mark:
        """How plainly the observation showed a model that is or was listed."""
        last_seen_at = (before.last_seen_at or self.seen.past.last_shown) if before.listed else self.at
        stored = _stored(before)
        if name in self.evaluation.unsure:
            return msgspec.structs.replace(stored, last_seen_at=last_seen_at)
        if name in self.evaluation.absent:
            since, count = before.missing_since or self.at, before.missing_count + 1
            return msgspec.structs.replace(stored, missing_since=since, missing_count=count, last_seen_at=last_seen_at)
        if self.evaluation.is_another_source:
            plain = name in self.snapshot.same
            return stored if plain else msgspec.structs.replace(stored, last_seen_at=last_seen_at)
        unread = self._unread_now(name)
        if unread:
            return self._unread(unread, before.unread_since if before.listed else None, last_seen_at)
        withheld = name in self.silent or name in self.evaluation.masked
        recovering = before.listed and _is_readable_for_the_first_time(before)
        return Mark(
            last_seen_at=last_seen_at if withheld else None, unread=before.unread if recovering else frozenset()
        )

    def _unread(self, fields: frozenset[str], since: datetime | None, last_seen_at: datetime | None) -> Mark:
        return Mark(
            unread=fields, unread_since=(since or self.at) if PRICES in fields else None, last_seen_at=last_seen_at
        )

    def _unread_now(self, name: str) -> frozenset[str]:
        """The fields of a present model that cannot be read."""
        if name in self.evaluation.unreadable:
            return _EVERYTHING
        return self.snapshot.listings[name].unread if name in self.snapshot.listings else frozenset()

    # -- what there is to tell -----------------------------------------------------------------------------------------

    def _notices(self, joined: list[Finding]) -> Iterator[Notice]:
        yield from notices.of_health(self.seen.trouble, self.seen.doubtful, self._times())
        for finding, state in self.findings.settled():
            if finding.state == OPEN or state == APPROVED:  # a no was told when it was given
                yield notices.of_settled(finding, state, self.comment if state == APPROVED else None)
        yield from notices.of_readable(self._readable())
        yield from self._returned()
        for finding in joined:
            yield notices.of_held(finding, self._sentence(finding), self._until(finding))
        if not self.evaluation.is_another_source:
            yield from notices.of_unreadable(dict(self._unreadable()), self._left_out())
        yield from self._missing()
        yield from self.said_of_ends

    def _times(self) -> dict[str, str | None]:
        response_at = self.seen.response_at
        return {
            "observed_at": rfc3339(self.at),
            "response_at": None if response_at is None else rfc3339(response_at),
            "shown_at": rfc3339(self.snapshot.shown_at),
        }

    def _sentence(self, finding: Finding) -> str:
        known = self.seen.known
        return sentences.sentence(
            finding.kind, finding.evidence, {name: known[name].listing for name in finding.evidence if name in known}
        )

    def _until(self, finding: Finding) -> str:
        return sentences.settles(finding.kind, finding.evidence, self.evaluation.policy or Policy())

    def _readable(self) -> Iterator[str]:
        """The models that two observations in a row have shown readably."""
        for name, before in self.seen.known.items():
            if before.unread and before.listed and not self._mark(name, before).unread:
                yield name

    def _unreadable(self) -> Iterator[tuple[str, frozenset[str]]]:
        """The models of which something cannot be read that could be when their episode began."""
        listings = self.snapshot.listings
        partly = (name for name, listing in listings.items() if listing.unread)
        for name in {*partly, *self.evaluation.unreadable}:
            before = self.seen.known.get(name)
            unread = _EVERYTHING if name not in listings else listings[name].unread
            known = before.unread if before is not None and before.listed else frozenset[str]()
            if unread - known and (before is not None or name in listings):
                yield name, unread

    def _left_out(self) -> list[tuple[str, str]]:
        """Rows with a legible name that are no listing, as far as they were not recorded before."""
        rows = {
            row.name: row.reason
            for row in (*self.snapshot.rejected, *self.snapshot.duplicates)
            if row.name is not None and row.name not in self.seen.recorded
        }
        known = self.evaluation.unreadable & self.seen.known.keys()
        return sorted((name, reason) for name, reason in rows.items() if name not in known)

    def _missing(self) -> Iterator[Notice]:
        for name in sorted(self.evaluation.absent - self.evaluation.removals.keys()):
            before = self.seen.known[name]
            if before.missing_since is None:
                yield notices.of_missing(name, before.last_seen_at or self.seen.past.last_shown)

    def _returned(self) -> Iterator[Notice]:
        gone = self.evaluation.absent | self.evaluation.unsure
        for name, before in sorted(self.seen.known.items()):
            is_there = before.listed and name not in gone and not self.evaluation.is_another_source
            if before.missing_since is not None and is_there:
                yield notices.of_returned(name, before.missing_since)

    def _find_ends(self) -> tuple[list[Notice], dict[str, int]]:
        """The listed models that go soon, by what is believed of them from now on."""
        gone = self.evaluation.removals.keys()
        models = [end for end in self.seen.expiring if end.name not in gone and end.name not in self.moves]
        for name, move in self.moves.items():
            before = self.seen.known.get(name)
            told = None if before is None else self._told_before(name, before)
            if move.listing.expires_at is not None:
                models.append(Expiring(name=name, expires_at=move.listing.expires_at, told=told))
        return notices.of_expiring(models, self.at, self.seen.expiring_after)


def _stored(before: StoredModel) -> Mark:
    return Mark(**{field: getattr(before, field) for field in Mark.__struct_fields__})


def _is_readable_for_the_first_time(before: StoredModel) -> bool:
    """Whether a model's last observation could not read all of it: an episode is over after two that can.

    Between the two its `unread` stays, with no `last_seen_at` beside it: it was plainly seen.
    """
    return bool(before.unread) and before.last_seen_at is not None
