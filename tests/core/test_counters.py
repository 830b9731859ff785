"""Counters in the mapping: any worker answers for all, whatever became of the others."""

from __future__ import annotations

import pytest

from ratelimit.core.memory.table import COUNTER_COLUMNS, MOST_COUNTERS
from ratelimit.core.memory.timings import Timings
from ratelimit.errors import StoreError
from tests.support.memory import attach, private
from tests.support.rule import EPOCH


def test_counts_of_all_workers_are_summed() -> None:
    memory = private()
    tables = [attach(memory) for _ in range(3)]
    for number, table in enumerate(tables):
        table.join(100 + number, 1, EPOCH)
        counter = table.counter("requests")
        for _ in range(number + 1):
            table.count(counter, 2)
        table.count(counter, 0, 10)
    for table in tables:
        totals = table.totals(table.counter("requests"))
        assert list(totals) == [30, 0, 6] + [0] * (COUNTER_COLUMNS - 3)


def test_names_are_rows_for_everyone_and_for_ever() -> None:
    memory = private()
    first, second = attach(memory), attach(memory)
    counters = [first.counter(name) for name in ("a", "b", "ü" * 100, "")]
    assert len(set(counters)) == 4
    assert [second.counter(name) for name in ("a", "b", "ü" * 100, "")] == counters
    first.close()
    assert attach(memory).counter("b") == counters[1]


def test_rows_run_out_cleanly() -> None:
    table = attach(private())
    table.join(1, 1, EPOCH)
    counters: list[int] = []

    def take_all() -> None:
        for number in range(100_000):
            counters.append(table.counter(f"limit {number}"))

    with pytest.raises(StoreError) as caught:
        take_all()
    assert caught.value.code == "counters-full"
    assert 256 <= len(counters) <= MOST_COUNTERS
    assert len(set(counters)) == len(counters)
    assert table.counter("limit 0") == counters[0]
    table.count(counters[-1], 0)
    assert table.totals(counters[-1])[0] == 1


def test_what_a_dead_worker_counted_stays_counted() -> None:
    memory = private()
    watcher = attach(memory)
    counter = watcher.counter("requests")
    for generation in range(200):
        worker = attach(memory)
        worker.join(1000 + generation, 1, EPOCH + generation * 10**12)
        worker.count(counter, 1)
        worker.close()
    assert watcher.totals(counter)[1] == 200


def test_cells_hold_large_amounts() -> None:
    table = attach(private())
    table.join(1, 1, EPOCH)
    counter = table.counter("latency")
    for _ in range(4):
        table.count(counter, 3, 2**61)
    assert table.totals(counter)[3] == 2**63


@pytest.mark.parametrize(
    ("counter", "column"), [(-1, 0), (10**6, 0), (0, -1), (0, 8), (2**63, 0), (0, 2**63)]
)
def test_cells_that_do_not_exist_are_an_error(counter: int, column: int) -> None:
    table = attach(private())
    table.join(1, 1, EPOCH)
    table.counter("requests")
    with pytest.raises((IndexError, ValueError, OverflowError)):
        table.count(counter, column)


@pytest.mark.parametrize("counter", [-1, 10**6, 2**63])
def test_counters_that_do_not_exist_are_an_error(counter: int) -> None:
    with pytest.raises((IndexError, ValueError, OverflowError)):
        attach(private()).totals(counter)


@pytest.mark.parametrize("name", [None, 5, b"bytes"])
def test_names_that_are_no_text_are_rejected(name: object) -> None:
    with pytest.raises(TypeError):
        attach(private()).counter(name)


def test_timings_fall_into_buckets_with_their_sum_and_what_was_done() -> None:
    table = attach(private())
    table.join(1, 1, EPOCH)
    times, done = table.counter("times"), table.counter("done")
    timings = Timings(table, (100, 200), [(times, 0), (times, 1), (times, 2)], (times, 3), (done, 5))
    for count, elapsed_ns in ((1, 0), (2, 100), (3, 101), (4, 200), (5, 1 << 40), (6, -7)):
        timings.add(count, elapsed_ns)
    assert list(table.totals(times))[:4] == [3, 2, 1, 401 + (1 << 40)]
    assert table.totals(done)[5] == 21
    table.close()
    timings.add(1, 1)
    watcher = attach(private())
    with pytest.raises(ValueError, match="bounds"):
        Timings(watcher, (100,), [(0, 0)], (0, 1), (0, 2))
    with pytest.raises(ValueError, match="bounds"):
        Timings(watcher, (), [(0, 0)], (0, 1), (0, 2))
    with pytest.raises(IndexError):
        Timings(watcher, (100,), [(0, 0), (0, COUNTER_COLUMNS)], (0, 1), (0, 2))
    with pytest.raises(OverflowError):
        timings.add(-1, 1)
