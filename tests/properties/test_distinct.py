"""Distinct counts: exact in the specification; in the core an error with one side and a stated size."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cores import BOTH, COMPILED, REFERENCE, Core, Limiter
from tests.support.rule import EPOCH, HOUR, RuleSpec

each_core = pytest.mark.parametrize("core", BOTH, ids=lambda core: core.name)
START = EPOCH // HOUR * HOUR + HOUR


def members(count: int, seed: int) -> list[int]:
    """Return different members, as hashes of addresses are."""
    return [random.Random(seed * 1_000_003 + number).getrandbits(63) for number in range(count)]


@each_core
@given(quota=st.integers(1, 60), seed=st.integers(0, 1000))
def test_never_refuses_before_the_quota_of_members(core: Core, quota: int, seed: int) -> None:
    limiter = Limiter(core, RuleSpec("distinct", quota, HOUR))
    assert all(limiter.ask(START, member=member).allowed for member in members(quota, seed))


@each_core
@given(quota=st.integers(1, 60), seed=st.integers(0, 1000))
def test_known_members_stay_welcome_and_cost_nothing(core: Core, quota: int, seed: int) -> None:
    limiter = Limiter(core, RuleSpec("distinct", quota, HOUR))
    known = members(quota, seed)
    for member in known:
        limiter.ask(START, member=member)
    left = limiter.peek(START, member=known[0]).remaining(0)
    for member in known * 2:
        outcome = limiter.ask(START, member=member)
        assert (outcome.allowed, outcome.remaining(0)) == (True, left)


@pytest.mark.parametrize("quota", [5, 40, 1000, 4096])
def test_false_welcomes_are_as_rare_as_stated(quota: int) -> None:
    # A stranger passes if its bit is set: at most one in sixteen when the quota is used up.
    limiter = Limiter(COMPILED, RuleSpec("distinct", quota, HOUR))
    welcomed = sum(limiter.ask(START, member=member).allowed for member in members(quota, 1))
    assert welcomed == quota
    # Members of the quota that met on one bit leave room for as many further ones.
    strangers = members(quota + 8_000, 1)[quota:]
    passed = sum(limiter.ask(START, member=stranger).allowed for stranger in strangers)
    assert passed <= quota / 16 + 8_000 / 16 + 200


def test_exact_sets_welcome_no_stranger() -> None:
    limiter = Limiter(REFERENCE, RuleSpec("distinct", 40, HOUR))
    assert sum(limiter.ask(START, member=member).allowed for member in members(500, 2)) == 40


@each_core
def test_refused_until_the_window_ends_and_welcome_exactly_then(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("distinct", 1, HOUR))
    first, second = members(2, 3)
    now_ns = START + 5
    assert limiter.ask(now_ns, member=first).allowed
    refused = limiter.ask(now_ns, member=second)
    assert not refused.allowed
    assert refused.retry_after_ns(0) == refused.reset_after_ns(0) == HOUR - 5
    assert not limiter.ask(START + HOUR - 1, member=second).allowed
    assert limiter.ask(START + HOUR, member=second).allowed
    assert not limiter.ask(START + HOUR, member=first).allowed


@each_core
def test_clock_jumps_backwards_and_nobody_is_forgotten(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("distinct", 1, HOUR))
    first, second = members(2, 4)
    assert limiter.ask(START, member=first).allowed
    for step_ns in (1, HOUR // 2, HOUR):
        assert not limiter.ask(START - step_ns, member=second).allowed


@each_core
def test_keys_count_their_own_members(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("distinct", 1, HOUR))
    first, second = members(2, 5)
    assert limiter.ask(START, key=1, member=first).allowed
    assert limiter.ask(START, key=2, member=second).allowed
    assert not limiter.ask(START, key=1, member=second).allowed


@each_core
def test_undo_of_the_first_request_forgets_its_member(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("distinct", 1, HOUR))
    first, second = members(2, 6)
    limiter.ask(START, member=first).undo(START)
    assert limiter.ask(START, member=second).allowed
    assert not limiter.ask(START, member=first).allowed


@each_core
def test_refused_strangers_are_not_remembered(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("distinct", 1, HOUR))
    first, second = members(2, 7)
    limiter.ask(START, member=first)
    for _ in range(3):
        assert not limiter.ask(START, member=second).allowed
