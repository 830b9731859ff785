"""Requests in flight, by class and list: the gate and the way in Python count the same."""

from __future__ import annotations

import pytest

from ratelimit import Policy
from ratelimit.core.sharing.reserve import Reserve
from tests.load.held import POLICY, SECOND, Gateway, key

LISTED = POLICY.replace("[adaptive]", '[allow]\naccount = ["vip"]\n[adaptive]')
CLASSES = POLICY.replace("[adaptive]", 'plan = { from = "header:x-plan" }\n[adaptive]').replace(
    "[[limit]]",
    '[[class]]\nname = "paid"\nwhen = { plan = ["pro"] }\n[[class]]\nname = "free"\nmatch = "/*"\n[[limit]]',
    1,
)


def gateway(policy: str, *, has_gate: bool) -> Gateway:
    made = Gateway(policy)
    if not has_gate:
        made.middleware._new_gate = lambda bound: None  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("has_gate", [True, False])
async def test_a_caller_on_the_allow_list_is_work_of_the_back_end(*, has_gate: bool) -> None:
    made = gateway(LISTED, has_gate=has_gate)
    task = await made.begin("vip")
    assert made.load.state().in_flight == 1
    await made.answer(made.reached[-1], 2)
    await task
    assert made.load.state().in_flight == 0


@pytest.mark.parametrize("has_gate", [True, False])
async def test_a_request_is_counted_in_the_class_that_its_identities_name(*, has_gate: bool) -> None:
    """Hazard: places are left free for a class by requests of that very class."""
    made = gateway(CLASSES, has_gate=has_gate)
    for _ in range(2):
        await made.begin("a", headers=[*key("a"), (b"x-plan", b"pro")])
    reserve, now_ns = Reserve(made.load.flight), made.limiter.now_ns()
    for at in range(3):
        reserve.lost(0, now_ns + at * 10 * SECOND)
    for at in range(5):
        reserve.step(now_ns + (40 + at) * SECOND)
    assert [reserve.share(rank) for rank in range(2)] == [0, 0]  # there is no lower class in flight


def test_an_identity_that_a_class_names_is_used() -> None:
    codes = [problem.code for problem in Policy.from_toml(CLASSES).warnings]
    assert "identity-unused" not in codes
