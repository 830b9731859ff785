"""Conduct, as a limiter has it: strikes that lower limits which say `adaptive`, for a while.

Theory of operation. What strikes is remembered in memory that the workers of a host share: calls through
refusals by account and limit, the rest by account and by cluster. Only an identity that was proven earns
strikes by calls: a stranger could earn them under an asserted one, or from a shared address. An account
that struck at a limit is marked. Most accounts never struck, and for them one lookup is all. For one that
did, limits are asked with smaller numbers: by another plan over the same counters, in sixteenths, made when
it is first needed. So a factor changes what is allowed from now on, and nothing of what was counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from math import ceil

from ratelimit.conduct.compile import ConductSpec
from ratelimit.conduct.lowered import WHOLE, Lowered
from ratelimit.conduct.metrics import CONDUCT_STEPS, COUNTER_STEPS, COUNTER_STRIKES
from ratelimit.conduct.model.persistence import Persistence
from ratelimit.conduct.model.strikes import News, Shared, Strike, factor, mark, merge, strike, whole_strikes
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.features.steps import MildStep
from ratelimit.stores.contract import REFUSED, Outcome

MOST_NEWS = 1024
"""Strikes that wait to be told to other hosts; with more the oldest stay this host's own."""
TRIES = 4
"""The number of times that a word is changed again after another worker was faster."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The factor on all limits of an account, and the reason for it.

    Args:
        factor: of them, from 0.1 to 1; the lower of the account's and its cluster's.
        account: the account's own.
        cluster: its cluster's; 1 without one.
        strikes: how many count, of the one that has more.
    """

    factor: float
    account: float
    cluster: float
    strikes: int = 0


class Conduct:
    """The conduct of the accounts of one limiter.

    Args:
        memory: what is remembered.
        table: where strikes are counted.
        news: what struck here is appended, for other hosts; None: there are none.
    """

    __slots__ = ("_counter", "_news", "_steps_counter", "_table", "memory")

    def __init__(self, memory: ConductMemory, table: Table, news: deque[News] | None = None) -> None:
        self.memory = memory
        self._news = news
        self._table = table
        self._counter = table.counter(COUNTER_STRIKES)
        self._steps_counter = table.counter(COUNTER_STEPS)

    def standing(self, account: int, cluster: int, now_ns: int) -> Standing:
        """Return what the limits of an account are scaled by."""
        word, other = self.memory.word(account), self.memory.word(cluster) if cluster else 0
        own, shared = factor(word, now_ns), factor(other, now_ns)
        strikes = max(whole_strikes(word, now_ns), whole_strikes(other, now_ns))
        return Standing(min(own, shared), own, shared, strikes)

    def refused(self, row: Sequence[int], now_ns: int, plan: RoutePlan, outcome: Outcome) -> None:
        """Take notice of a refusal, and make the wait that its caller is told as long as it has to be.

        Args:
            row: identities by position, at least those that limits with strikes count by.
            now_ns: when.
            plan, outcome: what refused.
        """
        seen: dict[int, int] = {}
        for at, rule in enumerate(plan.rules):
            spec = rule.spec(ConductSpec)
            if spec is None or not spec.own or rule.shadow or rule.is_beside or outcome.state(at) != REFUSED:
                continue
            room_after_ns, key = outcome.retry_after_ns(at), spec.key(spec.own, row)
            if not key or room_after_ns < 0:
                continue  # nobody is known to have called, or it follows from the request alone
            if key not in seen:  # several rates of one limit
                seen[key] = self._refused(key, row[spec.by[0]], now_ns, room_after_ns)
            outcome.hold_off(at, seen[key])

    def _refused(self, key: int, account: int, now_ns: int, room_after_ns: int) -> int:
        """Count a refusal at a limit; return how long its caller is told to wait."""
        known = Persistence(*self.memory.refusals(key))
        known, told_ns, is_strike = known.refuse(now_ns, room_after_ns)
        self.memory.set_refusals(key, *astuple(known))
        if is_strike:
            self.strike(key, Strike.PERSISTS, now_ns, account)
        return told_ns

    def lowered(self, plan: RoutePlan, row: Sequence[int], standing: Standing, now_ns: int) -> Lowered | None:
        """Return what conduct leaves of a plan's limits for a row; None: all of them."""
        levels, strikes = [], []
        for rule in plan.rules:
            spec = rule.spec(ConductSpec)
            left, count = (1.0, 0) if spec is None or not spec.falls else (standing.factor, standing.strikes)
            if spec is not None and spec.falls:
                for word in self._words(spec, row):
                    left, count = min(left, factor(word, now_ns)), max(count, whole_strikes(word, now_ns))
            level = min(WHOLE, ceil(left * WHOLE))
            levels.append(level)
            strikes.append(min(count, len(rule.on_refusal) - 1) if level < WHOLE else 0)
        return None if min(levels) >= WHOLE else Lowered(sixteenths=tuple(levels), strikes=tuple(strikes))

    def factor(self, specs: Collection[ConductSpec], row: Sequence[int], now_ns: int) -> float:
        """Return the lowest factor of a row at some limits."""
        words = [word for spec in specs if spec.falls for word in self._words(spec, row)]
        return min((factor(word, now_ns) for word in words), default=1.0)

    def _words(self, spec: ConductSpec, row: Sequence[int]) -> list[int]:
        keys = (spec.key(number, row) for number in spec.lowered_by)
        return [self.memory.word(key) for key in keys if key]

    def eased(self, steps: Collection[MildStep]) -> None:
        """Count a request that goes by whole limits, by what became of it on the way."""
        for step in steps:
            self._table.count(self._steps_counter, CONDUCT_STEPS.index(step))

    def joined(self, account: int, cluster: int, now_ns: int) -> None:
        """Take notice that an account is seen as a certain member of a cluster.

        For the first time the verdict on it rose, and its cluster grew. In another cluster than before,
        the new one has the conduct of the old one as well; the account keeps its own.
        """
        before = self.memory.cluster(account)
        if not account or before == cluster:
            return
        self.memory.set_cluster(account, cluster)
        if before:
            self._merge(cluster, self.memory.word(before), now_ns)
        else:
            self._strike(account, Strike.SURER, now_ns)
            self._strike(cluster, Strike.GROWS, now_ns)
        if self._news is not None:
            self._news.append(News(now_ns, account, Strike.SURER, cluster))

    def strike(self, key: int, kind: Strike, now_ns: int, account: int = 0) -> bool:
        """Strike a key; False where that kind struck within the minute. With an account it is at a limit."""
        if not self._strike(key, kind, now_ns):
            return False
        if account:
            self._mark(account, now_ns)
        if self._news is not None:
            self._news.append(News(now_ns, key, kind, account))
        return True

    def take_in(self, shared: Shared, now_ns: int) -> None:
        """Take in what all hosts know of a key: the worse of that and of what is known here."""
        if shared.is_at_limit:
            self._mark(shared.owner, now_ns)
        elif shared.owner:
            self.memory.set_cluster(shared.key, shared.owner)
        self._merge(shared.key, shared.word, now_ns)

    def _mark(self, account: int, now_ns: int) -> None:
        """Have an account looked at that struck at a limit."""
        for _ in range(TRIES):
            before = self.memory.word(account)
            if before or self.memory.swap(account, 0, mark(before, now_ns)):
                return

    def _strike(self, key: int, kind: Strike, now_ns: int) -> bool:
        for _ in range(TRIES):
            before = self.memory.word(key)
            after = strike(before, kind, now_ns)
            if after == before:
                return False
            if self.memory.swap(key, before, after):
                self._table.count(self._counter, int(kind))
                return True
        return False

    def strikes(self) -> tuple[int, ...]:
        """Return how often accounts and clusters of the host were struck, by kind."""
        return tuple(self._table.totals(self._counter)[kind] for kind in Strike)

    def _merge(self, key: int, word: int, now_ns: int) -> None:
        """Make the worse of a word and its own the word of a key."""
        if not word:
            return
        for _ in range(TRIES):
            own = self.memory.word(key)
            worse = merge(own, word, now_ns)
            if worse == merge(own, 0, now_ns):
                return
            # A word that is the worse in all is taken as it is: each sum anew would round it down.
            if self.memory.swap(key, own, word if worse == merge(word, 0, now_ns) else worse):
                return


def key_of(row: Sequence[int], position: int) -> int:
    """Return the identity at a position as a key; 0 where there is none."""
    return max(0, row[position]) if position >= 0 else 0
