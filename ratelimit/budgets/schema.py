"""Budgets in the policy file, as types: the source of a customer's own number, and its bounds."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.codes import error, warning
from ratelimit.features.table import Table

Positive = Annotated[float, Meta(gt=0, le=1e15)]


class Budget(Table, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The source of a customer's own number; numbers are in the limit's unit and period."""

    from_: Annotated[
        str,
        Meta(
            description="`state:NAME`, `resolver:NAME`, or a `header:NAME` that your proxy sets. It has a "
            "number, or a text such as `600/minute` with the limit's own period.",
            examples=["state:budget"],
        ),
    ]
    most: Annotated[
        Positive,
        Meta(description="A higher number counts as this one: it comes from outside the policy."),
    ]
    least: Annotated[
        Positive | None,
        Meta(description="A lower number counts as this one, and so does 0. Default: one unit."),
    ] = None


Share = Annotated[float, Meta(gt=0, le=1)]


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that budgets read."""

    budget: Annotated[
        Budget | None,
        Meta(
            description="Each customer has a number of its own in place of the `rate`'s. Where a request has "
            "none, or a malformed one, the `rate` holds. Default: the rate is the same for all.",
            examples=[{"from": "state:budget", "most": 6000}],
        ),
    ] = None
    charge: Annotated[
        str | None,
        Meta(
            description="For `requests`: the statuses that are charged, as `status>=400`, `status<500` or "
            "`status=401,403`. A request is charged on arrival, and another status gives that back. "
            "Default: all.",
            examples=["status>=400"],
        ),
    ] = None
    notify: Annotated[
        list[Share],
        Meta(
            max_length=8,
            description="Shares of the number, such as 0.8. The event `budget-used` says once a window that "
            "a customer has used so much; 1 also when a request finds too little left.",
            examples=[[0.5, 0.8, 1]],
        ),
    ] = []


CODES = {
    "limit-budget": error(
        "A limit's `budget` does not fit the rest of the limit.",
        "A customer's own number replaces that of one `rate`, for one customer.",
    ),
    "limit-charge": error(
        "A limit's `charge` names no statuses, or does not fit the rest of the limit.",
        "Write it like `status>=400`, for a limit that counts requests.",
    ),
    "limit-lifetime-memory": warning(
        "A lifetime is counted in the memory of one host, which a reboot empties.",
        "Keep it on a server with an append-only file.",
    ),
    "limit-notify": error(
        "A limit's `notify` does not fit the rest of the policy.",
        "Shares ascend, of a limit that counts units of each customer, exactly.",
    ),
}
