"""A small world for what operators know: honest people, one actor, and a policy that says something."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ratelimit.clock import ManualClock
from ratelimit.clustering.declarations import principal_key
from ratelimit.correlation import Correlator
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store
from tests.support.policy_lines import tuned

NS = 1_000_000_000
START_S = 1_800_000_000
HOUR_S = 3600

NUMBERS = """\
principals = 4000
identifiers = 16000
exits = 16.0
records_s = 0
"""
TABLES = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
payment = { from = "state:payment", missing = "skip" }
client = { from = "header:user-agent", missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
block = { from = "client/16/32" }
[[limit]]
name = "one actor"
per = "cluster"
rate = "3000/day"
[hashing]
key = "000102030405060708090a0b0c0d0e0f"
[correlation]
principal = "account"
network = ["ip", "network", "block"]
payment = "payment"
client = "client"
"""
POLICY = tuned(TABLES, NUMBERS)

Seen = tuple[float, dict[str, str]]
"""When, and identities by name."""


class World:
    """A policy bound to a store, and a correlator that goes by it."""

    def __init__(self, known: str = "", policy: str = POLICY) -> None:
        self.load(known, policy)
        spec = self.policy.compiled.correlation
        assert spec is not None
        self.correlator = Correlator(
            spec.settings,
            START_S * NS,
            spec.columns(),
        )
        self.tell()

    def load(self, known: str, policy: str = POLICY) -> None:
        """Read the policy, anew: with other knowledge, as a reload does."""
        self.policy = Policy.from_toml(policy + known)
        self.store = private_store(self.policy, ManualClock(START_S * NS), seed=7)
        self.bound = BoundPolicy(self.policy.compiled, self.store, START_S * NS, diagnose=lambda code: None)

    def tell(self) -> None:
        assert self.bound.knowledge is not None
        self.bound.knowledge.tell(self.correlator)

    def row(self, values: dict[str, str]) -> list[int]:
        return self.bound.extractor.from_values(values, values.get("ip"))

    def key(self, account: str) -> int:
        compiled = self.policy.compiled
        assert compiled.correlation is not None
        key = principal_key(compiled.correlation, compiled.identities, self.bound.extractor, (account,))
        assert key is not None
        return key

    def see(self, seen: list[Seen], *, rebuilds: bool = True) -> None:
        """Observe requests in order of time, rebuilding when due, and at the end."""
        at_s = 0.0
        for at_s, values in sorted(seen, key=lambda each: each[0]):
            now_ns = int((START_S + at_s) * NS)
            self.correlator.observe(self.row(values), now_ns)
            if rebuilds and self.correlator.is_due(now_ns):
                self.rebuild(at_s)
        if rebuilds:
            self.rebuild(at_s)

    def rebuild(self, at_s: float) -> None:
        for _ in self.correlator.rebuild(int((START_S + at_s) * NS)):
            pass

    def label(self, account: str) -> int:
        return self.correlator.core.label_of(self.key(account))

    def cluster(self, account: str) -> int | None:
        """Return what limits count an account's cluster by."""
        found = self.correlator.cluster(self.row({"account": account}))
        return None if found == -1 else found

    def clustered(self, prefix: str, count: int) -> int:
        """Return how many accounts of a name are in a cluster."""
        return sum(self.label(f"{prefix}{number}") > 0 for number in range(count))


def people(count: int = 300, hours: int = 24, seed: int = 1) -> Iterator[Seen]:
    """Yield honest requests: a card, a home and a browser each."""
    source = random.Random(seed)
    for number in range(count):
        home = f"81.{number % 200}.{number % 7}.{number % 250}"
        for _ in range(1 + source.randrange(40)):
            values = {"account": f"person{number}", "payment": f"card{number}", "ip": home}
            yield source.uniform(0, hours * HOUR_S), {**values, "client": f"browser/{number % 5}"}


def actor(
    name: str = "bot",
    accounts: int = 60,
    hours: int = 24,
    seed: int = 2,
    *,
    cards: int = 6,
    exits: str = "45.{0}.{1}.7",
    count: int = 40,
    requests: int = 24,
) -> Iterator[Seen]:
    """Yield one actor's requests: new accounts, a few cards, a pool of exits of its own, nowhere at home."""
    source = random.Random(seed)
    pool = [exits.format(number % 20, number) for number in range(count)]
    for number in range(accounts):
        for _ in range(requests):
            values = {"account": f"{name}{number}", "payment": f"{name}card{number % cards}"}
            yield (
                source.uniform(0, hours * HOUR_S),
                {**values, "ip": source.choice(pool), "client": f"{name}/1.0"},
            )
