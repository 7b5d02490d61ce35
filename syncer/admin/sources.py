"""What a person does to a source, and to the feed after a restore: rename, retire, renew.

`rename_source` and `retire_source` are one UPDATE that takes effect only where nobody holds the source (law 7), and
that fences off whoever held it before. The clock is the caller's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.db import feed, leases
from syncer.db.engine import writing
from syncer.db.tables import consumers, findings, sources
from syncer.errors import SourceBusy, UnknownSource, UsageError


class Renamed(msgspec.Struct, frozen=True, kw_only=True):
    """A source under its new name. `consumers` were notified of a trouble of it, and will hear when that is over."""

    old: str
    new: str
    consumers: tuple[str, ...]


def rename_source(engine: Engine, old: str, new: str, *, now: datetime) -> Renamed:
    """Give a source another name, in all of its past too; events from now on carry it.

    Raises UnknownSource, UsageError if there is a source `new`, SourceBusy while somebody syncs it.
    """
    try:
        with writing(engine) as connection:
            _take_over(connection, old, now, {"name": new})
            return Renamed(old=old, new=new, consumers=_rename_troubles(connection, old, new))
    except sa.exc.IntegrityError:
        raise UsageError(f"there is a source {new!r} already: two histories cannot become one") from None


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """A source that nobody is meant to sync any more; `open_findings` of it still wait for an answer."""

    source: str
    retired_at: datetime
    open_findings: int


def retire_source(engine: Engine, name: str, *, now: datetime) -> Retired:
    """Mark a source as retired: never late any more. Its history, catalog and findings stay; a sync brings it back.

    Raises UnknownSource, SourceBusy while somebody syncs it.
    """
    with writing(engine) as connection:
        source = _take_over(connection, name, now, {"retired_at": sa.func.coalesce(sources.c.retired_at, now)})
        is_open = (findings.c.source_id == source.id) & (findings.c.state == "open")
        waiting: int = connection.execute(sa.select(sa.func.count()).where(is_open)).scalar_one()
    return Retired(source=name, retired_at=source.retired_at, open_findings=waiting)


def _take_over(connection: Connection, name: str, now: datetime, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a row
    """Update a source that nobody holds, and fence off whoever held it; the row as it is then."""
    taken = connection.execute(
        sa.update(sources)
        .where(sources.c.name == name, leases.is_available(sources.c.lease_until, now))
        .values(lease_token=sources.c.lease_token + 1, **values)
        .returning(sources)
    ).first()
    if taken is not None:
        return taken
    source = connection.execute(sa.select(sources).where(sources.c.name == name)).first()
    if source is None:
        known = ", ".join(connection.execute(sa.select(sources.c.name).order_by(sources.c.name)).scalars())
        raise UnknownSource(f"there is no source {name!r}; there {'are ' + known if known else 'are none yet'}")
    raise SourceBusy(f"{name} is being synced by {source.lease_owner}: try again when that has ended")


def _rename_troubles(connection: Connection, old: str, new: str) -> tuple[str, ...]:
    """Consumers remember by name whose recovery they must hear of; whoever is delivering to one is fenced off."""
    renamed = []
    for row in connection.execute(sa.select(consumers).order_by(consumers.c.id)).all():
        pending = row.batch_notified or {}
        if old not in {*row.failing, *pending.get("failing", ())}:
            continue
        values: dict[str, Any] = {"failing": _renamed(row.failing, old, new)}
        if pending:
            values["batch_notified"] = {**pending, "failing": _renamed(pending["failing"], old, new)}
        values |= leases.fenced_off(consumers)
        connection.execute(sa.update(consumers).where(consumers.c.id == row.id).values(values))
        renamed.append(row.name)
    return tuple(renamed)


def _renamed(names: Sequence[str], old: str, new: str) -> list[str]:
    return sorted(new if name == old else name for name in names)


# -- the feed ----------------------------------------------------------------------------------------------------------


class Beyond(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer whose position is beyond the end of the feed: what it stands behind is not in this database."""

    consumer: str
    position: int


class Renewed(msgspec.Struct, frozen=True, kw_only=True):
    """The feed under its new id, its last feed id, and the consumers that must be told where to go on."""

    old: str
    new: str
    last_id: int
    beyond: tuple[Beyond, ...]


def renew_feed(engine: Engine) -> Renewed:
    """Give the feed a new random id: after a restore, feed ids are given out a second time, to other events.

    Positions stay as they are: each is one that the consumer had when the backup was made, so it misses nothing and
    may be told a change again, under the new id. A message that was frozen keeps its bytes and its id, so that its
    receiver knows it if it came through before.
    """
    with writing(engine) as connection:
        old, new, last_id = feed.renew(connection)
        query = sa.select(consumers.c.name, consumers.c.position).where(consumers.c.position > last_id)
        beyond = [Beyond(consumer=name, position=at) for name, at in connection.execute(query.order_by("name"))]
    return Renewed(old=old, new=new, last_id=last_id, beyond=tuple(beyond))
