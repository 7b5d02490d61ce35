"""What happened to a source's health: the notices of the feed."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from syncer.db.tables import models, sources
from syncer.db.tables import notices as notices_table
from syncer.history.resolve import stream

if TYPE_CHECKING:
    from syncer.history.resolve import Asked


class NoticeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One notice: `kind` is one of NoticeKind, `id` the feed id.

    `model` is the name of the one model that it is about. `run_id` and `finding_id` are None where no run or finding
    stands behind it.
    """

    id: int
    source: str
    model: str | None = None
    run_id: int | None
    finding_id: int | None
    kind: str
    observed_at: datetime
    data: Mapping[str, Any]


_NOTICES = (
    sa.select(notices_table, sources.c.name.label("source"), models.c.name.label("model"))
    .join(sources, sources.c.id == notices_table.c.source_id)
    .outerjoin(models, models.c.id == notices_table.c.model_id)
    .where(notices_table.c.id > sa.bindparam("after"))
    .order_by(notices_table.c.id)
)
_FIRST_NOTICES = _NOTICES.limit(sa.bindparam("limit"))


def notices(connection: "Asked", *, after: int = 0, limit: int | None = None) -> Iterator[NoticeRow]:
    """The notices behind the feed id `after`, at most `limit`, in the order of their ids; it streams."""
    values = {"after": after} if limit is None else {"after": after, "limit": limit}
    with stream(connection, _NOTICES if limit is None else _FIRST_NOTICES, values) as rows:
        for row in rows:
            yield NoticeRow(**{name: getattr(row, name) for name in NoticeRow.__struct_fields__})
