"""A person's no to what is held, and taking it back. Neither asks upstream: the next observation goes by it."""

from collections.abc import Collection
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec
from sqlalchemy.engine import Connection, Engine

from syncer.core.notices import of_settled
from syncer.core.rules import RESPONSE, Finding
from syncer.core.withheld import OPEN, REJECTED
from syncer.db import feed, leases, state, writes
from syncer.db.engine import writing
from syncer.errors import UsageError


def reject_findings(
    engine: Engine,
    source: str,
    findings: Collection[int] | None,
    models: Collection[str],
    comment: str | None,
    *,
    now: datetime,
) -> int:
    """Reject the open findings of `source` with these ids (None: all), as far as the globs `models` reach; how many.

    What is left of a finding stays open. It waits for a sync that is writing. Raises UsageError if there is none.
    """
    with writing(engine) as connection:
        source_id = leases.lock(connection, source).id
        rejected = [
            part
            for finding in state.findings_in_force(connection, source_id)
            if finding.state == OPEN and (findings is None or finding.id in findings)
            if (part := _reject(connection, finding, models, comment)) is not None
        ]
        if not rejected:
            raise UsageError(f"nothing like that is held for {source}: see `syncer held`")
        said = [of_settled(finding, REJECTED, comment) for finding in rejected]
        feed.write_notices(connection, source_id, None, said, now)
    return len(rejected)


def take_back(engine: Engine, source: str, finding_id: int) -> None:
    """Ask again what a person has rejected; raises UsageError where `finding_id` is no rejection of `source`."""
    with writing(engine) as connection:
        row = leases.lock(connection, source)
        found = () if row is None else state.findings_in_force(connection, row.id)
        if not any(finding.id == finding_id and finding.state == REJECTED for finding in found):
            raise UsageError(f"{source} has no rejection {finding_id}: see `syncer held --rejected`")
        writes.reopen_finding(connection, finding_id)


def _reject(connection: Connection, finding: Finding, models: Collection[str], comment: str | None) -> Finding | None:
    """Reject what the globs reach of a finding; that part, None if it is nothing."""
    evidence = finding.evidence
    chosen = {
        name: held
        for name, held in evidence.items()
        if not models or (name != RESPONSE and any(fnmatchcase(name, glob) for glob in models))
    }
    if not chosen or finding.id is None:
        return None
    rest = {name: held for name, held in evidence.items() if name not in chosen}
    if rest:
        writes.split_finding(connection, finding.id, rest)
    writes.set_rejected(connection, finding.id, evidence=chosen, comment=comment)
    return msgspec.structs.replace(finding, evidence=chosen)
