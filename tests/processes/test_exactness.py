"""Four processes on one table: never one too many, and never one too few."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.bounds import check_bound
from tests.support.cores import REFERENCE, Limiter
from tests.support.rule import EPOCH, HOUR, SECOND, RuleSpec
from tests.support.streams import COUNTING
from tests.support.workers import Worker, attach_first, run_workers

PROCESSES = 4
THREADS = 3
SCHEDULE = (0, 0, SECOND // 3, SECOND - 1, SECOND, SECOND + 1, 5 * SECOND // 2, 9 * SECOND, 9 * SECOND + 1)


def spend_in_rounds(worker: Worker, spec: RuleSpec, cost: int = 1) -> list[int]:
    """Ask for more than there is at each instant of the schedule; return how many were given."""
    plan = worker.plan([spec], [[0]], cost_positions=[0])
    given = []
    for at_ns in SCHEDULE:
        worker.meet()
        now_ns = EPOCH + at_ns

        def ask(_thread: int, now_ns: int = now_ns) -> int:
            return sum(plan.decide([7], now_ns, [cost]).allowed for _ in range(spec.quota // cost // 4))

        given.append(sum(worker.in_threads(THREADS, ask)))
    return given


@pytest.mark.parametrize("algorithm", COUNTING)
def test_four_processes_on_one_key_get_exactly_the_limit(algorithm: str, tmp_path: Path) -> None:
    quota = 200 if algorithm == "sliding-log" else 600  # the specification walks whole logs
    spec = RuleSpec(algorithm, quota, SECOND, burst=500 if algorithm == "token-bucket" else None)
    given = run_workers(spend_in_rounds, tmp_path / "table", PROCESSES, spec)
    alone = Limiter(REFERENCE, spec)
    for number, at_ns in enumerate(SCHEDULE):
        expected = 0
        while alone.ask(EPOCH + at_ns).allowed:
            expected += 1
        assert sum(each[number] for each in given) == expected, at_ns


def test_four_processes_get_exactly_a_sliding_budget_that_takes_two_words(tmp_path: Path) -> None:
    # Each window's count moves to the other word while all of them ask.
    cost = 7_000_000
    spec = RuleSpec("sliding-window", 600 * cost, SECOND)
    given = run_workers(spend_in_rounds, tmp_path / "table", PROCESSES, spec, cost)
    alone = Limiter(REFERENCE, spec)
    for number, at_ns in enumerate(SCHEDULE):
        expected = 0
        while alone.ask(EPOCH + at_ns, cost).allowed:
            expected += 1
        assert sum(each[number] for each in given) == expected, at_ns


def spend_many_keys(worker: Worker, spec: RuleSpec, keys: int) -> list[int]:
    """Ask three times for each key in an order of one's own; return what each was given."""
    plan = worker.plan([spec], [[0]])
    order = list(range(keys)) * 3
    random.Random(worker.number).shuffle(order)
    given = [0] * keys
    worker.meet()
    for key in order:
        given[key] += plan.decide([key * 0x9E3779B97F4A7C15 % 2**64], EPOCH).allowed
    return given


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window"])
def test_processes_meeting_on_new_keys_create_each_once(algorithm: str, tmp_path: Path) -> None:
    # Every key is first seen by several at once: two entries of one key would double its limit.
    spec = RuleSpec(algorithm, 5, HOUR)
    given = run_workers(spend_many_keys, tmp_path / "table", PROCESSES, spec, 4_000)
    assert [sum(each) for each in zip(*given, strict=True)] == [5] * 4_000
    assert attach_first(tmp_path / "table").stats(EPOCH)["evictions"] == 0


def spend_many_logs(worker: Worker, spec: RuleSpec, keys: int) -> list[int]:
    """As above, for fewer keys: logs live in blocks."""
    return spend_many_keys(worker, spec, keys)


def test_processes_meeting_on_new_logs_create_each_once(tmp_path: Path) -> None:
    spec = RuleSpec("sliding-log", 5, HOUR)
    given = run_workers(spend_many_logs, tmp_path / "table", PROCESSES, spec, 200)
    assert [sum(each) for each in zip(*given, strict=True)] == [5] * 200


def trace_with_skewed_clocks(worker: Worker, spec: RuleSpec, rounds: int) -> list[tuple[int, int]]:
    """Ask while time passes, each worker by a clock of its own; return what was admitted when."""
    plan = worker.plan([spec], [[0]], cost_positions=[0])
    source = random.Random(worker.number)
    admitted = []
    now_ns = EPOCH + worker.number * SECOND // 50
    worker.meet()
    for number in range(rounds):
        if number % 300 == 0:
            worker.meet()  # so that no clock runs away from the others
        now_ns += source.choice((0, 0, 1, SECOND // 997, SECOND // 101))
        cost = source.choice((1, 1, 1, 2, 5))
        if plan.decide([7], now_ns, [cost]).allowed:
            admitted.append((now_ns, cost))
    return admitted


def test_clock_skew_between_processes_never_mints(tmp_path: Path) -> None:
    spec = RuleSpec("token-bucket", 2_000, SECOND)
    traces = run_workers(trace_with_skewed_clocks, tmp_path / "table", PROCESSES, spec, 6_000)
    merged = sorted(at for trace in traces for at in trace)
    assert len(merged) > 1_000
    check_bound(spec, merged)


def churn(worker: Worker, seed: int) -> dict[tuple[int, int], int]:
    """Decide over three limits, give some back, and keep account of what was kept."""
    plan = three_limits(worker)
    source = random.Random(seed + worker.number)
    kept: dict[tuple[int, int], int] = {}
    worker.meet()
    for _ in range(4_000):
        account, network = source.randrange(6), source.randrange(100, 104)
        outcome = plan.decide([account, network], EPOCH)
        if outcome.allowed:
            if source.random() < 0.5:
                outcome.undo(EPOCH)
            else:
                kept[account, network] = kept.get((account, network), 0) + 1
    return kept


def three_limits(worker: Any) -> Any:
    """Return a plan over an account's bucket, a network's window and a log for all requests."""
    specs = [
        RuleSpec("token-bucket", 70, HOUR, name="account", salt=1),
        RuleSpec("fixed-window", 90, HOUR, name="network", salt=2),
        RuleSpec("sliding-log", 300, HOUR, name="everyone", salt=3),
    ]
    return worker.plan(specs, [[0], [1], []])


def test_all_or_nothing_across_three_limits_under_contention(tmp_path: Path) -> None:
    accounts = run_workers(churn, tmp_path / "table", PROCESSES, 11)
    kept: dict[tuple[int, int], int] = {}
    for account in accounts:
        for pair, count in account.items():
            kept[pair] = kept.get(pair, 0) + count
    table = attach_first(tmp_path / "table")
    table.join(1, 1, EPOCH)

    class Here:
        def plan(self, specs: Any, keys: Any) -> Any:
            from ratelimit.core.decision.engine import Plan
            from tests.support.cores import compiled_rule

            return Plan(table, [compiled_rule(spec) for spec in specs], keys)

    plan = three_limits(Here())
    total = sum(kept.values())
    for account in range(6):
        for network in range(100, 104):
            outcome = plan.peek([account, network], EPOCH)
            taken = [70 - outcome.remaining(0), 90 - outcome.remaining(1), 300 - outcome.remaining(2)]
            assert taken == [
                sum(count for (each, _), count in kept.items() if each == account),
                sum(count for (_, each), count in kept.items() if each == network),
                total,
            ]
    # And no worker was starved: demand was several times what the tightest limit gives.
    assert total == 300
