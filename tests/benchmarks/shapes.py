"""How the models of a benchmark's catalog are written: the seed's endpoint with 1, 4 or 16 prices, and models.dev.

A shape turns (model number, headline price in ten-thousandths) into bytes, and says what a syncer.toml needs to read
them. Each element of the seed's shapes has exactly ELEMENT bytes, with sixteen prices twice as many; those of
models.dev come to about 6 MB for 5,300.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

ELEMENT = 390
PROVIDERS = 145
_TYPES = ("Text", "Text", "Text", "Image", "Embedding", "Audio")
_PROSE = "A highly advanced model, distilled and optimized for efficiency and performance in many languages. " * 8
_FOUR_FORMAT = """
[formats.four]
extends = "serverless"

[formats.four.prices]
output = "price_output"
cache_read = "price_cache_read"
cache_write = "price_cache_write"
"""
_FURTHER = tuple(f"tier_{number}" for number in range(1, 16))
_SIXTEEN_FORMAT = "\n".join(
    [
        "[formats.sixteen]",
        'extends = "serverless"',
        "[formats.sixteen.prices]",
        *(f'{name} = "price_{name}"' for name in _FURTHER),
    ]
)


class Shape(NamedTuple):
    """`body` writes the prices of a catalog, under a message of the envelope; `tables` defines the format."""

    name: str
    format: str
    path: str
    body: Callable[[Mapping[int, int], str], bytes]
    tables: str = ""


def _enveloped(element: Callable[[int, int], str]) -> Callable[[Mapping[int, int], str], bytes]:
    def body(prices: Mapping[int, int], message: str) -> bytes:
        listed = ",".join(element(number, price) for number, price in prices.items())
        return f'{{"data":{{"models":[{listed}]}},"message":"{message}","status":"success"}}'.encode()

    return body


def _one(number: int, price: int) -> str:
    return _element(number, f'"price":{_money(price)}')


def _four(number: int, price: int) -> str:
    others = (("output", price * 4), ("cache_read", price // 10), ("cache_write", price * 5 // 4))
    return _element(
        number,
        f'"price":{_money(price)}' + "".join(f',"price_{name}":{_money(amount)}' for name, amount in others),
    )


def _sixteen(number: int, price: int) -> str:
    others = "".join(f',"price_{name}":{_money(price + step)}' for step, name in enumerate(_FURTHER, 1))
    return _element(number, f'"price":{_money(price)}{others}', size=2 * ELEMENT)


def _element(number: int, prices: str, *, size: int = ELEMENT) -> str:
    alias = f"model-{number:07d}"
    name = f"maker-{number % 97}/{alias}"
    head = (
        f'{{"model_name":"{name}","model_alias":"{alias}","model_type":"{_TYPES[number % len(_TYPES)]}",'
        f'"context_length":"{1024 << number % 8}","max_completion_tokens":{1000 + number % 9000},"description":"'
    )
    tail = f'",{prices},"huggingface_url":"https://huggingface.co/{name}"}}'
    start = number % 101
    return head + _PROSE[start : start + size - len(head) - len(tail)] + tail


def _models_dev(prices: Mapping[int, int], _message: str) -> bytes:
    """A map of maps; the providers stand in the order in which their first models do."""
    providers: dict[int, list[str]] = {}
    for number, price in prices.items():
        providers.setdefault(number % PROVIDERS, []).append(_models_dev_model(number, price))
    return ("{" + ",".join(_models_dev_provider(number, models) for number, models in providers.items()) + "}").encode()


def _models_dev_provider(number: int, models: Iterable[str]) -> str:
    return (
        f'"provider-{number}":{{"id":"provider-{number}","env":["PROVIDER_{number}_API_KEY"],'
        f'"npm":"@ai-sdk/openai-compatible","api":"https://api.provider-{number}.example/v1",'
        f'"name":"Provider {number}","doc":"https://provider-{number}.example/docs","models":{{{",".join(models)}}}}}'
    )


def _models_dev_model(number: int, price: int) -> str:
    start, day = number % 101, f"2025-{1 + number % 12:02d}-{1 + number % 28:02d}"
    cost = f'"input":{_money(price)},"output":{_money(price * 4)},"cache_read":{_money(price // 10)}'
    if number % 10 == 0:
        cost += (
            f',"tiers":[{{"input":{_money(price * 2)},"output":{_money(price * 6)},'
            '"tier":{"type":"context","size":200000}}]'
        )
    return (
        f'"maker/model-{number}":{{"id":"maker/model-{number}","name":"Model {number}",'
        f'"description":"{_PROSE[start : start + 640]}","family":"family-{number % 40}","attachment":false,'
        f'"reasoning":true,"tool_call":true,"temperature":true,"knowledge":"{day[:7]}","release_date":"{day}",'
        f'"last_updated":"{day}","modalities":{{"input":["text","image"],"output":["text"]}},"open_weights":false,'
        f'"limit":{{"context":{1024 << number % 8},"output":{1000 + number % 9000}}},"cost":{{{cost}}}}}'
    )


def _money(ten_thousandths: int) -> str:
    return f"{ten_thousandths / 10_000:.10g}"


ONE = Shape("one", "serverless", "/serverless/models", _enveloped(_one))
FOUR = Shape("four", "four", "/serverless/models", _enveloped(_four), _FOUR_FORMAT)
SIXTEEN = Shape("sixteen", "sixteen", "/serverless/models", _enveloped(_sixteen), _SIXTEEN_FORMAT)
MODELS_DEV = Shape("models.dev", "models.dev", "/api.json", _models_dev)
