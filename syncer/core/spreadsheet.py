"""A value as the cell of a table: for CSV, harmless to a spreadsheet (law 12).

No cell is a formula, numbers stay numbers, and what could steer or hide text is left out.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from syncer.core.text import UNSAFE, json_line, number, rfc3339

# A cell may also be split at ; or a tab by a spreadsheet whose list separator is not the comma.
_FORMULA = re.compile("^(?=[\t\r\n])|(^|[;\t\r\n])(?=\\s*[=+\\-@\uff1d\uff0b\uff0d\uff20])")


def csv_cell(value: Any) -> str:  # noqa: ANN401 - whatever the cell holds
    """The cell of a CSV file; empty for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return rfc3339(value)
    return number(value) if is_number(value) else _csv_text(cell_text(value))


def _csv_text(text: str) -> str:
    """`text` on one line, without control characters, and not a formula."""
    kept = UNSAFE.sub(lambda found: found[0] if found[0] in "\t\r\n" else "", text)
    return re.sub(r"\s*[\t\r\n]\s*", " ", _FORMULA.sub(r"\1'", kept))


def cell_text(value: Any) -> str:  # noqa: ANN401 - whatever the cell holds
    """A value that is neither None, a time nor a number, as the text of a cell."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return json_line(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def is_number(value: object) -> bool:
    """A number that is no truth value: those stand to the right."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
