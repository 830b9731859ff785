"""Steep rises above an account's own past: held for a while, and never refused."""

from __future__ import annotations

import pytest

from ratelimit import Limiter, Policy, PolicyError
from ratelimit.clock import ManualClock
from ratelimit.conduct.ramps import ramps_of
from ratelimit.deciding.stage import Effects, Pending
from ratelimit.identity.fact import NO_CONTEXT
from tests.asgi.driver import Mounted, key, limit, mount, rules
from tests.support.stopwatch import Stopwatch
from tests.waiting.test_pacing import counted

HOUR = 3600


def policy(mode: str = "enforce", usual: int = 10) -> str:
    return rules(
        limit("requests", rate="1000/hour"), more=f'ramp = "{usual}/hour{" in shadow" * (mode == "shadow")}"'
    )


def held(mounted: Mounted, account: str = "a") -> tuple[int, int]:
    """Return what an account used this hour, and how long a request of it would be held, in ms."""
    bound = mounted.middleware.limiter.current
    assert ramps_of(bound) is not None
    account_key = bound.extractor.value_hash("account", account)
    now_ns = mounted.clock.now_ns()
    return ramps_of(bound).used(account_key, now_ns)[0], ramps_of(bound).delay_ns(
        account_key, now_ns
    ) // 10**6


@pytest.fixture
def held_ns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Hold nothing, and return how long it would have been."""
    from ratelimit.waiting.hold_queue import HoldQueue

    found: list[int] = []

    def hold(self: HoldQueue, pending: Pending, for_ns: int) -> Effects[bool]:
        found.append(for_ns)
        yield from ()
        return True

    monkeypatch.setattr(HoldQueue, "hold", hold)
    return found


async def test_steep_rise_is_held_and_never_refused(held_ns: list[int]) -> None:
    mounted = mount(policy())
    assert await mounted.client.statuses(11, headers=key("a")) == [200] * 11
    assert held_ns == []
    assert await mounted.client.statuses(30, headers=key("a")) == [200] * 30
    assert len(held_ns) == 30
    assert held_ns == sorted(held_ns)  # the steeper the longer
    assert held_ns[-1] < 2 * 10**9
    assert held(mounted) == (41, int(2000 * (1 - 10 / 41)))
    assert await mounted.client.statuses(5, headers=key("b")) == [200] * 5
    assert len(held_ns) == 30
    assert counted(mounted.middleware.limiter, "ratelimit_ramp_delayed")["enforce",] == 30


async def test_account_that_grows_slowly_is_not_held(held_ns: list[int]) -> None:
    mounted = mount(policy())
    for calls in (10, 25, 70, 200):
        await mounted.client.statuses(calls, headers=key("a"))
        mounted.clock.advance(HOUR)
    assert held_ns == []
    await mounted.client.statuses(700, headers=key("a"))
    assert len(held_ns) in range(90, 130)  # three times the hour of 200


async def test_what_limits_refuse_is_no_rise(held_ns: list[int]) -> None:
    """Hazard: an account that is refused would be held for it later."""
    text = rules(limit("requests", rate="5/hour"), more='ramp = "10/hour"')
    mounted = mount(text)
    assert await mounted.client.statuses(50, headers=key("a")) == [200] * 5 + [429] * 45
    assert held(mounted) == (5, 0)


async def test_in_shadow_it_is_counted_and_nothing_is_held(held_ns: list[int]) -> None:
    mounted = mount(policy("shadow"))
    await mounted.client.statuses(20, headers=key("a"))
    assert held_ns == []
    assert held(mounted)[0] == 20
    assert counted(mounted.middleware.limiter, "ratelimit_ramp_delayed") == {("enforce",): 0, ("shadow",): 9}


async def test_held_in_real_time_and_told_how_long() -> None:
    text = policy(usual=20) + '[store]\nmemory = "private"\n'
    limiter = Limiter(Policy.from_toml(text))
    waited = [(await limiter.adecide(identities={"account": "a"})).waited_ns for _ in range(21)]
    assert waited == [0] * 21
    with Stopwatch() as watch:
        held = await limiter.adecide(identities={"account": "a"})
    assert 50 * 10**6 < held.waited_ns < (watch.s + watch.lost_s) * 1e9
    assert watch.s < 1
    limiter.close()


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_where_nothing_can_be_held_no_rise_is_counted_as_delayed(mode: str) -> None:
    """Hazard: the metric would say that requests were held which went on at once."""
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(policy(mode)), clock=clock)
    assert all(limiter.decide(identities={"account": "a"}).allowed for _ in range(20))
    assert counted(limiter, "ratelimit_ramp_delayed") == {("enforce",): 0, ("shadow",): 0}
    ramps = ramps_of(limiter.current)
    assert ramps is not None
    row = limiter.current.extractor.from_values({"account": "a"}, None, (), NO_CONTEXT)
    assert ramps.used(limiter.current.payer(row), clock.now_ns())[0] == 20
    limiter.close()


async def test_gate_and_ladder_count_the_same(held_ns: list[int]) -> None:
    gated, slow = mount(policy(usual=50)), mount(policy(usual=50))
    slow.middleware._gate = None
    slow.middleware._new_gate = lambda bound: None  # type: ignore[assignment, method-assign, return-value]
    for mounted in (gated, slow):
        await mounted.client.statuses(60, headers=key("a"))
    assert held(gated) == held(slow) == (60, int(2000 * (1 - 50 / 60)))
    assert len(held_ns) == 2 * 9


@pytest.mark.parametrize(
    "usual", ["0/hour", "300001/hour", "many", "10/minute", "10/hour in secret", "0.5/hour"]
)
def test_wrong_numbers_are_told(usual: str) -> None:
    with pytest.raises(PolicyError, match="ramp-rate"):
        Policy.from_toml(rules(limit(), more=f'ramp = "{usual}"'))
