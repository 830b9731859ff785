"""Conduct, as a limiter has it: strikes that lower limits which say `adaptive = true`, for a while.

Theory of operation. What strikes is remembered by account and by cluster, in memory that the workers of
a host share. Most accounts never struck, and for them one lookup is all. For one that did, limits are
asked with smaller numbers: by another plan over the same counters, in sixteenths, made when it is first
needed. So a factor changes what is allowed from now on, and nothing of what was counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

from ratelimit.conduct.metrics import CONDUCT_STEPS, COUNTER_STEPS, COUNTER_STRIKES
from ratelimit.conduct.model.persistence import Persistence
from ratelimit.conduct.model.strikes import News, Shared, Strike, factor, merge, strike, whole_strikes
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.decision import MildStep

MOST_NEWS = 1024
"""Strikes that wait to be told to other hosts; with more the oldest stay this host's own."""
TRIES = 4
"""The number of times that a word is changed again after another worker was faster."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The factor on an account's limits, and the reason for it.

    Args:
        factor: of its limits, from 0.1 to 1; the lower of the account's and its cluster's.
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

    def refused(self, account: int, now_ns: int, wait_ns: int | None) -> None:
        """Take notice of a refusal, and of how long the client was told to wait."""
        if not account or wait_ns is None:
            return
        seen, is_strike = Persistence(*self.memory.refusals(account)).refuse(now_ns, wait_ns)
        self.memory.set_refusals(account, *astuple(seen))
        if is_strike:
            self.strike(account, Strike.PERSISTS, now_ns)

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

    def strike(self, key: int, kind: Strike, now_ns: int) -> bool:
        """Strike an account or a cluster; False where that kind struck within the minute."""
        if not self._strike(key, kind, now_ns):
            return False
        if self._news is not None:
            self._news.append(News(now_ns, key, kind))
        return True

    def take_in(self, shared: Shared, now_ns: int) -> None:
        """Take in what all hosts know of a key: the worse of that and of what is known here."""
        if shared.cluster:
            self.memory.set_cluster(shared.key, shared.cluster)
        self._merge(shared.key, shared.word, now_ns)

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
