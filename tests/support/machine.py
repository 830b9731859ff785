"""Whole decisions, settlements, undoing and changed quotas, in any order, in two cores at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule

from ratelimit.reference.decision import ABSENT
from tests.support.cores import Core, reading
from tests.support.rule import EPOCH, MINUTE, SECOND, RuleSpec
from tests.support.streams import OF_UNITS, bursts

ALGORITHMS = (*OF_UNITS, "concurrency")
GAPS = (0, 1, SECOND // 7, SECOND - 1, SECOND, SECOND + 1, 10 * SECOND, MINUTE, -1, -SECOND // 2, -SECOND)


@st.composite
def limit_specs(draw: st.DrawFn, number: int) -> RuleSpec:
    """Draw one limit of a policy; its number makes its counters its own."""
    algorithm = draw(st.sampled_from(ALGORITHMS))
    quota = draw(st.integers(1, 8))
    return RuleSpec(
        algorithm,
        quota=quota,
        period_ns=draw(st.sampled_from([SECOND, 7 * SECOND, MINUTE])),
        burst=draw(bursts(algorithm, quota)),
        name=f"limit {number}",
        salt=0x9E3779B97F4A7C15 * (number + 1) % 2**64,
        shadow=draw(st.sampled_from([False, False, True])),
        enforced_ppm=draw(st.sampled_from([1_000_000, 1_000_000, 0])),
        lease_ns=MINUTE,
    )


class Decisions(RuleBasedStateMachine):
    """One policy, one table each, the same requests.

    Args:
        cores: the specification, and what is held to it.
    """

    outcomes = Bundle("outcomes")

    def __init__(self, cores: Sequence[Core]) -> None:
        super().__init__()
        self.cores = cores
        self.grain_ns = max(core.grain_ns for core in cores)

    @initialize(data=st.data(), count=st.integers(1, 4))
    def start(self, data: st.DataObject, count: int) -> None:
        self.epoch_ns = -(-EPOCH // self.grain_ns) * self.grain_ns
        self.now_ns = self.latest_ns = self.epoch_ns
        self.specs = [data.draw(limit_specs(number)) for number in range(count)]
        self.keys = [data.draw(st.sampled_from([(), (0,), (1,), (0, 1), (1, 0)])) for _ in range(count)]
        self.cost_positions = [
            -1 if spec.algorithm == "concurrency" else data.draw(st.sampled_from([-1, 0, 1]))
            for spec in self.specs
        ]
        self.tables = [core.table(self.epoch_ns) for core in self.cores]
        self.make_plans()

    def make_plans(self) -> None:
        """Make both plans, over the tables as they are."""
        self.plans = [
            core.plan(table, self.specs, self.keys, None, self.cost_positions)
            for core, table in zip(self.cores, self.tables, strict=True)
        ]

    def pass_time(self, gap_ns: int) -> None:
        """Move the clock, back by no more than the shortest window; the worker is alive throughout.

        Deeper steps are in `test_streams`: it is left open what a charge from before one is
        corrected to.
        """
        now_ns = (self.now_ns + gap_ns) // self.grain_ns * self.grain_ns
        self.now_ns = max(self.epoch_ns, self.latest_ns - SECOND, now_ns)
        self.latest_ns = max(self.latest_ns, self.now_ns)
        for table in self.tables:
            table.heartbeat(self.now_ns)

    def agree(self, pair: list[Any]) -> None:
        """Assert that two outcomes say the same."""
        expected, found = pair
        assert len(found) == len(expected) == len(self.specs)
        for index, spec in enumerate(self.specs):
            assert reading(found, index) == reading(expected, index), spec
        waits = [found.retry_after_ns(i) for i in range(len(found)) if found.state(i) == 2]
        if found.binding == -1:
            assert waits == []
        else:
            longest = -1 if -1 in waits else max(waits)
            assert found.retry_after_ns(found.binding) == longest

    @rule(
        target=outcomes,
        gap_ns=st.sampled_from(GAPS),
        identities=st.lists(st.sampled_from([1, 2, 2**64 - 1, ABSENT]), min_size=2, max_size=2),
        costs=st.lists(st.integers(0, 9), min_size=2, max_size=2),
    )
    def decide(self, gap_ns: int, identities: list[int], costs: list[int]) -> list[Any]:
        self.pass_time(gap_ns)
        pair = [plan.decide(identities, self.now_ns, costs) for plan in self.plans]
        self.agree(pair)
        return pair

    @rule(
        identities=st.lists(st.sampled_from([1, 2, ABSENT]), min_size=2, max_size=2),
        costs=st.lists(st.integers(0, 9), min_size=2, max_size=2),
    )
    def peek(self, identities: list[int], costs: list[int]) -> None:
        self.agree([plan.peek(identities, self.now_ns, costs) for plan in self.plans])

    @rule(
        pair=outcomes,
        index=st.integers(0, 3),
        gap_ns=st.sampled_from([0, 0, 1, SECOND // 7, SECOND]),
        actual=st.integers(0, 30),
    )
    def settle(self, pair: list[Any], index: int, gap_ns: int, actual: int) -> None:
        self.pass_time(gap_ns)
        if index >= len(self.specs) or self.specs[index].algorithm == "concurrency":
            return
        expected, found = (outcome.settle_rule(index, actual, self.now_ns) for outcome in pair)
        assert found == expected

    @rule(pair=outcomes)
    def undo(self, pair: list[Any]) -> None:
        for outcome in pair:
            outcome.undo(self.now_ns)

    @rule(pair=outcomes)
    def release(self, pair: list[Any]) -> None:
        for outcome in pair:
            outcome.release(self.now_ns)

    @precondition(lambda self: any(spec.algorithm != "concurrency" for spec in self.specs))
    @rule(quota=st.integers(1, 8), data=st.data())
    def reload_with_other_numbers(self, quota: int, data: st.DataObject) -> None:
        self.specs = [
            spec
            if spec.algorithm == "concurrency"
            else replace(spec, quota=quota, burst=data.draw(bursts(spec.algorithm, quota)))
            for spec in self.specs
        ]
        self.make_plans()
