"""The life of findings through one observation: what each withheld before, what goes on, what ends and how.

Pure bookkeeping: it never asks what is doubtful (rules.py does) and never what is true (decide.py does).

- A source has at most one open finding of a kind; what fires later joins it. A model is in one price finding at most.
- A finding is settled model by model. When its last model has left it ends: `approved` if a person let any of those
  through that this observation settled, else `confirmed` if time did, else `withdrawn`.
- What a person rejected holds, quietly, while upstream says the same; then it is `withdrawn` too.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from syncer.core.rules import PRICE_RULES, RESPONSE, Approval, Evidence, Finding, FindingKind, Withheld

APPROVED, CONFIRMED, WITHDRAWN, REJECTED, OPEN = "approved", "confirmed", "withdrawn", "rejected", "open"
_STRONGEST_FIRST = (APPROVED, CONFIRMED, WITHDRAWN)


class Findings:
    """The findings of a source: open ones are carried on or left model by model, rejected ones are kept or dropped."""

    def __init__(self, findings: tuple[Finding, ...], approval: Approval | None, at: datetime) -> None:
        self._at, self._approval = at, approval
        self._before: dict[FindingKind, Finding] = {}
        self._merged: list[Finding] = []
        for finding in findings:
            if finding.state == OPEN:
                self._merge(finding)
        self._rejected = [finding for finding in findings if finding.state == REJECTED]
        self._answered = [finding for finding in findings if finding.state in {APPROVED, CONFIRMED}]
        self._open: dict[FindingKind, dict[str, Withheld]] = {kind: {} for kind in FindingKind}
        self._quiet: dict[int | None, dict[str, Withheld]] = {}
        self._joined: dict[FindingKind, list[str]] = {}
        self._ends: dict[FindingKind, set[str]] = {}
        self._ended_rejections: dict[int | None, set[str]] = {}

    def _merge(self, finding: Finding) -> None:
        """A second open one of a kind (a rejection that was taken back) becomes part of the first."""
        first = self._before.get(finding.kind)
        if first is None:
            self._before[finding.kind] = finding
        else:
            both = {**finding.evidence, **first.evidence}
            self._before[finding.kind] = msgspec.structs.replace(first, evidence=both)
            self._merged.append(finding)

    # -- what there was ------------------------------------------------------------------------------------------------

    def before(self, kind: FindingKind) -> Evidence:
        """What the open finding of a kind withheld until now."""
        finding = self._before.get(kind)
        return {} if finding is None else finding.evidence

    def price_entries(self) -> Iterator[tuple[FindingKind, str, Withheld]]:
        """The models whose prices an open finding withheld until now, by the highest rule that did."""
        seen: set[str] = set()
        for kind in PRICE_RULES:
            for name, withheld in self.before(kind).items():
                if withheld.fields is not None and name not in seen:
                    seen.add(name)
                    yield kind, name, withheld

    def rejections(self) -> Iterator[tuple[Finding, str, Withheld]]:
        """What a person said no to, model by model."""
        for finding in self._rejected:
            for name, withheld in finding.evidence.items():
                yield finding, name, withheld

    def answered(self, kind: FindingKind) -> Iterator[Evidence]:
        """The evidence of settled findings whose answer still holds."""
        return (finding.evidence for finding in self._answered if finding.kind is kind)

    def is_approved(self, kind: FindingKind, name: str) -> bool:
        """Whether a person has just said yes to this model of the open finding of a kind."""
        finding = self._before.get(kind)
        return finding is not None and name in finding.evidence and self.is_forgiven(finding, name)

    def is_forgiven(self, finding: Finding, name: str) -> bool:
        """Whether a person has just said yes to this model of a finding."""
        return self._approval is not None and self._approval.covers(finding, name)

    # -- what becomes of it --------------------------------------------------------------------------------------------

    def hold(
        self,
        kind: FindingKind,
        name: str,
        fields: Mapping[str, Any] | None,
        *,
        since: datetime | None = None,
        first: datetime | None = None,
        shown: tuple[tuple[str, Any, datetime], ...] = (),
    ) -> None:
        """Withhold something of a model, from `since` on (now, if it is new to every finding of its sort)."""
        if name not in self.before(kind):
            self._joined.setdefault(kind, []).append(name)
        self._open[kind][name] = Withheld(since=since or self._at, fields=fields, first=first, shown=shown)

    def carry(self, kind: FindingKind, name: str, withheld: Withheld) -> None:
        """Nothing was heard of it: it stays as it is."""
        self._open[kind][name] = withheld

    def leave(self, kind: FindingKind, name: str, state: str) -> None:
        """Withhold it no longer."""
        self._open[kind].pop(name, None)
        self._ends.setdefault(kind, set()).add(state)

    def stay_rejected(self, finding: Finding, name: str, withheld: Withheld) -> None:
        """Upstream still says what a person said no to."""
        self._quiet.setdefault(finding.id, {})[name] = withheld

    def drop_rejection(self, finding: Finding, state: str = WITHDRAWN) -> None:
        """Upstream says something else, or a person has taken the no back."""
        self._ended_rejections.setdefault(finding.id, set()).add(state)

    # -- the sum -------------------------------------------------------------------------------------------------------

    def held(self) -> set[str]:
        """The models of which an open finding withholds something."""
        return {name for evidence in self._open.values() for name in evidence if name != RESPONSE}

    def held_by(self, *kinds: FindingKind) -> set[str]:
        """The models that open findings of these kinds withhold something of."""
        return {name for kind in kinds for name in self._open[kind]}

    def quiet(self) -> set[str]:
        """The models that a rejection withholds whole; where it is about the shape, the rest of them is believed."""
        kinds = {finding.id: finding.kind for finding in self._rejected}
        whole = (evidence for key, evidence in self._quiet.items() if kinds[key] is not FindingKind.SHAPE)
        return {name for evidence in whole for name in evidence}

    def quiet_absences(self) -> set[str]:
        """The missing models that a rejection keeps listed."""
        return {name for evidence in self._quiet.values() for name, its in evidence.items() if its.fields is None}

    def standing(self) -> list[Finding]:
        """All open findings as they are now, in the order in which the rules are asked."""
        return [self._standing(kind, evidence) for kind, evidence in self._open.items() if evidence]

    def _standing(self, kind: FindingKind, evidence: Evidence) -> Finding:
        before, evidence = self._before.get(kind), dict(sorted(evidence.items()))
        if before is None:
            return Finding(kind=kind, evidence=evidence, opened_at=self._at)
        return msgspec.structs.replace(before, evidence=evidence)

    def opened(self) -> tuple[Finding, ...]:
        """The findings that are new."""
        return tuple(finding for finding in self.standing() if finding.id is None)

    def joined(self) -> list[Finding]:
        """The findings with what was not in them before: what there is to tell."""
        names = ((finding, self._joined.get(finding.kind, ())) for finding in self.standing())
        return [
            msgspec.structs.replace(finding, evidence={name: finding.evidence[name] for name in its})
            for finding, those in names
            if (its := [name for name in those if name in finding.evidence])
        ]

    def kept(self) -> dict[int, Evidence]:
        """The stored findings that hold on, with their evidence as it is now."""
        still = {finding.id: finding.evidence for finding in self.standing()} | self._quiet
        return {finding_id: evidence for finding_id, evidence in still.items() if finding_id is not None}

    def settled(self) -> list[tuple[Finding, str]]:
        """The findings that are over, and how each ended."""
        over = [finding for kind, finding in self._before.items() if not self._open[kind]]
        ends = [(finding, _strongest(self._ends.get(finding.kind, set()))) for finding in over]
        no_more = [finding for finding in self._rejected if finding.id not in self._quiet]
        ends += [(finding, _strongest(self._ended_rejections.get(finding.id, set()))) for finding in no_more]
        return ends + [(finding, WITHDRAWN) for finding in self._merged]


def _strongest(ends: set[str]) -> str:
    return next((state for state in _STRONGEST_FIRST if state in ends), WITHDRAWN)
