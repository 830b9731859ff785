"""Keys of a limit for charges and notices, as types; `budget` itself is in `allowance.schema`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ratelimit.codes import error, warning
from ratelimit.features.table import Table

Share = Annotated[float, Meta(gt=0, le=1)]


class LimitKeys(Table, frozen=True, forbid_unknown_fields=True):
    """The keys of a limit that budgets read."""

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
