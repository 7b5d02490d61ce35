"""What is missing, and which absences to believe now.

- Only an observation that may judge an absence counts: no partial response, and none of another source.
- An absence that each judging observation of `patience` shows is believed, except while the list is empty. Where a row
  has no legible name, or the model was last shown under another key, nothing less than `patience` is enough.
- Required models and masses of them are findings; once in one, a model stays in it until it returns or is told.
"""

from datetime import datetime

from syncer.core import rules
from syncer.core.evaluation import Evaluation
from syncer.core.model import StoredModel
from syncer.core.rules import ABSENCES, FindingKind, Policy, Withheld
from syncer.core.withheld import APPROVED, CONFIRMED, WITHDRAWN


def judge_absences(evaluation: Evaluation) -> None:
    """Revisit what was withheld, ask about required models and masses, and confirm what is left."""
    _remove_with_source(evaluation)
    for kind in ABSENCES:
        for name, withheld in evaluation.findings.before(kind).items():
            _revisit(evaluation, kind, name, withheld)
    _repeat_rejections(evaluation)
    if evaluation.policy is not None:
        _ask_for_required(evaluation, evaluation.policy)
        _ask_for_many(evaluation, evaluation.policy)
    for name in _undecided(evaluation):
        if _is_confirmed(evaluation, evaluation.seen.known[name]):
            evaluation.remove(name)


def _remove_with_source(evaluation: Evaluation) -> None:
    """A person has said that the source is another one: what it lacked then and lacks now is gone."""
    for name, withheld in evaluation.another_source.items():
        if withheld.fields is None and name in evaluation.absent:
            evaluation.remove(name)


def _revisit(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld) -> None:
    """Is a withheld absence over, settled, or still withheld?"""
    findings, at = evaluation.findings, evaluation.at
    never_seen = name not in evaluation.seen.known
    missing = name in evaluation.absent or (never_seen and _is_never_seen(evaluation, name))
    patience = None if evaluation.policy is None else evaluation.policy.patience
    if name in evaluation.unsure or (never_seen and not _may_judge_unknown(evaluation)):
        findings.carry(kind, name, withheld)
    elif not missing or name in evaluation.removals or _is_not_required(evaluation.policy, kind, name):
        findings.leave(kind, name, WITHDRAWN)
    elif evaluation.policy is None or findings.is_approved(kind, name):
        _settle(evaluation, kind, name, APPROVED)
    elif not evaluation.is_empty and rules.is_over(withheld.first, patience, at):
        _settle(evaluation, kind, name, CONFIRMED)
    else:
        first = withheld.first or (None if evaluation.is_empty else at)
        findings.hold(kind, name, None, since=withheld.since, first=first)


def _settle(evaluation: Evaluation, kind: FindingKind, name: str, state: str) -> None:
    """Believe a withheld absence; of a required name that was never listed there is only a question to end."""
    evaluation.findings.leave(kind, name, state)
    if name in evaluation.absent:
        evaluation.remove(name)


def _repeat_rejections(evaluation: Evaluation) -> None:
    """A person's no to an absence holds while it lasts."""
    findings = evaluation.findings
    for finding, name, withheld in findings.rejections():
        if withheld.fields is not None or finding.kind is FindingKind.MOVED_SOURCE:
            continue
        never_seen = finding.kind is FindingKind.REQUIRED and _is_never_seen(evaluation, name)
        lasts = name in evaluation.absent or name in evaluation.unsure or never_seen
        if evaluation.policy is None or findings.is_forgiven(finding, name):
            findings.drop_rejection(finding, APPROVED)
            if name in evaluation.absent:
                evaluation.remove(name)
        elif lasts and not _is_not_required(evaluation.policy, finding.kind, name):
            findings.stay_rejected(finding, name, withheld)


def _is_not_required(policy: Policy | None, kind: FindingKind, name: str) -> bool:
    return kind is FindingKind.REQUIRED and policy is not None and name not in policy.required


def _ask_for_required(evaluation: Evaluation, policy: Policy) -> None:
    """A required model that is missing, or was never there, is asked about at once."""
    findings = evaluation.findings
    answered = {name for evidence in findings.answered(FindingKind.REQUIRED) for name in evidence}
    free = set(_undecided(evaluation))
    for name in sorted(policy.required):
        never_seen = name not in answered and _is_never_seen(evaluation, name) and name not in _decided(evaluation)
        if (name in free or never_seen) and name not in findings.before(FindingKind.REQUIRED):
            _hold(evaluation, FindingKind.REQUIRED, name)


def _may_judge_unknown(evaluation: Evaluation) -> bool:
    """A name that the database does not know can be any row without a name."""
    return evaluation.snapshot.partial is None and not evaluation.nameless


def _is_never_seen(evaluation: Evaluation, name: str) -> bool:
    known = name in evaluation.seen.known or name in evaluation.seen.listed
    present = name in evaluation.snapshot.listings or name in evaluation.unreadable
    return not known and not present and _may_judge_unknown(evaluation)


def _ask_for_many(evaluation: Evaluation, policy: Policy) -> None:
    """More absences than a catalog loses in one step, counted with those that are withheld already."""
    quiet = evaluation.findings.quiet_absences() & evaluation.absent
    missing = evaluation.absent - evaluation.removals.keys() - quiet
    too_many = rules.too_many_missing(len(missing), len(evaluation.seen.listed) - len(quiet), policy)
    for name in _undecided(evaluation):
        never_by_itself = policy.patience is None and _is_under_another_key(evaluation, evaluation.seen.known[name])
        if too_many or never_by_itself:
            _hold(evaluation, FindingKind.REMOVALS, name)


def _hold(evaluation: Evaluation, kind: FindingKind, name: str) -> None:
    before = evaluation.seen.known.get(name)
    first = None if before is None else before.missing_since
    if first is None and not evaluation.is_empty:
        first = evaluation.at
    evaluation.findings.hold(kind, name, None, first=first)


def _undecided(evaluation: Evaluation) -> list[str]:
    """The missing models of which nothing has been decided, in a stable order."""
    return sorted(evaluation.absent - _decided(evaluation))


def _decided(evaluation: Evaluation) -> set[str]:
    return evaluation.findings.held_by(*ABSENCES) | evaluation.findings.quiet_absences() | evaluation.removals.keys()


def _is_confirmed(evaluation: Evaluation, before: StoredModel) -> bool:
    """Whether time has confirmed an absence that no finding withholds."""
    since = before.missing_since or evaluation.at
    if evaluation.policy is None:
        return not evaluation.nameless or rules.is_over(since, rules.PATIENCE, evaluation.at)
    if rules.is_over(since, evaluation.policy.patience, evaluation.at):
        return True
    if evaluation.nameless or _is_under_another_key(evaluation, before) or not _was_judged(evaluation, before):
        return False
    return rules.confirmed(
        before,
        at=evaluation.at,
        shown_at=evaluation.snapshot.shown_at,
        last_shown=_last_shown(evaluation, before),
        policy=evaluation.policy,
    )


def _was_judged(evaluation: Evaluation, before: StoredModel) -> bool:
    """Whether an earlier miss of it was by a list in which each row had a name, as far as one is needed."""
    if before.missing_since is None or evaluation.policy is None or evaluation.policy.removal_confirmations == 1:
        return True
    judged = evaluation.seen.past.judged
    return judged is not None and judged >= before.missing_since


def _is_under_another_key(evaluation: Evaluation, before: StoredModel) -> bool:
    """Whether the model was last shown under another key: catalogs differ by account."""
    if before.missing_since is None:
        return evaluation.seen.new_credential
    return before.missing_since in evaluation.seen.other_key


def _last_shown(evaluation: Evaluation, before: StoredModel) -> datetime:
    """The last observation that showed it in any way: one that a finding withheld, or unreadably, is not known exactly,
    and its first miss stands for it.
    """
    first_miss = before.missing_since or evaluation.at
    past = evaluation.seen.past.last_shown or first_miss
    if before.missing_since is None:
        return past
    withheld = before.unread or before.listing.name in evaluation.withheld_before
    return first_miss if withheld else before.last_seen_at or first_miss
