"""Column types that read back exactly what was written, on every database.

- `UtcDateTime`: aware values only; TIMESTAMP WITH TIME ZONE, on SQLite text in UTC that compares with datetime().
- `Price`: a canonical Decimal (law 4); NUMERIC on PostgreSQL, REAL on SQLite. A REAL holds 15 significant digits, and
  `repr` gives those back where SQLAlchemy's own Numeric would round through a fixed scale.
- `JSONBinary`: documents of our own making; JSON holds upstream's text, which JSONB refuses in part.
- `NAME`: compared bytewise everywhere: model names are case-sensitive.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa

from syncer.core import prices


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An instant. Binding a naive datetime raises ValueError; reading gives an aware one in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """UTC on its way in; databases without zones get it without one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime has no place in the database: {value!r}")
        in_utc = value.astimezone(UTC)
        return in_utc if dialect.name == "postgresql" else in_utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Aware and in UTC on its way out."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Price(sa.TypeDecorator[Decimal]):
    """A canonical price; NULL is unknown."""

    impl = sa.Numeric().with_variant(sa.REAL(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> Decimal | float | None:
        """SQLite has no decimals: 15 significant digits survive a double exactly."""
        return float(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Decimal | float | None, dialect: sa.Dialect) -> Decimal | None:  # noqa: ARG002
        """The canonical price that was stored."""
        return None if value is None else _read_price(value)


@lru_cache(maxsize=8192)  # a catalog has a few hundred prices, and a history has them again and again
def _read_price(value: Decimal | float) -> Decimal:
    """`repr` of a double is its shortest spelling: the very digits that were stored."""
    return prices.canonical(value if isinstance(value, Decimal) else Decimal(repr(float(value))))


class JSONBinary(sa.TypeDecorator[Any]):
    """Our own keys and canonical numbers: JSONB on PostgreSQL, which compares and groups it; text on SQLite."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The dialect is imported here, so that a sync on SQLite never loads the one of PostgreSQL."""
        if dialect.name != "postgresql":
            return sa.JSON(none_as_null=True)
        from sqlalchemy.dialects.postgresql import JSONB

        return JSONB(none_as_null=True)


NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")
COMPONENT = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite: INTEGER PRIMARY KEY is the row's own id
JSON = sa.JSON(none_as_null=True)
_encode_json = msgspec.json.Encoder(decimal_format="number").encode
_decode_json = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal).raw_decode  # `decode` looks for space twice


def write_json(value: object) -> str:
    """A value of a JSON column as its text; Decimals are plain numbers."""
    return _encode_json(value).decode()


def read_json(text: str | bytes) -> Any:  # noqa: ANN401 - JSON
    """The value that a JSON column's text spells; every number is a Decimal, so that none is one by luck."""
    spelled = (text if isinstance(text, str) else text.decode()).strip()
    value, end = _decode_json(spelled)
    if end != len(spelled):
        raise json.JSONDecodeError("Extra data", spelled, end)
    return value
