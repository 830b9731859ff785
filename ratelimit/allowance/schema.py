"""`budget` of a limit as types: a customer's own number, from a source or earned by what its payer paid."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from ratelimit.codes import error
from ratelimit.features.table import Table

Positive = Annotated[float, Meta(gt=0, le=1e15)]
Factor = Annotated[float, Meta(gt=0, le=1e12)]


class Earned(NamedTuple):
    """How a payer earns more than a limit's `rate`."""

    per_usd: float | None
    growth: float | None
    most: float | None


class Budget(Table, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A customer's own number, from a source or earned; numbers are in the limit's unit and period."""

    from_: Annotated[
        str | None,
        Meta(
            description="`state:NAME`, `resolver:NAME`, or a `header:NAME` that your proxy sets. It has a "
            "number, or a text such as `600/minute` with the limit's own period.",
            examples=["state:budget"],
        ),
    ] = None
    most: Annotated[
        Positive | None,
        Meta(
            description="A higher number of `from` counts as this one, one below a unit as one "
            "unit, and `growth` opens no more. Both need it: the number comes from outside the "
            "policy, and use grows upon use.",
            examples=[500000],
        ),
    ] = None
    per_usd: Annotated[
        Factor | None,
        Meta(
            description="In place of `from`: units of a period for each dollar that `paid` of [correlation] "
            "has. Default: what was paid opens nothing.",
            examples=[600],
        ),
    ] = None
    growth: Annotated[
        Factor | None,
        Meta(
            description="Where it is not known what was paid: so many times the payer's best day that lies "
            "30 days back or more. Default: use opens nothing.",
            examples=[3],
        ),
    ] = None


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that allowances and customers' own numbers read."""

    budget: Annotated[
        Budget | Literal["overflow"] | None,
        Meta(
            description="Each customer has a number of its own in place of the `rate`'s. Where a request has "
            "none, or a malformed one, the `rate` holds. With `per_usd` or `growth` the limit is a payer's "
            "allowance, which grows with what it paid: `per` is the payer. `overflow`: the limit binds only "
            "requests that no allowance covers. Default: the rate is the same for all.",
            examples=[{"from": "state:budget", "most": 6000}, {"per_usd": 600}, "overflow"],
        ),
    ] = None

    @property
    def own(self) -> Budget | None:
        """The source of a customer's number; None where it has none."""
        budget = self.budget
        return budget if isinstance(budget, Budget) and budget.from_ is not None else None

    @property
    def allowance(self) -> Earned | None:
        """How a payer earns more; None where the limit is no allowance."""
        budget = self.budget
        if not isinstance(budget, Budget) or (budget.per_usd is None and budget.growth is None):
            return None
        return Earned(budget.per_usd, budget.growth, budget.most)

    @property
    def overflow(self) -> bool:
        """Whether the limit binds only what no allowance covers."""
        return self.budget == "overflow"


CODES = {
    "limit-earned": error(
        "A limit's allowance does not fit the rest of the policy.",
        "An allowance counts units of one rate by one payer, which is the same for all limits that have one.",
    ),
}
