"""Allowances in the policy file, as types: how a limit's rate grows with what its payer paid."""

from __future__ import annotations

from typing import Annotated, Literal

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
        Earned | Literal["overflow"] | None,
        Meta(
            description="The rate is a payer's allowance, which grows with what it paid: `per` is the payer. "
            "`overflow`: the limit binds only requests that no allowance covers, those without its "
            "payer and those that it has no room for. Default: the rate is the same for all.",
            examples=[{"per_usd": 600}, "overflow"],
        ),
    ] = None

    @property
    def allowance(self) -> Earned | None:
        """How a payer earns more; None where the limit is no allowance."""
        return None if isinstance(self.earned, str) else self.earned

    @property
    def overflow(self) -> bool:
        """Whether the limit binds only what no allowance covers."""
        return self.earned == "overflow"


CODES = {
    "limit-earned": error(
        "A limit's `earned` does not fit the rest of the policy.",
        "An allowance counts units of one rate by one payer, which is the same for all limits with `earned`.",
    ),
}
