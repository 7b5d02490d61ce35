"""Seeded catalogs in one of the shapes: the same seed gives the same bytes.

Prices are kept as whole ten-thousandths, from 0.1 to 200; a repriced one moves by 1 to 4 %, up or down, so that no
rule of trust has a word to say unless all move at once. Where a model has several prices they move together.
"""

import random
from typing import NamedTuple, Self

from tests.benchmarks.shapes import ONE, Shape

_SEED = 7
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
    shape: Shape = ONE

    @classmethod
    def of(cls, count: int, shape: Shape = ONE) -> Self:
        """The base catalog of so many models."""
        chance = random.Random(_SEED)
        return cls({number: chance.randint(1_000, 2_000_000) for number in range(count)}, shape)

    def body(self, message: str = _MESSAGE) -> bytes:
        """The response that lists it."""
        return self.shape.body(self.prices, message)

    def turned(self) -> Self:
        """The same listings in another order: the second half first."""
        items = list(self.prices.items())
        half = len(items) // 2
        return type(self)(dict(items[half:] + items[:half]), self.shape)

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
        return type(self)(dict(items), self.shape), Moved(repriced=some, added=few, removed=few)

    def repriced(self) -> Self:
        """The same list, every price 3 % higher."""
        return type(self)({number: price * 103 // 100 for number, price in self.prices.items()}, self.shape)
