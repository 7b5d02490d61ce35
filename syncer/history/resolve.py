"""What every question about the past shares: who may be asked, what a time is, and which model a name means.

- A connection is a SQLAlchemy Connection or ORM Session; nothing here begins, commits or writes.
- A time is aware; a naive one raises ValueError before anything is asked.
- A name means the model that bears it. Only where none does, it is read as an alias, as aliases were at the time asked
  about. Two models that answer to it raise AmbiguousModel: there is never a pick.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from syncer.db.tables import changes, is_observed, models, runs, sources
from syncer.errors import AmbiguousModel, UnknownModel, UnknownSource

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    Asked = Connection | Session

Unit = tuple[int, str]
"""What a price is for: (1000000, "token") is "per million tokens"."""

BY_TYPE = "price"
"""The component whose unit goes by the model's type."""

_CHUNK = 500  # rows held at a time by a question that streams


def connect(url: str) -> Connection:
    """A read-only connection to the database at `url`, for a notebook or a script; close it, or use it in a `with`.

        with history.connect("sqlite:///syncer.db") as connection:
            history.price_at(connection, "deepseek-ai/DeepSeek-R1", at=datetime.now(UTC))

    All questions of one connection see the database at one moment, that of the first; `connection.rollback()` begins
    another one. It blocks no sync however long it lasts. Raises DatabaseNotReady where there is no syncer database,
    SettingsError for a URL that is none, DatabaseError where it cannot be reached, then or later.
    """
    from syncer.db.engine import at_one_moment, open_engine
    from syncer.db.faults import translate_errors
    from syncer.db.migrate import require_schema

    engine = open_engine(url, read_only=True)
    try:
        require_schema(engine)
    finally:
        engine.dispose()  # what is opened from here on belongs to the caller alone
    translate_errors(engine)
    return _detached(at_one_moment(engine))


def _detached(engine: Engine) -> Connection:
    """A connection of no pool: to close it ends it."""
    connection = engine.connect()
    connection.detach()
    return connection


# -- times and rows ----------------------------------------------------------------------------------------------------


def require_aware(**times: datetime) -> None:
    """Raise ValueError for a time without a zone, by the name it was given under, TypeError for no datetime at all."""
    for name, at in times.items():
        if not isinstance(at, datetime):
            raise TypeError(f"{name} must be an aware datetime, such as datetime(2026, 11, 22, tzinfo=UTC), not {at!r}")
        if at.utcoffset() is None:
            raise ValueError(f"{name} must be an aware datetime, and {at!r} has no zone: try tzinfo=UTC")


def require_aware_or_none(**times: datetime | None) -> None:
    """As `require_aware`, for times that need not be given."""
    require_aware(**{name: at for name, at in times.items() if at is not None})


def stream(connection: "Asked", query: sa.Executable, values: Mapping[str, Any]) -> sa.CursorResult[*tuple[Any, ...]]:
    """The rows of `query`, fetched from the database in pieces as they are read."""
    result: Any = connection.execute(query, values, execution_options={"yield_per": _CHUNK})
    return result  # type: ignore[no-any-return]


def dialect_of(connection: "Asked") -> str:
    """Which database it is: sqlite or postgresql."""
    bind = connection if isinstance(connection, Connection) else connection.get_bind()
    return bind.dialect.name


# -- sources -----------------------------------------------------------------------------------------------------------


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A source as the database knows it.

    `headline` is the component that `price` stands for. `price_units` says what a price is for, as configured now:
    component -> (quantity, word), and of the component `price` by the model's type: type -> (quantity, word).
    `first_observed_at` is None for a source that was never observed: nothing is known of what was before it.
    """

    id: int
    name: str
    headline: str
    currency: str | None
    price_units: Mapping[str, Any]
    created_at: datetime
    last_observed_at: datetime | None
    first_observed_at: datetime | None = None

    def unit(self, component: str, model_type: str | None) -> Unit | None:
        """What a price of this component is for, of a model of this type; None where nobody said so."""
        return unit_of(self.price_units, component, model_type)

    def units_of(self, components: Iterable[str], model_type: str | None) -> dict[str, Unit | None]:
        """What the price of each of these components is for."""
        if not self.price_units:
            return dict.fromkeys(components)
        return {component: self.unit(component, model_type) for component in components}


def unit_of(price_units: Mapping[str, Any] | None, component: str, model_type: str | None) -> Unit | None:
    """What a price is for by `sources.price_units`; a tier (`input@batch`) has its component's unit."""
    base = component.partition("@")[0]
    found = (price_units or {}).get(base)
    if base == BY_TYPE:
        found = None if found is None or model_type is None else found.get(model_type)
    return None if found is None else (int(found[0]), str(found[1]))


_earliest = runs.alias("earliest")
FIRST_OBSERVED_AT = (
    sa.select(_earliest.c.observed_at)
    .where(_earliest.c.source_id == sources.c.id, is_observed(_earliest))
    .order_by(_earliest.c.observed_at)
    .limit(1)
    .correlate(sources)
    .scalar_subquery()
)
"""When a source was first observed: that run wrote the baseline, and so it is never pruned."""
_SOURCES = sa.select(
    sources.c.id,
    sources.c.name,
    sources.c.headline,
    sources.c.currency,
    sources.c.price_units,
    sources.c.created_at,
    sources.c.last_observed_at,
    FIRST_OBSERVED_AT.label("first_observed_at"),
).order_by(sources.c.name)


def all_sources(connection: "Asked") -> dict[int, Source]:
    """Every source by id, in the order of names. Ask it after a streaming query: then it holds all that one names."""
    return {row.id: _source(row) for row in connection.execute(_SOURCES)}


def _source(row: Any) -> Source:  # noqa: ANN401 - a row of _SOURCES
    columns = dict(row._mapping)  # noqa: SLF001 - the public name of a row's mapping
    return Source(price_units=columns.pop("price_units") or {}, **columns)


class NotObserved(msgspec.Struct, frozen=True, kw_only=True):
    """A source of which nothing is known at the time asked about: it was observed for the first time later, if ever."""

    source: str
    first_observed_at: datetime | None


def not_observed(connection: "Asked", *, at: datetime, source: str | None = None) -> list[NotObserved]:
    """The sources that had not been observed yet at `at`: an answer about that time has nothing of them.

    Raises ValueError if `at` is naive, UnknownSource.
    """
    require_aware(at=at)
    within = None if source is None else source_id(connection, source)
    return [
        NotObserved(source=known.name, first_observed_at=known.first_observed_at)
        for known in all_sources(connection).values()
        if within in {None, known.id} and not was_observed(known.first_observed_at, at)
    ]


def was_observed(first_observed_at: datetime | None, at: datetime) -> bool:
    """Whether a source first observed then had been observed by `at` (law 6: before, nothing is known of it)."""
    return first_observed_at is not None and first_observed_at <= at


_SOURCE_ID = sa.select(sources.c.id).where(sources.c.name == sa.bindparam("source"))
_SOURCE_NAMES = sa.select(sources.c.name).order_by(sources.c.name)


def source_id(connection: "Asked", name: str) -> int:
    """The id of the source called `name`; raises UnknownSource."""
    found: int | None = connection.execute(_SOURCE_ID, {"source": name}).scalar()
    if found is None:
        names = ", ".join(connection.execute(_SOURCE_NAMES).scalars()) or "none yet"
        raise UnknownSource(f"the history has no source {name!r}; it has: {names}")
    return found


# -- models ------------------------------------------------------------------------------------------------------------


class Found(msgspec.Struct, frozen=True):
    """The one model that a question is about."""

    id: int
    name: str
    source: str
    source_id: int


_MODELS = sa.select(
    models.c.id, models.c.name, sources.c.name.label("source"), sources.c.id.label("source_id")
).select_from(
    sources.join(models, models.c.source_id == sources.c.id)  # from sources: then each is a seek on (source_id, name)
)
_IN_SOURCE = sources.c.id == sa.bindparam("source_id")
_BY_NAME = _MODELS.where(models.c.name == sa.bindparam("model")).order_by(sources.c.name)
_BY_ALIAS = _MODELS.where(models.c.alias == sa.bindparam("model")).order_by(sources.c.name, models.c.name)
_then = changes.alias("then")
STATE_ID = (
    sa.select(_then.c.id)
    .where(_then.c.model_id == models.c.id, _then.c.effective_at <= sa.bindparam("at"))
    .order_by(_then.c.effective_at.desc())
    .limit(1)
    .correlate(models)
    .scalar_subquery()
)
"""The change that a model's state at `:at` came from: one index seek a model, however long its history is."""
_BY_ALIAS_AT = (
    _MODELS.join(changes, changes.c.id == STATE_ID)
    .where(changes.c.alias == sa.bindparam("model"))
    .order_by(sources.c.name, models.c.name)
)
_HOW_TO_FIND = {
    (query, named): statement.where(_IN_SOURCE) if named else statement
    for query, statement in (("name", _BY_NAME), ("alias", _BY_ALIAS), ("alias_at", _BY_ALIAS_AT))
    for named in (False, True)
}
_NAMES = (
    sa.select(models.c.name, models.c.alias)
    .where(sa.or_(sa.bindparam("anywhere"), models.c.source_id == sa.bindparam("source_id")))
    .order_by(models.c.name)
)


def find_model(connection: "Asked", model: str, *, source: str | None = None, at: datetime | None = None) -> Found:
    """The model called `model`, in `source` or anywhere: by its name, else by its alias at `at` (None: its last one).

    Raises UnknownSource, UnknownModel (with the nearest names) or AmbiguousModel (with those that answer to it).
    """
    within = None if source is None else source_id(connection, source)
    found = find_named(connection, model, within)
    if not found and at is None:
        found = _candidates(connection, "alias", within, {"model": model})
    elif not found:
        found = _candidates(connection, "alias_at", within, {"model": model, "at": at})
    if not found:
        raise unknown(model, at, nearest_names(connection, model, within))
    return only(model, found)


def find_named(connection: "Asked", model: str, within: int | None) -> list[Found]:
    """The models of that very name: one in each source that has it, or the one of the source `within`."""
    return _candidates(connection, "name", within, {"model": model})


def only(model: str, found: Sequence[Found]) -> Found:
    """The one model that answers to `model`; raises AmbiguousModel that names them all, and how to choose."""
    if len(found) == 1:
        return found[0]
    candidates = tuple((candidate.source, candidate.name) for candidate in found)
    names = ", ".join(f"{name!r} of source {source!r}" for source, name in candidates)
    remedy = "name the source" if len({name for _, name in candidates}) == 1 else "give a full name and the source"
    raise AmbiguousModel(f"{model!r} may mean {names}: {remedy}", candidates=candidates)


def unknown(model: str, at: datetime | None, near: tuple[str, ...]) -> UnknownModel:
    """The error that says so, with the nearest names."""
    when = "" if at is None else f" at {at.isoformat()}"
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
    return UnknownModel(f"no model was ever named {model!r}, or had that alias{when}{hint}", nearest=near)


def nearest_names(connection: "Asked", model: str, within: int | None) -> tuple[str, ...]:
    """Up to three names and aliases of models that are most like `model`, whatever the case."""
    from difflib import get_close_matches

    spelled: dict[str, str] = {}
    for row in connection.execute(_NAMES, {"anywhere": within is None, "source_id": within}):
        spelled |= {name.casefold(): name for name in reversed(row) if name is not None}
    return tuple(spelled[close] for close in get_close_matches(model.casefold(), spelled, n=3, cutoff=0.5))


def _candidates(connection: "Asked", how: str, within: int | None, values: Mapping[str, Any]) -> list[Found]:
    query = _HOW_TO_FIND[how, within is not None]
    return [Found(*row) for row in connection.execute(query, {**values, "source_id": within})]
