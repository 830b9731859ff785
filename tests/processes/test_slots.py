"""Concurrency slots between processes: exact, not leaked, and back when a holder is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.rule import EPOCH, MINUTE, SECOND, RuleSpec
from tests.support.workers import SPAWN, Worker, attach_first, run_workers

SLOTS = RuleSpec("concurrency", 5, lease_ns=MINUTE)


def take_and_give(worker: Worker, rounds: int) -> list[int]:
    """Take as many slots as there are, together with the others; return how many in each round."""
    plan = worker.plan([SLOTS], [[0]])
    taken = []
    for _ in range(rounds):
        worker.meet()
        held = [outcome for outcome in (plan.decide([1], EPOCH) for _ in range(8)) if outcome.allowed]
        worker.meet()
        taken.append(len(held))
        for outcome in held:
            outcome.release(EPOCH)
    return taken


def test_processes_hold_exactly_as_many_slots_as_there_are(tmp_path: Path) -> None:
    taken = run_workers(take_and_give, tmp_path / "table", 4, 50)
    assert [sum(each) for each in zip(*taken, strict=True)] == [5] * 50


def come_and_go(worker: Worker) -> int:
    """Take and release without pause; return how often that worked."""
    plan = worker.plan([SLOTS], [[0]])
    worker.meet()
    done = 0
    for _ in range(5_000):
        outcome = plan.decide([1], EPOCH)
        done += outcome.allowed
        outcome.release(EPOCH)
    return done


def test_slots_are_not_leaked_by_coming_and_going(tmp_path: Path) -> None:
    assert sum(run_workers(come_and_go, tmp_path / "table", 4)) > 5_000
    assert count_free(tmp_path / "table", EPOCH) == 5


def count_free(path: Path, now_ns: int) -> int:
    """Return how many slots a fresh worker can take."""
    from ratelimit.core.decision.engine import Plan
    from tests.support.cores import compiled_rule

    table = attach_first(path)
    table.join(os.getpid(), 99, now_ns)
    plan = Plan(table, [compiled_rule(SLOTS)], [[0]])
    held = [outcome for outcome in (plan.decide([1], now_ns) for _ in range(9)) if outcome.allowed]
    for outcome in held:
        outcome.release(now_ns)
    return len(held)


def hold_and_die(path: Path) -> None:
    """Take three slots and be killed holding them."""
    from ratelimit.core.decision.engine import Plan
    from tests.support.cores import compiled_rule

    table = attach_first(path)
    table.join(os.getpid(), 1, EPOCH)
    plan = Plan(table, [compiled_rule(SLOTS)], [[0]])
    held = [plan.decide([1], EPOCH) for _ in range(3)]
    if all(outcome.allowed for outcome in held):
        os.kill(os.getpid(), signal.SIGKILL)


def test_slots_of_a_killed_worker_return_within_the_lease(tmp_path: Path) -> None:
    path = tmp_path / "table"
    assert count_free(path, EPOCH) == 5
    holder = SPAWN.Process(target=hold_and_die, args=(path,))
    holder.start()
    holder.join(60)
    assert holder.exitcode == -signal.SIGKILL
    assert count_free(path, EPOCH + SECOND) == 2
    assert count_free(path, EPOCH + MINUTE - SECOND) == 2
    assert count_free(path, EPOCH + MINUTE) == 5
