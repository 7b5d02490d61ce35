"""Floor F: `fetch.py URL [SHAPE]`: fetch a catalog with httpx, parse it typed with msgspec, prices exact; that is all.

The prices are those of the shape (one, four or models.dev); what a syncer keeps in `extra` is passed over.
"""

import sys
from decimal import Decimal
from typing import Any

import httpx
import msgspec


class Model(msgspec.Struct):
    """One element of the list."""

    model_name: str
    model_alias: str | None = None
    model_type: str | None = None
    context_length: int | str | None = None
    max_completion_tokens: int | str | None = None
    description: str | None = None
    price: Decimal | None = None
    price_output: Decimal | None = None
    price_cache_read: Decimal | None = None
    price_cache_write: Decimal | None = None
    huggingface_url: str | None = None


class _Data(msgspec.Struct):
    models: list[Model]


class _Envelope(msgspec.Struct):
    data: _Data
    status: str


class _Cost(msgspec.Struct):
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    tiers: list[dict[str, Any]] = []


class _ModelsDev(msgspec.Struct):
    id: str
    name: str
    description: str
    family: str
    knowledge: str
    release_date: str
    last_updated: str
    modalities: dict[str, list[str]]
    limit: dict[str, int]
    cost: _Cost
    attachment: bool
    reasoning: bool
    tool_call: bool
    temperature: bool
    open_weights: bool


class _Provider(msgspec.Struct):
    id: str
    name: str
    models: dict[str, _ModelsDev]


def fetch(url: str) -> bytes:
    """The body. No CA certificates are loaded: loopback needs none, and they would be most of a small fetch."""
    with httpx.Client(verify=False, headers={"Authorization": "Bearer bench"}) as client:
        return client.get(url).raise_for_status().content


def read(body: bytes, shape: str) -> int:
    """How many elements there are, once all are read."""
    if shape == "models.dev":
        providers = msgspec.json.decode(body, type=dict[str, _Provider])
        return sum(len(provider.models) for provider in providers.values())
    return len(msgspec.json.decode(body, type=_Envelope).data.models)


if __name__ == "__main__":
    place, *shape = sys.argv[1:]
    sys.stdout.write(f'{{"models": {read(fetch(place), *shape or ["one"])}}}\n')
