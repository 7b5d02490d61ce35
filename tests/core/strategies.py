"""Random catalogs in the documented wire format, for property tests."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from syncer.core import prices

# Everything that JSON can carry and a listing may hold: no lone surrogates, no NUL.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cf", "Cn", "Co"]), min_size=1, max_size=20
)
PRICES = st.decimals(min_value=-(10**6), max_value=10**6, allow_nan=False, places=9).map(prices.canonical)
COUNTS = st.integers(0, 2**63 - 1)
ELEMENTS = st.fixed_dictionaries(
    {"model_name": NAMES},
    optional={
        "model_alias": st.none() | TEXT,
        "model_type": st.none() | TEXT,
        "context_length": st.none() | COUNTS,
        "max_completion_tokens": st.none() | COUNTS,
        "description": st.none() | TEXT,
        "price": st.none() | PRICES,
        "huggingface_url": st.none() | TEXT,
        "owner": st.none() | st.booleans() | TEXT,
    },
)
CATALOGS = st.lists(ELEMENTS, min_size=1, max_size=8, unique_by=lambda element: str(element["model_name"]))
SOUP = st.binary(max_size=400)


def element(fields: Mapping[str, Any]) -> str:
    """One element as JSON text; a Decimal is written in full."""
    parts = (f"{json.dumps(key)}: {_value(value)}" for key, value in fields.items())
    return "{" + ", ".join(parts) + "}"


def body(elements: Sequence[str]) -> bytes:
    """A whole response around these elements."""
    return ('{"data": {"models": [' + ", ".join(elements) + ']}, "status": "success", "message": ""}').encode()


def _value(value: object) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)
