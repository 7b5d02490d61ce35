"""What is doubtful: the kinds of finding."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec


class FindingKind(StrEnum):
    """The rules that withhold something."""

    MOVED_SOURCE = "moved_source"
    PARTIAL = "partial"
    NAMELESS = "nameless"
    REQUIRED = "required"
    REMOVALS = "removals"
    SHAPE = "shape"
    UNIT_CHANGE = "unit_change"
    PRICES_GONE = "prices_gone"
    MASS_REPRICING = "mass_repricing"
    IMPLAUSIBLE_PRICE = "implausible_price"
    REVERTED = "reverted"


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding withholds of one model; `fields` None: its absence."""

    since: datetime
    fields: Mapping[str, Any] | None
    first: datetime | None = None
    shown: tuple[tuple[str, Decimal | None, datetime], ...] = ()


Evidence = Mapping[str, Withheld]
"""The models of a finding, by name, and what is withheld of each."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something doubtful. `opened_at` is the first observation that showed it; `id` is None until it is stored."""

    kind: FindingKind
    evidence: Evidence
    opened_at: datetime
    id: int | None = None
    state: str = "open"
