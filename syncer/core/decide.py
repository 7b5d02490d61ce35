"""Which changes to believe now. Pure: what was seen, what is known and what is doubted go in; a Decision comes out.

- Only what is doubtful is withheld; everything else of the same response applies (a guard that stops the whole source
  would be an outage of its own).
- A model in an open finding stays in it until that is settled, and no other rule speaks for it: limits count only the
  models that are in none.
- An open finding ends when upstream takes it back (`withdrawn`), when a person approves it, or, for one implausible
  price, when the next good look shows it again. A rejected one holds while upstream says the same.
- Approval is a ceiling: at most the very values in the finding's evidence are applied.
- It does not compare listings (diff.py does), does not know what is doubtful (rules.py does), and writes nothing.

`decide` is the main path: revisit what earlier looks left open, ask each rule about the rest, believe what is left.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import msgspec

from syncer.core import diff, rules
from syncer.core.model import Change, Listing, Snapshot, StoredModel
from syncer.core.observation import PastObservations
from syncer.core.rules import (
    ABOUT_REMOVALS,
    ABOUT_REPRICINGS,
    ABOUT_THE_RESPONSE,
    EVERYTHING,
    Evidence,
    Finding,
    FindingKind,
    Policy,
    lost_fields,
    sentence,
)

__all__ = [
    "ABOUT_REMOVALS",
    "ABOUT_REPRICINGS",
    "EVERYTHING",
    "Decision",
    "DecisionInput",
    "Evidence",
    "Finding",
    "FindingKind",
    "Mark",
    "Policy",
    "decide",
    "lost_fields",
    "sentence",
]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a look did not plainly show of a known model; all empty once it is plainly seen again."""

    missing_since: datetime | None = None
    missing_count: int = 0
    last_seen_at: datetime | None = None


class DecisionInput(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision rests on.

    `known` holds each model that the response moved, failed to show, or left pending before; `listed` the names of
    the whole current catalog and `priced` how many of them have a positive price. `findings` are the open ones and
    those settled ones that upstream has not contradicted since. `new_credential`: the key is not that of the last look.
    """

    snapshot: Snapshot
    known: Mapping[str, StoredModel]
    listed: AbstractSet[str]
    priced: int
    past: PastObservations
    findings: tuple[Finding, ...] = ()
    new_credential: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about a look: `believed` is applied in this order, `marks` go to the models that are not plain.

    `refreshed` are listings whose bytes, but not whose tracked fields, are new. `opened` findings are new; `still_open`
    are ids of those that still hold, `settled` maps an id to its final state, `trimmed` to the evidence that is left.
    `reasons` say what is withheld, `doubts` only what no earlier look withheld. `unconfirmed` counts the models that
    are missing, in no finding, and for whose removal it is too early. `pending`: the next look must be read
    even if its bytes are the same.
    """

    believed: tuple[Change, ...]
    refreshed: tuple[Listing, ...]
    marks: Mapping[str, Mark]
    opened: tuple[Finding, ...] = ()
    still_open: tuple[int, ...] = ()
    settled: Mapping[int, str] = {}
    trimmed: Mapping[int, Evidence] = {}
    withheld: int = 0
    unconfirmed: int = 0
    reasons: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    pending: bool = False

    @property
    def outcome(self) -> str:
        """The run's outcome: held while a person is asked something."""
        if self.reasons:
            return "held"
        return "changed" if self.believed else "unchanged"


def decide(seen: DecisionInput, policy: Policy | None, approving: Collection[FindingKind] = ()) -> Decision:
    """What to believe of a look. `policy` None believes everything at once and settles what was open.

    `approving` names the kinds of open findings that a person has just said yes to.
    """
    evaluation = _Evaluation(seen, policy, EVERYTHING if policy is None else approving)
    for finding in seen.findings:
        evaluation.revisit(finding)
    if policy is not None:
        evaluation.doubt_response()
        evaluation.doubt_removals(policy)
        evaluation.doubt_prices(policy)
    evaluation.confirm_removals()
    return evaluation.decision()


class _Evaluation:
    """One look, heard finding by finding and rule by rule; `decision` is the sum."""

    def __init__(self, seen: DecisionInput, policy: Policy | None, approving: Collection[FindingKind]) -> None:
        self.seen, self.policy, self.approving = seen, policy, approving
        # what upstream says
        self.lost = lost_fields(seen.snapshot, seen.known.values())
        self.carried_over = self.lost - self._given_up() if policy is not None else frozenset[str]()
        self.snapshot = _with_known_values(seen.snapshot, seen.known, self.carried_over)
        self.at = self.snapshot.observed_at
        gone = diff.not_present(seen.listed, self.snapshot)
        self.absent = gone if self.snapshot.proves_absence else frozenset[str]()
        self.unsure = gone - self.absent
        self.moves = {move.listing.name: move for move in diff.appearances(seen.known, self.snapshot, seen.past)}
        # what becomes of it
        self.removals: dict[str, Change] = {}
        self.held: set[str] = set()  # models in an open finding
        self.acknowledged: set[str] = set()  # models in a finding that a person has answered, and that still holds
        # models whose move was believed by settling a finding: no rule takes it back
        self.approved_moves: set[str] = set()
        self.opened: list[Finding] = []
        self.still_open: list[int] = []
        self.settled: dict[int, str] = {}
        self.trimmed: dict[int, Evidence] = {}
        self.reasons: list[str] = []

    # -- what earlier looks left open ----------------------------------------------------------------------------------

    def revisit(self, finding: Finding) -> None:
        """Does the look uphold an earlier finding, or is it settled now?"""
        still_valid = self._still_valid(finding)
        if finding.state != "open":
            self._acknowledge(finding, still_valid)
        elif still_valid is None:
            self._settle(finding, "withdrawn")
        elif finding.kind in self.approving or self._seen_again(finding):
            self._settle(finding, "approved")
            self._approve(finding, still_valid)
        else:
            self._hold(finding.kind, still_valid)
            self._still(finding)

    def _still_valid(self, finding: Finding) -> Evidence | None:
        """What upstream still says of what a finding withholds; None if it has taken all of it back."""
        if finding.kind is FindingKind.REJECTED_ROWS:
            return {} if rules.too_many_rejected(self.snapshot) else None
        if finding.kind is FindingKind.SHAPE:
            return {field: None for field in finding.evidence if field in self.lost} or None
        still_valid = {name: held for name, held in finding.evidence.items() if self._stands(finding, name, held)}
        if still_valid and finding.state == "open":  # while others uphold it, one that went missing stays in it too
            return {name: held for name, held in finding.evidence.items() if name in still_valid or name in self.absent}
        return still_valid or None

    def _stands(self, finding: Finding, name: str, withheld: Mapping[str, Any] | None) -> bool:
        """Whether upstream still says of `name` what the finding withholds, or says nothing readable of it."""
        before, unread = self.seen.known.get(name), name in self.snapshot.unread
        if name in self.snapshot.same or self._no_longer_required(finding, name):
            return False
        if withheld is None:
            return name not in self.snapshot.listings and not unread and (before is None or before.listed)
        listing = self._heard(name, withheld)
        if listing is None:
            return name in self.snapshot.listings or unread or not self.snapshot.proves_absence
        if finding.state != "open" or finding.kind is FindingKind.IMPLAUSIBLE_PRICE:
            return _says(listing, withheld)
        return before is None or not _says(before.listing, _fields_of(listing, withheld))

    def _heard(self, name: str, withheld: Mapping[str, Any]) -> Listing | None:
        """The listing, if upstream says anything of the withheld fields."""
        return None if withheld.keys() & self.carried_over else self.snapshot.listings.get(name)

    def _no_longer_required(self, finding: Finding, name: str) -> bool:
        return finding.kind is FindingKind.REQUIRED and self.policy is not None and name not in self.policy.required

    def _seen_again(self, finding: Finding) -> bool:
        """One implausible price is believed when the next good look shows it again."""
        heard = ((self._heard(name, withheld or {}), withheld or {}) for name, withheld in finding.evidence.items())
        return finding.kind is FindingKind.IMPLAUSIBLE_PRICE and all(
            listing is not None and _says(listing, withheld) for listing, withheld in heard
        )

    def _approve(self, finding: Finding, still_valid: Evidence) -> None:
        """Believe at most what the finding holds, since the look that first showed it; hold the rest again."""
        if finding.kind in ABOUT_THE_RESPONSE:
            for name in [name for name, move in self.moves.items() if move.changed.keys() & still_valid.keys()]:
                self._vouch(name, finding)
            return
        withheld_names: dict[str, Mapping[str, Any] | None] = {}
        moved_on: dict[str, Mapping[str, Any] | None] = {}
        for name, withheld in still_valid.items():
            listing = self._heard(name, withheld or {})
            if withheld is None and name not in self.seen.known:
                self.acknowledged.add(name)  # required, but never seen: there is nothing to remove, only to stop asking
            elif name in self.absent:
                self._remove_as_held(name, withheld, finding)
            elif withheld is None or listing is None:
                withheld_names[name] = withheld
            elif _says(listing, withheld):
                self._vouch(name, finding)
            else:
                moved_on[name] = _fields_of(listing, withheld)
        if self.policy is not None:
            self._open(finding.kind, withheld_names, since=finding.opened_at)
            self._open(finding.kind, moved_on)

    def _vouch(self, name: str, finding: Finding) -> None:
        """Believe a move since the finding's first look, unless the model has moved in another way meanwhile."""
        self.approved_moves.add(name)
        move, before = self.moves.get(name), self.seen.known.get(name)
        if move is None:
            return
        after = move.changed_after
        if before is not None and not before.listed:
            after = before.missing_since  # later looks that seemed to lack it were those that withheld it
        if after is None or after < finding.opened_at:
            self.moves[name] = msgspec.structs.replace(move, effective_at=finding.opened_at, changed_after=after)

    def _remove_as_held(self, name: str, withheld: Mapping[str, Any] | None, finding: Finding) -> None:
        """An approved absence; where a value was withheld, the absence is judged by its own rules."""
        if withheld is None:
            self._remove(name, since=finding.opened_at)

    def _acknowledge(self, finding: Finding, still_valid: Evidence | None) -> None:
        """A person's answer holds while upstream says the same; the models it no longer says it of are let go.

        A no always does. A yes only where it changed nothing that the rule could see: of a required model that was
        never there, and of rows that cannot be read.
        """
        asked_once = finding.state == "approved" and finding.kind not in {
            FindingKind.REQUIRED,
            FindingKind.REJECTED_ROWS,
        }
        if self.policy is None or still_valid is None or asked_once:
            return
        if finding.kind not in ABOUT_THE_RESPONSE:
            self.acknowledged |= still_valid.keys()
        self._still(finding)
        if len(still_valid) < len(finding.evidence) and finding.id is not None:
            self.trimmed[finding.id] = still_valid

    def _settle(self, finding: Finding, state: str) -> None:
        if finding.id is not None:
            self.settled[finding.id] = state

    def _still(self, finding: Finding) -> None:
        if finding.id is not None:
            self.still_open.append(finding.id)

    # -- what this look makes doubtful ---------------------------------------------------------------------------------

    def doubt_response(self) -> None:
        """A field that no element has any more, and more unreadable rows than a good response has."""
        self._open(FindingKind.SHAPE, dict.fromkeys(sorted(self.carried_over - self._asked_fields())))
        asked = any(finding.kind is FindingKind.REJECTED_ROWS for finding in self.seen.findings)
        if rules.too_many_rejected(self.snapshot) and not asked:
            self._withhold(Finding(kind=FindingKind.REJECTED_ROWS, evidence={}, opened_at=self.at))

    def doubt_removals(self, policy: Policy) -> None:
        """Required models, then more absences than a catalog loses in one step."""
        required = (name for name in policy.required if name in self.absent or self._never_seen(name))
        self._open(FindingKind.REQUIRED, dict.fromkeys(self._free(required)))
        missing, listed = self._free(self.absent), len(self.seen.listed) - len(self._spoken_for())
        empty = not self.snapshot.listed and not self.snapshot.rejected
        if rules.too_many_missing(len(missing), listed, policy, empty=empty):
            self._open(FindingKind.REMOVALS, dict.fromkeys(missing))

    def doubt_prices(self, policy: Policy) -> None:
        """A unit mistake, prices gone, then each single price that moved too far."""
        self._open_prices(FindingKind.UNIT_CHANGE, rules.unit_change(self._repriced()))
        priced = self.seen.priced - sum((known.listing.price or 0) > 0 for known in self._spoken_for())
        self._open_prices(FindingKind.PRICES_GONE, rules.prices_gone(self._repriced(), priced, policy))
        for move in self._repriced():
            if rules.implausible(move, policy):
                self._open_prices(FindingKind.IMPLAUSIBLE_PRICE, [move.listing.name])

    def _repriced(self) -> list[Change]:
        """The moves of price that a rule may speak for."""
        settled = self.held | self.acknowledged | self.approved_moves
        return [move for name, move in self.moves.items() if name not in settled and "price" in move.changed]

    def _never_seen(self, name: str) -> bool:
        known = name in self.seen.known or name in self.seen.listed
        present = name in self.snapshot.listings or name in self.snapshot.unread
        return not known and not present and self.snapshot.proves_absence

    def _open_prices(self, kind: FindingKind, names: Iterable[str]) -> None:
        self._open(kind, {name: {"price": self.moves[name].listing.price} for name in names})

    def _open(self, kind: FindingKind, evidence: Evidence, *, since: datetime | None = None) -> None:
        if evidence:
            self._withhold(Finding(kind=kind, evidence=evidence, opened_at=since or self.at))

    def _withhold(self, finding: Finding) -> None:
        self.opened.append(finding)
        self._hold(finding.kind, finding.evidence)

    def _hold(self, kind: FindingKind, evidence: Evidence) -> None:
        self.reasons.append(self._sentence(kind, evidence))
        if kind not in ABOUT_THE_RESPONSE:
            self.held |= evidence.keys()

    # -- what is left is believed --------------------------------------------------------------------------------------

    def confirm_removals(self) -> None:
        """An absence is believed after enough good looks in a row, the last long enough after the first."""
        for name in self._free(self.absent):
            since, count = self._missing(name)
            if self._confirmed(since, count):
                self._remove(name, since=since)

    def _confirmed(self, since: datetime, count: int) -> bool:
        """The first look under another key confirms no absence by itself: catalogs differ by account."""
        if self.policy is None:
            return True
        enough = max(self.policy.removal_confirmations, 2 if self.seen.new_credential else 1)
        return count >= enough and self.at - since >= self.policy.removal_after

    def _missing(self, name: str) -> tuple[datetime, int]:
        before = self.seen.known[name]
        return before.missing_since or self.at, before.missing_count + 1

    def _remove(self, name: str, *, since: datetime) -> None:
        before = self.seen.known[name]
        effective_at = before.missing_since or since
        self.removals[name] = diff.removal(before, effective_at=effective_at, past=self.seen.past)

    def _free(self, names: Iterable[str]) -> list[str]:
        """Those that no finding speaks for and that are still to be decided, in a stable order."""
        return sorted(set(names) - self._decided())

    def _spoken_for(self) -> list[StoredModel]:
        """The listed models that a finding speaks for, or that are decided."""
        known = (self.seen.known[name] for name in self._decided() if name in self.seen.known)
        return [model for model in known if model.listed]

    def _decided(self) -> set[str]:
        return self.held | self.acknowledged | self.removals.keys()

    # -- the sum -------------------------------------------------------------------------------------------------------

    def decision(self) -> Decision:
        """What to write."""
        withheld_names = self.held | self.acknowledged
        moves = [move for name, move in self.moves.items() if name not in withheld_names]
        removals = [self.removals[name] for name in sorted(self.removals)]
        undecided = self.absent - self.removals.keys()
        return Decision(
            believed=(*moves, *removals),
            refreshed=tuple(self._refreshed(withheld_names)),
            marks=dict(self._marks(withheld_names)),
            opened=tuple(self.opened),
            still_open=tuple(self.still_open),
            settled=self.settled,
            trimmed=self.trimmed,
            withheld=len(self.held) + len(self._keeping()),
            unconfirmed=len(undecided - withheld_names),
            reasons=tuple(self.reasons),
            doubts=tuple(self._sentence(finding.kind, finding.evidence) for finding in self.opened),
            pending=bool(withheld_names or undecided or self.unsure or self.carried_over or self.snapshot.rejected),
        )

    def _refreshed(self, withheld_names: set[str]) -> Iterator[Listing]:
        """New bytes that say nothing new of what is tracked."""
        for name, listing in self.snapshot.listings.items():
            if name not in self.moves and name not in withheld_names and listing.digest:
                yield listing

    def _marks(self, withheld_names: set[str]) -> Iterator[tuple[str, Mark]]:
        masked = withheld_names | self.snapshot.unread | self._keeping()
        for name, before in self.seen.known.items():
            if not before.listed:
                continue
            seen_at = before.last_seen_at or self.seen.past.last
            if name in self.absent:
                since, count = self._missing(name)
                yield name, Mark(missing_since=since, missing_count=count, last_seen_at=seen_at)
            elif name in self.unsure:  # neither counts nor resets
                since_before, count = before.missing_since, before.missing_count
                yield name, Mark(missing_since=since_before, missing_count=count, last_seen_at=seen_at)
            elif name in masked:
                yield name, Mark(last_seen_at=seen_at)
            elif before.last_seen_at is not None:
                yield name, Mark()

    def _sentence(self, kind: FindingKind, evidence: Evidence) -> str:
        known = self.seen.known
        return sentence(kind, evidence, {name: known[name].listing.price for name in evidence if name in known})

    # -- fields that are not read --------------------------------------------------------------------------------------

    def _asked_fields(self) -> set[str]:
        """Lost fields that a person was asked about already."""
        shapes = (finding for finding in self.seen.findings if finding.kind is FindingKind.SHAPE)
        return {field for finding in shapes for field in finding.evidence}

    def _given_up(self) -> set[str]:
        """Lost fields that a person has said yes to."""
        yes = {"approved", "open"} if FindingKind.SHAPE in self.approving else {"approved"}
        shapes = (
            finding for finding in self.seen.findings if finding.kind is FindingKind.SHAPE and finding.state in yes
        )
        return {field for finding in shapes for field in finding.evidence}

    def _keeping(self) -> frozenset[str]:
        """The models that keep a known value of a field that was not read."""
        if not self.carried_over:
            return frozenset()
        return frozenset(name for name, listing in self.snapshot.listings.items() if not listing.digest)


def _says(listing: Listing, withheld: Mapping[str, Any]) -> bool:
    """Whether upstream's listing states exactly the withheld values."""
    return all(getattr(listing, field) == value for field, value in withheld.items())


def _fields_of(listing: Listing, fields: Iterable[str]) -> dict[str, Any]:
    return {field: getattr(listing, field) for field in fields}


def _with_known_values(snapshot: Snapshot, known: Mapping[str, StoredModel], fields: frozenset[str]) -> Snapshot:
    """The snapshot with the lost fields filled in from what is known; such listings are read again next time."""
    if not fields:
        return snapshot
    listings = dict(snapshot.listings)
    for name, listing in snapshot.listings.items():
        before = known.get(name)
        if before is not None and before.listed:
            listings[name] = msgspec.structs.replace(listing, **_fields_of(before.listing, fields), digest=b"")
    return msgspec.structs.replace(snapshot, listings=listings)
