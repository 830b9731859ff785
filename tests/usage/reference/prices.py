"""Prices of models, and the cost of an answer: whole numbers of nano-dollars.

A price is kept in nano-dollars for a thousand tokens, which holds every published price exactly.
Limits count millionths of a dollar (micro-dollars), rounded up once for each answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from tests.usage.reference.report import Usage

_TOKENS = 1_000
_NANO_IN_MICRO = 1_000
_DATED = re.compile(r"[-@:](?:[0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2}|latest)(?:-v[0-9]+(?::[0-9]+)?)?$")
"""What providers put behind a model's name, and charge the same for."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in nano-dollars for a thousand tokens; `request` in nano-dollars for each."""

    fresh_input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    request: int = 0

    @property
    def is_free(self) -> bool:
        """Whether some answer costs nothing."""
        return not self.request and not (self.fresh_input and self.output)

    def cost_micro(self, usage: Usage) -> int:
        """Return what an answer cost, in micro-dollars, rounded up."""
        five_minutes = usage.cache_write - usage.cache_write_1h
        tokens = (
            usage.fresh_input * self.fresh_input
            + usage.output * self.output
            + usage.cache_read * self.cache_read
            + five_minutes * self.cache_write
            + usage.cache_write_1h * self.cache_write_1h
        )
        nano = -(-tokens // _TOKENS) + self.request
        return -(-nano // _NANO_IN_MICRO)


def plain_name(model: str) -> str:
    """Return a model's name as it is compared: without case, and blanks around it."""
    return model.strip().casefold()


def dearest_of(prices: Iterable[Price]) -> Price:
    """Return a price that is as high as the highest of these, kind by kind."""
    listed = list(prices)
    return Price(*(max((getattr(one, each.name) for one in listed), default=0) for each in fields(Price)))


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
