"""Staggered windows: ends of keys are spread over the period, and those of a share are the whole's."""

from __future__ import annotations

from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Plan
from tests.support.cores import COMPILED, compiled_rule
from tests.support.rule import EPOCH, HOUR, SECOND, RuleSpec

SPEC = RuleSpec("staggered-window", 4, HOUR)


def ends(rule: Rule, keys: range, positions: list[int]) -> list[int]:
    """Return the second at which each key's window ends."""
    plan = Plan(COMPILED.table(EPOCH), [rule], [positions])
    found = [plan.decide([key, key + 1], EPOCH).reset_after_ns(0) for key in keys]
    assert all((EPOCH + reset_ns) % SECOND == 0 for reset_ns in found)
    return [(EPOCH + reset_ns) // SECOND for reset_ns in found]


def test_callers_do_not_all_return_at_once() -> None:
    staggered = [end % 3600 for end in ends(compiled_rule(SPEC), range(3600), [0])]
    of_each_minute = [sum(end // 60 == minute for end in staggered) for minute in range(60)]
    assert min(of_each_minute) >= 25
    assert max(of_each_minute) <= 105
    fixed = compiled_rule(RuleSpec("fixed-window", 4, HOUR))
    assert {end % 3600 for end in ends(fixed, range(100), [0])} == {0}


def test_share_of_a_worker_has_the_windows_of_the_whole() -> None:
    whole = compiled_rule(SPEC)
    for positions in ([], [0], [0, 1]):
        expected = ends(whole, range(50), positions)
        for salt in (0, 7, 2**64 - 1):
            assert ends(whole.scaled(500_000, salt), range(50), positions) == expected


def test_shares_count_apart_from_the_whole_and_from_each_other() -> None:
    table, whole = COMPILED.table(EPOCH), compiled_rule(SPEC)
    rules = [whole, whole.scaled(500_000, 1), whole.scaled(500_000, 2)]
    plans = [Plan(table, [rule], [[0]]) for rule in rules]
    assert len({plan.key(0, [5]) for plan in plans}) == 3
    assert [sum(plan.decide([5], EPOCH).allowed for _ in range(9)) for plan in plans] == [4, 2, 2]


def test_window_of_a_second_is_not_moved() -> None:
    rule = compiled_rule(RuleSpec("staggered-window", 4, SECOND))
    assert len(set(ends(rule, range(50), [0]))) == 1
