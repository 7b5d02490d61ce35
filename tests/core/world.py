"""A source in memory: what upstream shows goes through `decide`, and what is believed is folded, as the database would.

A story is told by `sees` (what a whole response lists) and `fails`; time is counted in hours since `START`. It checks
on the way what must hold of every story: windows are open at one end, `effective_at` rises within a model, the fold of
the history is the catalog, a settled finding is settled once, and evidence survives being stored as JSON.
"""

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec

from syncer.core.decide import Decision, DecisionInput, decide
from syncer.core.diff import not_present
from syncer.core.model import (
    PRICES,
    TRACKED,
    Change,
    Kind,
    Listing,
    Mark,
    Rejected,
    Snapshot,
    StoredModel,
    component_of,
    price_field,
)
from syncer.core.notices import Expiring, Notice, NoticeKind, of_expiring
from syncer.core.observation import PastObservations
from syncer.core.rules import Approval, Finding, FindingKind, Policy, evidence_from_json, evidence_to_json

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Element = Mapping[str, Any] | str | int | Decimal | None
"""What upstream says of a model: a price, or prices by component and tracked fields by name."""
UNREADABLE = "unreadable"
DEFAULTS = Policy()


def at(hours: float) -> datetime:
    """So many hours after the start."""
    return START + timedelta(hours=hours)


def hours(moment: datetime | None) -> Any:
    """The other way round."""
    return None if moment is None else (moment - START) / HOUR


def listing(name: str, element: Element, headline: str = "price") -> Listing:
    """An element as the parser gives it; a value `UNREADABLE` could not be read."""
    stated = dict(element) if isinstance(element, Mapping) else {headline: element}
    fields: dict[str, Any] = {key: value for key, value in stated.items() if key in TRACKED}
    prices = {key: value for key, value in stated.items() if key not in TRACKED and key != "extra"}
    unread = {field for field, value in fields.items() if value == UNREADABLE}
    if UNREADABLE in prices.values():
        unread.add(PRICES)
        prices = {}
    canonical = {key: None if value is None else Decimal(str(value)) for key, value in prices.items()}
    canonical.setdefault(headline, None)
    raw = repr((name, sorted(stated.items(), key=repr))).encode()
    return Listing(
        name=name,
        **{field: value for field, value in fields.items() if field not in unread},
        price=canonical[headline],
        prices=canonical,
        unread=frozenset(unread),
        stated=frozenset(
            [field for field, value in fields.items() if value is not None]
            + [
                price_field(key)
                for key, value in stated.items()
                if key not in {*TRACKED, "extra"} and value is not None
            ]
        ),
        raw=msgspec.Raw(raw),
        digest=blake2b(raw, digest_size=16).digest(),
    )


def nameless(text: str = '{"_comment": "odd"}') -> Rejected:
    """A row without a legible name."""
    return Rejected(
        name=None, reason="has no model_name", raw=text, digest=blake2b(text.encode(), digest_size=16).digest()
    )


class World:
    """A source, its stored models, its findings and its whole history."""

    def __init__(self, policy: Policy | None = DEFAULTS, headline: str = "price", *, shortcut: bool = True) -> None:
        self.policy, self.headline, self.shortcut = policy, headline, shortcut
        self.models: dict[str, Any] = {}  # a StoredModel each; Any, so that a story may compare it with plain numbers
        self.findings: dict[int, Finding] = {}
        self.past = PastObservations()
        self.history: list[tuple[datetime, Any]] = []  # when each Change was told
        self.notices: list[tuple[datetime, Notice]] = []
        self.runs: list[tuple[datetime, str]] = []
        self.decision = Decision()
        self.parser = "one"
        self.read: Callable[[str, Element, str], Listing] = listing
        self.key = "key"
        self.recorded: set[str] = set()
        self._keys: list[tuple[datetime, str]] = []
        self._body: object = None

    # -- what upstream does --------------------------------------------------------------------------------------------

    def sees(
        self,
        hour: float,
        elements: Mapping[str, Element],
        *,
        rejected: Iterable[Rejected] = (),
        partial: str | None = None,
        approval: Approval | None = None,
        moved_source: str | None = None,
        age: float = 0,
        moment: datetime | None = None,
    ) -> "World":
        """A response that lists these."""
        now = moment or at(hour)
        body = (repr(sorted(elements.items())), tuple(rejected), partial, self.parser)
        if self.shortcut and body == self._body and not self.decision.pending and approval is None and not age:
            return self._unchanged(now)
        snapshot = self._snapshot(now, elements, tuple(rejected), partial, age)
        self.decision = decide(self._input(snapshot, moved_source), self.policy, approval)
        self._apply(snapshot, self.decision)
        self._body = body
        return self

    def fails(self) -> "World":
        """A run that observed nothing."""
        return self

    def hourly(self, first: int, last: int, elements: Mapping[str, Element], **more: Any) -> "World":
        """The same response each hour, from the first to the last."""
        for hour in range(first, last + 1):
            self.sees(hour, elements, **more)
        return self

    def approve(self, hour: float, elements: Mapping[str, Element], **more: Any) -> "World":
        """A person's yes, with the observation that it makes."""
        return self.sees(hour, elements, approval=Approval(**more))

    def reject(self, kind: FindingKind) -> "World":
        """A person's no to the open finding of a kind."""
        for key, finding in self.findings.items():
            if finding.kind is kind and finding.state == "open":
                self.findings[key] = msgspec.structs.replace(finding, state="rejected")
        return self

    # -- what is to be seen of it --------------------------------------------------------------------------------------

    @property
    def catalog(self) -> dict[str, Any]:
        """The current catalog at its headline prices."""
        return {name: model.listing.price for name, model in sorted(self.models.items()) if model.listed}

    def changes(self, name: str | None = None, *kinds: Kind) -> list[str]:
        """The history in words: "told/effective kind model old -> new"."""
        rows = []
        for told, change in self.history:
            if name in {None, change.listing.name} and (not kinds or change.kind in kinds):
                price = "" if change.kind is Kind.REMOVED else f" {_number(change.listing.price)}"
                old = f" {_number(change.old_price)} ->" if change.kind is Kind.REPRICED else ""
                when = f"{hours(told):g}/{hours(change.effective_at):g}"
                rows.append(f"{when} {change.kind.value} {change.listing.name}{old}{price}")
        return rows

    def open(self) -> dict[str, list[str]]:
        """What is withheld now: kind -> the models."""
        return {its.kind.value: sorted(its.evidence) for its in self.findings.values() if its.state == "open"}

    def states(self) -> list[tuple[str, str]]:
        """What became of each finding."""
        return [(finding.kind.value, finding.state) for finding in self.findings.values()]

    def said(self, *kinds: NoticeKind) -> list[tuple[float, str, Any]]:
        """The notices: hour, kind, and the model or the models."""
        return [
            (hours(when) or 0.0, notice.kind.value, notice.model or notice.data.get("models"))
            for when, notice in self.notices
            if not kinds or notice.kind in kinds
        ]

    # -- how it comes about --------------------------------------------------------------------------------------------

    def _unchanged(self, now: datetime) -> "World":
        judged = now if self.past.judged == self.past.last else self.past.judged
        self.past = PastObservations(last=now, last_shown=now, judged=judged)
        self._keys.append((now, self.key))
        self.runs.append((now, "unchanged"))
        self.decision = Decision()
        said, told = of_expiring(self._expiring(now), now)
        self.notices.extend((now, notice) for notice in said)
        for name, days in told.items():
            self.models[name] = msgspec.structs.replace(self.models[name], expiring_told=days)
        return self

    def _expiring(self, now: datetime) -> tuple[Expiring, ...]:
        ends = ((name, model.listing.expires_at, model.expiring_told) for name, model in sorted(self.models.items()))
        soon = now + timedelta(days=30)
        return tuple(
            Expiring(name=name, expires_at=end, told=told)
            for name, end, told in ends
            if self.models[name].listed and end is not None and now < end <= soon
        )

    def _snapshot(
        self,
        now: datetime,
        elements: Mapping[str, Element],
        rejected: tuple[Rejected, ...],
        partial: str | None,
        age: float,
    ) -> Snapshot:
        read = {name: self.read(name, element, self.headline) for name, element in elements.items()}
        known = {
            name: model.listing.digest
            for name, model in self.models.items()
            if model.listed and model.parser == self.parser
        }
        same = {name for name, row in read.items() if known.get(name) == row.digest}
        return Snapshot(
            observed_at=now,
            shown_at=now - timedelta(hours=age),
            parser=self.parser,
            headline=self.headline,
            listings={name: row for name, row in read.items() if name not in same},
            same=frozenset(same),
            rejected=rejected,
            stated=frozenset[str]().union(*(row.stated for row in read.values())),
            elements=len(elements) + len(rejected),
            partial=partial,
        )

    def _input(self, snapshot: Snapshot, moved_source: str | None) -> DecisionInput:
        listed = frozenset(name for name, model in self.models.items() if model.listed)
        in_force = tuple(
            finding
            for finding in self.findings.values()
            if finding.state in {"open", "rejected"} or finding.kind in {FindingKind.NAMELESS, FindingKind.REQUIRED}
            if finding.state != "withdrawn"
        )
        names = {*snapshot.listings, *not_present(listed, snapshot), *snapshot.present_unreadable}
        names.update(name for name, model in self.models.items() if model.listed and _is_marked(model))
        names.update(() if self.policy is None else self.policy.required, *(finding.evidence for finding in in_force))
        return DecisionInput(
            snapshot=snapshot,
            known={name: self._stored(name, snapshot) for name in sorted(names) if name in self.models},
            listed=listed,
            priced=sum((self.models[name].listing.price or 0) > 0 for name in listed),
            past=self.past,
            findings=in_force,
            new_credential=bool(self._keys) and self._keys[-1][1] != self.key,
            other_key=frozenset(
                model.missing_since
                for model in self.models.values()
                if model.listed and model.missing_since and self._key_before(model.missing_since) != self.key
            ),
            moved_source=moved_source,
            recorded=frozenset(self.recorded),
            expiring=self._expiring(snapshot.observed_at),
        )

    def _key_before(self, moment: datetime) -> str | None:
        return next((key for when, key in reversed(self._keys) if when < moment), None)

    def _stored(self, name: str, snapshot: Snapshot) -> Any:
        model, now = self.models[name], snapshot.listings.get(name)
        if now is None or model.parser == snapshot.parser or now.digest == model.listing.digest:
            return model
        return msgspec.structs.replace(model, reread=self.reread(model.listing))

    def reread(self, stored: Listing) -> Listing:
        """The raw element of a model's last change, read by the present parser."""
        name, stated = ast.literal_eval(bytes(stored.raw).decode())
        return self.read(name, dict(stated), self.headline)

    def _apply(self, snapshot: Snapshot, decision: Decision) -> None:
        now = snapshot.observed_at
        for row in decision.refreshed:
            before = self.models[row.name]
            kept = msgspec.structs.replace(before.listing, extra=row.extra, digest=row.digest)
            assert kept.tracked() == row.tracked(), row.name
            assert kept.prices == row.prices, row.name
            self.models[row.name] = msgspec.structs.replace(before, listing=kept, parser=snapshot.parser)
        for change in decision.believed:
            self._write(now, change, snapshot.parser)
        for name, mark in decision.marks.items():
            self.models[name] = msgspec.structs.replace(self.models[name], **_fields(mark))
        self._settle(decision)
        self.recorded.update(row.name for row in (*snapshot.rejected, *snapshot.duplicates) if row.name is not None)
        self.notices.extend((now, _as_stored(notice)) for notice in decision.notices)
        self.runs.append((now, decision.outcome))
        self.past = PastObservations(
            last=now, last_shown=snapshot.shown_at, judged=now if decision.judges else self.past.judged
        )
        self._keys.append((now, self.key))

    def _write(self, now: datetime, change: Change, parser: str) -> None:
        name = change.listing.name
        before = self.models.get(name)
        assert change.effective_at <= now
        assert change.changed_after is None or change.changed_after < change.effective_at, (name, change)
        if before is None:
            assert change.kind is Kind.ADDED
            self.models[name] = StoredModel(
                id=len(self.models) + 1, listing=change.listing, parser=parser, last_changed_at=change.effective_at
            )
        else:
            assert change.kind is not Kind.ADDED
            assert before.last_changed_at is not None
            assert before.last_changed_at < change.effective_at, (name, change)
            assert before.listed is (change.kind is not Kind.RELISTED)
            self._check_fold(before, change)
            listed, stored = change.kind is not Kind.REMOVED, change.listing
            if not listed:
                stored = msgspec.structs.replace(stored, digest=before.listing.digest)
            self.models[name] = msgspec.structs.replace(
                before, listing=stored, parser=parser, listed=listed, last_changed_at=change.effective_at,
                **(_fields(Mark()) if listed else {}),
            )  # fmt: skip
        self.history.append((now, change))

    def _check_fold(self, before: StoredModel, change: Change) -> None:
        """The state before and what moved give the state after; every component ever known stays a key."""
        moved = {**change.reread, **change.changed} if change.kind is not Kind.REMOVED else {}
        for field in (*TRACKED, *(price_field(component) for component in change.listing.prices)):
            old = moved[field][1] if field in moved else before.listing.value(field)
            assert change.listing.value(field) == old, (change.listing.name, field)
        assert before.listing.prices.keys() <= change.listing.prices.keys()
        assert change.listing.price == change.listing.prices[self.headline]
        is_repriced = any(component_of(field) is not None for field in change.changed)
        assert (change.kind is Kind.REPRICED) <= is_repriced
        assert (change.kind is Kind.UPDATED) <= (not is_repriced)

    def _settle(self, decision: Decision) -> None:
        for key, state in decision.settled.items():
            assert self.findings[key].state in {"open", "rejected"}
            self.findings[key] = msgspec.structs.replace(self.findings[key], state=state)
        for key, evidence in decision.kept.items():
            assert key not in decision.settled
            self.findings[key] = msgspec.structs.replace(self.findings[key], evidence=_through_json(evidence))
        for finding in decision.opened:
            assert finding.kind.value not in self.open(), "a source has one open finding of a kind at most"
            key = len(self.findings) + 1
            self.findings[key] = msgspec.structs.replace(finding, id=key, evidence=_through_json(finding.evidence))
        for sentence in decision.reasons:
            assert len(sentence) <= 200, sentence


def _is_marked(model: StoredModel) -> bool:
    return model.missing_since is not None or model.last_seen_at is not None or bool(model.unread)


def _fields(mark: Mark) -> dict[str, Any]:
    return {field: getattr(mark, field) for field in Mark.__struct_fields__}


def _as_stored(notice: Notice) -> Notice:
    json.dumps(notice.data)
    return notice


def _through_json(evidence: Any) -> Any:
    text = json.dumps(evidence_to_json(evidence), default=_number_literal)
    stored = json.loads(text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=_with_numbers)
    return evidence_from_json(_numbers(stored))


def _number_literal(value: object) -> object:
    assert isinstance(value, Decimal)
    return {"$number": str(value)}


def _with_numbers(pairs: list[tuple[str, Any]]) -> Any:
    return Decimal(pairs[0][1]) if pairs and pairs[0][0] == "$number" else dict(pairs)


def _numbers(stored: Any) -> Any:
    return stored


def _number(price: Decimal | None) -> str:
    return "unknown" if price is None else f"{price:f}"
