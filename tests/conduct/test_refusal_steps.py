"""Steps of limits that fall with conduct: what becomes of a request that conduct alone refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit import Decision, Limiter, Policy, PolicyError
from ratelimit.clock import Clock, ManualClock
from ratelimit.conduct import steps as rungs
from ratelimit.conduct.model.strikes import Strike
from ratelimit.conduct.stage import conduct_of
from ratelimit.waiting.stage import WaitingPart
from tests.asgi.driver import key, limit, mount, rules
from tests.waiting.test_pacing import counted
from tests.waiting.test_waiting import turns

STEPS = ["observe", "wait", "degrade", "challenge", "refuse"]


def lowered(*steps: str, first: str = "refuse", rate: str = "16/day", **more: Any) -> str:
    return limit("requests", rate=rate, adaptive=True, on_refusal=[first, *steps], **more)


def strike(limiter: Limiter, clock: Clock, times: int = 1, account: str = "a") -> None:
    """Strike an account, at once if there are kinds for it."""
    bound = limiter.current
    assert conduct_of(bound) is not None
    for time in range(times):
        if time and not time % 3:
            assert isinstance(clock, ManualClock)
            clock.advance(61)
        assert conduct_of(bound).strike(
            bound.extractor.value_hash("account", account), Strike(time % 3), clock.now_ns()
        )


class Caller:
    """One that asks a limiter by names."""

    def __init__(self, policy: str) -> None:
        self.clock = ManualClock(1_700_000_000 * 10**9)
        self.limiter = Limiter(Policy.from_toml(policy), clock=self.clock)

    def strike(self, times: int = 1) -> None:
        strike(self.limiter, self.clock, times)

    def calls(self, count: int) -> list[Decision]:
        ask = self.limiter.decide
        return [ask(path="/v1/chat", identities={"account": "a"}) for _ in range(count)]


def steps(decisions: list[Decision]) -> list[str | None]:
    """Return what became of each: its step, "" for none, None where it was refused."""
    return [(one.verdicts[0].step or "") if one.allowed else None for one in decisions]


def test_without_steps_a_lowered_limit_refuses() -> None:
    caller = Caller(rules(limit("requests", rate="16/day", adaptive=True)))
    caller.strike()
    assert steps(caller.calls(10)) == [""] * 8 + [None] * 2


def test_one_that_is_observed_keeps_the_whole_limit_and_no_more() -> None:
    caller = Caller(rules(lowered("observe")))
    caller.strike()
    assert steps(caller.calls(18)) == [""] * 8 + ["observe"] * 8 + [None] * 2
    assert counted(caller.limiter, "ratelimit_conduct_steps")["observe",] == 8


@pytest.mark.parametrize(("strikes", "step"), [(1, "observe"), (2, "wait"), (3, "degrade"), (4, None)])
def test_each_strike_is_a_step_up(strikes: int, step: str | None) -> None:
    """Nothing can be held here, and no application is asked for a step-up."""
    caller = Caller(rules(lowered(*STEPS)))
    caller.strike(strikes)
    assert steps(caller.calls(16))[-1] == step


@pytest.mark.parametrize(("first", "action"), [("degrade", "degrade"), ("challenge", "challenge")])
def test_one_entry_holds_for_conduct_too(first: str, action: str) -> None:
    """Nothing but the numbers of a limit falls where its list has one entry."""
    caller = Caller(rules(lowered(first=first, rate="4/day")))
    caller.strike(2)
    seen = caller.calls(3)[-1].verdicts[0]
    assert (seen.allowed, seen.action, seen.step) == (False, action, None)


@pytest.mark.parametrize("first", ["degrade", "challenge"])
def test_step_that_refuses_does_so_whatever_comes_first(first: str) -> None:
    """Hazard: after a strike on a strike a limit that degrades would still let everything pass."""
    caller = Caller(rules(lowered("observe", "refuse", first=first, rate="4/day")))
    caller.strike()
    assert steps(caller.calls(4)) == [""] * 2 + ["observe"] * 2
    assert caller.calls(1)[0].verdicts[0].action == first
    caller = Caller(rules(lowered("observe", "refuse", first=first, rate="4/day")))
    caller.strike(2)
    last = caller.calls(2)[-1]
    assert (last.allowed, last.verdicts[0].action) == (False, "refuse")


def test_last_step_holds_for_all_further_strikes() -> None:
    caller = Caller(rules(lowered("degrade")))
    caller.strike(6)
    assert steps(caller.calls(17))[-2:] == ["degrade", None]


def test_degraded_request_says_so() -> None:
    caller = Caller(rules(lowered("degrade"), limit("daily", rate="100/day")))
    caller.strike()
    found = caller.calls(10)
    assert [one.degrade for one in found] == [()] * 8 + [("requests",)] * 2
    assert found[-1].verdicts[0].allowed
    assert found[-1].verdicts[1].action == "allow"


def test_another_limit_that_refuses_comes_first() -> None:
    caller = Caller(rules(lowered("degrade"), limit("daily", rate="9/day")))
    caller.strike()
    assert steps(caller.calls(11)) == [""] * 8 + ["degrade"] + [None] * 2


def test_peek_takes_the_step_and_counts_nothing() -> None:
    caller = Caller(rules(lowered("degrade")))
    caller.strike()
    caller.calls(8)
    seen = caller.limiter.peek(path="/v1/chat", identities={"account": "a"})
    assert (seen.allowed, seen.degrade) == (True, ("requests",))
    assert counted(caller.limiter, "ratelimit_conduct_steps")["degrade",] == 0


def test_steps_in_shadow_changes_nothing() -> None:
    caller = Caller(rules(lowered("degrade", mode="shadow"), limit("daily", rate="100/day", adaptive=True)))
    caller.strike()
    assert {one.degrade for one in caller.calls(20)} == {()}


class Held:
    """A limiter in real time, since that is what holds a request."""

    def __init__(self, *limits: str) -> None:
        self.limiter = Limiter(Policy.from_toml(rules(*limits, more='[store]\nmemory = "private"')))
        strike(self.limiter, self.limiter.runtime.clock)

    def ask(self) -> asyncio.Future[Decision]:
        return asyncio.ensure_future(self.limiter.adecide(identities={"account": "a"}))


async def test_request_that_waits_is_held_until_it_fits_into_what_is_left() -> None:
    held = Held(lowered("wait", rate="10/second", burst=2))
    assert (await held.ask()).waited_ns == 0
    decision = await held.ask()
    assert (decision.allowed, decision.verdicts[0].step) == (True, "wait")
    assert 150 * 10**6 < decision.waited_ns < 10**9
    assert counted(held.limiter, "ratelimit_conduct_steps")["wait",] == 1


async def test_wait_ends_whether_it_fits_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rungs, "MOST_HELD_NS", 50 * 10**6)
    held = Held(lowered("wait", rate="2/hour", burst=2))
    assert (await held.ask()).allowed
    decision = await held.ask()
    assert (decision.allowed, decision.verdicts[0].step) == (True, "wait")
    assert decision.waited_ns > 40 * 10**6
    assert not (await held.ask()).allowed


async def test_no_more_are_held_than_may_be() -> None:
    """Hazard: one that is held costs memory for two seconds, and a caller has as many as it likes."""
    held = Held(lowered("wait", rate="8/hour", burst=8))
    hold = held.limiter.runtime.part(WaitingPart).hold
    hold.bound_to(2)
    assert [(await held.ask()).allowed for _ in range(4)] == [True] * 4
    waiting = [held.ask() for _ in range(2)]
    await turns()
    assert hold.waiting == 2
    assert not (await held.ask()).allowed
    for one in waiting:
        one.cancel()
    await turns()
    assert hold.waiting == 0


async def test_challenged_request_goes_by_the_whole_limit_once_it_passed() -> None:
    asked: list[str] = []
    solved = False

    def hook(scope: Any, decision: Decision) -> bool:
        assert decision.binding is not None
        asked.append(decision.binding.action)
        return solved

    mounted = mount(rules(lowered("challenge", rate="8/day")), challenge=hook)
    strike(mounted.middleware.limiter, mounted.clock)
    assert await mounted.client.statuses(6, headers=key("a")) == [200] * 4 + [429] * 2
    assert asked == ["challenge"] * 2
    solved = True
    assert await mounted.client.statuses(5, headers=key("a")) == [200] * 4 + [429]
    assert len(asked) == 3  # remembered from then on
    assert await mounted.client.statuses(9, headers=key("b")) == [200] * 8 + [429]
    assert len(asked) == 3


async def test_application_sees_the_step_of_its_request() -> None:
    seen: list[tuple[str | None, tuple[str, ...]]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        limited = scope["ratelimit"]
        seen.append((limited.decision.verdicts[0].step, limited.degrade))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    mounted = mount(rules(lowered("degrade", rate="4/day")), app)
    strike(mounted.middleware.limiter, mounted.clock)
    assert await mounted.client.statuses(4, headers=key("a")) == [200] * 4
    assert seen == [(None, ())] * 2 + [("degrade", ("requests",))] * 2


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (limit(on_refusal=["refuse", "observe", "refuse"]), "limit-conflict"),
        (limit(adaptive=True, on_refusal=["refuse", "refuse", "observe"]), "limit-conflict"),
        (limit(adaptive=True, on_refusal=["refuse", "wait", "wait"]), "limit-conflict"),
        (limit(adaptive=True, on_refusal=["observe", "refuse"]), "limit-conflict"),
        (limit(on_refusal=["wait"]), "limit-conflict"),
        (limit(on_refusal=[]), "limit-conflict"),
        (limit(per="", adaptive=True, on_refusal=["refuse", "challenge"]), "limit-conflict"),
    ],
)
def test_wrong_steps_are_told(lines: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(rules(lines))
    assert [problem.code for problem in caught.value.problems] == [code]


def test_unknown_step_is_told_with_what_was_meant() -> None:
    with pytest.raises(PolicyError, match="degrade"):
        Policy.from_toml(rules(limit(adaptive=True, on_refusal=["refuse", "degrad"])))


async def test_what_an_answer_used_is_settled_in_what_conduct_left_too() -> None:
    """Hazard: estimates that are never given back would keep a lowered limit empty for ever."""
    tokens = limit(
        "tokens",
        rate="160/day",
        unit="output_tokens",
        cost=40,
        adaptive=True,
        on_refusal=["refuse", "observe"],
    )
    caller = Caller(rules(tokens))
    caller.strike()
    for _ in range(6):
        (decision,) = caller.calls(1)
        assert steps([decision]) == [""]
        decision.settle(output_tokens=1)
