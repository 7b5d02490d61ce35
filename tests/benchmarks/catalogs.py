"""Seeded catalogs in the wire format: the same seed gives the same bytes, and each element has exactly ELEMENT bytes.

Prices are kept as whole ten-thousandths, from 0.1 to 200; a repriced one moves by 1 to 4 %, up or down, so that no
rule of trust has a word to say.
"""

import random
from typing import NamedTuple, Self

ELEMENT = 390
_SEED = 7
_TYPES = ("Text", "Text", "Text", "Image", "Embedding", "Audio")
_PROSE = "A highly advanced model, distilled and optimized for efficiency and performance in many languages. " * 4
_MOVES = (-4, -3, -2, -1, 1, 2, 3, 4)
_MESSAGE = "Get models list successfully."


class Moved(NamedTuple):
    """How many models differ between two catalogs, by what became of them."""

    repriced: int
    added: int
    removed: int


class Catalog(NamedTuple):
    """Model number -> price, in the order in which they are listed."""

    prices: dict[int, int]

    @classmethod
    def of(cls, count: int) -> Self:
        """The base catalog of so many models."""
        chance = random.Random(_SEED)
        return cls({number: chance.randint(1_000, 2_000_000) for number in range(count)})

    def body(self, message: str = _MESSAGE) -> bytes:
        """The response that lists it."""
        listed = ",".join(_element(number, price) for number, price in self.prices.items())
        return f'{{"data":{{"models":[{listed}]}},"message":"{message}","status":"success"}}'.encode()

    def turned(self) -> Self:
        """The same listings in another order: the second half first."""
        items = list(self.prices.items())
        half = len(items) // 2
        return type(self)(dict(items[half:] + items[:half]))

    def moved(self, seed: int = _SEED, *, listings_too: bool = True) -> tuple[Self, Moved]:
        """1 % repriced and, if the list moves too, 0.1 % (at least one) added and removed, all over the list."""
        chance = random.Random(seed)
        some, few = max(1, len(self.prices) // 100), max(1, len(self.prices) // 1_000) if listings_too else 0
        chosen = chance.sample(list(self.prices), some + few)
        prices = dict(self.prices)
        for number in chosen[:some]:
            prices[number] = prices[number] * (100 + chance.choice(_MOVES)) // 100
        for number in chosen[some:]:
            del prices[number]
        items = list(prices.items())
        for number in range(len(self.prices), len(self.prices) + few):
            items.insert(chance.randint(0, len(items)), (number, chance.randint(1_000, 2_000_000)))
        return type(self)(dict(items)), Moved(repriced=some, added=few, removed=few)


def _element(number: int, price: int) -> str:
    alias = f"model-{number:07d}"
    name = f"maker-{number % 97}/{alias}"
    head = (
        f'{{"model_name":"{name}","model_alias":"{alias}","model_type":"{_TYPES[number % len(_TYPES)]}",'
        f'"context_length":"{1024 << number % 8}","max_completion_tokens":{1000 + number % 9000},"description":"'
    )
    tail = f'","price":{price / 10_000:.10g},"huggingface_url":"https://huggingface.co/{name}"}}'
    start = number % 101
    return head + _PROSE[start : start + ELEMENT - len(head) - len(tail)] + tail
