"""Shares of a budget that are told: one event for a customer and a window, whichever workers notice it."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

import pytest

from ratelimit import Limiter, Policy, PolicyError
from ratelimit.budgets.following import BudgetFollower
from ratelimit.budgets.stage import BudgetPart
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.support.time import HostClock

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
ALGORITHMS = ["token-bucket", "fixed-window", "sliding-window", "staggered-window"]
POLICY = """
version = 1
[identities]
account = { from = "state:account" }
[[limit]]
name = "requests"
per = "account"
rate = "10/minute"
algorithm = "ALGORITHM"
notify = [0.5, 0.8, 1]
"""


class Telling:
    """Stands where a reporter is."""

    def __init__(self, room: int = 10**9) -> None:
        self.room = room
        self.events: list[dict[str, Any]] = []

    def tell(self, name: str, now_ns: int, **fields: Any) -> None:
        assert name == "budget-used"
        self.events.append(fields)

    def counts(self) -> Counter[tuple[str, float, int]]:
        return Counter((each["caller"], each["share"], each["until"]) for each in self.events)

    def shares(self) -> list[float]:
        return [each["share"] for each in self.events]


class Workers:
    """Workers of one host: limiters over one table, each with a follower of its own."""

    def __init__(self, text: str, count: int = 1, keys: int = 10_000, *, in_python: bool = False) -> None:
        self.clock = HostClock()
        self.now_ns = self.clock.now_ns() // MINUTE_NS * MINUTE_NS + MINUTE_NS
        self.clock.set_ns(self.now_ns)
        store = EmbeddedStore.private(keys=keys, clock=self.clock)
        policy = Policy.from_toml(text)
        self.limiters = [Limiter(policy, store=store, clock=self.clock) for _ in range(count)]
        self.followers = [BudgetFollower() for _ in self.limiters]
        self.telling = Telling()
        if in_python:
            for each in self.limiters:
                each.current.decider = each.current.by_name = None

    def decide(self, account: str = "a", worker: int = 0, costs: Any = None, **state: Any) -> Any:
        state = {"account": account, **state}
        return self.limiters[worker].decide(client="192.0.2.1", state=state, costs=costs)

    def look(self) -> Telling:
        for follower, limiter in zip(self.followers, self.limiters, strict=True):
            follower.look(limiter, self.telling)  # type: ignore[arg-type]
        return self.telling

    def advance(self, ns: int) -> None:
        self.now_ns += ns
        self.clock.set_ns(self.now_ns)


def text_of(algorithm: str = "fixed-window", more: str = "") -> str:
    return POLICY.replace("ALGORITHM", algorithm) + more


@pytest.mark.parametrize("in_python", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_share_is_told_once_at_its_unit(algorithm: str, in_python: bool) -> None:
    host = Workers(text_of(algorithm), in_python=in_python)
    told = []
    for _ in range(14):
        host.decide()
        told.append(list(host.look().shares()))
    assert [len(each) for each in told] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3]
    assert told[-1] == [0.5, 0.8, 1]
    first = host.telling.events[0]
    assert (first["limit"], first["per"], first["used"], first["of"]) == ("requests", "account", 5, 10)
    assert host.now_ns < first["until"] * SECOND_NS <= host.now_ns + MINUTE_NS


@pytest.mark.parametrize("algorithm", ["fixed-window", "staggered-window"])
def test_next_window_tells_again_and_not_before(algorithm: str) -> None:
    host = Workers(text_of(algorithm))
    for _ in range(12):
        host.decide()
    end_ns = host.look().events[-1]["until"] * SECOND_NS
    host.advance(end_ns - 1 - host.now_ns)
    for _ in range(12):
        host.decide()
    assert len(host.look().events) == 3
    host.advance(1)
    for _ in range(12):
        host.decide()
    assert host.look().shares() == [0.5, 0.8, 1] * 2


def test_four_workers_tell_every_customer_once() -> None:
    """Every customer crosses all shares in some worker and is seen beyond them in others, in any order."""
    customers, chance = int(os.environ.get("KINLIMIT_CUSTOMERS", "10000")), random.Random(3)
    text = text_of().replace("10/minute", "2/day").replace("0.5, 0.8, 1", "0.5, 1")
    host = Workers(text, 4, 6 * customers)
    order = list(range(customers))
    for _ in range(3):
        chance.shuffle(order)
        for number in order:
            host.decide(str(number), number % 3 if chance.random() < 0.5 else chance.randrange(4))
        host.look()
    counts = host.telling.counts()
    assert len(counts) == 2 * customers
    assert set(counts.values()) == {1}


def test_what_waits_is_bounded_and_told_when_there_is_room() -> None:
    host = Workers(text_of(), keys=300_000)
    host.telling.room = 0
    waiting = host.limiters[0].runtime.part(BudgetPart).crossed.waiting
    for number in range(70_000):
        host.decide(str(number % 70_000), costs={"requests": 6})
    assert len(host.look().events) == 0
    assert len(waiting) == 1 << 16
    host.telling.room = 10**9
    host.look()
    assert len(host.telling.events) == 1 << 16
    for number in range(70_000):
        host.decide(str(number), costs={"requests": 1})
    host.look()
    assert set(host.telling.counts().values()) == {1}
    assert len(host.telling.events) == 70_000


@pytest.mark.parametrize("in_python", [False, True])
def test_request_without_room_tells_the_end_and_no_share_that_was_not_used(in_python: bool) -> None:
    host = Workers(text_of(), in_python=in_python)
    host.decide(costs={"requests": 7})
    assert host.look().shares() == [0.5]
    assert not host.decide(costs={"requests": 4}).allowed
    assert host.look().shares() == [0.5]  # at 70 %, an unusual request was too dear
    host.decide(costs={"requests": 2})
    assert not host.decide(costs={"requests": 4}).allowed
    assert host.look().shares() == [0.5, 0.8, 1]


def test_own_number_and_plan_have_shares_of_their_own() -> None:
    own = 'budget = { from = "state:budget", most = 1000 }\n'
    own += '[limit.tiers.plan.pro]\nrate = "20/minute"\n'
    text = text_of(more=own).replace("[identities]", '[identities]\nplan = { from = "state:plan" }')
    host = Workers(text)
    for _ in range(9):
        host.decide("free")
        host.decide("pro", plan="pro")
        host.decide("own", budget=100)
    assert Counter(each["of"] for each in host.look().events) == {10: 2}
    for _ in range(41):
        host.decide("own", budget=100)
    assert [each["of"] for each in host.look().events][2:] == [100]
    # Another number in the same window tells no share again.
    host.decide("own", budget=1000)
    host.decide("own", budget=60)
    assert [each["share"] for each in host.look().events][2:] == [0.5, 0.8]


def test_limit_in_shadow_tells_too() -> None:
    host = Workers(text_of(more='mode = "shadow"\n'))
    for _ in range(12):
        assert host.decide().allowed
    assert host.look().shares() == [0.5, 0.8, 1]


def test_reload_that_takes_shares_away_tells_nothing_more() -> None:
    host = Workers(text_of())
    for _ in range(12):
        host.decide()
    limiter = host.limiters[0]
    limiter.runtime.policy = Policy.from_toml(text_of().replace("notify", "# notify"))
    assert host.look().shares() == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[0.5, 0.8, 1]", "[0.8, 0.5]"),
        ("[0.5, 0.8, 1]", "[0.5, 0.5]"),
        ('per = "account"', "per = []"),
        ('rate = "10/minute"', "concurrent = 10"),
        ("[[limit]]", '[store]\nurl = "redis://127.0.0.1:1"\nmode = "leased"\n[[limit]]'),
    ],
)
def test_notify_that_cannot_be_exact_is_refused_at_the_start(before: str, after: str) -> None:
    text = text_of("fixed-window" if "rate" not in before else "concurrency").replace(before, after)
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    assert "limit-notify" in {problem.code for problem in caught.value.problems}


def test_policy_without_notify_has_nothing_beside_its_limits() -> None:
    host = Workers(text_of().replace("notify", "# notify"))
    plan = host.limiters[0].current.match_named("GET", "/").plan
    assert plan is not None
    assert plan.stages == ()
