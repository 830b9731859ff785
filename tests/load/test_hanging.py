"""Requests that hang while all others are answered."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

import pytest

from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Settings
from ratelimit.load.model.first_byte import FirstByte
from tests.load.flights import flight

SECOND = 10**9


def played(one_in: int, rate: float, seconds: int, *, streams: bool = True) -> tuple[float, int]:
    """Return the part of the requests that found room, and the most that waited; one in so many hangs.

    All others begin at once and have their first byte after a tenth of a second, of a target of a second.
    """
    random, admission = Random(3), Admission(FirstByte(Settings(SECOND)), flight(floor=4))
    ends: list[tuple[int, int, bool]] = []
    came = let_in = most = 0
    now_ns = 1
    while now_ns < seconds * SECOND:
        now_ns += int(random.expovariate(rate) * SECOND)
        while ends and ends[0][0] <= now_ns:
            due_ns, ticket, is_first = heappop(ends)
            (admission.first_byte if is_first else admission.finished)(ticket, due_ns)
        came += 1
        if not admission.has_room(now_ns):
            admission.turn_away(now_ns)
            continue
        let_in += 1
        ticket = admission.admit(now_ns)
        most = max(most, admission.flight.counts(now_ns)[1])
        if random.randrange(one_in):
            heappush(ends, (now_ns + SECOND // 10, ticket, True))
            heappush(ends, (now_ns + (SECOND if streams else SECOND // 10) + 1, ticket, False))
        else:
            heappush(ends, (now_ns + 60 * SECOND, ticket, False))
    return let_in / came, most


@pytest.mark.parametrize("streams", [True, False], ids=["streams", "whole answers"])
def test_requests_that_hang_leave_the_others_their_room(streams: bool):
    """Hazard: each is late for a minute, they are all that may wait, and the limit is cut for them."""
    let_in, _ = played(100, 20.0, 180, streams=streams)
    assert let_in > 0.95


def test_requests_that_are_starved_do_not_open_the_limit():
    """Hazard: every third is never answered, each makes room for one more, and the queue is without bound."""
    _, most = played(3, 20.0, 120)
    assert most <= 80
