"""Prices of models, and the cost of an answer: whole numbers of nano-dollars.

A price is kept in nano-dollars for a thousand tokens, which holds every published price exactly.
Limits count millionths of a dollar (micro-dollars), rounded up once for each answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from tests.usage.reference.report import Usage

_TOKENS = 1_000
_NANO_IN_MICRO = 1_000
_DATED = re.compile(r"[-@:](?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|latest)(?:-v[0-9]+(?::[0-9]+)?)?$")
"""What providers put behind a model's name, and charge the same for."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in nano-dollars: `rates` for a thousand tokens, `fees` for each piece."""

    rates: tuple[int, ...]
    fees: tuple[int, ...] = (0, 0, 0)
    bands: tuple[tuple[int, tuple[int, ...]], ...] = ()
    tiers: tuple[tuple[str, int], ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether some answer costs nothing."""
        return not any(self.fees) and (
            not (self.rates[0] and self.rates[1]) or any(factor == 0 for _, factor in self.tiers)
        )

    def factor(self, tier: str | None) -> Fraction:
        """Return what a service tier costs, as a part of the price."""
        factors = {name: Fraction(factor, 10**6) for name, factor in self.tiers}
        usual = tier in (None, "", "default", "standard", "standard_only", "auto", "on_demand")
        if tier in factors:
            return factors[tier]
        return Fraction(1) if usual or tier in ("flex", "batch") else max([Fraction(1), *factors.values()])

    def cost_micro(self, usage: Usage, tier: str | None = None) -> int:
        """Return what an answer cost, in micro-dollars, rounded up."""
        read = usage.fresh_input + usage.cache_write + usage.cache_read
        reached = [rates for above, rates in self.bands if read > above]
        rates = reached[-1] if reached else self.rates
        heard = min(usage.audio_input, usage.fresh_input)
        seen = min(usage.image_input, usage.fresh_input - heard)
        spoken = min(usage.audio_output, usage.output)
        drawn = min(usage.image_output, usage.output - spoken)
        recalled = min(usage.audio_cache_read, usage.cache_read)
        counts = (
            *(usage.fresh_input - heard - seen, usage.output - spoken - drawn, usage.cache_read - recalled),
            *(usage.cache_write - usage.cache_write_1h, usage.cache_write_1h),
            *(heard, recalled, spoken, seen, drawn),
        )
        tokens = sum(count * rate for count, rate in zip(counts, rates, strict=True))
        nano = ceil(tokens * self.factor(tier) / _TOKENS) + self.fees[0]
        nano += usage.searches * self.fees[1] + usage.images * self.fees[2]
        return -(-nano // _NANO_IN_MICRO)

    def worst_micro(self, of_input: int, output: int, images: int = 1) -> int:
        """Return the most that so many tokens cost."""
        every = [self.rates, *(rates for _, rates in self.bands)]
        dear_in = max(rates[at] for rates in every for at in (0, 2, 3, 4, 5, 6, 8))
        dear_out = max(rates[at] for rates in every for at in (1, 7, 9))
        factor = max([Fraction(1), *(Fraction(one, 10**6) for _, one in self.tiers)])
        nano = ceil((of_input * dear_in + output * dear_out) * factor / _TOKENS)
        return -(-(nano + self.fees[0] + images * self.fees[2]) // _NANO_IN_MICRO)


def plain_name(model: str) -> str:
    """Return a model's name as it is compared: without case, and blanks around it."""
    return model.strip().casefold()


def dearest_of(prices: Iterable[Price]) -> Price:
    """Return a price that is as high as the highest of these, kind by kind."""
    listed = list(prices)
    assert not any(one.bands or one.tiers for one in listed), "the reference knows plain lists alone"
    rates = tuple(max((one.rates[at] for one in listed), default=0) for at in range(10))
    return Price(rates, tuple(max((one.fees[at] for one in listed), default=0) for at in range(3)))


class PriceList:
    """Prices by model.

    Args:
        prices: by the models' names.
    """

    __slots__ = ("_plain", "_prices", "dearest", "has_free")

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = dict(prices)
        plain: dict[str, list[Price]] = {}
        for model, price in prices.items():
            plain.setdefault(plain_name(model), []).append(price)
        self._plain = {model: dearest_of(several) for model, several in plain.items()}
        self.dearest = dearest_of(self._prices.values())
        self.has_free = not self._prices or any(price.is_free for price in self._prices.values())
        """Whether a model is free, or none has a price."""

    def __len__(self) -> int:
        return len(self._prices)

    def find(self, *models: str | None) -> Price | None:
        """Return the price of the first of these that has one: by its name, without a date, in any case."""
        for model in models:
            if model is None:
                continue
            name = plain_name(model)
            found = (
                self._prices.get(model)
                or self._prices.get(_DATED.sub("", model))
                or self._plain.get(name)
                or self._plain.get(_DATED.sub("", name))
            )
            if found is not None:
                return found
        return None
