"""Answers in the forms that other tools take."""

from collections.abc import Iterable
from typing import Any

import msgspec

from syncer.core.text import json_line


def as_dicts(rows: Iterable[msgspec.Struct]) -> list[dict[str, Any]]:
    """Answers as dictionaries, for pandas: `pandas.DataFrame(history.as_dicts(history.movers(...)))`.

    Prices stay exact Decimals; `.astype(float)` makes floats of a column.
    """
    return [msgspec.structs.asdict(row) for row in rows]


def as_json(rows: Iterable[msgspec.Struct]) -> str:
    """Answers as JSON, one object a line: prices as numbers without loss, times as RFC 3339 with Z, unknown as null."""
    return "\n".join(json_line(msgspec.structs.asdict(row)) for row in rows)
