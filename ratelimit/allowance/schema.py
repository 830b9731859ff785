"""Allowances in the policy file, as types: how a limit's rate grows with what its payer paid."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.codes import error
from ratelimit.features.table import Table

Positive = Annotated[float, Meta(gt=0, le=1e12)]


class Earned(Table, frozen=True, forbid_unknown_fields=True):
    """How a payer earns more than a limit's `rate`; numbers are in the limit's unit and period."""

    per_usd: Annotated[
        Positive | None,
        Meta(
            description="Units of a period for each dollar that `paid` of [correlation] has. "
            "Default: what was paid opens nothing.",
            examples=[600],
        ),
    ] = None
    young_usd: Annotated[
        Positive,
        Meta(
            description="Dollars that count at most of those that the payer did not have a month ago "
            "already. Stolen cards are charged back later than that."
        ),
    ] = 10.0
    growth: Annotated[
        Positive | None,
        Meta(
            description="Where it is not known what was paid: so many times the payer's best day that lies "
            "30 days back or more. Default: use opens nothing.",
            examples=[3],
        ),
    ] = None
    most: Annotated[
        Positive | None,
        Meta(
            description="Most units of a period that `growth` opens; there has to be a bound, since use "
            "grows upon use.",
            examples=[500000],
        ),
    ] = None


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that allowances read."""

    earned: Annotated[
        Earned | None,
        Meta(
            description="The rate is a payer's allowance, which grows with what it paid: `per` is the payer. "
            "Default: the rate is the same for all.",
            examples=[{"per_usd": 600}],
        ),
    ] = None
    overflow: Annotated[
        bool,
        Meta(
            description="Binds only requests that no limit with `earned` covers: those without its payer, "
            "and those that an allowance has no room for."
        ),
    ] = False


CODES = {
    "limit-earned": error(
        "A limit's `earned` or `overflow` does not fit the rest of the policy.",
        "An allowance counts units of one rate by one payer, which is the same for all limits with `earned`.",
    ),
}
