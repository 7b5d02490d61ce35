"""A way to fill a database: real syncs of a catalog that wanders at random."""

import contextlib
import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Engine

from syncer.attempt import Attempt
from syncer.core.decide import Approval
from syncer.errors import SyncerError, UsageError
from syncer.rejection import reject_findings
from syncer.revert import revert_run
from syncer.settings import SourceSettings, format_of
from syncer.sync import sync_source
from tests.db import START, rows
from tests.upstream import Reply, Upstream, catalog_body, etag_of, model

NAMES = [f"acme/m{number}" for number in range(8)]
PRICES = [None, "0", "-1", "0.1", "0.2", "0.5", "40", "0.000000000001", "123456789012.345"]
QUICK: dict[str, Any] = {
    "removal_after": timedelta(hours=2),
    "price_after": timedelta(hours=2),
    "patience": timedelta(hours=9),
}
"""What is believed in hours, so that a short wandering gets everywhere."""


def wander(
    engine: Engine,
    upstream: Upstream,
    *,
    polls: int,
    seed: int,
    name: str = "shop",
    trust: bool = True,
    faults: bool = True,
) -> None:
    """So many polls of a catalog that changes at random: findings, answers, reverts and, if wanted, faults too."""
    chance = random.Random(seed)
    offered = {each: _row(chance, each) for each in NAMES}
    source = SourceSettings(name=name, url=upstream.url, trust=trust, trust_date=False, **QUICK)
    for number in range(polls):
        at = START + timedelta(hours=number)
        _move(chance, offered)
        key = chance.choice(["k1", "k1", "k1", "k2"])
        upstream.reply(_reply(list(offered.values()), chance.random() if faults else 1))
        approval = Approval() if chance.random() < 0.1 else None
        attempt = Attempt(
            engine=engine,
            source=source,
            format=format_of(source),
            clock=lambda at=at: at,  # type: ignore[misc]
            owner="test",
            key=key,
            approval=approval,
        )
        try:
            sync_source(attempt)
        except SyncerError as error:
            assert error.exit_code == 1, error  # noqa: PT017 - a failed run is part of the wandering
        _answer(chance, engine, name, at + timedelta(minutes=30))


def _row(chance: random.Random, name: str) -> dict[str, Any]:
    price = chance.choice(PRICES)
    length = chance.choice([1024, 2048, None])
    return model(name, None if price is None else Decimal(price), context_length=length)


def _move(chance: random.Random, offered: dict[str, dict[str, Any]]) -> None:
    for name in chance.sample(NAMES, chance.choice([0, 0, 1, 2, 6])):
        if name in offered and chance.random() < 0.5:
            del offered[name]
        else:
            offered[name] = _row(chance, name)


def _reply(listed: list[dict[str, Any]], fault: float) -> Reply:
    if fault < 0.05:
        return Reply(status=404, body=b"no")
    if fault < 0.1:
        return Reply(body=b"<html>")
    if fault < 0.15:
        listed = [*listed, {"price": 1}]
    elif fault < 0.25 and listed:
        listed = [*listed[1:], {**listed[0], "price": "free"}]
    body = catalog_body(listed)
    return Reply(body=body, headers={"ETag": etag_of(body)})


def _answer(chance: random.Random, engine: Engine, name: str, at: datetime) -> None:
    if chance.random() < 0.1:
        with contextlib.suppress(UsageError):  # nothing is held
            reject_findings(engine, name, None, (), "a test", now=at)
    if chance.random() < 0.1:
        last = rows(engine, "SELECT max(id) FROM runs WHERE outcome IN ('changed', 'held')")[0][0]
        try:
            revert_run(engine, last or 0, clock=lambda: at, owner="test")
        except UsageError:
            return  # nothing of it can be taken back
