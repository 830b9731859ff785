"""Worker seats: taken once, kept while alive, reused after death."""

from __future__ import annotations

from typing import Any

from ratelimit.core.memory.host import host_of, hosts_in, owe, set_hosts, take_orphans
from tests.support.cores import Limiter, compiled_rule
from tests.support.memory import attach, private
from tests.support.rule import EPOCH, MINUTE, SECOND, RuleSpec

BLOCKS = 1 << 20
LEASE = RuleSpec("concurrency", 2, lease_ns=MINUTE)


def worker(memory: Any, pid: int, now_ns: int = EPOCH, start: int = 1) -> Any:
    """Return a table attached and joined as a worker of that pid."""
    table = attach(memory, block_bytes=BLOCKS)
    table.join(pid, start, now_ns)
    return table


def slots(table: Any) -> Any:
    """Return a plan of two slots for all requests."""
    from ratelimit.core.decision.engine import Plan

    return Plan(table, [compiled_rule(LEASE)], [[]])


def test_joining_again_gives_the_same_seat() -> None:
    memory = private(block_bytes=BLOCKS)
    table = attach(memory, block_bytes=BLOCKS)
    seat = table.join(10, 1, EPOCH)
    assert table.join(10, 1, EPOCH + SECOND) == seat
    assert attach(memory, block_bytes=BLOCKS).join(10, 1, EPOCH) == seat


def test_living_workers_have_seats_of_their_own() -> None:
    memory = private(block_bytes=BLOCKS)
    seats = [attach(memory, block_bytes=BLOCKS).join(pid, 1, EPOCH) for pid in range(1, 17)]
    assert len(set(seats)) == 16
    assert attach(memory, block_bytes=BLOCKS).stats(EPOCH)["workers"] == 16


def test_reused_pid_is_another_worker() -> None:
    memory = private(block_bytes=BLOCKS)
    before = worker(memory, 10, start=1)
    plan = slots(before)
    assert plan.decide([], EPOCH).allowed
    assert plan.decide([], EPOCH).allowed
    after = worker(memory, 10, start=2, now_ns=EPOCH + SECOND)
    after.heartbeat(EPOCH + 2 * MINUTE)
    # The namesake's signs of life do not keep the slots of the one that died.
    assert slots(after).decide([], EPOCH + 2 * MINUTE).allowed


def test_seats_of_the_dead_are_reused_a_thousand_times() -> None:
    memory = private(block_bytes=BLOCKS)
    now_ns = EPOCH
    for pid in range(1, 1_000):
        worker(memory, pid, now_ns).close()
        now_ns += 10 * MINUTE
    assert worker(memory, 5000, now_ns).stats(now_ns)["workers"] <= 2


def test_seats_freed_on_word_of_their_death_free_their_slots() -> None:
    memory = private(block_bytes=BLOCKS)
    dead, alive = worker(memory, 1), worker(memory, 2)
    assert all(slots(dead).decide([], EPOCH).allowed for _ in range(2))
    assert not slots(alive).decide([], EPOCH).allowed
    assert alive.release_seats(lambda pid, _start: pid != 1) == 1
    assert slots(alive).decide([], EPOCH).allowed
    assert alive.release_seats(lambda _pid, _start: True) == 0
    assert alive.stats(EPOCH)["workers"] == 1


def test_process_without_a_seat_counts_nothing_and_holds_nothing() -> None:
    memory = private(block_bytes=BLOCKS)
    stranger, known = attach(memory, block_bytes=BLOCKS), worker(memory, 2)
    assert (stranger.seat, known.seat >= 0) == (-1, True)
    counter = stranger.counter("requests")
    stranger.count(counter, 0, 5)
    assert known.totals(counter)[0] == 0


def test_more_workers_than_seats_still_count_and_decide() -> None:
    memory = private(block_bytes=BLOCKS)
    tables = [worker(memory, pid) for pid in range(1, 200)]
    for table in tables:
        table.count(table.counter("requests"), 0)
    assert tables[0].totals(tables[0].counter("requests"))[0] == len(tables)


def test_silent_workers_slots_return_within_the_lease() -> None:
    memory = private(block_bytes=BLOCKS)
    dead, alive = worker(memory, 1), worker(memory, 2)
    held = [slots(dead).decide([], EPOCH) for _ in range(2)]
    assert all(outcome.allowed and outcome.holds_slots for outcome in held)
    alive.heartbeat(EPOCH + MINUTE - SECOND)
    assert not slots(alive).decide([], EPOCH + MINUTE - SECOND).allowed
    alive.heartbeat(EPOCH + MINUTE)
    assert slots(alive).decide([], EPOCH + MINUTE).allowed
    assert slots(alive).decide([], EPOCH + MINUTE).allowed
    assert not slots(alive).decide([], EPOCH + MINUTE).allowed


def test_heartbeats_keep_slots_of_long_requests() -> None:
    memory = private(block_bytes=BLOCKS)
    streaming, other = worker(memory, 1), worker(memory, 2)
    outcomes = [slots(streaming).decide([], EPOCH) for _ in range(2)]
    for seconds in range(0, 600, 20):
        for table in (streaming, other):
            table.heartbeat(EPOCH + seconds * SECOND)
        assert not slots(other).decide([], EPOCH + seconds * SECOND).allowed
    outcomes[0].release(EPOCH + 600 * SECOND)
    assert slots(other).decide([], EPOCH + 600 * SECOND).allowed


def test_late_release_frees_nobody_elses_slot() -> None:
    memory = private(block_bytes=BLOCKS)
    slow, other = worker(memory, 1), worker(memory, 2)
    lapsed = [slots(slow).decide([], EPOCH) for _ in range(2)]
    later_ns = EPOCH + 2 * MINUTE
    other.heartbeat(later_ns)
    plan = slots(other)
    assert plan.decide([], later_ns).allowed
    assert plan.decide([], later_ns).allowed
    for outcome in lapsed:
        outcome.release(later_ns)
    assert not plan.decide([], later_ns).allowed


def test_release_is_idempotent() -> None:
    from tests.support.cores import COMPILED

    limiter = Limiter(COMPILED, RuleSpec("concurrency", 2))
    first, second = limiter.ask(EPOCH), limiter.ask(EPOCH)
    assert not limiter.ask(EPOCH).allowed
    for _ in range(3):
        first.release(EPOCH)
    assert not first.holds_slots
    assert second.holds_slots
    assert limiter.ask(EPOCH).allowed
    assert not limiter.ask(EPOCH).allowed


def test_refused_requests_hold_no_slot() -> None:
    from tests.support.cores import COMPILED

    limiter = Limiter(COMPILED, RuleSpec("concurrency", 1))
    holder, refused = limiter.ask(EPOCH), limiter.ask(EPOCH)
    assert not refused.allowed
    assert not refused.holds_slots
    refused.release(EPOCH)
    assert not limiter.ask(EPOCH).allowed
    holder.release(EPOCH)
    assert limiter.ask(EPOCH).allowed


def test_whoever_leaves_frees_its_seat_and_nobody_elses() -> None:
    memory = private(block_bytes=BLOCKS)
    first, second = worker(memory, 101), worker(memory, 102)
    assert (first.seat, second.seat, first.seated) == (0, 1, 2)
    assert slots(first).decide([], EPOCH).allowed
    assert slots(first).decide([], EPOCH).allowed
    first.leave()
    first.leave()
    assert (first.seat, first.seated, second.seat) == (-1, 1, 1)
    counter = second.counter("requests")
    first.count(counter, 0)
    assert second.totals(counter)[0] == 0
    # The slots it held are free, and so is its seat.
    assert slots(second).decide([], EPOCH).allowed
    assert worker(memory, 103).seat == 0


def test_what_a_dead_worker_owed_counts_once() -> None:
    memory = private(block_bytes=BLOCKS)
    dead, alive = worker(memory, 10), worker(memory, 11)
    owe(dead, 7)
    owe(alive, 2)
    assert take_orphans(alive) == 0
    alive.release_seats(lambda pid, _start: pid == 11)
    alive.release_seats(lambda pid, _start: pid == 11)
    assert (take_orphans(alive), take_orphans(alive)) == (7, 0)
    owe(alive, 0)  # its store counts what it owes, and leaves in order
    alive.leave()
    alive.release_seats(lambda pid, _start: False)
    assert take_orphans(alive) == 0


def test_seat_taken_from_a_silent_worker_says_what_that_owed() -> None:
    memory = private(block_bytes=BLOCKS)
    owe(worker(memory, 10), 3)
    others = [worker(memory, pid, EPOCH + 2 * 3600 * SECOND) for pid in range(11, 43)]
    assert sum(take_orphans(each) for each in others) == 3


def test_workers_of_one_memory_are_one_host() -> None:
    memory = private(block_bytes=BLOCKS)
    one, other = worker(memory, 10), worker(memory, 11)
    assert host_of(one, 77) == host_of(other, 78) == host_of(one, 79) == 77
    assert host_of(worker(private(block_bytes=BLOCKS), 10), 78) == 78
    assert hosts_in(other) == 0
    set_hosts(one, 12)
    assert hosts_in(other) == 12
