"""Prices as `check` shows them: which models have some, and what the dearest answer of a limit costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ratelimit.inspection import formatting
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.usage.prices import as_price
from ratelimit.usage.pricing import ANY_MODEL, MICRO, USD, Price, bands_of

USUAL_MOST = 4096
"""Tokens of an answer, where a limit does not say how long they are."""
_INPUT = 1000
_KEYS = ("input", "output", "cache_read")
_SHARES = ("audio_output", "image_input", "image_output")
_PAIRS = ("cache_write", "audio_input")
_FEES = ("request", "search", "image")


@dataclass(frozen=True, slots=True)
class Dearest:
    """The most that one answer of a limit costs, in millionths of a dollar.

    `model` is that of the price; None for that of models without one.
    """

    model: str | None
    tier: str | None
    output: int
    micro: int
    input_micro: int
    """A thousand tokens of input, beside it."""


def dearest_of(rule: LimitRule, policy: CompiledPolicy) -> Dearest | None:
    """Return the dearest answer that a limit may be charged for; None where nothing has a price."""
    spec = rule.metering
    if rule.unit != USD or spec is None:
        return None
    output = USUAL_MOST if spec.most is None else spec.most
    known: list[tuple[str | None, Any]] = [*policy.prices.items()]
    if spec.unknown_price is not None:
        known.append((None, spec.unknown_price))
    found = None
    for model, written in known:
        price = as_price(written)
        tier = max(price.parts[2], key=lambda pair: pair[1], default=("", MICRO))
        one = Dearest(
            model,
            tier[0] if tier[1] > MICRO else None,
            output,
            price.worst_micro(0, output),
            price.worst_micro(_INPUT, 0, 0) - price.worst_micro(0, 0, 0),
        )
        if found is None or one.micro > found.micro:
            found = one
    return found


def price_words(policy: CompiledPolicy) -> Iterator[str]:
    """Yield sentences about the prices of a policy: for each limit in dollars, and for each model."""
    rules = [rule for rule in policy.rules if rule.unit == USD and not rule.is_beside]
    if not rules:
        return
    said = set()
    for rule in rules:
        dearest = dearest_of(rule, policy)
        if dearest is None or (sentence := _limit(rule, dearest)) in said:
            continue
        said.add(sentence)
        yield sentence
    known = {model: bands for model, price in policy.file.prices.items() if (bands := bands_of(price))}
    for model, bands in known.items():
        yield f"{model}: {_price(*bands)}"
    if known and not all(_has_sounds(bands[0]) for bands in known.values()):
        yield (
            "Sounds in the input cost the larger of `input` and `output` where a model has no `audio_input`; "
            "sounds in the output at least as much, where it has no `audio_output`."
        )


def _limit(rule: LimitRule, dearest: Dearest) -> str:
    spec = rule.metering
    assert spec is not None
    whose = "models without a price" if dearest.model is None else dearest.model
    if dearest.tier is not None:
        whose += f" at the tier {dearest.tier}"
    length = f"{dearest.output:,} tokens" + (
        "" if spec.most is not None else ", for want of a `most` of its own,"
    )
    unknown = "as the dearest"
    if spec.refuses_unknown:
        unknown = "nothing: it is refused"
    elif spec.unknown_price is not None:
        unknown = f"what `{ANY_MODEL}` has"
    return (
        f"{rule.name}: the dearest answer of {length} costs {formatting.amount(dearest.micro, USD)}, "
        f"by {whose}; "
        f"a thousand tokens of input {formatting.amount(dearest.input_micro, USD)} at most. "
        f"A model without a price costs {unknown}."
    )


def _price(price: Price, *longer: Price) -> str:
    parts = [f"{key} {getattr(price, key):g}" for key in (*_KEYS, *_SHARES) if _has(price, key)]
    for key in _PAIRS:
        written = getattr(price, key)
        listed = written if isinstance(written, list) else [] if written is None else [written]
        parts += [f"{key} {' / '.join(f'{each:g}' for each in listed)}"] if listed else []
    parts += [f"{getattr(price, key):g} each {key}" for key in _FEES if getattr(price, key)]
    parts += [f"above {long.above:,} tokens {long.input:g} / {long.output:g}" for long in longer]
    parts += [f"{name} × {factor:g}" for name, factor in price.service_tiers.items()]
    return ", ".join(parts)


def _has(price: Price, key: str) -> bool:
    return getattr(price, key) is not None


def _has_sounds(price: Price) -> bool:
    return price.audio_input is not None and price.audio_output is not None


def price_json(rule: LimitRule, policy: CompiledPolicy) -> Mapping[str, Any] | None:
    """Return the dearest answer of a limit for machines; None for a limit that is not in dollars."""
    dearest = dearest_of(rule, policy)
    if dearest is None:
        return None
    return {
        "model": dearest.model,
        "service_tier": dearest.tier,
        "output_tokens": dearest.output,
        "usd": dearest.micro / MICRO,
        "usd_for_1000_input_tokens": dearest.input_micro / MICRO,
    }
