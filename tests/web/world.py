"""A small history that has everything a page can show, made by real polls of two providers.

`acme` speaks the seed's format: steps, a gap, an unknown price, an outage, an absence, a withheld price, hostile text.
`router` has several prices to a model, for two units, and an announced end.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from syncer.settings import Settings, SourceSettings
from tests.story import Story, instant, label
from tests.upstream import Reply, Upstream, model

HOSTILE = '"><script>alert(1)</script>{{7*7}}\u202e<b>'
UNITS = {"price": {"Text": (1_000_000, "token"), "Image": (1, "image")}}
R1 = "deepseek-ai/DeepSeek-R1"


def acme(**prices: str | None) -> list[dict[str, Any]]:
    """What acme lists: these models beside the ones that never move."""
    rows = [
        model("openai/whisper-large-v3", Decimal("0.0015"), model_type="Speech"),
        model("black-forest-labs/FLUX.1-dev", Decimal("0.02"), model_type="Image", model_alias="FLUX dev"),
        model("free/for-all", Decimal(0)),
        model("odd/negative", Decimal(-1)),
        model("odd/tiny", Decimal("0.000283333333333333")),
        model(HOSTILE, Decimal(3), model_alias=HOSTILE, description=f"{HOSTILE}\x00\x1b[31m\n{'界' * 255}"),
    ]
    return [*rows, *(model(name, None if price is None else Decimal(price)) for name, price in prices.items())]


def router(model_id: str, prompt: str, completion: str, **more: Any) -> dict[str, Any]:
    """One model as the router lists it: prices for one token."""
    pricing = {"prompt": prompt, "completion": completion, **more.pop("pricing", {})}
    return {
        "id": model_id,
        "name": model_id.title(),
        "context_length": 128_000,
        "architecture": {"output_modalities": ["text"]},
        "pricing": pricing,
        **more,
    }


@dataclass
class World:
    """Where it is served, and when: `ahead` of 21 minutes after the last poll."""

    url: str
    database: str
    made_at: datetime
    ahead: timedelta = timedelta(0)

    def clock(self) -> datetime:
        """The clock of the pages."""
        return self.made_at + timedelta(minutes=21) + self.ahead


def settings_of(url: str) -> Settings:
    """The configuration of both sources."""
    acme = SourceSettings(name="acme", url="https://acme.example", currency="USD", price_units=UNITS)
    router = SourceSettings(name="router", url="https://router.example/api/v1/models", format="openrouter")
    return Settings(database_url=url, sources=(acme, router))


def tell(url: str, first: Upstream, second: Upstream) -> datetime:
    """Live through it; the time of the last poll."""
    story = Story(url, first, name="acme", currency="USD", price_units=UNITS, removal_after=timedelta(hours=1))
    other = Story(url, second, name="router", format="openrouter").set(url=f"{second.url}/models")
    _live(story, other)
    other.engine.dispose()
    story.engine.dispose()
    return story.now


def _live(story: Story, other: Story) -> None:
    steps: list[tuple[str, dict[str, str | None]]] = [
        ("01-01", {R1: "2.19", "Qwen/QwQ-32B": "0.2", "meta/Llama": "0.55"}),
        ("01-05", {R1: "2.74", "Qwen/QwQ-32B": "0.2", "meta/Llama": "0.55"}),
        ("01-12", {R1: "2.19", "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55"}),
        ("01-20", {R1: "1.79", "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55", "new/Arrival": "4"}),
        ("01-24", {"Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55", "new/Arrival": "4"}),
        ("01-26", {"Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55", "new/Arrival": "4"}),
        ("02-01", {R1: "1.35", "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55", "new/Arrival": "4"}),
        ("02-06", {R1: None, "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55", "new/Arrival": "4"}),
        ("02-08", {R1: None, "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.55", "new/Arrival": "4"}),
        ("02-09", {R1: "0.99", "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.6", "new/Arrival": "4"}),
        ("02-14", {R1: "0.99", "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.6", "new/Arrival": "4"}),
        ("02-18", {R1: "0.55", "Qwen/QwQ-32B": "0.15", "meta/Llama": "0.6", "new/Arrival": "4"}),
    ]
    for when, prices in steps:
        if story.now < instant(when) - timedelta(hours=3):
            story.again(label(instant(when) - timedelta(hours=2)))  # nothing new, two hours before
        story.on(when, *acme(**prices))
    story.failing("02-19", Reply(body=b"<!doctype html><title>Maintenance</title>"))
    last = {R1: "550", "Qwen/QwQ-32B": "0.15", "new/Arrival": "4"}  # a held price, and one model that is missing
    story.on("02-20", *acme(**last))
    cached = {"input_cache_read": "0.00000025"}
    picture = {"image": "0.004"}
    ends: dict[str, Any] = {"expiration_date": "2026-03-05"}
    luna = ("lab/luna", "0.000001", "0.000004")
    days: list[tuple[str, tuple[str, str], list[dict[str, Any]]]] = [
        ("01-02", ("0.0000025", "0.00001"), [router(*luna)]),
        ("01-15", ("0.000002", "0.000008"), [router(*luna)]),
        ("02-10", ("0.000002", "0.000006"), [router(*luna, **ends)]),
        ("02-20", ("0.0000015", "0.000006"), [router(*luna, **ends), router(R1, "0.0000006", "0.0000024")]),
    ]
    for when, sol, rest in days:
        if when > "01-02" and when != "01-15":
            other.again(label(instant(when) - timedelta(hours=1)))
        listed = [router("lab/sol", *sol, pricing=cached | picture), *rest]
        other.sends(when, json.dumps({"data": listed}).encode())
