"""Sightings on their way: none is torn, none waits for the dead, and a flood is dropped and counted."""

from __future__ import annotations

import threading

import pytest

from ratelimit.core.sharing.ring import RING_PATIENCE_NS, Ring
from tests.support.boards import COLUMNS, WIDTH, board, correlator, row
from tests.support.rule import EPOCH

SECOND = 10**9


def test_what_is_put_is_what_the_index_notes() -> None:
    ring, subject = Ring(board(), COLUMNS), correlator()
    assert ring.put(row(1), EPOCH)
    assert ring.put(row(1, network=9), EPOCH + SECOND)
    assert ring.put(row(2), EPOCH + 2 * SECOND)
    assert ring.drain(subject.core, 100, EPOCH + 2 * SECOND) == 3
    told = correlator()
    for at, seen in enumerate((row(1), row(1, network=9), row(2))):
        told.observe(seen, EPOCH + at * SECOND)
    assert subject.evidence.principal_count == told.evidence.principal_count == 2
    assert subject.evidence.identifier_count == told.evidence.identifier_count
    assert subject.evidence.new_edges == told.evidence.new_edges


def test_nothing_waits_twice() -> None:
    ring, subject = Ring(board(), COLUMNS), correlator()
    ring.put(row(1), EPOCH)
    assert [ring.drain(subject.core, 100, EPOCH) for _ in range(3)] == [1, 0, 0]


def test_full_ring_drops_and_counts_and_goes_on() -> None:
    shared = board(sightings=16)
    ring, subject = Ring(shared, COLUMNS), correlator()
    assert [ring.put(row(n + 1), EPOCH) for n in range(20)] == [True] * 16 + [False] * 4
    assert (shared.stats()["dropped"], shared.stats()["waiting"]) == (4, 16)
    assert ring.drain(subject.core, 100, EPOCH) == 16
    assert [ring.put(row(n + 1), EPOCH) for n in range(17)] == [True] * 16 + [False]
    assert shared.stats()["dropped"] == 5


@pytest.mark.parametrize("most", [0, 1, 5, 16])
def test_draining_stops_where_it_is_told_to(most: int) -> None:
    ring, subject = Ring(board(), COLUMNS), correlator()
    for number in range(16):
        ring.put(row(number + 1), EPOCH)
    assert ring.drain(subject.core, most, EPOCH) == most
    assert ring.drain(subject.core, 100, EPOCH) == 16 - most


def test_producer_killed_before_publishing_holds_nobody_up_for_long() -> None:
    shared = board()
    ring, subject = Ring(shared, COLUMNS), correlator()
    ring.put(row(1), EPOCH)
    ring.reserve()
    ring.put(row(2), EPOCH)
    assert ring.drain(subject.core, 100, EPOCH) == 1
    assert ring.drain(subject.core, 100, EPOCH + RING_PATIENCE_NS - 1) == 0
    assert ring.drain(subject.core, 100, EPOCH + RING_PATIENCE_NS) == 1
    assert (shared.stats()["abandoned"], shared.stats()["waiting"]) == (1, 0)
    assert RING_PATIENCE_NS < SECOND


def test_many_killed_at_once_share_one_wait() -> None:
    shared = board()
    ring, subject = Ring(shared, COLUMNS), correlator()
    for number in range(5):
        ring.reserve()
        ring.put(row(number + 1), EPOCH)
    assert ring.drain(subject.core, 100, EPOCH) == 0
    assert ring.drain(subject.core, 100, EPOCH + RING_PATIENCE_NS) == 5
    assert shared.stats()["abandoned"] == 5


def test_later_kill_has_a_wait_of_its_own() -> None:
    shared = board()
    ring, subject = Ring(shared, COLUMNS), correlator()
    ring.reserve()
    assert ring.drain(subject.core, 100, EPOCH) == 0
    ring.reserve()
    later = EPOCH + RING_PATIENCE_NS
    assert ring.drain(subject.core, 100, later) == 0
    assert shared.stats()["abandoned"] == 1
    assert ring.drain(subject.core, 100, later + RING_PATIENCE_NS) == 0
    assert shared.stats()["abandoned"] == 2


def test_clock_that_steps_back_delays_by_one_patience_at_most() -> None:
    shared = board()
    ring, subject = Ring(shared, COLUMNS), correlator()
    ring.reserve()
    ring.put(row(1), EPOCH)
    assert ring.drain(subject.core, 100, EPOCH + 3600 * SECOND) == 0
    assert ring.drain(subject.core, 100, EPOCH) == 0
    assert ring.drain(subject.core, 100, EPOCH + RING_PATIENCE_NS) == 1


def test_dead_reservations_do_not_fill_the_ring_for_ever() -> None:
    shared = board(sightings=16)
    ring, subject = Ring(shared, COLUMNS), correlator()
    for _ in range(16):
        ring.reserve()
    assert not ring.put(row(1), EPOCH)
    ring.drain(subject.core, 100, EPOCH)
    ring.drain(subject.core, 100, EPOCH + RING_PATIENCE_NS)
    assert ring.put(row(1), EPOCH + RING_PATIENCE_NS)
    assert ring.drain(subject.core, 100, EPOCH + RING_PATIENCE_NS) == 1


@pytest.mark.parametrize("seen", [[-1] * WIDTH, [-2, *[5] * 6], [0] * WIDTH])
def test_request_without_a_principal_is_nobodys(seen: list[int]) -> None:
    shared = board()
    assert not Ring(shared, COLUMNS).put(seen, EPOCH)
    assert shared.stats()["waiting"] == shared.stats()["dropped"] == 0


@pytest.mark.parametrize("now_ns", [-1, 2**64, 1.5, None])
def test_time_that_is_none_is_not_believed(now_ns: object) -> None:
    assert not Ring(board(), COLUMNS).put(row(1), now_ns)  # type: ignore[arg-type]


def test_closed_board_takes_nothing_and_raises_nothing() -> None:
    shared = board()
    ring = Ring(shared, COLUMNS)
    shared.close()
    assert not ring.put(row(1), EPOCH)


def test_threads_lose_and_double_nothing() -> None:
    shared = board(principals=4096, sightings=4096)
    ring, subject = Ring(shared, COLUMNS), correlator(4096)
    each, count = 700, 4
    start = threading.Barrier(count + 1)

    def produce(number: int) -> None:
        start.wait(60)
        for n in range(each):
            while not ring.put(row(1 + number * each + n), EPOCH):
                pass

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    start.wait(60)
    taken = 0
    while taken < each * count:
        taken += ring.drain(subject.core, 64, EPOCH)
    for thread in threads:
        thread.join(30)
    stats = shared.stats()
    assert (taken, stats["taken"], stats["torn"], stats["abandoned"]) == (each * count, each * count, 0, 0)
    assert subject.evidence.principal_count == each * count
