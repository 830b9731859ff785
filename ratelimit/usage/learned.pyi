"""Estimates of what a request will use, from what its account's requests used on its route before.

Theory of operation. An account's estimate is what nine in ten of its last requests did not exceed. It is not
below the route's median, and not above its largest. An account without a past gets the route's third
quartile, and a route without one `FIRST`. In a route's quantiles each of its last accounts weighs the same,
however many requests it sent (`histogram.Shares`). So one account's large answers raise what others reserve no
more than its part of the accounts. A declared maximum is an upper bound of all that. One above four times what
99 in 100 requests of the route needed says nothing of the request, and is charged as that. Else callers that
declare a million would pin the budget that others share. Before a route has a past, a maximum is charged up to a
sixteenth of the budget.

All of this is a guess for the charge on arrival, which others' answers move. What bounds the use of requests in
flight is their exposure (`rules`): a declared maximum counts there as it is.

A maximum is heeded by the model, or it is none. Once an account's answer was longer than its request
declared, the same fields count for nothing for that account on that route, for a day. An API that lacks a
field heeds no maximum in it. So where most of a route's last accounts, and at least three, had longer
answers, it counts for no account there. One account alone takes no other's maximum away.

A client that leaves is charged what was seen, and a caller that always leaves would choose its own price. So
of the accounts whose clients left, the last endings are remembered: four of 32, and a quarter, are a habit.

What is remembered is bounded: accounts by number, the one not seen for longest going first, and
routes by the policy. It is a worker's own; a restart forgets it.
"""

from collections.abc import Hashable, Mapping
from typing import final

FIRST: int
"""Tokens that are assumed where nothing is known."""
ENOUGH_OF_ACCOUNT: int
"""Requests from which on an account has a past,"""
ENOUGH_OF_ROUTE: int
"""and a route,"""
ENOUGH_ACCOUNTS: int
"""once it was used by so many: what one or two did says nothing of others."""
MOST_ACCOUNTS: int
MOST_ROUTES: int
MOST_VOTES: int
"""Accounts of a route with answers that tell whether a field is heeded there."""
HABIT: int
"""So many of an account's last 32 answers that its clients left before the end, and a quarter of them, are a habit."""
UNHEEDED_NS: int
"""The time for which an account's maxima count for nothing after an answer that was longer."""
KEPT_NS: int
"""An account that was silent for so long is new again."""

@final
class Past:
    """The use of one account on one route."""

@final
class Route:
    """The use of accounts on one route."""

@final
class Endings:
    """The endings of one account's last answers."""

@final
class Votes:
    """True if the last answers of a route's last accounts were longer than declared."""

@final
class Learned:
    """The use of accounts on routes.

    Args:
        most_accounts: how many are remembered, over all routes.
        first: the estimate where nothing is known.
    """

    def __init__(self, most_accounts: int = ..., first: int = ...) -> None: ...
    def __len__(self) -> int:
        """Return how many accounts are remembered, over all routes."""
    @property
    def sizes(self) -> Mapping[str, int]:
        """The numbers of `accounts`, `routes`, accounts that `exceeded` a maximum and routes with `votes` are
        remembered, the most `voters` of one route, and accounts with `endings`."""
    def learn(self, account: Hashable, route: Hashable, amount: int, now_ns: int) -> None:
        """Remember what a request used."""
    def heed(
        self, account: Hashable, route: Hashable, by: int, declared: int, output: int, now_ns: int
    ) -> None:
        """Compare an answer of so many tokens with what its request declared by some fields."""
    def is_heeded(self, account: Hashable, route: Hashable, by: int, now_ns: int) -> bool:
        """Return whether a maximum that an account declares by these fields counts on a route."""
    def ended(self, account: Hashable, is_left: bool) -> None:
        """Note that an answer of an account ended, and whether its client left before that."""
    def leaves_by_habit(self, account: Hashable) -> bool:
        """Return whether an account's clients leave its answers as a habit.

        Answers are counted from the first that was left, of each account the last 32.
        """
    def estimate(
        self,
        account: Hashable,
        route: Hashable,
        declared: int | None,
        now_ns: int,
        first: int | None = None,
        most: int = 0,
    ) -> int:
        """Return what a request will use, most likely at most; never more than `declared` says.

        `first` is the estimate where nothing is known, for amounts that are no tokens; `most` what the limit
        can hold.
        """
    def reach(self, route: Hashable, least: int) -> int:
        """Return what an answer without a maximum may come to: what 99 in 100 of the route did, and at least so much."""
    def reserved(self, route: Hashable, declared: int, first: int | None = None, most: int = 0) -> int:
        """Return what a declared maximum counts as, of a limit that can hold `most`."""
