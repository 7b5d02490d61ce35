"""One observation, on its way from what was read to what is believed: what is known of it, and what became of what.

It holds no rule: response.py, absences.py and repricings.py judge it, in the order that decide.py says.
"""

from collections.abc import Collection, Iterable
from datetime import datetime

import msgspec

from syncer.core import diff
from syncer.core.decision import DecisionInput
from syncer.core.model import PRICES, TRACKED, Change, Listing, StoredModel, component_of
from syncer.core.rules import Approval, Evidence, Finding, FindingKind, Policy, Withheld, values_of
from syncer.core.withheld import OPEN, REJECTED, WITHDRAWN, Findings

_EVERYTHING = frozenset({*TRACKED, PRICES})


class Evaluation:
    """`policy` None believes everything at once: what a response cannot prove (law 3) it does not prove then either."""

    def __init__(self, seen: DecisionInput, policy: Policy | None, approval: Approval | None) -> None:
        self.seen, self.policy, self.snapshot, self.at = seen, policy, seen.snapshot, seen.snapshot.observed_at
        self.findings = Findings(seen.findings, approval, self.at)
        # Until judge_names has left out those of which a person has said that they are no models.
        self.odd_rows = frozenset(row.digest.hex() for row in self.snapshot.nameless)
        self.unreadable = self.snapshot.present_unreadable
        gone = diff.not_present(seen.listed, self.snapshot)
        self.absent = gone if self.snapshot.partial is None else frozenset[str]()
        self.unsure = gone - self.absent  # this observation proves nothing of them
        self.masked: dict[str, frozenset[str]] = {}  # fields that no element has any more, by the model that keeps them
        self.accepted: dict[str, frozenset[str]] = {}  # fields that time or a person let through: no rule objects
        self.late: dict[str, Withheld] = {}  # what was withheld of their models until now
        self.another_source: Evidence = {}  # what a person has just let through of another source
        self.withheld_before = {name for finding in seen.findings for name, its in _values_withheld(finding)}
        self.kept_before = _kept_before(seen.findings)
        self.is_another_source = False  # nothing of the response is believed
        self.states: dict[str, Listing] = {}  # what the response says of each model that had to be read, filled in
        self.moves: dict[str, Change] = {}
        self.removals: dict[str, Change] = {}

    @property
    def is_empty(self) -> bool:
        """Whether the response lists nothing at all."""
        return not self.snapshot.listed and not self.snapshot.rejected

    @property
    def nameless(self) -> bool:
        """Whether any row has no legible name and may be a model."""
        return bool(self.odd_rows)

    def before(self, name: str) -> StoredModel | None:
        """The model as it is stored, if it is listed."""
        before = self.seen.known.get(name)
        return before if before is not None and before.listed else None

    def has_readable_prices(self, name: str) -> bool:
        """Whether the response says something of a model's prices that can be read."""
        listing = self.snapshot.listings.get(name)
        return name in self.snapshot.same or (listing is not None and PRICES not in listing.unread)

    def find_moves(self) -> None:
        """What the response shows to be new or different, with each kept value filled in."""
        for name, listing in self.snapshot.listings.items():
            before, masked = self.seen.known.get(name), self.masked.get(name, frozenset())
            state = diff.whole(listing, before, self.snapshot.headline, masked)
            move = diff.appearance(before, state, self.snapshot, self.seen.past, masked)
            if masked or listing.unread:  # these bytes are not the believed state: they have to be read again
                state = msgspec.structs.replace(state, digest=b"")
            self.states[name] = state
            if move is not None:
                self.moves[name] = self._narrowed(before, msgspec.structs.replace(move, listing=state))
        for name, withheld in self.late.items():
            self.believe_late(name, withheld)

    def _narrowed(self, before: StoredModel | None, move: Change) -> Change:
        """A move of other fields than those that were kept: the last observation still showed these as they were.

        Otherwise a limit that can never be read would widen the window of each later repricing, for ever.
        """
        past = self.seen.past
        if before is None or not before.listed or before.last_seen_at is None or before.missing_since is not None:
            return move
        kept = self.kept_before.get(before.listing.name, frozenset()) | before.unread
        moved = {PRICES if component_of(field) is not None else field for field in (*move.changed, *move.reread)}
        if not kept or moved & kept or past.judged != past.last or before.parser != self.snapshot.parser:
            return move
        return msgspec.structs.replace(move, changed_after=past.last_shown)

    def remove(self, name: str) -> None:
        """Believe an absence, from its first miss on; never behind the model's own last change (law 6)."""
        before = self.seen.known[name]
        since = self.after_last_change(name, before.missing_since or self.at)
        self.removals[name] = diff.removal(before, effective_at=since, past=self.seen.past)
        if name in self.findings.held_by(FindingKind.SHAPE):
            self.findings.leave(FindingKind.SHAPE, name, WITHDRAWN)

    def believe_late(self, name: str, withheld: Withheld) -> None:
        """Believe a move that was withheld, from the first observation that showed just this in unbroken succession."""
        move = self.moves.get(name)
        if move is not None:
            first = self.first_shown(name, withheld, move)
            self.moves[name] = msgspec.structs.replace(move, effective_at=first)

    def first_shown(self, name: str, withheld: Withheld | None, move: Change) -> datetime:
        """The first observation that showed just this state in unbroken succession since the last change."""
        if withheld is None or withheld.first is None or values_of(move) != dict(withheld.fields or {}):
            return self.at
        return self.after_last_change(name, withheld.first)

    def after_last_change(self, name: str, first: datetime) -> datetime:
        """`first`, or now where the model has changed since: evidence follows each observation, so that this one is the
        first after the change.
        """
        before = self.seen.known.get(name)
        changed = None if before is None else before.last_changed_at
        return first if changed is None or first > changed else self.at

    def accept(self, name: str, fields: Collection[str]) -> None:
        """Let these fields of a model through: no rule objects to them in this observation."""
        self.accepted[name] = self.accepted.get(name, frozenset()) | frozenset(fields)


def _kept_before(findings: Iterable[Finding]) -> dict[str, frozenset[str]]:
    """The fields that shape findings kept, by model, the prices as one; another finding keeps all of a model."""
    kept: dict[str, frozenset[str]] = {}
    for finding in findings:
        for name, its in _values_withheld(finding):
            fields = (PRICES if component_of(field) is not None else field for field in its.fields or ())
            whole = finding.kind is not FindingKind.SHAPE
            kept[name] = kept.get(name, frozenset()) | (_EVERYTHING if whole else frozenset(fields))
    return kept


def _values_withheld(finding: Finding) -> list[tuple[str, Withheld]]:
    lasts = finding.state in {OPEN, REJECTED}
    return [(name, its) for name, its in finding.evidence.items() if lasts and its.fields is not None]
