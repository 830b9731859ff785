"""The prices of models, and the cost of an answer: whole numbers of nano-dollars.

A price is kept in nano-dollars for a thousand tokens, which holds every published price exactly.
Limits count millionths of a dollar (micro-dollars), rounded up once for each answer.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol, final, type_check_only

from ratelimit.usage.report import Usage

@type_check_only
class Written(Protocol):
    """A price as the policy has it; the numbers are those of `Price`."""

    @property
    def fresh_input(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def cache_write_1h(self) -> int: ...
    @property
    def request(self) -> int: ...

@final
class Price:
    """The price of a model, in nano-dollars for a thousand tokens; `request` in nano-dollars for each.

    Prices of the same numbers are equal.

    Raises:
        ValueError: a number is above 2**61.
    """

    def __init__(
        self,
        fresh_input: int,
        output: int,
        cache_read: int,
        cache_write: int,
        cache_write_1h: int,
        request: int = ...,
    ) -> None: ...
    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers, in the order of the arguments."""
    @property
    def is_free(self) -> bool:
        """True if some answer costs nothing."""
    def cost_micro(self, usage: Usage) -> int:
        """Return what an answer cost, in micro-dollars, rounded up; at most 2**60."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def plain_name(model: str) -> str:
    """Return a model's name as it is compared: without case, and blanks around it."""

def dearest_of(prices: Iterable[Price]) -> Price:
    """Return a price that is as high as the highest of these, kind by kind."""

def as_price(spec: Written) -> Price:
    """Return a price as the policy has it."""

def price_list(prices: Mapping[str, Written]) -> PriceList:
    """Return the policy's prices."""

@final
class PriceList:
    """Prices by model.

    Args:
        prices: by the models' names.
    """

    def __init__(self, prices: Mapping[str, Price]) -> None: ...
    @property
    def dearest(self) -> Price: ...
    @property
    def has_free(self) -> bool:
        """True if a model is free, or none has a price."""
    def __len__(self) -> int: ...
    def find(self, *models: str | None) -> Price | None:
        """Return the price of the first of these that has one: by its name, without a date, in any case."""

NO_PRICES: PriceList
