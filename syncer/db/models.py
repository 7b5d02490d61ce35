"""Mapped classes over the tables, for ORM users: `select(Model).join(Source)`, with types for an editor to complete.

    from sqlalchemy.orm import Session
    from syncer.db.engine import open_engine
    from syncer.db.models import Change, Model, Source

Nothing on the sync path imports this module: the ORM costs as much start-up as the rest of SQLAlchemy together.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import DeclarativeBase, Mapped, relationship

from syncer.db import schema, tables


class Base(DeclarativeBase):
    """Shares its metadata with `syncer.db.schema`: columns and indexes are declared there, once."""

    metadata = schema.metadata


class Source(Base):
    """One provider endpoint that publishes a catalog."""

    __table__ = tables.sources
    id: Mapped[int]
    name: Mapped[str]
    url: Mapped[str]
    currency: Mapped[str | None]
    last_observed_at: Mapped[datetime | None]
    models: Mapped[list["Model"]] = relationship(back_populates="source", viewonly=True)
    runs: Mapped[list["Run"]] = relationship(back_populates="source", viewonly=True)


class Run(Base):
    """One attempt, whatever came of it."""

    __table__ = tables.runs
    id: Mapped[int]
    kind: Mapped[str]
    outcome: Mapped[str]
    started_at: Mapped[datetime]
    observed_at: Mapped[datetime | None]
    error: Mapped[str | None]
    source: Mapped[Source] = relationship(back_populates="runs", viewonly=True)


class Model(Base):
    """A model in its last known state; `removed_at` is None while it is listed."""

    __table__ = tables.models
    id: Mapped[int]
    name: Mapped[str]
    price: Mapped[Decimal | None]
    prices: Mapped[dict[str, Decimal | None]]
    context_length: Mapped[int | None]
    removed_at: Mapped[datetime | None]
    source: Mapped[Source] = relationship(back_populates="models", viewonly=True)
    changes: Mapped[list["Change"]] = relationship(
        back_populates="model", viewonly=True, order_by=tables.changes.c.effective_at
    )
    moves: Mapped[list["Price"]] = relationship(
        back_populates="model", viewonly=True, order_by=tables.prices.c.effective_at
    )


class Change(Base):
    """One history row; never updated, never deleted."""

    __table__ = tables.changes
    id: Mapped[int]
    kind: Mapped[str]
    observed_at: Mapped[datetime]
    effective_at: Mapped[datetime]
    changed_after: Mapped[datetime | None]
    old_price: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    prices: Mapped[dict[str, Decimal | None]]
    changed: Mapped[dict[str, Any]]
    model: Mapped[Model] = relationship(back_populates="changes", viewonly=True)


class Price(Base):
    """One move of one price; never updated, never deleted."""

    __table__ = tables.prices
    component: Mapped[str]
    effective_at: Mapped[datetime]
    changed_after: Mapped[datetime | None]
    kind: Mapped[str]
    old_price: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    model: Mapped[Model] = relationship(back_populates="moves", viewonly=True)
