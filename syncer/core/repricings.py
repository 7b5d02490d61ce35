"""Which moves of price to believe now.

- The rules are asked about moves that are new in this observation: another reading than the last one gave, believed or
  withheld. A model is in one finding at most; a higher rule takes it over with its `since`.
- What is withheld is the whole move of a model: while its price is in doubt nothing else of it is believed.
- A model leaves its finding when an observation shows the believed prices, when no rule objects to the new ones, when
  a person says yes, when `patience` is over, or, for an implausible price, when it stood for `price_after`.
- Additions, relistings and new readings of old bytes are asked about by no rule.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from syncer.core import diff, rules
from syncer.core.evaluation import Evaluation
from syncer.core.model import Change, Kind, component_of
from syncer.core.rules import PRICE_RULES, Finding, FindingKind, Policy, Withheld, says, values_of
from syncer.core.withheld import APPROVED, CONFIRMED, WITHDRAWN

MAX_VALUES_SHOWN = 200
"""So many values of a model that never stands still are remembered; it is believed after `patience` all the same."""
_RANK = {kind: rank for rank, kind in enumerate(PRICE_RULES)}

Entries = dict[str, tuple[FindingKind, Withheld]]


def judge_prices(evaluation: Evaluation) -> None:
    """Revisit what was withheld, ask each rule about what is new, and withhold what one of them objects to."""
    for finding, name, withheld in evaluation.findings.rejections():
        if withheld.fields is not None and finding.kind in PRICE_RULES:
            _repeat_rejection(evaluation, finding, name, withheld)
    entries: Entries = {}
    for kind, name, withheld in evaluation.findings.price_entries():
        if _still_doubtful(evaluation, kind, name, withheld):
            entries[name] = kind, withheld
    if evaluation.policy is not None:
        objections = _objections(evaluation, _new_moves(evaluation, entries), evaluation.policy)
        _follow(evaluation, entries, objections, evaluation.policy)
        for name in sorted(objections.keys() - entries.keys()):
            _hold(evaluation, objections[name], name, None, evaluation.policy)


def _follow(evaluation: Evaluation, entries: Entries, objections: Mapping[str, FindingKind], policy: Policy) -> None:
    """What becomes of a model that was withheld: it stays, a higher rule takes it over, or no rule objects any more."""
    for name, (kind, withheld) in entries.items():
        if name in objections:
            higher = min(kind, objections[name], key=_RANK.__getitem__)
        elif _is_repeated(evaluation, kind, name, withheld):
            higher = kind
        else:
            evaluation.findings.leave(kind, name, WITHDRAWN)
            continue
        if higher is not kind:
            evaluation.findings.leave(kind, name, WITHDRAWN)
        _hold(evaluation, higher, name, withheld, policy)


# -- what was withheld -------------------------------------------------------------------------------------------------


def _repeat_rejection(evaluation: Evaluation, finding: Finding, name: str, withheld: Withheld) -> None:
    """A person's no holds while upstream says the same, or says nothing readable of the model."""
    findings = evaluation.findings
    repeated = name in evaluation.moves and says(evaluation.moves[name].listing, withheld.fields or {})
    if evaluation.policy is None or findings.is_forgiven(finding, name):
        findings.drop_rejection(finding, APPROVED)
        if repeated:
            _accept(evaluation, name, withheld)
    elif name in evaluation.removals:
        return
    elif not _is_shown(evaluation, name, withheld):
        if evaluation.before(name) is not None:
            findings.stay_rejected(finding, name, withheld)
    elif repeated:
        findings.stay_rejected(finding, name, withheld)


def _still_doubtful(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld) -> bool:
    """Whether the rules have to say what becomes of a withheld move; all else is decided here."""
    findings, policy = evaluation.findings, evaluation.policy
    gone = name in evaluation.removals or (evaluation.before(name) is None and name not in evaluation.moves)
    shown = _is_shown(evaluation, name, withheld)
    if gone or (shown and name not in evaluation.moves):
        findings.leave(kind, name, WITHDRAWN)
    elif not shown and policy is not None:
        findings.hold(kind, name, withheld.fields, since=withheld.since, shown=withheld.shown)
    elif policy is None or evaluation.another_source or _is_approved(evaluation, kind, name, withheld):
        _let_through(evaluation, kind, name, withheld, APPROVED)
    elif rules.is_over(withheld.since, policy.patience, evaluation.at) or _has_stood(evaluation, kind, name, withheld):
        _let_through(evaluation, kind, name, withheld, CONFIRMED)
    else:
        return True
    return False


def _is_shown(evaluation: Evaluation, name: str, withheld: Withheld) -> bool:
    """Whether the response says something of what is withheld: readably, and not of a field that it has lost."""
    lost = evaluation.masked.get(name, frozenset()) & (withheld.fields or {}).keys()
    return evaluation.has_readable_prices(name) and not lost


def _is_approved(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld) -> bool:
    """An approval is a ceiling: it lets through at most the prices that were shown when it was given."""
    approved = evaluation.findings.is_approved(kind, name)
    return approved and says(evaluation.moves[name].listing, withheld.fields or {})


def _has_stood(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld) -> bool:
    """Whether each offending component is at a value that was shown long enough ago."""
    move, policy = evaluation.moves[name], evaluation.policy
    if kind is not FindingKind.IMPLAUSIBLE_PRICE or policy is None:
        return False
    offending = _offending(evaluation, move, policy)
    if not offending:  # another value that no rule may object to; or the same, and the limit has been set higher
        return _is_repeated(evaluation, kind, name, withheld)
    oldest = evaluation.at - policy.price_after
    return {(component, price) for component, price, at in withheld.shown if at <= oldest}.issuperset(offending)


def _let_through(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld, state: str) -> None:
    evaluation.findings.leave(kind, name, state)
    _accept(evaluation, name, withheld)


def _accept(evaluation: Evaluation, name: str, withheld: Withheld) -> None:
    """Believe a model's move as it is: no other rule is asked about it."""
    if name in evaluation.moves:
        evaluation.accept(name, evaluation.moves[name].changed)
        evaluation.believe_late(name, withheld)


# -- what is new -------------------------------------------------------------------------------------------------------


def _new_moves(evaluation: Evaluation, entries: Entries) -> list[Change]:
    """The moves of price of listed models that the last observation did not show, without what was let through."""
    silent = evaluation.findings.quiet() | evaluation.findings.held_by(*PRICE_RULES)
    moves = []
    for name, move in evaluation.moves.items():
        if move.kind is not Kind.REPRICED or name in silent or evaluation.another_source:
            continue
        if name in entries and _is_repeated(evaluation, entries[name][0], name, entries[name][1]):
            continue
        accepted = evaluation.accepted.get(name, frozenset())
        asked = {field: pair for field, pair in move.changed.items() if field not in accepted}
        if diff.prices_moved(asked):
            moves.append(msgspec.structs.replace(move, changed=asked))
    return moves


def _is_repeated(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld) -> bool:
    """Whether upstream gives the very reading that is withheld already."""
    if kind is FindingKind.REVERTED:
        return says(evaluation.moves[name].listing, withheld.fields or {})
    before, now = (_prices(fields) for fields in (withheld.fields or {}, values_of(evaluation.moves[name])))
    return before == now


def _prices(fields: Mapping[str, object]) -> dict[str, object]:
    return {field: value for field, value in fields.items() if component_of(field) is not None}


def _objections(evaluation: Evaluation, moves: list[Change], policy: Policy) -> dict[str, FindingKind]:
    """Which rule objects to which model: the highest that does."""
    headline, priced = evaluation.snapshot.headline, evaluation.seen.priced
    asked = (
        (FindingKind.UNIT_CHANGE, rules.unit_change(moves, evaluation.seen.listed, priced, policy)),
        (FindingKind.PRICES_GONE, rules.prices_gone(moves, headline, priced)),
        (FindingKind.MASS_REPRICING, rules.mass_repricing(moves, headline, priced)),
        (
            FindingKind.IMPLAUSIBLE_PRICE,
            [move.listing.name for move in moves if rules.offending(move, policy, headline)],
        ),
    )
    objections: dict[str, FindingKind] = {}
    for kind, names in asked:
        for name in names:
            objections.setdefault(name, kind)
    return objections


def _hold(evaluation: Evaluation, kind: FindingKind, name: str, withheld: Withheld | None, policy: Policy) -> None:
    """Withhold a model's whole move; the evidence follows upstream's value, and `since` does not begin anew."""
    move = evaluation.moves[name]
    evaluation.findings.hold(
        kind,
        name,
        withheld.fields if withheld is not None and kind is FindingKind.REVERTED else values_of(move),
        since=None if withheld is None else withheld.since,
        first=evaluation.first_shown(name, withheld, move),
        shown=_shown(evaluation, move, withheld, policy) if kind is FindingKind.IMPLAUSIBLE_PRICE else (),
    )


def _shown(
    evaluation: Evaluation, move: Change, withheld: Withheld | None, policy: Policy
) -> tuple[tuple[str, Decimal | None, datetime], ...]:
    """When each value of an offending component was first shown."""
    before = () if withheld is None else withheld.shown
    known = {(component, price) for component, price, _ in before}
    new = [(*pair, evaluation.at) for pair in _offending(evaluation, move, policy) if pair not in known]
    return (*before, *new)[-MAX_VALUES_SHOWN:]


def _offending(evaluation: Evaluation, move: Change, policy: Policy) -> list[tuple[str, Decimal | None]]:
    """The components that moved too far, and where they are now."""
    components = rules.offending(move, policy, evaluation.snapshot.headline)
    return [(component, move.listing.prices.get(component)) for component in components]
