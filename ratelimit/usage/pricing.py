"""Money in a policy: prices by model, and limits in dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from ratelimit.features.table import Table
from ratelimit.policy.schema.problem import Report

USD = "usd"
MICRO = 1_000_000
"""Limits in dollars count millionths."""
MOST_MODELS = 1_000

Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]


class Price(Table, frozen=True, forbid_unknown_fields=True):
    """The price of a model, in dollars for a million tokens."""

    input: Annotated[Dollars, Meta(description="Input that was not cached.")]
    output: Annotated[Dollars, Meta(description="Output, thoughts and reasoning included.")]
    cache_read: Annotated[
        Dollars | None, Meta(description="Input that was read from a cache. Default: `input`.")
    ] = None
    cache_write: Annotated[
        Dollars | None, Meta(description="Input that was written to a cache for minutes. Default: `input`.")
    ] = None
    cache_write_1h: Annotated[
        Dollars | None,
        Meta(description="Input that was written to a cache for an hour. Default: `cache_write`."),
    ] = None
    request: Annotated[Dollars, Meta(description="Each request, in dollars.")] = 0.0


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """A model's price in nano-dollars for a thousand tokens; `request` in nano-dollars for each."""

    fresh_input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    request: int


def compile_prices(prices: Mapping[str, Price], report: Report) -> dict[str, PriceSpec]:
    """Return the prices as whole numbers."""
    if len(prices) > MOST_MODELS:
        report.add("policy-too-many", ("prices",), f"{len(prices)} models; {MOST_MODELS} are the most")
    return {model: price_spec(price) for model, price in prices.items() if isinstance(price, Price)}


def price_spec(price: Price) -> PriceSpec:
    """Return a price as whole numbers."""
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    hour = write if price.cache_write_1h is None else price.cache_write_1h
    return PriceSpec(
        fresh_input=round(price.input * 1_000_000),
        output=round(price.output * 1_000_000),
        cache_read=round(read * 1_000_000),
        cache_write=round(write * 1_000_000),
        cache_write_1h=round(hour * 1_000_000),
        request=round(price.request * 1_000_000_000),
    )
