"""Forks, several tables in a process, and leaving: no process takes another's memory away."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.support.autopsy import examine
from tests.support.cores import compiled_rule
from tests.support.rule import EPOCH, HOUR, RuleSpec
from tests.support.workers import attach_first

BUCKET = RuleSpec("token-bucket", 100, HOUR)


def in_child(work: Callable[[], bool]) -> bool:
    """Run something in a forked child; return whether it was true."""
    child = os.fork()
    if child == 0:
        good = False
        try:
            good = work()
        finally:
            os._exit(0 if good else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_fork_after_start_goes_on_with_the_same_limits(tmp_path: Path) -> None:
    from ratelimit.core.decision.engine import Plan

    table = attach_first(tmp_path / "table")
    table.join(os.getpid(), 1, EPOCH)
    plan = Plan(table, [compiled_rule(BUCKET)], [[0]])
    row = table.counter("asked")
    assert plan.decide([1], EPOCH).allowed

    def spend() -> bool:
        table.join(os.getpid(), 2, EPOCH)
        table.count(row, 0)
        return all(plan.decide([1], EPOCH).allowed for _ in range(49))

    assert in_child(spend)
    assert in_child(lambda: plan.decide([1], EPOCH).remaining(0) == 49)
    assert plan.decide([1], EPOCH).remaining(0) == 48
    table.count(row, 0)
    assert table.totals(row)[0] == 2
    assert table.stats(EPOCH)["workers"] == 2


def test_leaving_worker_takes_nothing_with_it(tmp_path: Path) -> None:
    from ratelimit.core.decision.engine import Plan

    table = attach_first(tmp_path / "table")
    plan = Plan(table, [compiled_rule(BUCKET)], [[0]])
    assert plan.decide([1], EPOCH).remaining(0) == 99

    def close_and_go() -> bool:
        table.close()
        return True

    assert in_child(close_and_go)
    assert plan.decide([1], EPOCH).remaining(0) == 98
    assert (tmp_path / "table").exists()


def test_several_tables_in_one_process_are_apart(tmp_path: Path) -> None:
    from ratelimit.core.decision.engine import Plan

    tables = [attach_first(tmp_path / name) for name in ("one", "two")]
    same = attach_first(tmp_path / "one")
    plans = [Plan(table, [compiled_rule(BUCKET)], [[0]]) for table in (*tables, same)]
    assert plans[0].decide([1], EPOCH).remaining(0) == 99
    assert plans[1].decide([1], EPOCH).remaining(0) == 99
    assert plans[2].decide([1], EPOCH).remaining(0) == 98
    tables[0].close()
    assert plans[2].decide([1], EPOCH).remaining(0) == 97
    assert plans[1].decide([1], EPOCH).remaining(0) == 98


def test_file_removed_under_living_workers_goes_on_in_memory(tmp_path: Path) -> None:
    from ratelimit.core.decision.engine import Plan

    table = attach_first(tmp_path / "table")
    plan = Plan(table, [compiled_rule(BUCKET)], [[0]])
    plan.decide([1], EPOCH)
    (tmp_path / "table").unlink()
    assert plan.decide([1], EPOCH).remaining(0) == 98
    fresh = attach_first(tmp_path / "table")
    assert fresh.fresh
    assert plan.decide([1], EPOCH).remaining(0) == 97


def test_fresh_file_is_whole(tmp_path: Path) -> None:
    from tests.support.memory import shared_file
    from tests.support.workers import BLOCK_BYTES

    table = attach_first(tmp_path / "table")
    memory = shared_file(tmp_path / "table", 4096, BLOCK_BYTES)
    examine(memory, table, EPOCH)
    assert table.stats(EPOCH)["used"] == 0
