"""Is this the response that it seems to be: of the same source, whole, with a name in each row and with all fields?"""

from collections.abc import Iterable, Mapping

from syncer.core import rules
from syncer.core.evaluation import Evaluation
from syncer.core.model import PRICES, price_field
from syncer.core.rules import RESPONSE, FindingKind, Withheld
from syncer.core.withheld import APPROVED, CONFIRMED, WITHDRAWN

_EXCERPT = 80
"""How much of a nameless row is shown, in characters."""


# -- another source ----------------------------------------------------------------------------------------------------


def is_another_source(evaluation: Evaluation) -> bool:
    """Whether all of the response is withheld: asked once the source has moved, and then until it is settled.

    A person's yes believes it as it is: no other rule objects, and what it lacked when it was asked is removed.
    """
    seen, findings = evaluation.seen, evaluation.findings
    evidence = findings.before(FindingKind.MOVED_SOURCE)
    rejected = [(finding, name) for finding, name, _ in findings.rejections() if _is_about_source(finding)]
    asked = seen.moved_source is not None or evidence or rejected
    if not asked or not rules.moved_source(evaluation.snapshot, seen.known, seen.listed):
        _settle_source(evaluation, WITHDRAWN)
        return False
    forgiven = {name: finding.evidence[name] for finding, name in rejected if findings.is_forgiven(finding, name)}
    if evaluation.policy is not None and not forgiven and not findings.is_approved(FindingKind.MOVED_SOURCE, RESPONSE):
        return True
    evaluation.another_source = forgiven or evidence
    _settle_source(evaluation, APPROVED)
    return False


def _is_about_source(finding: rules.Finding) -> bool:
    return finding.kind is FindingKind.MOVED_SOURCE


def _settle_source(evaluation: Evaluation, state: str) -> None:
    for name in evaluation.findings.before(FindingKind.MOVED_SOURCE):
        evaluation.findings.leave(FindingKind.MOVED_SOURCE, name, state)
    for finding, _, _ in evaluation.findings.rejections():
        if _is_about_source(finding):
            evaluation.findings.drop_rejection(finding, state)


def withhold_all(evaluation: Evaluation) -> None:
    """Believe nothing of the response and leave the other findings alone; a person's no needs no new question."""
    findings = evaluation.findings
    evaluation.is_another_source = True
    evaluation.unsure |= evaluation.absent
    evaluation.absent = frozenset()
    quiet = False
    for finding, name, withheld in findings.rejections():
        if not _is_about_source(finding) or evaluation.seen.moved_source is None:
            findings.stay_rejected(finding, name, withheld)
            quiet = quiet or _is_about_source(finding)
    for kind in FindingKind:
        for name, withheld in findings.before(kind).items() if kind is not FindingKind.MOVED_SOURCE else ():
            findings.hold(kind, name, withheld.fields, since=withheld.since, shown=withheld.shown)
    if not quiet:
        _hold_source(evaluation)


def _hold_source(evaluation: Evaluation) -> None:
    """Withhold what it lacks, and the headline prices that are others; what moved is told of the response itself."""
    kind, snapshot, findings = FindingKind.MOVED_SOURCE, evaluation.snapshot, evaluation.findings
    before = findings.before(kind)
    said = {"moved": evaluation.seen.moved_source} if evaluation.seen.moved_source is not None else None
    since = {name: withheld.since for name, withheld in before.items()}
    asked = said or (before[RESPONSE].fields if RESPONSE in before else {}) or {}
    findings.hold(kind, RESPONSE, asked, since=since.get(RESPONSE))
    for name in sorted(evaluation.unsure):
        findings.hold(kind, name, None, since=since.get(name))
    for name, listing in sorted(snapshot.listings.items()):
        model = evaluation.before(name)
        if model is not None and PRICES not in listing.unread and listing.price != model.listing.price:
            findings.hold(kind, name, {price_field(snapshot.headline): listing.price}, since=since.get(name))


# -- the whole list ----------------------------------------------------------------------------------------------------


def judge_wholeness(evaluation: Evaluation) -> None:
    """A response that says itself that it is not the whole list is a finding as long as it says so."""
    _hold_or_leave(evaluation, FindingKind.PARTIAL, {"says": evaluation.snapshot.partial}, evaluation.snapshot.partial)


def judge_names(evaluation: Evaluation) -> None:
    """Rows without a legible name are a finding until a person has said that these very rows are no models.

    Who says no to that is not asked again about these rows; absences go on to take patience.
    """
    findings, kind = evaluation.findings, FindingKind.NAMELESS
    said_yes = [_said(evidence) for evidence in findings.answered(kind)]
    said_yes += [no for finding, no in _no_to_response(evaluation, kind) if findings.is_forgiven(finding, RESPONSE)]
    no_models = frozenset[str]().union(*said_yes)
    rows = {row.digest.hex(): row.raw[:_EXCERPT] for row in evaluation.snapshot.nameless}
    rows = {row: excerpt for row, excerpt in rows.items() if row not in no_models}
    asked = findings.before(kind).get(RESPONSE)
    approved = findings.is_approved(kind, RESPONSE) and asked is not None and rows.keys() <= (asked.fields or {}).keys()
    evaluation.odd_rows = frozenset() if approved else frozenset(rows)
    _hold_or_leave(evaluation, kind, rows, evaluation.nameless, APPROVED if approved else WITHDRAWN)


def _said(evidence: rules.Evidence) -> Mapping[str, object]:
    """What a finding holds of the response itself."""
    return evidence[RESPONSE].fields or {} if RESPONSE in evidence else {}


def _hold_or_leave(
    evaluation: Evaluation, kind: FindingKind, said: Mapping[str, object], holds: object, end: str = WITHDRAWN
) -> None:
    findings = evaluation.findings
    before = findings.before(kind).get(RESPONSE)
    if _stays_rejected(evaluation, kind, said if holds else {}) or not holds:
        if before is not None:
            findings.leave(kind, RESPONSE, end)
    else:
        findings.hold(kind, RESPONSE, said, since=None if before is None else before.since)


def _stays_rejected(evaluation: Evaluation, kind: FindingKind, said: Mapping[str, object]) -> bool:
    """Whether a person has said no to all that the response says of itself: then nobody is asked again."""
    findings, quiet = evaluation.findings, False
    for finding, no in _no_to_response(evaluation, kind):
        if evaluation.policy is None or findings.is_forgiven(finding, RESPONSE):
            findings.drop_rejection(finding, APPROVED)
        elif said and said.items() <= no.items():
            findings.stay_rejected(finding, RESPONSE, finding.evidence[RESPONSE])
            quiet = True
    return quiet


def _no_to_response(evaluation: Evaluation, kind: FindingKind) -> list[tuple[rules.Finding, Mapping[str, object]]]:
    """What a person said no to of the response itself."""
    rejections = evaluation.findings.rejections()
    return [(it, its.fields or {}) for it, name, its in rejections if it.kind is kind and name == RESPONSE]


# -- the shape ---------------------------------------------------------------------------------------------------------


def judge_shape(evaluation: Evaluation) -> None:
    """Fields that no element has any more keep their known values, model by model; and too many rows are unreadable."""
    no = _rejected_fields(evaluation)
    lost = frozenset[str]()
    if evaluation.policy is not None and not evaluation.another_source:
        lost = rules.lost_fields(evaluation.snapshot, evaluation.seen.known.values())
    before = evaluation.findings.before(FindingKind.SHAPE)
    for name in sorted({*before, *(evaluation.snapshot.listings if lost else ())} - {RESPONSE}):
        _judge_model(evaluation, name, lost, before.get(name), no.get(name, frozenset()))
    _judge_rows(evaluation)


def _rejected_fields(evaluation: Evaluation) -> dict[str, frozenset[str]]:
    """What a person said no to stays, without a question, as long as the fields are lost; the fields, by model."""
    findings, no = evaluation.findings, dict[str, frozenset[str]]()
    for finding, name, withheld in findings.rejections():
        if finding.kind is not FindingKind.SHAPE or name == RESPONSE:
            continue
        if evaluation.policy is None or findings.is_forgiven(finding, name):
            findings.drop_rejection(finding, APPROVED)
            continue
        fields = _kept_fields(evaluation, name, withheld.fields or ())
        if fields:
            no[name] = evaluation.masked[name] = no.get(name, frozenset()) | fields
        if fields or not _is_heard(evaluation, name):
            findings.stay_rejected(finding, name, withheld)
    return no


def _judge_model(
    evaluation: Evaluation, name: str, lost: frozenset[str], entry: Withheld | None, no: frozenset[str]
) -> None:
    """Which lost fields a model keeps, and whether upstream has said often enough that it has none of them."""
    kind, findings, policy = FindingKind.SHAPE, evaluation.findings, evaluation.policy
    if entry is not None and not _is_heard(evaluation, name):
        findings.hold(kind, name, entry.fields, since=entry.since)
        return
    fields = _kept_fields(evaluation, name, lost.union(() if entry is None else entry.fields or ())) - no
    approved = policy is None or findings.is_approved(kind, name)
    patience = None if policy is None else policy.patience
    if not fields:
        if entry is not None:
            findings.leave(kind, name, WITHDRAWN)
    elif entry is not None and (approved or rules.is_over(entry.since, patience, evaluation.at)):
        findings.leave(kind, name, APPROVED if approved else CONFIRMED)
        evaluation.accept(name, fields)
        evaluation.late[name] = entry
    else:
        _keep(evaluation, name, fields, entry)


def _keep(evaluation: Evaluation, name: str, fields: frozenset[str], entry: Withheld | None) -> None:
    """Withhold the loss of these fields, and let the rest of the listing be judged by itself."""
    evaluation.masked[name] = evaluation.masked.get(name, frozenset()) | fields
    unbroken = entry is not None and fields == frozenset(entry.fields or ())
    first = (entry.first if entry is not None and unbroken else None) or evaluation.at
    evaluation.findings.hold(
        FindingKind.SHAPE,
        name,
        dict.fromkeys(sorted(fields)),
        since=None if entry is None else entry.since,
        first=evaluation.after_last_change(name, first),
    )


def _is_heard(evaluation: Evaluation, name: str) -> bool:
    """Whether the response shows a listed model, or the model is no longer listed."""
    shown = name in evaluation.snapshot.listings or name in evaluation.snapshot.same
    return shown or evaluation.before(name) is None


def _kept_fields(evaluation: Evaluation, name: str, fields: Iterable[str]) -> frozenset[str]:
    """Those of the fields that a listed model is known to have and that still no element states."""
    model = evaluation.before(name)
    if model is None or name not in evaluation.snapshot.listings:
        return frozenset()
    gone = (field for field in fields if field not in evaluation.snapshot.stated)
    return frozenset(field for field in gone if model.listing.value(field) is not None)


def _judge_rows(evaluation: Evaluation) -> None:
    """More than a tenth of the rows without a readable name or price: asked about where any of them is new."""
    findings, kind, policy = evaluation.findings, FindingKind.SHAPE, evaluation.policy
    before = findings.before(kind).get(RESPONSE)
    said, is_news = _too_many_unreadable(evaluation)
    no = [int(str(held.get("unreadable", 0))) for _, held in _no_to_response(evaluation, kind)]
    most = {key: max([count, *no]) for key, count in said.items()}  # not more than a person said no to is no news
    quiet = _stays_rejected(evaluation, kind, most)
    if before is not None and (policy is None or not said or quiet):
        findings.leave(kind, RESPONSE, APPROVED if policy is None else WITHDRAWN)
    elif before is not None and policy is not None and _is_answered(evaluation, before):
        findings.leave(kind, RESPONSE, APPROVED if findings.is_approved(kind, RESPONSE) else CONFIRMED)
    elif policy is not None and said and not quiet and (before is not None or is_news):
        findings.hold(kind, RESPONSE, said, since=None if before is None else before.since)


def _too_many_unreadable(evaluation: Evaluation) -> tuple[dict[str, int], bool]:
    """How many rows are unreadable, if they are too many; and whether the last observation could still read any."""
    snapshot, known = evaluation.snapshot, evaluation.seen.known
    nameless = sum(row.digest.hex() in evaluation.odd_rows for row in snapshot.nameless)
    names = rules.unreadable_rows(snapshot, nameless, known)
    if not names and nameless * 10 <= snapshot.listed + len(snapshot.rejected):
        return {}, False
    kind, findings = FindingKind.NAMELESS, evaluation.findings
    asked = [_said(findings.before(kind)), *(no for _, no in _no_to_response(evaluation, kind))]
    new_rows = evaluation.odd_rows - frozenset[str]().union(*asked)
    is_news = bool(new_rows) or any(name not in known or PRICES not in known[name].unread for name in names)
    return {"unreadable": len(names) + nameless}, is_news


def _is_answered(evaluation: Evaluation, before: Withheld) -> bool:
    patience = None if evaluation.policy is None else evaluation.policy.patience
    approved = evaluation.findings.is_approved(FindingKind.SHAPE, RESPONSE)
    return approved or rules.is_over(before.since, patience, evaluation.at)
