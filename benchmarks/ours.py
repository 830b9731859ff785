"""This library as the other limiters see it: a meter, and plans, over a table of their own."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.peers import Peer
from benchmarks.scenarios import SECOND_NS
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Plan
from ratelimit.core.decision.meter import Meter
from ratelimit.stores.embedded.store import EmbeddedStore

HOUR_NS = 3600 * SECOND_NS
IDENTITIES = ("account", "ip", "client")


def store(keys: int = 100_000) -> EmbeddedStore:
    """Return a store in memory of this process."""
    return EmbeddedStore.private(keys=keys, block_bytes=0)


def rule(quota: int, name: str = "requests", algorithm: str = "token-bucket") -> Rule:
    """Return a rule of `quota` an hour."""
    return Rule(
        name, algorithm, quota=quota, period_ns=HOUR_NS, salt=sum(name.encode()) * 0x9E3779B97F4A7C15 % 2**64
    )


def meter(quota: int, over: EmbeddedStore | None = None, algorithm: str = "token-bucket") -> Peer:
    """Return one limit, asked by value."""
    over = over or store()
    check = Meter(
        over.table, rule(quota, algorithm=algorithm), over.hasher, over.hasher.kind_of("account")
    ).check
    now_ns = over.clock.now_ns()  # time is an argument; a request reads the clock once for all its limits

    def decide(keys: Iterable[str]) -> None:
        for key in keys:
            check(key, now_ns)

    def verdict(keys: Iterable[str]) -> None:
        for key in keys:
            found = check(key, now_ns)
            _allowed, _left, _wait = found.allowed, found.remaining, found.retry_after_ns

    return Peer(lambda key: check(key, now_ns).allowed, decide, verdict)


def three(over: EmbeddedStore, quota: int, most_in_a_window: int) -> Plan:
    """Return three limits, of three algorithms, each over an identity of its own."""
    rules = [
        rule(quota, "requests"),
        rule(most_in_a_window, "address", "sliding-window"),
        rule(quota, "client", "fixed-window"),
    ]
    return over.plan(rules, [[0], [1], [2]])
