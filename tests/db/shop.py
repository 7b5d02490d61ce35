"""A source whose history a test writes state by state, through the very functions by which a sync writes.

What to believe is the test's word: no response is parsed and no rule is asked.
"""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer.core.decision import Decision
from syncer.core.model import TRACKED, Change, Kind, Listing, Rejected, price_field
from syncer.core.notices import Notice, NoticeKind
from syncer.core.rules import Finding, FindingKind, Withheld
from syncer.db import feed, leases, results, state, writes
from syncer.db.engine import reading, writing
from syncer.db.leases import Lease, SourceRecord
from syncer.db.results import RunResult
from tests.db import START

PARSER = "a" * 32
PRICES = (None, "0", "-1", "0.1", "0.2", "0.5", "40", "0.000000000001", "123456789012.345")
UNITS = {"input": [1000000, "token"], "output": [1000000, "token"], "image": [1, "image"]}
Prices = Mapping[str, str | None]


def listing(name: str, prices: Prices, *, headline: str = "input", raw: str | None = None, **fields: Any) -> Listing:
    """A listing with an element of its own."""
    exact = {component: None if text is None else Decimal(text) for component, text in prices.items()}
    element = raw or json.dumps({"name": name, **fields, "prices": prices}, default=str)
    return Listing(
        name=name,
        price=exact.get(headline),
        prices={headline: None, **exact},
        raw=msgspec.Raw(element.encode()),
        digest=blake2b(element.encode(), digest_size=16).digest(),
        **fields,
    )


def difference(old: Listing, new: Listing) -> dict[str, tuple[Any, Any]]:
    """The tracked fields and prices that moved."""
    pairs = {field: (getattr(old, field), getattr(new, field)) for field in TRACKED}
    pairs |= {price_field(c): (old.prices.get(c), new.prices.get(c)) for c in {*old.prices, *new.prices}}
    return {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}


class Shop:
    """One source; `at(...)` is one run that believes what it is given."""

    def __init__(self, engine: Engine, name: str = "shop", *, headline: str = "input") -> None:
        self.engine, self.headline = engine, headline
        units = {"price": {"Text": [1000000, "token"]}} if headline == "price" else UNITS
        self.record = SourceRecord(
            name=name,
            url="https://x.example/models",
            format="test",
            headline=headline,
            currency="USD",
            price_units=units,
            interval=timedelta(hours=1),
        )
        self.last: datetime | None = None
        self.changed: dict[str, datetime] = {}

    def may_be_late(self, name: str) -> bool:
        """Whether a change of the model may take effect at the last observation: it had none then."""
        return self.last is not None and self.changed.get(name, self.last) < self.last

    def at(
        self,
        when: datetime,
        states: Mapping[str, Listing | Prices | None],
        *,
        effective: Mapping[str, datetime] | None = None,
        reread: Sequence[str] = (),
        **decided: Any,
    ) -> dict[Kind, int]:
        """One run at `when` in which these models have these states from now on; None: gone.

        `effective`: since when, for models that are believed late. `reread` names models that were merely read anew.
        Further arguments are those of the Decision.
        """
        lease = self.lease(when)
        with writing(self.engine) as connection:
            leases.check_fencing_token(connection, lease)
            known = state.stored_models(connection, lease.source_id, states)
            changes = [
                self._change(known, name, wanted, (effective or {}).get(name, when), read_anew=name in reread)
                for name, wanted in states.items()
            ]
            believed = tuple(change for change in changes if change is not None)
            decision = Decision(believed=believed, **decided)
            counts = self.write(connection, lease, decision, when, known)
        self.last = when
        self.changed.update((change.listing.name, change.effective_at) for change in believed)
        return counts

    def lease(self, when: datetime, kind: str = "sync") -> Lease:
        """The source's lease, and an open run."""
        with writing(self.engine) as connection:
            return leases.acquire(
                connection, self.record, kind=kind, owner="test", now=when, lasts=timedelta(minutes=5), key="k"
            )

    def write(
        self, connection: Connection, lease: Lease, decision: Decision, when: datetime, known: Any, **result: Any
    ) -> dict[Kind, int]:
        """What a sync does with a decision, from the fence on."""
        rejected: tuple[Rejected, ...] = result.pop("rejected", ())
        writes.write_rejected(connection, lease, rejected)
        counts = writes.write_decision(connection, lease, known, decision, at=when, parser=PARSER)
        outcome = "held" if decision.reasons else "changed" if decision.believed else "unchanged"
        closed = RunResult(
            outcome=outcome,
            observed_at=when,
            finished_at=when,
            listed=1,
            counts=counts,
            rejected=len(rejected),
            error="; ".join(decision.reasons) or None,
            **result,
        )
        results.close(connection, lease, closed)
        return dict(counts)

    def _change(
        self, known: Any, name: str, wanted: Listing | Prices | None, effective_at: datetime, *, read_anew: bool
    ) -> Change | None:
        before = known.get(name)
        moved: dict[str, tuple[Any, Any]] = {}
        new = listing(name, wanted, headline=self.headline) if isinstance(wanted, Mapping) else wanted
        if new is None:
            if before is None or not before.listed:
                return None
            kind, new = Kind.REMOVED, before.listing
        elif before is None:
            kind = Kind.ADDED
        else:
            new = msgspec.structs.replace(new, prices={**dict.fromkeys(before.listing.prices), **new.prices})
            moved = difference(before.listing, new)
            kind = _kind(moved, listed=before.listed, read_anew=read_anew)
            if before.listed and not moved:
                return None
        return Change(
            kind=kind,
            model_id=before and before.id,
            listing=new,
            old_price=before and before.listing.price,
            changed=moved,
            effective_at=effective_at,
            changed_after=self._shown_before(before),
        )

    def _shown_before(self, before: Any) -> datetime | None:
        if before is None:
            return self.last
        changed: datetime = before.last_changed_at
        return changed


def _kind(moved: Mapping[str, Any], *, listed: bool, read_anew: bool) -> Kind:
    if not listed:
        return Kind.RELISTED
    if read_anew:
        return Kind.REREAD
    return Kind.REPRICED if any(field.startswith("prices.") for field in moved) else Kind.UPDATED


def wander(engine: Engine, *, runs: int, seed: int, name: str = "shop", start: datetime = START) -> Shop:
    """A random history: every kind of change, late belief, findings, rejected rows, notices and failed runs."""
    chance, shop = random.Random(seed), Shop(engine, name)
    names = [f"acme/m{number}" for number in range(8)]
    for run in range(runs):
        when = start + timedelta(hours=run)
        if chance.random() < 0.1:
            fail(shop, when)
            continue
        some = chance.sample(names, chance.choice([0, 1, 2, 6]))
        states = {each: _state(chance, each) for each in some}
        late = {each: shop.last for each in some if shop.last and shop.may_be_late(each) and chance.random() < 0.3}
        anew = [each for each in some if chance.random() < 0.1]
        shop.at(when, states, effective=late, reread=anew, **(_doubt(when) if chance.random() < 0.1 else {}))
    return shop


def fail(shop: Shop, when: datetime) -> None:
    """A run that came to nothing, and the notice of it."""
    lease = shop.lease(when)
    with writing(shop.engine) as connection:
        results.close_failed(connection, lease, results.Failure(error="it is down", http_status=503), now=when)
        said = Notice(kind=NoticeKind.FAILED, data={"error": "it is down"})
        feed.write_notices(connection, lease.source_id, lease.run_id, [said], when)


def _state(chance: random.Random, name: str) -> Listing | None:
    if chance.random() < 0.2:
        return None
    components = ["input", *chance.sample(["output", "image", "input@batch"], chance.choice([0, 1, 3]))]
    prices = {component: chance.choice(PRICES) for component in components}
    return listing(name, prices, type=chance.choice(["Text", None]), context_length=chance.choice([1024, 2048, None]))


def _doubt(when: datetime) -> dict[str, Any]:
    finding = Finding(
        kind=FindingKind.IMPLAUSIBLE_PRICE,
        evidence={"acme/m0": Withheld(since=when, fields={"prices.input": Decimal("0.1"), "expires_at": when})},
        opened_at=when,
        state="rejected",
    )
    held = Notice(kind=NoticeKind.HELD, data={"count": 1}, finding=finding.kind)
    return {"opened": (finding,), "notices": (held,), "reasons": ("implausible",), "marks": {}}


def stored(engine: Engine, name: str = "shop") -> dict[str, Any]:
    """The stored models of a source, by name."""
    with reading(engine) as connection:
        record = leases.stored_record(connection, name)
        assert record is not None
        lease = leases.peek(connection, record, None)
        assert lease is not None
        names = state.catalog(connection, lease.source_id, PARSER).listed
        return dict(state.stored_models(connection, lease.source_id, names))
