"""The prices of models, and the cost of an answer: whole numbers of nano-dollars.

A rate is kept in nano-dollars for a thousand tokens, which holds every published price exactly.
Limits count millionths of a dollar (micro-dollars), rounded up once for each answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, final, type_check_only

from ratelimit.usage.report import Usage

@type_check_only
class Written(Protocol):
    """A price as the policy has it; the parts are those of `Price`."""

    @property
    def rates(self) -> tuple[int, ...]: ...
    @property
    def fees(self) -> tuple[int, ...]: ...
    @property
    def bands(self) -> tuple[tuple[int, tuple[int, ...]], ...]: ...
    @property
    def tiers(self) -> tuple[tuple[str, int], ...]: ...

RATES: tuple[str, ...]
"""The kinds of tokens that have rates, in order."""
PER_PIECE: tuple[str, ...]
"""The kinds of pieces that have fees, in order."""
PLAIN: frozenset[str]
"""The names of the service tier that a price itself is of."""
CHEAPER: frozenset[str]
"""Service tiers that cost no more than the price itself, where it has no factor for them."""
DATED: re.Pattern[str]
"""The end of a model's name that a price does not depend on."""

@final
class Price:
    """The price of a model. Prices of the same parts are equal.

    Args:
        rates: nano-dollars for a thousand tokens, by `RATES`.
        fees: nano-dollars for each piece, by `PER_PIECE`; those at the end may be missing.
        bands: the rates of requests with more input than so many tokens, in order; at most eight.
        tiers: millionths of the rates, by the name of a service tier.

    Raises:
        ValueError: a number is above 2**61, a factor is above a hundred, or parts are too many or in no order.
    """

    def __init__(
        self,
        rates: Sequence[int],
        fees: Sequence[int] = ...,
        bands: Iterable[tuple[int, Sequence[int]]] = ...,
        tiers: Mapping[str, int] | Iterable[tuple[str, int]] | None = ...,
    ) -> None: ...
    @property
    def parts(
        self,
    ) -> tuple[tuple[tuple[int, tuple[int, ...]], ...], tuple[int, ...], tuple[tuple[str, int], ...]]:
        """The bands with their rates, the first from 0 on; the fees; the tiers."""
    @property
    def is_free(self) -> bool:
        """True if some answer costs nothing."""
    def factor_of(self, tier: str | None) -> int:
        """Return what a service tier costs, in millionths of the rates.

        A tier without a factor costs as the dearest one, at least as the rates; `CHEAPER` ones cost as the rates.
        """
    def cost_micro(self, usage: Usage, tier: str | None = ...) -> int:
        """Return what an answer cost, in micro-dollars, rounded up; at most 2**60."""
    def worst_micro(self, of_input: int, output: int, images: int = ...) -> int:
        """Return the most that so many tokens and pictures cost: of any kind, in any band, at any tier."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def plain_name(model: str) -> str:
    """Return a model's name as it is compared: without case, and blanks around it."""

def is_like(model: str, pattern: str) -> bool:
    """Return whether a model's name is of a pattern, in time that grows with both and no faster.

    Case and blanks around it take no part: there are servers that do not look at them.
    """

def dearest_of(prices: Iterable[Price]) -> Price:
    """Return a price that is as high as the highest of these, kind by kind, for any length of input."""

def as_price(spec: Written) -> Price:
    """Return a price as the policy has it."""

def price_list(prices: Mapping[str, Written]) -> PriceList:
    """Return the policy's prices."""

@final
class PriceList:
    """Prices by model.

    Args:
        prices: by the models' names, or by patterns of them with `*`.
    """

    def __init__(self, prices: Mapping[str, Price]) -> None: ...
    @property
    def dearest(self) -> Price: ...
    @property
    def has_free(self) -> bool:
        """True if a model is free, or none has a price."""
    def __len__(self) -> int: ...
    def find(self, *models: str | None) -> Price | None:
        """Return the price of the first of these that has one.

        By its name; without a date, in any case; else by the longest pattern.
        """

NO_PRICES: PriceList
