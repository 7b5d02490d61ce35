"""The elements of a catalog as upstream sent them, now or at any moment."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from syncer.core.model import TRACKED, Kind
from syncer.db.tables import changes, models
from syncer.history.resolve import STATE_ID, require_aware, source_id

if TYPE_CHECKING:
    from syncer.history.resolve import Asked

_STATE = (*TRACKED, "prices")
_columns = [changes.c[name] for name in ("id", "model_id", "kind", "raw", *_STATE)]
_ELEMENTS = (
    sa.select(*_columns)
    .select_from(models)
    .join(changes, changes.c.id == STATE_ID)
    .where(models.c.source_id == sa.bindparam("source_id"))
    .order_by(models.c.name)
)
_EARLIER = (
    sa.select(*_columns)
    .where(
        changes.c.model_id == sa.bindparam("model_id"), changes.c.id < sa.bindparam("id"), changes.c.raw.is_not(None)
    )
    .order_by(changes.c.id.desc())
)


def elements(connection: "Asked", *, source: str, at: datetime) -> list[str]:
    """The element of each model that `source` listed at `at`, with the keys it stood under, by name.

    It is that of the model's last change. A change that a person took back has none: its element is the latest one that
    said the same. Raises ValueError if `at` is naive, UnknownSource.
    """
    require_aware(at=at)
    rows = connection.execute(_ELEMENTS, {"source_id": source_id(connection, source), "at": at}).all()
    listed = (row for row in rows if row.kind != Kind.REMOVED)
    found = (row.raw if row.raw is not None else _earlier(connection, row) for row in listed)
    return [element for element in found if element is not None]


def _earlier(connection: "Asked", row: Any) -> str | None:  # noqa: ANN401 - a row of _ELEMENTS
    earlier = connection.execute(_EARLIER, {"model_id": row.model_id, "id": row.id}).all()
    same = (one for one in earlier if all(getattr(one, name) == getattr(row, name) for name in _STATE))
    found = next(same, earlier[0] if earlier else None)
    return None if found is None else str(found.raw)
