"""The reading of a customer's own number: of any value that an application may have for it."""

from __future__ import annotations

from ratelimit.identity.fact import micros_of, units_of
from ratelimit.policy.compile.spec import AmountSpec
from ratelimit.policy.schema.rate import LONGEST_TEXT, RateSyntaxError, parse_rates

_MICRO = 1_000_000


def read_amount(spec: AmountSpec, value: object) -> int | None:
    """Return a number in units that the limit counts; ABSENT for none, None for what is no number.

    A text may be a rate. If that names another period it is no number of this limit.
    """
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str) or not any(mark in text for mark in ("/", "per")):
        return micros_of(value) if spec.is_money else units_of(value)
    if len(text) > LONGEST_TEXT:
        return None
    try:
        rates = parse_rates(text)
    except RateSyntaxError:
        return None
    if len(rates) != 1 or rates[0].period_s != spec.period_s:
        return None
    if spec.is_money:
        return rates[0].amount * _MICRO + rates[0].millionths
    return None if rates[0].millionths else rates[0].amount
