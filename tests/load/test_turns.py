"""The part of a wait that the queue explains."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Settings
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.turns import Turns
from tests.load.flights import flight

SECOND = 10**9
instants = st.integers(-(2**62), 2**62)


@given(gaps=st.lists(st.integers(0, SECOND), min_size=1, max_size=60), most=st.integers(1, 30))
def test_all_of_a_wait_in_a_line_is_explained(gaps: list[int], most: int):
    """First come first served, at whatever pace: as many come as stood before."""
    turns, line, now_ns = Turns(), [], 1
    for gap in gaps:
        while len(line) < most:
            line.append((now_ns, len(line) + 1))
        now_ns += 1 + gap
        admitted_ns, queue = line.pop(0)
        assert turns.observe(admitted_ns, now_ns, queue, 0.5) == 1.0
        assert turns.stood == 1.0
    assert turns.share == turns.standing == 1.0


@given(st.lists(st.tuples(instants, instants, st.integers(1, 5_000), st.floats(0, 1e6)), max_size=60))
def test_explained_is_a_part_whatever_is_told(told: list[tuple[int, int, int, float]]):
    turns = Turns()
    for admitted_ns, first_byte_ns, queue, part in told:
        assert 0.0 <= turns.observe(admitted_ns, first_byte_ns, queue, part) <= 1.0
        assert 0.0 <= turns.explained(admitted_ns, queue) <= 1.0
        assert 0.0 <= turns.standing <= turns.share <= 1.0


def test_wait_that_many_overtook_is_its_own_work():
    turns = Turns()
    for tenth in range(100):
        turns.recall(tenth * SECOND // 10)
    assert turns.explained(5 * SECOND, 50) == 1.0
    assert turns.explained(0, 6) == pytest.approx(2 * 5 / 99)


def test_line_beside_another_is_still_a_line():
    """Two replicas: up to as many again come before one, and all of its wait is explained."""
    turns = Turns()
    for tenth in range(20):
        turns.recall(tenth * SECOND // 10)
    assert turns.explained(-1, 11) == 1.0


def work(random: Random) -> float:
    """Return seconds that one request takes by itself, whatever is beside it: 0.1, and one in eight 0.6."""
    return 0.6 if random.random() < 0.125 else 0.1


def played(seconds: int, rate: float, side_by_side: int) -> tuple[int, int]:
    """Return the requests that came and that were let in; first bytes take the request's own work alone."""
    random, admission = Random(3), Admission(FirstByte(Settings(first_byte_ns=SECOND)), flight(floor=4))
    began: list[tuple[int, int]] = []
    over: list[tuple[int, int]] = []
    came = let_in = 0
    now_ns = 1
    while now_ns < seconds * SECOND:
        now_ns += int(random.expovariate(rate) * SECOND)
        for due_ns, ticket in sorted(entry for entry in began if entry[0] <= now_ns):
            admission.first_byte(ticket, due_ns)
            began.remove((due_ns, ticket))
            over.append((due_ns + SECOND // 2, ticket))
        for due_ns, ticket in sorted(entry for entry in over if entry[0] <= now_ns):
            admission.finished(ticket, max(due_ns, now_ns))
            over.remove((due_ns, ticket))
        came += 1
        if len(began) < side_by_side and admission.has_room(now_ns):
            let_in += 1
            began.append((now_ns + int(work(random) * SECOND), admission.admit(now_ns)))
        else:
            admission.turn_away(now_ns)
    return came, let_in


def test_own_work_of_requests_side_by_side_does_not_shut_the_limit():
    """Hazard: all that refuse lower the aim below what requests take by themselves, and nothing gets in."""
    came, let_in = played(60, 100.0, side_by_side=12)
    assert let_in / came > 0.45
