"""Estimates of what a request will use, from what its account's requests used on its route before.

Theory of operation. An account's estimate is what nine in ten of its last requests did not exceed. It is not
below the route's median, and not above its largest. An account without a past gets the route's third
quartile, and a route without one `FIRST`. In a route's quantiles each of its last accounts weighs the same,
however many requests it sent (`shares`). So one account's large answers raise what others reserve no more
than its part of the accounts. A declared maximum is an upper bound of all that. One above four times what 99
in 100 requests of the route needed says nothing of the request, and counts as that. Else callers that
declare a million would pin the budget that others share. Before a route has a past, a maximum counts up to a
sixteenth of the budget.

A maximum is heeded by the model, or it is none. Once an account's answer was longer than its request
declared, the same fields count for nothing for that account on that route, for a day. An API that lacks a
field heeds no maximum in it. So where most of a route's last accounts, and at least three, had longer
answers, it counts for no account there. One account alone takes no other's maximum away.

What is remembered is bounded: accounts by number, the one not seen for longest going first, and
routes by the policy. It is a worker's own; a restart forgets it.
"""

from __future__ import annotations

from collections.abc import Hashable

from tests.usage.reference.histogram import Histogram
from tests.usage.reference.shares import Shares

FIRST = 1024
"""Tokens that are assumed where nothing is known."""
ENOUGH_OF_ACCOUNT = 5
"""Requests from which on an account has a past,"""
ENOUGH_OF_ROUTE = 20
"""and a route,"""
ENOUGH_ACCOUNTS = 3
"""once it was used by so many: what one or two did says nothing of others."""
MOST_ACCOUNTS = 10_000
MOST_ROUTES = 1_024
MOST_VOTES = 64
"""Accounts of a route with answers that tell whether a field is heeded there."""
HABIT = 4
_ANSWERS_OF_HABIT = 32
UNHEEDED_NS = 86_400 * 10**9
"""How long an account's maxima count for nothing after an answer that was longer."""
KEPT_NS = 7 * 86_400 * 10**9
"""An account that was silent for so long is new again."""
_LATELY_OF_ACCOUNT = 64
_PINNING = 4
_SHARE = 16
_SLACK, _SLACK_PARTS = 8, 4
"""How far beyond its maximum an answer may be: tokens, and parts of the maximum. Counts differ a little."""


_NO_VOTES: dict[Hashable, bool] = {}


class _Past:
    __slots__ = ("amounts", "seen_ns")

    def __init__(self, seen_ns: int) -> None:
        self.amounts = Histogram(_LATELY_OF_ACCOUNT)
        self.seen_ns = seen_ns


class _Route:
    __slots__ = ("amounts", "largest", "total")

    def __init__(self) -> None:
        self.amounts = Shares()
        self.largest = 0
        self.total = 0

    @property
    def is_told_by_some(self) -> bool:
        """Whether enough accounts used it for a newcomer to go by them."""
        return self.total >= ENOUGH_OF_ROUTE and len(self.amounts) >= ENOUGH_ACCOUNTS


class Learned:
    """What accounts used on routes.

    Args:
        most_accounts: how many are remembered, over all routes.
        first: the estimate where nothing is known.
    """

    def __init__(self, most_accounts: int = MOST_ACCOUNTS, first: int = FIRST) -> None:
        self._most = most_accounts
        self._first = first
        self._accounts: dict[tuple[Hashable, Hashable], _Past] = {}
        self._routes: dict[Hashable, _Route] = {}
        self._exceeded: dict[tuple[Hashable, Hashable, int], int] = {}
        """By account, route and fields: when an answer was last longer than declared."""
        self._votes: dict[tuple[Hashable, int], dict[Hashable, bool]] = {}
        """By route and fields: the last accounts, and whether the last answer of each was longer."""
        self._endings: dict[Hashable, list[bool]] = {}
        """By account: whether its clients left each of its last answers."""

    def __len__(self) -> int:
        return len(self._accounts)

    def learn(self, account: Hashable, route: Hashable, amount: int, now_ns: int) -> None:
        """Remember what a request used."""
        usual = self._routes.get(route)
        if usual is None:
            if len(self._routes) >= MOST_ROUTES:
                del self._routes[next(iter(self._routes))]
            usual = self._routes[route] = _Route()
        usual.amounts.add(account, amount)
        usual.total += 1
        usual.largest = max(usual.largest, amount)
        key = (account, route)
        past = self._accounts.pop(key, None)
        if past is None or not past.seen_ns <= now_ns < past.seen_ns + KEPT_NS:
            past = _Past(now_ns)
        self._accounts[key] = past  # behind all others
        past.seen_ns = now_ns
        past.amounts.add(amount)
        if len(self._accounts) > self._most:
            del self._accounts[next(iter(self._accounts))]

    def ended(self, account: Hashable, is_left: bool) -> None:
        """Note that an answer of an account ended, and whether its client left before that."""
        endings = [*self._endings.pop(account, []), is_left][-_ANSWERS_OF_HABIT:]
        if any(endings):
            if len(self._endings) >= self._most:
                del self._endings[next(iter(self._endings))]
            self._endings[account] = endings

    def leaves_by_habit(self, account: Hashable) -> bool:
        """Return whether an account's clients leave its answers as a habit."""
        endings = self._endings.get(account, [])
        return sum(endings) >= HABIT and 4 * sum(endings) >= len(endings)

    def heed(
        self, account: Hashable, route: Hashable, by: int, declared: int, output: int, now_ns: int
    ) -> None:
        """Compare an answer of so many tokens with what its request declared by some fields."""
        is_longer = output > declared + declared // _SLACK_PARTS + _SLACK
        votes = self._votes.pop((route, by), None)
        if votes is None:
            votes = {}
            if len(self._votes) >= MOST_ROUTES:
                del self._votes[next(iter(self._votes))]
        self._votes[route, by] = votes  # behind all others
        votes.pop(account, None)
        votes[account] = is_longer
        if len(votes) > MOST_VOTES:
            del votes[next(iter(votes))]
        if is_longer:
            self._exceeded.pop((account, route, by), None)
            self._exceeded[account, route, by] = now_ns
            if len(self._exceeded) > self._most:
                del self._exceeded[next(iter(self._exceeded))]

    def is_heeded(self, account: Hashable, route: Hashable, by: int, now_ns: int) -> bool:
        """Return whether a maximum that an account declares by these fields counts on a route."""
        since_ns = self._exceeded.get((account, route, by))
        if since_ns is not None and now_ns < since_ns + UNHEEDED_NS:
            return False
        votes = self._votes.get((route, by), _NO_VOTES)
        longer = sum(votes.values())
        return longer < ENOUGH_ACCOUNTS or 2 * longer <= len(votes)

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
        first = self._first if first is None else first
        usual = self._routes.get(route)
        past = self._accounts.get((account, route))
        if past is not None and not past.seen_ns <= now_ns < past.seen_ns + KEPT_NS:
            past = None
        has_past = past is not None and past.amounts.total >= ENOUGH_OF_ACCOUNT
        if usual is None or not (has_past or usual.is_told_by_some):
            found = first
        elif past is None or not has_past:
            found = usual.amounts.quantile(75)
        else:
            found = min(max(past.amounts.quantile(90), usual.amounts.quantile(50)), usual.largest)
        found = max(1, found)
        return found if declared is None else min(found, self.reserved(route, declared, first, most))

    def reach(self, route: Hashable, least: int) -> int:
        """Return what an answer without a maximum may come to."""
        usual = self._routes.get(route)
        if usual is None or usual.total < ENOUGH_OF_ROUTE:
            return least
        return max(least, usual.amounts.quantile(99))

    def reserved(self, route: Hashable, declared: int, first: int | None = None, most: int = 0) -> int:
        """Return what a declared maximum counts as, of a limit that can hold `most`."""
        first = self._first if first is None else first
        usual = self._routes.get(route)
        if usual is None or usual.total < ENOUGH_OF_ROUTE:
            return min(declared, max(_PINNING * first, most // _SHARE))
        needed = max(1, usual.amounts.quantile(99))
        return needed if declared > _PINNING * needed else declared
