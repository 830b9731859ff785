"""Limiters that correlate, driven in virtual time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ratelimit import Decision, Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.events import NullObserver
from tests.support.campaign import Request, campaign, policy_text
from tests.support.time import HostClock

NS = 10**9
START_NS = HostClock().now_ns()
END_NS = START_NS + 9 * 3600 * NS
"""An hour after the campaign of the small world."""


class Noting(NullObserver):
    """Remembers what an operator was told."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def diagnosed(self, code: str, message: str) -> None:
        assert message != code, "each code has a set_verdict"
        self.codes.append(code)


class Actor:
    """One limiter, and the time it lives in.

    Args:
        path: the policy's file, for what workers share; a policy of its own when not given.
        more: for `policy_text`.
    """

    def __init__(self, path: Path | None = None, *, now_ns: int = START_NS, **more: Any) -> None:
        self.clock: ManualClock = HostClock(now_ns)
        self.noted = Noting()
        policy = path if path is not None else Policy.from_toml(policy_text(**more))
        self.limiter = Limiter(policy, clock=self.clock, observer=self.noted)

    def decide(self, request: Request) -> Decision:
        """Decide a request at its time."""
        self.clock.set_ns(START_NS + int(request.at_s * NS))
        return self.limiter.decide(path="/v1/x", headers=request.headers, client=request.address)

    def live(self, requests: Iterable[Request]) -> int:
        """Decide requests, each at its time; return how many were refused."""
        return sum(not self.decide(request).allowed for request in requests)

    def rest_until(self, now_ns: int, ticks: int = 3000) -> None:
        """Go on without requests, until a rebuild that is due has ended."""
        self.clock.set_ns(now_ns)
        self.tick(ticks)

    def tick(self, most: int = 3000) -> int:
        """Tick until there is nothing more to do at this moment; return how often."""
        clustering = self.limiter.clustering
        assert clustering is not None
        for number in range(most):
            if not clustering.tick(self.clock.now_ns()):
                return number + 1
        raise AssertionError("the work does not end")

    def cluster(self, account: str) -> int:
        """Return an account's cluster as any worker sees it, -1 without one."""
        bound = self.limiter.current
        row = bound.extractor.extract([(b"x-api-key", account.encode())], "192.0.2.1")
        assert bound.watch is not None
        bound.watch.fill(row)
        return row[bound.watch.at]

    def clusters(self, accounts: Iterable[str]) -> set[int]:
        """Return the clusters of several accounts."""
        return {self.cluster(account) for account in accounts}

    @property
    def numbers(self) -> dict[str, int]:
        return dict(self.limiter.correlation)


BOTS = [f"bot{number}" for number in range(60)]
PEOPLE = [f"person{number}" for number in range(300)]


def caught(path: Path | None = None, **more: Any) -> Actor:
    """Return an actor that has seen the campaign of the small world through."""
    actor = Actor(path, **more)
    actor.live(campaign())
    actor.rest_until(END_NS)
    return actor
