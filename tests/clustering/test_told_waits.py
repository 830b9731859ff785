"""Waits of refused accounts: two accounts of one actor cannot tell by them that they are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.deciding.route_plan import own_wait_ns
from tests.support.acting import END_NS, NS, START_NS
from tests.support.telling import ACCOUNTS, COUNTED, MEMBERS, World, assert_nobody_can_tell


@pytest.mark.parametrize("algorithm", [*COUNTED, "lifetime"])
async def test_two_accounts_cannot_tell_by_their_waits_that_they_are_one_actor(
    algorithm: str, tmp_path: Path
) -> None:
    world = World('memory = "private"', algorithm, tmp_path / "policy.toml")
    assert_nobody_can_tell(await world.waits())
    await world.close()


@pytest.mark.parametrize(
    "more", [{}, {"headers": ["ratelimit", "retry-after", "abnormal-usage"]}], ids=["concealed", "opted in"]
)
async def test_what_others_spend_changes_no_wait(tmp_path: Path, more: dict[str, Any]) -> None:
    told = []
    for spenders, pause_s in ((ACCOUNTS[:1], 10), (ACCOUNTS[1:MEMBERS], 40)):
        world = World('memory = "private"', "token-bucket", tmp_path / "policy.toml", **more)
        world.clock.advance(pause_s)
        await world.spend(spenders)
        world.clock.advance(60 - pause_s)
        answer = await world.ask(ACCOUNTS[0])
        assert answer.status == 429
        told.append((answer.headers, answer.body))
        await world.close()
    assert told[0][0]["retry-after"] == told[1][0]["retry-after"]
    if not more:
        assert told[0] == told[1]


@given(
    account=st.integers(0, 2**64 - 1),
    range_s=st.integers(2, 3600),
    now_ns=st.integers(START_NS, END_NS),
    later_ns=st.integers(0, 3600 * NS),
)
def test_an_accounts_own_wait_is_bounded_and_counts_down(
    account: int, range_s: int, now_ns: int, later_ns: int
) -> None:
    range_ns = range_s * NS
    wait_ns = own_wait_ns(account, range_ns, now_ns)
    assert range_ns // 2 <= wait_ns < range_ns
    instant_ns = now_ns + wait_ns
    later = own_wait_ns(account, range_ns, now_ns + later_ns)
    assert (now_ns + later_ns + later - instant_ns) % (range_ns // 2) == 0
