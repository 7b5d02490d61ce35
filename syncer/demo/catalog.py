"""The sample catalog: thirteen or so models of an imaginary provider, one step for each of its fourteen days.

- Each day is a few edits on the day before, so what happens is readable here and nowhere hidden.
- It is data: the same bytes at each start, on each machine. Prices are exact decimal literals in US dollars.
- Between them the days show all that a history must tell apart: what really changed, what only looked like it
  (an absence of one day, an unreadable row, a page that is no catalog, a truncated list, a mistaken unit), and
  that nothing did. A test names each of these and finds it here.
"""

from decimal import Decimal

import msgspec

PRICE_UNITS = {
    "Text": (1_000_000, "token"),
    "Embedding": (1_000_000, "token"),
    "Rerank": (1_000_000, "token"),
    "Image": (1, "image"),
    "Audio": (60, "second"),
}
"""What a price buys, by model type: (quantity, unit). The wire format does not say it; settings do."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One poll of the provider: what a person is told about it, and what the server answers."""

    title: str
    body: bytes
    status: int = 200
    content_type: str = "application/json"


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One element of the response, its fields named and ordered as on the wire.

    `price` is None where the provider does not say, and text where it says something that is no price.
    """

    model_name: str
    model_alias: str
    model_type: str
    context_length: int | None = None
    max_completion_tokens: int | None = None
    description: str
    price: Decimal | str | None
    huggingface_url: str


Catalog = tuple[Model, ...]


def add(catalog: Catalog, *models: Model) -> Catalog:
    """The catalog with `models` at its end."""
    return catalog + models


def remove(catalog: Catalog, model: Model) -> Catalog:
    """The catalog without the model of that name."""
    return tuple(listed for listed in catalog if listed.model_name != model.model_name)


def reprice(catalog: Catalog, model: Model, price: str | None) -> Catalog:
    """The catalog with another price for that model: a decimal literal, or None for unknown."""
    return _edit(catalog, model, price=None if price is None else Decimal(price))


def garble(catalog: Catalog, model: Model, price: str) -> Catalog:
    """The catalog with a text that is no price where that model's price should be."""
    return _edit(catalog, model, price=price)


def shorten(catalog: Catalog, model: Model, context_length: int) -> Catalog:
    """The catalog with another context length, in tokens, for that model."""
    return _edit(catalog, model, context_length=context_length)


def _edit(catalog: Catalog, model: Model, **fields: object) -> Catalog:
    return tuple(
        msgspec.structs.replace(listed, **fields) if listed.model_name == model.model_name else listed
        for listed in catalog
    )


def response(catalog: Catalog) -> bytes:
    """The catalog as the documented endpoint sends it: prices are JSON numbers without loss."""
    document = {"data": {"models": catalog}, "message": "Get models list successfully.", "status": "success"}
    return msgspec.json.Encoder(decimal_format="number").encode(document)


def _model(name: str, kind: str, price: str, description: str, **limits: int) -> Model:
    return Model(
        model_name=name,
        model_alias=name.partition("/")[2],
        model_type=kind,
        description=description,
        price=Decimal(price),
        huggingface_url=f"https://huggingface.co/{name}",
        **limits,
    )


LLAMA = _model(
    "meta-llama/Llama-3.3-70B-Instruct",
    "Text",
    "0.59",
    "A 70B instruction-tuned model for dialogue in eight languages",
    context_length=131072,
    max_completion_tokens=16384,
)
DEEPSEEK = _model(
    "deepseek-ai/DeepSeek-R1",
    "Text",
    "2.19",
    "An open reasoning model that thinks before it answers",
    context_length=163840,
    max_completion_tokens=32768,
)
DISTILL = _model(
    "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "Text",
    "0",
    "R1's reasoning distilled into a 70B Llama; free while in preview",
    context_length=131072,
    max_completion_tokens=10000,
)
QWEN = _model(
    "Qwen/Qwen2.5-72B-Instruct",
    "Text",
    "0.38",
    "A 72B instruction-tuned model, strong at code and mathematics",
    context_length=32768,
    max_completion_tokens=8192,
)
MISTRAL = _model(
    "mistralai/Mistral-Small-24B-Instruct-2501",
    "Text",
    "0.14",
    "A 24B model tuned for quick answers",
    context_length=32768,
    max_completion_tokens=8192,
)
GEMMA = _model(
    "google/gemma-2-27b-it",
    "Text",
    "0.27",
    "A 27B model, instruction-tuned, for a single accelerator",
    context_length=8192,
    max_completion_tokens=4096,
)
SCHNELL = _model(
    "black-forest-labs/FLUX.1-schnell",
    "Image",
    "0.003",
    "Text to image in one to four steps",
)
SDXL = _model(
    "stabilityai/stable-diffusion-xl-base-1.0",
    "Image",
    "0.009",
    "A latent diffusion model for images of 1024 by 1024 pixels",
)
BGE = _model(
    "BAAI/bge-large-en-v1.5",
    "Embedding",
    "0.012",
    "English sentence embeddings of 1024 dimensions",
    context_length=512,
)
WHISPER = _model(
    "openai/whisper-large-v3",
    "Audio",
    "0.0015",
    "Speech recognition and translation in 99 languages",
)
KOKORO = _model(
    "hexgrad/Kokoro-82M",
    "Audio",
    "0.0006",
    "A small text-to-speech model with many voices",
)
RERANKER = _model(
    "BAAI/bge-reranker-v2-m3",
    "Rerank",
    "0.02",
    "A light multilingual reranker",
    context_length=8192,
)
QWQ = _model(
    "Qwen/QwQ-32B",
    "Text",
    "0.2",
    "A 32B reasoning model",
    context_length=131072,
    max_completion_tokens=32768,
)
FLUX_DEV = _model(
    "black-forest-labs/FLUX.1-dev",
    "Image",
    "0.025",
    "Text to image with a 12B rectified flow transformer",
)

DAY_1: Catalog = (
    *(LLAMA, DEEPSEEK, DISTILL, QWEN, MISTRAL, GEMMA),
    *(SCHNELL, SDXL, BGE, WHISPER, KOKORO, RERANKER),
)
DAY_3 = add(remove(DAY_1, GEMMA), QWQ, FLUX_DEV)
DAY_4 = reprice(reprice(DAY_3, MISTRAL, "0.09"), KOKORO, None)
DAY_5 = reprice(remove(DAY_4, WHISPER), DISTILL, "0.4")
DAY_6 = reprice(add(DAY_5, WHISPER), DEEPSEEK, "2.74")
DAY_8 = remove(reprice(add(DAY_6, GEMMA), GEMMA, "0.35"), SDXL)
DAY_9 = shorten(garble(DAY_8, RERANKER, "call us"), LLAMA, 65536)
DAY_10 = reprice(reprice(DAY_9, RERANKER, "0.02"), KOKORO, "0.0008")
DAY_11 = DAY_10[:3]
DAY_13 = reprice(DAY_10, LLAMA, "590")

MAINTENANCE = b"""<!doctype html>
<html><head><title>Maintenance</title></head>
<body><h1>We will be right back</h1><p>The API is being upgraded.</p></body></html>
"""

DAYS: tuple[Day, ...] = (
    Day(title="Day 1: the provider opens with 12 models", body=response(DAY_1)),
    Day(title="Day 2: nothing changes", body=response(DAY_1)),
    Day(title="Day 3: QwQ 32B and FLUX.1 dev are new, Gemma 2 is gone", body=response(DAY_3)),
    Day(title="Day 4: Mistral Small gets cheaper, Kokoro's price is no longer stated", body=response(DAY_4)),
    Day(title="Day 5: R1 Distill is no longer free, Whisper is missing for a day", body=response(DAY_5)),
    Day(title="Day 6: Whisper is back as if nothing had been, DeepSeek R1 gets dearer", body=response(DAY_6)),
    Day(title="Day 7: a maintenance page instead of the list", body=MAINTENANCE, content_type="text/html"),
    Day(title="Day 8: Gemma 2 returns at another price, Stable Diffusion XL is gone for good", body=response(DAY_8)),
    Day(title="Day 9: Llama 3.3's context is halved, the reranker's price reads 'call us'", body=response(DAY_9)),
    Day(title="Day 10: the reranker's price is a number again, Kokoro's is stated again", body=response(DAY_10)),
    Day(title="Day 11: the list is cut off after 3 of 13 models, and looks whole", body=response(DAY_11)),
    Day(title="Day 12: the whole list again", body=response(DAY_10)),
    Day(title="Day 13: Llama 3.3 costs 1000 times as much, someone mistook the unit", body=response(DAY_13)),
    Day(title="Day 14: Llama 3.3's price is right again", body=response(DAY_10)),
)
