"""Floor F: `fetch.py URL`: fetch a catalog with httpx and parse it typed with msgspec, prices exact; that is all."""

import sys
from decimal import Decimal

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
    huggingface_url: str | None = None


class _Data(msgspec.Struct):
    models: list[Model]


class _Envelope(msgspec.Struct):
    data: _Data
    status: str


def fetch(url: str) -> bytes:
    """The body. No CA certificates are loaded: loopback needs none, and they would be most of a small fetch."""
    with httpx.Client(verify=False, headers={"Authorization": "Bearer bench"}) as client:
        return client.get(f"{url}/serverless/models").raise_for_status().content


if __name__ == "__main__":
    envelope = msgspec.json.decode(fetch(sys.argv[1]), type=_Envelope)
    sys.stdout.write(f'{{"models": {len(envelope.data.models)}}}\n')
