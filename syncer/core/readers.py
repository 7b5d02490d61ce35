"""What paths cannot say: a closed set of readers for prices by tier, by class of service or by the hour of the day.

- A reader gets an element and its prices as they were read by path, and adds to them or replaces them. It reads each
  number by `price`, in the unit of its component, and raises ValueError for what it cannot read.
- A tier is a suffix of the component, so that `input` is always the standard price: `input@>200000` is what a prompt
  of more than 200,000 tokens costs, `input@batch` what a batch does.
- A price is a property of the element, not of the moment at which it was polled.

Raise a reader's version when it would read the same element differently: it is part of the parser's digest.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from syncer.core.prices import json_type, published

Prices = dict[str, Decimal | None]
Price = Callable[[str, object], Decimal | None]

_DAY = 24 * 60
_WHOLE_DAY = (1 << _DAY) - 1
_LITELLM_KEY = re.compile(
    r"(?P<base>\w*?cost\w*?)(?:_above_(?P<above>\d+)(?P<k>k?)_tokens)?(?:_(?P<service>priority|flex|batches))?"
)


class Reader(msgspec.Struct, frozen=True):
    """`read(element, prices, names, price)`; `names` maps the last key of each path to its component.

    `consumes` are the paths that it reads, which are therefore not kept as `extra`; `base_of` gives, for a key that
    it reads as a tier of another one, that other key, and any other key as it is.
    """

    read: Callable[[Mapping[str, Any], Prices, Mapping[str, str], Price], None]
    version: int
    consumes: tuple[tuple[str, ...], ...]
    base_of: Callable[[str], str] = str


def _openrouter(element: Mapping[str, Any], prices: Prices, names: Mapping[str, str], price: Price) -> None:
    """`pricing.overrides`: a list of prices for prompts of `min_prompt_tokens`, or from `utc_start` to `utc_end`."""
    daily: dict[str, list[tuple[int, Decimal]]] = {}
    for override in _objects(_member(element, "pricing"), "overrides"):
        tier = _tier(override.get("min_prompt_tokens"))
        window = _window(override.get("utc_start"), override.get("utc_end"))
        if not tier and window is None:
            continue  # a condition that is not known here
        for key in override.keys() & names.keys():
            amount = price(names[key], override[key])
            if window is None:
                prices[names[key] + tier] = amount
            elif amount is not None:
                daily.setdefault(names[key] + tier, []).append((window, amount))
    for component, windows in daily.items():
        prices[component] = _standard(windows, prices.get(component))


def _litellm(element: Mapping[str, Any], prices: Prices, names: Mapping[str, str], price: Price) -> None:
    """Suffixes of a key (`_above_200k_tokens`, `_priority`, `_flex`, `_batches`), and `tiered_pricing` by range."""
    for key, value in element.items():
        if "cost" in key and key not in names and value is not None and type(value) is not dict:
            base, suffix = _litellm_key(key)
            if suffix and base in names:
                prices[names[base] + suffix] = price(names[base], value)
    for tier in _objects(element, "tiered_pricing"):
        limits = tier.get("range")
        if isinstance(limits, list) and limits:
            suffix = _tier(limits[0])
            for key in tier.keys() & names.keys():
                if suffix or prices.get(names[key]) is None:
                    prices[names[key] + suffix] = price(names[key], tier[key])


def _litellm_base(key: str) -> str:
    return _litellm_key(key)[0]


def _models_dev(element: Mapping[str, Any], prices: Prices, names: Mapping[str, str], price: Price) -> None:
    """`cost.tiers` by the size of the context, and the older `context_over_200k`."""
    cost = _member(element, "cost")
    older = _member(cost, "context_over_200k")
    for key in older.keys() & names.keys():
        prices[f"{names[key]}@>200000"] = price(names[key], older[key])
    for tier in _objects(cost, "tiers"):
        by = _member(tier, "tier")
        if by.get("type") == "context" and (suffix := _tier(by.get("size"))):
            for key in tier.keys() & names.keys():
                prices[names[key] + suffix] = price(names[key], tier[key])


def _vercel(element: Mapping[str, Any], prices: Prices, names: Mapping[str, str], price: Price) -> None:
    """`pricing.input_tiers` and the like: a cost from `min` tokens on; the first one is the standard price."""
    pricing = _member(element, "pricing")
    for key, component in names.items():
        for tier in _objects(pricing, f"{key}_tiers"):
            prices[component + _tier(tier.get("min"))] = price(component, tier.get("cost"))


def _novita(element: Mapping[str, Any], prices: Prices, _: Mapping[str, str], price: Price) -> None:
    """`tiered_billing_configs` from `min_tokens` on; where no decimal is stated, ten-thousandths of it, -1 for none."""
    for key, component in (("input_token_price_per_m", "input"), ("output_token_price_per_m", "output")):
        if prices.get(component) is None and (value := element.get(key)) is not None:
            number = published(value)
            prices[component] = None if number == -1 else price(component, number.scaleb(-4))
    for tier in _objects(element, "tiered_billing_configs"):
        pricing = _member(tier, "pricing")
        suffix = _tier(tier.get("min_tokens"))
        for key, component in _NOVITA.items():
            amount = _member(pricing, key).get("price_per_m_decimal")
            if amount is not None:
                prices[component + suffix] = price(component, amount)


_NOVITA = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write",
}

_VERCEL = ("input", "output", "input_cache_read", "input_cache_write")

READERS: Mapping[str, Reader] = {
    "openrouter": Reader(_openrouter, 1, (("pricing", "overrides"),)),
    "litellm": Reader(_litellm, 1, (("tiered_pricing",),), _litellm_base),
    "models.dev": Reader(_models_dev, 1, (("cost", "tiers"), ("cost", "context_over_200k"))),
    "vercel": Reader(_vercel, 1, tuple(("pricing", f"{key}_tiers") for key in _VERCEL)),
    "novita": Reader(
        _novita,
        1,
        tuple((key,) for key in ("tiered_billing_configs", "input_token_price_per_m", "output_token_price_per_m")),
    ),
}


def _standard(windows: list[tuple[int, Decimal]], base: Decimal | None) -> Decimal:
    """The price that holds for the most minutes of the day, and of equal ones the higher.

    The base price holds for the rest of the day, unless it is one of the windows' prices: then it follows the clock.
    """
    left, minutes = _WHOLE_DAY, dict.fromkeys((amount for _, amount in windows), 0)
    for window, amount in windows:
        minutes[amount] += (window & left).bit_count()
        left &= ~window
    if base is not None and base not in minutes:
        minutes[base] = left.bit_count()
    return max(minutes, key=lambda amount: (minutes[amount], amount))


def _window(start: object, end: object) -> int | None:
    """The minutes from `start` to `end` (HHMM) as bits; a window whose start is after its end runs over midnight."""
    if start is None or end is None:
        return None
    first, last = _minute(start), _minute(end)
    if first < last:
        return ((1 << (last - first)) - 1) << first
    return _WHOLE_DAY ^ (((1 << (first - last)) - 1) << last)


def _minute(clock: object) -> int:
    number = published(clock.replace(":", "").lstrip("0") or "0" if isinstance(clock, str) else clock)
    if not 0 <= number <= 2400 or number % 100 >= 60 or number != int(number):
        raise ValueError("has an hour of the day that is not HHMM")
    return int(number) // 100 * 60 + int(number) % 100


def _tier(threshold: object) -> str:
    """The suffix for more than `threshold` tokens; 200,001 as the first of a tier is the same limit as 200,000."""
    if threshold is None:
        return ""
    number = published(threshold)
    if not 0 <= number < 10**12 or number != int(number):
        raise ValueError("has a tier whose limit is not a number of tokens")
    tokens = int(number) - (int(number) % 1000 == 1)
    return f"@>{tokens}" if tokens > 0 else ""


@lru_cache(maxsize=1024)
def _litellm_key(key: str) -> tuple[str, str]:
    """The key without its suffixes, and the suffix of the component."""
    found = _LITELLM_KEY.fullmatch(key) if len(key) <= 128 else None
    if found is None:
        return key, ""
    above = f">{int(found['above']) * (1000 if found['k'] else 1)}" if found["above"] else ""
    service = {"batches": "batch", None: ""}.get(found["service"], found["service"])
    suffix = "+".join(part for part in (above, service) if part)
    return found["base"], f"@{suffix}" if suffix else ""


def _member(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object at `key`, empty if there is none."""
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"has {key} that is {json_type(value)}, not an object")
    return value


def _objects(parent: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of the list at `key`, none if there is no list."""
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"has {key} that is not a list of objects")
    return value
