"""Waits of refused accounts: two accounts of one actor cannot tell by them that they are one.

Two actors of thirty accounts each have used up their budgets, at times of their own. At many moments
each account asks and notes all that it is told. Then pairs of accounts are compared, as an
attacker would compare theirs: do pairs of one actor look unlike pairs of two actors? Measured are
how far apart their waits are, whether they are equal, and how they change from one moment to the
next. Each is held against 500 random divisions of the accounts into two. An attacker that can tell
sees the true division stand out: beyond all but one in a hundred of the random ones.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Collection, Sequence
from operator import sub
from pathlib import Path
from statistics import fmean
from typing import Any

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.core.sharing.assignments import Assignments
from tests.asgi.driver import Answer, Client, key, ok
from tests.support.acting import START_NS
from tests.support.campaign import policy_text

ACCOUNTS = [f"account{number}" for number in range(60)]
MEMBERS = 30
MOMENTS = 24
DIVISIONS = 500
COUNTED = ["token-bucket", "fixed-window", "sliding-window", "sliding-log"]
Distance = Callable[[Sequence[int], Sequence[int]], float]


class World:
    """A limiter that takes the first thirty accounts for one actor and the others for another."""

    def __init__(self, store: str, algorithm: str, path: Path, **more: Any) -> None:
        text = policy_text(store=store, budget="40/hour", **more)
        text = text.replace('"fixed-window"', f'"{algorithm}"').replace("1000/minute", "100000/minute")
        if algorithm == "lifetime":
            text = text.replace("40/hour", "40/lifetime")
        path.write_text(text + '\n[hashing]\nkey = "' + "7a" * 16 + '"\n')
        self.clock = ManualClock(START_NS)
        self.limiter = Limiter(path, clock=self.clock)
        self.client = Client(RateLimitMiddleware(ok, limiter=self.limiter, reload_interval_s=0))
        assert self.limiter.clustering is not None
        self.limiter.clustering.is_kept_up = True  # none correlates: which account belongs where is given
        bound = self.limiter.current
        assert bound.watch is not None
        found = bound.watch.assignments
        writer = Assignments(found.board, found.columns)
        writer.write(found.board.claim(found.board.term, 1, START_NS))
        for number, account in enumerate(ACCOUNTS):
            row = bound.extractor.extract([(b"x-api-key", account.encode())], "192.0.2.1")
            principal = found.columns.key_of(row)
            assert principal is not None
            assert writer.assign(principal, 1001 + number // MEMBERS)

    async def ask(self, account: str) -> Answer:
        return await self.client("GET", "/v1/x", key(account))

    async def spend(self, accounts: Sequence[str]) -> None:
        """Ask with each in turn until nothing is left of their actor's budget."""
        for account in itertools.cycle(accounts):
            if (await self.ask(account)).status == 429:
                return

    async def waits(self) -> list[list[int]]:
        """Return what each account is told at each moment."""
        source = random.Random(11)
        found: list[list[int]] = [[] for _ in ACCOUNTS]
        for moment in range(MOMENTS):
            self.clock.advance(source.uniform(100, 900))
            await self.spend(ACCOUNTS[:MEMBERS])
            self.clock.advance(source.uniform(1, 60))
            await self.spend(ACCOUNTS[MEMBERS:])
            order = list(range(len(ACCOUNTS)))
            source.shuffle(order)
            for number in order:
                answer = await self.ask(ACCOUNTS[number])
                if answer.status == 200:  # a unit has come in meanwhile
                    answer = await self.ask(ACCOUNTS[number])
                assert answer.status == 429
                assert answer.headers.keys() == {"content-type", "content-length", "retry-after"}
                found[number].append(int(answer.headers["retry-after"]))
                assert len(found[number]) == moment + 1
        return found

    async def close(self) -> None:
        await self.limiter.aclose_connections()
        self.limiter.close()


def apart(one: Sequence[int], other: Sequence[int]) -> float:
    """Return how far apart two accounts' waits are."""
    return fmean(abs(a - b) for a, b in zip(one, other, strict=True))


def equal(one: Sequence[int], other: Sequence[int]) -> float:
    """Return how often two accounts are told nearly the same."""
    return fmean(abs(a - b) <= 1 for a, b in zip(one, other, strict=True))


def moving(one: Sequence[int], other: Sequence[int]) -> float:
    """Return how unlike their waits change."""
    return apart(list(map(sub, one, one[1:] + one[:1])), list(map(sub, other, other[1:] + other[:1])))


def standing_out(waits: Sequence[Sequence[int]], measure: Distance) -> float:
    """Return what part of random divisions of the accounts into two stands out more than the true one."""
    pairs = [(i, j, measure(waits[i], waits[j])) for i, j in itertools.combinations(range(len(waits)), 2)]
    source = random.Random(12)

    def gap(members: Collection[int]) -> float:
        same = [value for i, j, value in pairs if (i in members) == (j in members)]
        other = [value for i, j, value in pairs if (i in members) != (j in members)]
        return abs(fmean(same) - fmean(other))

    true = gap(frozenset(range(MEMBERS)))
    divisions = (frozenset(source.sample(range(len(waits)), MEMBERS)) for _ in range(DIVISIONS))
    return fmean(gap(division) >= true for division in divisions)


def assert_nobody_can_tell(waits: Sequence[Sequence[int]]) -> None:
    """Assert that no measure tells one actor's accounts from another's, and that waits are of use."""
    for measure in (apart, equal, moving):
        assert standing_out(waits, measure) >= 0.01, measure.__name__
    # Bounded by what the limit takes to give back its budget, and spread.
    assert 1800 <= min(map(min, waits)) <= max(map(max, waits)) <= 3600
    assert len({told[0] for told in waits}) > len(ACCOUNTS) // 2
