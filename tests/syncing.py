"""A sync, an import and an answer as tests ask for them: with what matters to the test, the rest at hand."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.engine import Engine

from syncer.attempt import Attempt
from syncer.core.decide import Approval
from syncer.db import leases
from syncer.db.engine import reading
from syncer.errors import UsageError
from syncer.importing import Recorded, import_observation, import_settings
from syncer.rejection import reject_findings
from syncer.report import Report
from syncer.settings import SourceSettings, format_of
from syncer.sync import sync_source

YES = Approval()
"""A person's yes to all that is held."""


def attempt(
    engine: Engine,
    source: SourceSettings,
    *,
    clock: Callable[[], datetime],
    key: str | None = "ak_test",
    owner: str = "a test",
    approval: Approval | None = None,
    **more: Any,
) -> Attempt:
    """What a sync of `source` is made with."""
    kind = "sync" if approval is None else "approve"
    fields: Mapping[str, Any] = {"format": format_of(source), "approval": approval, "kind": kind, **more}
    return Attempt(engine=engine, source=source, clock=clock, key=key, owner=owner, **fields)


def sync(engine: Engine, source: SourceSettings, **more: Any) -> Report:
    """One sync of `source`; the words are those of `attempt`."""
    return sync_source(attempt(engine, source, **more))


def import_one(
    engine: Engine,
    name: str,
    recorded: Recorded,
    *,
    clock: Callable[[], datetime],
    source: SourceSettings | None = None,
    trust: bool = True,
    owner: str = "a test",
) -> Report | None:
    """One recorded response into the source `name`, with the settings of `source` if it has any."""
    with reading(engine) as connection:
        stored = leases.stored_record(connection, name)
    settings = msgspec.structs.replace(import_settings(stored, source, name), trust=trust)
    made = attempt(engine, settings, clock=clock, key=None, owner=owner, kind="import")
    return import_observation(made, recorded)


def reject_all(engine: Engine, name: str, at: datetime) -> int:
    """A person's no to all that is held of a source; how many findings that were."""
    try:
        return reject_findings(engine, name, None, (), None, now=at)
    except UsageError:
        return 0
