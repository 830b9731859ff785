"""A policy that is reloaded while requests are held."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.clock import ManualClock
from tests.load.held import BOUNDS, KIND, POLICY, SECOND, Gateway, Targeted, status
from tests.waiting.test_waiting import turns

CLASSES = """
[[class]]
name = "interactive"
match = "POST /chat"
[[class]]
name = "batch"
match = "POST /batch"
[[class]]
name = "night"
match = "POST /night"
[[limit]]"""
BY_CLASS = POLICY.replace("[[limit]]", CLASSES, 1)
ONE_CLASS = POLICY
OTHERS = BY_CLASS.replace("interactive", "paid").replace("POST /night", "POST /chat")
SHADOW = BY_CLASS.replace("[adaptive]\n", '[adaptive]\nmode = "shadow"\n')
AT_ONCE = BY_CLASS.replace("[adaptive]\n", '[adaptive]\nmode = "shed"\n')
OFF = POLICY[: POLICY.index("[adaptive]")] + POLICY[POLICY.index("[[limit]]") :]
SHORTER = BY_CLASS.replace('first_byte = "1s"', 'first_byte = "100ms"')


class Reloaded(Gateway):
    """The gateway, with a policy in a file."""

    def __init__(self, folder: Path, policy: str = BY_CLASS) -> None:
        self.path = folder / "policy.toml"
        self.path.write_text(policy)
        clock = ManualClock(1_700_000_000 * SECOND)
        super().__init__(limiter=Limiter(self.path, clock=clock))
        self.clock = clock

    def reload(self, policy: str, *, steers: bool = True) -> None:
        self.path.write_text(policy)
        assert self.limiter.reload().result == "applied"
        if steers:
            self.load._admission.adapt(Targeted(bounds=BOUNDS), kind=KIND)


@pytest.mark.parametrize("policy", [ONE_CLASS, OTHERS, SHORTER, AT_ONCE, OFF, SHADOW])
@pytest.mark.parametrize("path", ["/chat", "/batch", "/night"])
async def test_policy_is_reloaded_while_requests_are_held(tmp_path: Path, policy: str, path: str) -> None:
    """Hazard: a class that is no more, a limit that is off, a shadow in which nothing is shed."""
    gateway = Reloaded(tmp_path)
    await gateway.saturate("/chat")
    tasks = [await gateway.begin(account, path) for account in "aab"]
    assert gateway.held == 3
    gateway.reload(policy)
    await gateway.pass_by(1)
    for task in tasks:
        name = task.get_name()
        if policy is SHADOW:
            assert name in gateway.reached
            await gateway.answer(name, 2)
            assert status(gateway, name) == 200
        else:
            assert status(gateway, name) == 503
            assert int(gateway.answers[name].headers["retry-after"]) >= 1
        await task
    assert (gateway.held, gateway.load.queue.waiting) == (0, 0)
    for name in gateway.sent:
        await gateway.answer(name, 2)
    assert gateway.load.flight.counts(gateway.clock.now_ns()) == (0, 0)


async def test_what_is_held_goes_on_after_a_reload(tmp_path: Path) -> None:
    gateway = Reloaded(tmp_path)
    await gateway.saturate("/chat")
    task = await gateway.begin("a", "/chat")
    gateway.reload(ONE_CLASS)
    for _ in range(4):
        await gateway.begin_next()
        if gateway.reached:
            break
    assert gateway.reached == [task.get_name()]
    await gateway.answer(task.get_name(), 2)
    assert status(gateway, task.get_name()) == 200


async def test_limit_that_is_off_and_on_again_holds_as_before(tmp_path: Path) -> None:
    gateway = Reloaded(tmp_path)
    await gateway.saturate("/chat")
    held = await gateway.begin("a", "/chat")
    gateway.reload(OFF, steers=False)
    passing = await gateway.begin("b", "/chat")
    assert gateway.reached == [passing.get_name()]
    gateway.reload(BY_CLASS)
    late = await gateway.begin("b", "/chat")
    assert gateway.held == 2
    await gateway.pass_by(1)
    assert [status(gateway, task.get_name()) for task in (held, late)] == [503, 503]
    await gateway.answer(passing.get_name(), 2)
    await turns()
    assert status(gateway, passing.get_name()) == 200
