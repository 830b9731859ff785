"""Money in a policy: prices by model, and limits in dollars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, field

from ratelimit.features.table import Table

if TYPE_CHECKING:
    from ratelimit.policy.schema.problem import Path, Report

USD = "usd"
MICRO = 1_000_000
"""Limits in dollars count millionths."""
MOST_MODELS = 1_000
MOST_PATTERNS = 64
MOST_BANDS = 8
MOST_TIERS = 16
LONGEST_TIER = 24
"""As much of a service tier's name as is read."""
PLAIN_TIERS = ("default", "standard", "standard_only", "auto", "on_demand")
"""Names of the tier that the prices themselves are of; a test holds them equal to the compiled ones."""

_WRITTEN = "Write `[{ input = 1, output = 2 }, { above = 200000, input = 2, output = 4 }]`."
Dollars = Annotated[float, Meta(ge=0, le=1_000_000)]
_NANO_FOR_THOUSAND = 1_000_000
_NANO = 1_000_000_000


def _of(description: str) -> Meta:
    return Meta(description=description)


class Price(Table, frozen=True, forbid_unknown_fields=True):
    """The prices of a model, in dollars for a million tokens."""

    input: Annotated[Dollars, _of("Input that was not cached.")]
    output: Annotated[Dollars, _of("Output, thoughts and reasoning included.")]
    cache_read: Annotated[Dollars | None, _of("Input that was read from a cache. Default: `input`.")] = None
    cache_write: Annotated[
        Dollars | Annotated[list[Dollars], Meta(min_length=1, max_length=2)] | None,
        _of(
            "Input that was written to a cache; `[3.75, 6]`: for minutes, and for an hour. Default: `input`."
        ),
    ] = None
    audio_input: Annotated[
        Dollars | Annotated[list[Dollars], Meta(min_length=1, max_length=2)] | None,
        _of(
            "Sounds in the input; `[32, 0.4]`: fresh, and read from a cache. Default: the larger of `input` "
            "and `output`."
        ),
    ] = None
    audio_output: Annotated[
        Dollars | None, _of("Sounds in the output. Default: the larger of `audio_input` and `output`.")
    ] = None
    image_input: Annotated[Dollars | None, _of("Pictures in the input. Default: `input`.")] = None
    image_output: Annotated[Dollars | None, _of("Pictures in the output. Default: `output`.")] = None
    request: Annotated[Dollars, _of("Each request, in dollars.")] = 0.0
    search: Annotated[Dollars, _of("Each search that the answer reports, in dollars.")] = 0.0
    image: Annotated[Dollars, _of("Each picture of the answer, in dollars.")] = 0.0
    service_tiers: Annotated[
        dict[str, Annotated[float, Meta(ge=0, le=100)]],
        _of("By the name of a service tier, a factor of the prices of tokens: `{ batch = 0.5 }`."),
    ] = field(default_factory=dict)
    above: Annotated[
        Annotated[int, Meta(ge=1, le=2**40)] | None,
        _of(
            "In a list of prices, in each behind the first: requests with more tokens of input than so many, "
            "cached ones included, have these prices of input, output and caches."
        ),
    ] = None

    @property
    def writes(self) -> tuple[float, float]:
        """What input costs that is written to a cache for minutes, and for an hour."""
        return _pair(self.cache_write) or (self.input, self.input)


def _pair(written: float | list[float] | None) -> tuple[float, float] | None:
    listed = [] if written is None else written if isinstance(written, list) else [written]
    return (listed[0], listed[-1]) if listed else None


ANY_MODEL = "*"
ModelPrice = Price | list[Price] | Literal["refuse"]
"""A model's price, its price and those of long inputs, or that it is not served."""
_OF_TEXT = ("input", "output", "cache_read", "cache_write", "above")


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """A model's price in nano-dollars: `rates` for a thousand tokens of each kind, `fees` for each piece."""

    rates: tuple[int, ...]
    fees: tuple[int, ...]
    bands: tuple[tuple[int, tuple[int, ...]], ...] = ()
    """The rates of requests with more input than so many tokens."""
    tiers: tuple[tuple[str, int], ...] = ()
    """Millionths of the rates, by the name of a service tier."""


def compile_prices(prices: Mapping[str, ModelPrice], report: Report) -> dict[str, PriceSpec]:
    """Return the prices of named models as whole numbers."""
    if len(prices) > MOST_MODELS:
        report.add("policy-too-many", ("prices",), f"{len(prices)} models; {MOST_MODELS} are the most")
    _check_patterns([model for model in prices if "*" in model and model != ANY_MODEL], report)
    found = {}
    for model, written in prices.items():
        path: Path = ("prices", model)
        if written == "refuse":
            if model != ANY_MODEL:
                words = "only models without a price are refused"
                report.add("price-refuse", path, words, 'Write `"*" = "refuse"`, and no price for this one.')
            continue
        listed = [one for one in bands_of(written) if isinstance(one, Price)]
        if not listed:
            if written == []:
                report.add("price-long", path, "the list is empty", "Write a table, or two.")
            continue
        _check_bands(listed, path, report)
        _check(listed[0], path if isinstance(written, Price) else (*path, 0), report)
        if model != ANY_MODEL:
            found[model] = price_spec(listed)
    return found


def others_price(prices: Mapping[str, ModelPrice]) -> PriceSpec | None:
    """Return what a model without a price of its own costs; None: as the dearest."""
    listed = [one for one in bands_of(prices.get(ANY_MODEL, "refuse")) if isinstance(one, Price)]
    return price_spec(listed) if listed else None


def bands_of(written: ModelPrice) -> list[Price]:
    """Return a model's price, and behind it those of long inputs."""
    return written if isinstance(written, list) else [] if isinstance(written, str) else [written]


def _check_bands(listed: Sequence[Price], path: Path, report: Report) -> None:
    """Note prices of long inputs that do not ascend, or that say more than those of text."""
    if listed[0].above is not None:
        where = (*path, "above") if len(listed) == 1 else (*path, 0, "above")
        report.add("price-long", where, "`above` stands behind a price without it", _WRITTEN)
    above = [one.above for one in listed[1:]]
    if None in above or above != sorted(set(above), key=lambda each: each or 0):
        shown = ", ".join("nothing" if one is None else f"{one:,}" for one in above)
        words = f"prices above {shown} tokens are not in order"
        report.add("price-long", path, words, "Put the smallest `above` first, each once.")
    if len(above) > MOST_BANDS:
        report.add("policy-too-many", path, f"{len(above)} prices; {MOST_BANDS} are the most")
    for at, one in enumerate(listed[1:], 1):
        for name in one.__struct_fields__:
            if name not in _OF_TEXT and getattr(one, name) not in (None, 0.0, {}):
                words = f"`{name}` is the same whatever the length of the input"
                report.add("price-long", (*path, at, name), words, "Write it into the first table.")


def _check(price: Price, path: Path, report: Report) -> None:
    names = [name.strip().casefold() for name in price.service_tiers]
    if len(names) > MOST_TIERS:
        report.add(
            "policy-too-many", (*path, "service_tiers"), f"{len(names)} tiers; {MOST_TIERS} are the most"
        )
    for name in names:
        if name in PLAIN_TIERS or not 0 < len(name.encode()) <= LONGEST_TIER or names.count(name) > 1:
            report.add(
                "price-tier",
                (*path, "service_tiers"),
                f"`{name[:64]}` is "
                + (
                    "there twice"
                    if names.count(name) > 1
                    else "what `input` and `output` are for"
                    if name in PLAIN_TIERS
                    else f"no name of 1 to {LONGEST_TIER} bytes"
                ),
                'Write names as answers have them in `service_tier`: "priority", "flex", "batch".',
            )


def _check_patterns(patterns: Sequence[str], report: Report) -> None:
    if len(patterns) > MOST_PATTERNS:
        report.add(
            "policy-too-many",
            ("prices",),
            f"{len(patterns)} names with `*`; {MOST_PATTERNS} are the most",
        )
        return
    for one, other in combinations(patterns, 2):
        plain = one.strip().casefold(), other.strip().casefold()
        if _length(plain[0]) == _length(plain[1]) and _overlap(*plain):
            report.add(
                "price-pattern",
                ("prices", other),
                f"some model is of `{one}` as well as of `{other}`, and neither is longer",
                "Write the model's whole name, or a longer pattern.",
            )


def _length(pattern: str) -> int:
    return len(pattern.replace("*", ""))


def _overlap(one: str, other: str) -> bool:
    """Return whether a name may be of both patterns."""
    # Places in `other` that a name can have come to which is of `one` up to here.
    reached = _past_stars({0}, other)
    for letter in one:
        if letter == "*":
            # It may take any letters: all places behind the first, as far as those go.
            reached = set(range(min(reached), len(other) + 1)) if reached else set()
            continue
        step = {at + 1 for at in reached if at < len(other) and other[at] == letter}
        step |= {at for at in reached if at < len(other) and other[at] == "*"}
        reached = _past_stars(step, other)
    return len(other) in reached


def _past_stars(places: set[int], pattern: str) -> set[int]:
    found = set(places)
    for at in places:
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            found.add(at)
    return found


def price_spec(listed: Sequence[Price]) -> PriceSpec:
    """Return a model's prices as whole numbers: the first, and behind it those of long inputs."""
    price, *longer = listed
    return PriceSpec(
        _rates(price, price),
        tuple(round(each * _NANO) for each in (price.request, price.search, price.image)),
        tuple((long.above or 0, _rates(long, price)) for long in longer),
        tuple(
            sorted(
                (name.strip().casefold(), round(factor * MICRO))
                for name, factor in price.service_tiers.items()
            )
        ),
    )


def _rates(price: Price, base: Price) -> tuple[int, ...]:
    """Return the rates of each kind, in the order of the compiled ones.

    A long input makes no share cheaper than text is then.
    """
    least_in, least_out = (0.0, 0.0) if price is base else (price.input, price.output)
    write, write_1h = price.writes
    dearest = max(price.input, price.output)
    heard, heard_again = _pair(base.audio_input) or (dearest, dearest)
    heard = max(least_in, heard)
    dollars = (
        price.input,
        price.output,
        _or(price.cache_read, price.input),
        write,
        write_1h,
        heard,
        max(least_in, heard_again),
        max(least_out, _or(base.audio_output, max(heard, price.output))),
        max(least_in, _or(base.image_input, price.input)),
        max(least_out, _or(base.image_output, price.output)),
    )
    return tuple(round(each * _NANO_FOR_THOUSAND) for each in dollars)


def _or(written: float | None, default: float) -> float:
    return default if written is None else written
