"""Plans and outcomes: which counter a request meets, and what is reported of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ratelimit.core.decision.engine import MAX_COST, MAX_RULES, Outcome, Plan
from ratelimit.core.decision.use import add_use, take_use
from ratelimit.errors import UsageError
from ratelimit.telemetry.names import RuleColumn
from tests.support.cores import COMPILED, Limiter, compiled_rule
from tests.support.rule import DAY, EPOCH, MINUTE, SECOND, RuleSpec

ABSENT = -1
BUCKET = RuleSpec("token-bucket", 3, SECOND)


def plan(specs: list[RuleSpec], keys: list[list[int]], **places: Any) -> Plan:
    """Return a compiled plan over a fresh table; each rule has counters of its own."""
    rules = [replace(spec, salt=1000 + number) for number, spec in enumerate(specs)]
    made: Plan = COMPILED.plan(COMPILED.table(), rules, keys, **places)
    return made


def test_limits_of_the_contract() -> None:
    assert (MAX_RULES, MAX_COST) == (16, 2**31 - 1)


def test_sixteen_rules_fit_and_seventeen_do_not() -> None:
    made = plan([BUCKET] * 16, [[0]] * 16)
    assert len(made.rules) == 16
    outcome = made.decide([1], EPOCH)
    assert [outcome.state(index) for index in range(16)] == [1] * 16
    assert len(made) == len(outcome) == 16
    with pytest.raises(UsageError):
        plan([BUCKET] * 17, [[0]] * 17)


def test_no_rules_allow_everything() -> None:
    outcome = plan([], []).decide([], EPOCH)
    assert outcome.allowed
    assert (len(outcome), outcome.binding) == (0, -1)


def test_empty_key_is_one_counter_for_everyone() -> None:
    made = plan([BUCKET], [[]])
    assert [made.decide([identity], EPOCH).allowed for identity in (1, 2, 3, 4)] == [True] * 3 + [False]


def test_absent_identity_skips_the_rule_and_no_other() -> None:
    made = plan([BUCKET, BUCKET], [[0], [1]])
    for _ in range(3):
        assert made.decide([ABSENT, 7], EPOCH).state(0) == 0
    outcome = made.decide([ABSENT, 7], EPOCH)
    assert (outcome.allowed, outcome.state(0), outcome.state(1)) == (False, 0, 2)
    assert made.decide([7, ABSENT], EPOCH).remaining(0) == 2


def test_key_with_one_identity_absent_is_skipped_whole() -> None:
    made = plan([BUCKET], [[0, 1]])
    for identities in ([1, ABSENT], [ABSENT, 1], [ABSENT, ABSENT]):
        assert made.decide(identities, EPOCH).state(0) == 0


def test_key_confusion_between_orders_and_lengths_of_keys() -> None:
    made = plan([BUCKET], [[0, 1]])
    for _ in range(3):
        assert made.decide([1, 2], EPOCH).allowed
    assert not made.decide([1, 2], EPOCH).allowed
    for other in ([2, 1], [1, 1], [2, 2], [0, 3], [3, 0], [12, 0]):
        assert made.decide(other, EPOCH).remaining(0) == 2


def test_key_confusion_between_rules_of_other_salts() -> None:
    made = plan([BUCKET, BUCKET], [[0], [0]], cost_positions=[0, 1])
    assert made.decide([1], EPOCH, [3, 0]).allowed
    assert made.decide([1], EPOCH, [0, 3]).allowed


def test_all_or_nothing_across_rules() -> None:
    made = plan([BUCKET, replace(BUCKET, quota=1, burst=1)], [[0], [1]])
    assert made.decide([1, 5], EPOCH).allowed
    for _ in range(10):
        outcome = made.decide([1, 5], EPOCH)
        assert (outcome.allowed, outcome.binding) == (False, 1)
        assert (outcome.state(0), outcome.remaining(0)) == (1, 2)
    assert made.decide([1, 6], EPOCH).remaining(0) == 1


def test_shadow_refuses_in_name_only_and_charges_nothing() -> None:
    made = plan([replace(BUCKET, shadow=True), replace(BUCKET, quota=9, burst=9)], [[0], [0]])
    states = [made.decide([1], EPOCH).state(0) for _ in range(6)]
    assert states == [1, 1, 1, 3, 3, 3]
    outcome = made.decide([1], EPOCH)
    assert (outcome.allowed, outcome.binding, outcome.remaining(1)) == (True, -1, 2)
    assert outcome.retry_after_ns(0) > 0


def test_enforced_share_is_of_keys_and_steady() -> None:
    spec = replace(BUCKET, quota=1, burst=1, enforced_ppm=250_000)
    made = COMPILED.plan(COMPILED.table(keys=10_000), [spec], [[0]])
    identities = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 8_001)]
    for identity in identities:
        made.decide([identity], EPOCH)
    states = [made.decide([identity], EPOCH).state(0) for identity in identities[:4_000]]
    assert set(states) == {2, 3}
    assert 900 <= states.count(2) <= 1_100
    assert [made.decide([identity], EPOCH).state(0) for identity in identities[:4_000]] == states


def test_enforced_share_of_a_rollout_only_ever_grows() -> None:
    identities = [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 2_001)]
    table = COMPILED.table(keys=4_000)
    enforced: list[set[int]] = []
    for ppm in (100_000, 300_000, 700_000):
        spec = replace(BUCKET, quota=1, burst=1, enforced_ppm=ppm)
        made = COMPILED.plan(table, [spec], [[0]])
        for identity in identities:
            made.decide([identity], EPOCH)
        enforced.append({i for i in identities if made.decide([i], EPOCH).state(0) == 2})
    assert enforced[0] < enforced[1] < enforced[2]


def test_binding_is_the_enforced_rule_that_refuses_longest() -> None:
    specs = [
        replace(BUCKET, quota=1, burst=1, period_ns=MINUTE, shadow=True),
        replace(BUCKET, quota=1, burst=1, period_ns=SECOND),
        replace(BUCKET, quota=1, burst=1, period_ns=10 * SECOND),
    ]
    made = plan(specs, [[0]] * 3)
    made.decide([1], EPOCH)
    assert made.decide([1], EPOCH).binding == 2
    never = plan([*specs, replace(BUCKET, quota=2, burst=2)], [[0]] * 4, cost_positions=[-1, -1, -1, 0])
    never.decide([1], EPOCH, [1])
    assert never.decide([1], EPOCH, [3]).binding == 3


def test_costs_come_from_their_places() -> None:
    made = plan([replace(BUCKET, quota=9, burst=9)] * 3, [[0]] * 3, cost_positions=[1, -1, 0])
    outcome = made.decide([1], EPOCH, [2, 5])
    assert [outcome.cost(index) for index in range(3)] == [5, 1, 2]
    assert [outcome.remaining(index) for index in range(3)] == [4, 8, 7]


def test_counters_carry_over_when_numbers_change() -> None:
    table = COMPILED.table()
    for algorithm in ("fixed-window", "sliding-window", "sliding-log"):
        before, lower, higher = (
            COMPILED.plan(table, [RuleSpec(algorithm, quota, MINUTE, salt=len(algorithm))], [[0]])
            for quota in (5, 3, 9)
        )
        for _ in range(5):
            assert before.decide([1], EPOCH).allowed
        assert not lower.decide([1], EPOCH).allowed
        assert lower.peek([1], EPOCH).remaining(0) == 0
        assert [higher.decide([1], EPOCH).allowed for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window"])
def test_what_is_carried_beyond_the_debt_is_counted_as_forgiven(algorithm: str) -> None:
    table = COMPILED.table()
    made = COMPILED.plan(table, [RuleSpec(algorithm, 100, DAY)], [[0]], cost_positions=[0])

    def forgiven() -> int:
        cells: list[int] = table.totals(table.counter("limit"))
        return cells[RuleColumn.UNITS_FORGIVEN]

    made.decide([2], EPOCH, [100])
    made.decide([3], EPOCH, [60])
    made.decide([4], EPOCH, [70])
    made.carry([3], [2], EPOCH)
    assert forgiven() == 0
    made.carry([4], [2], EPOCH)
    assert forgiven() == 30
    made.charge([2], [10], 3, EPOCH)
    assert forgiven() == 60


def test_only_rules_of_a_plan_forgive() -> None:
    made = COMPILED.plan(COMPILED.table(), [RuleSpec("token-bucket", 100, DAY)], [[0]])
    for plan, indices in ((made, (-1, 1, 10**6)), (type(made).__new__(type(made)), (0, 1))):
        for index in indices:
            with pytest.raises(IndexError):
                plan.forgive(index, 5)


@pytest.mark.parametrize(
    "spec",
    [
        RuleSpec("token-bucket", 3000, DAY, burst=125),
        RuleSpec("token-bucket", 2, MINUTE, burst=40),
        RuleSpec("fixed-window", 100, DAY),
        RuleSpec("sliding-window", 100, DAY),
    ],
)
def test_what_is_carried_is_what_was_used(spec: RuleSpec) -> None:
    made = plan([spec], [[0]], cost_positions=[0])
    most = made.peek([1], EPOCH, [0]).remaining(0)
    made.decide([1], EPOCH, [7])
    made.decide([2], EPOCH, [4])
    made.carry([1], [2], EPOCH)
    assert made.peek([2], EPOCH, [0]).remaining(0) == most - 11
    made.carry([3], [2], EPOCH)
    assert made.peek([2], EPOCH, [0]).remaining(0) == most - 11


@pytest.mark.parametrize(
    ("spec", "most"),
    [
        (RuleSpec("token-bucket", 3000, DAY, burst=125), 125),
        (RuleSpec("fixed-window", 100, DAY), 100),
        (RuleSpec("sliding-window", 100, DAY), 100),
    ],
)
def test_what_was_used_before_is_charged_where_nothing_is_left(spec: RuleSpec, most: int) -> None:
    made = plan([spec], [[0]], cost_positions=[0])

    def left(at_ns: int) -> int:
        return made.peek([1], at_ns, [0]).remaining(0)

    made.charge([1], [2], 7, EPOCH)
    assert left(EPOCH) == most, "there is room"
    made.decide([1], EPOCH, [most - 1])
    made.charge([1], [1], 7, EPOCH)
    assert left(EPOCH) == 1, "for one more"
    made.charge([1], [2], 1, EPOCH)
    assert left(EPOCH) == 0
    # Into debt of one further quota, and no deeper.
    made.charge([1], [2**31 - 1], 2**31 - 1, EPOCH)
    if spec.algorithm == "token-bucket":
        full_ns = most * DAY // 3000
        assert not made.peek([1], EPOCH + full_ns, [1]).allowed
        assert left(EPOCH + 2 * full_ns) == most
    else:
        assert not made.peek([1], EPOCH - EPOCH % DAY + DAY - SECOND, [1]).allowed
        assert left(EPOCH + 3 * DAY) == most


def test_what_has_no_debt_is_not_charged() -> None:
    made = plan([RuleSpec("sliding-log", 5, MINUTE), RuleSpec("concurrency", 5, 0)], [[0], [0]])
    made.charge([1], [6, 6], 3, EPOCH)
    assert [made.peek([1], EPOCH).remaining(index) for index in range(2)] == [5, 5]


def test_charge_takes_a_cost_for_each_rule_or_charges_nothing() -> None:
    made = plan([BUCKET, BUCKET], [[0], [1]])
    enough = made.rules[0].burst + 1
    for costs, code in (([enough], "plan-shape"), ([enough, -1], "cost-range")):
        with pytest.raises(UsageError) as caught:
            made.charge([1, 2], costs, 1, EPOCH)
        assert caught.value.code == code
    made.charge([ABSENT, 2], [enough, 0], 1, EPOCH)
    fresh = made.peek([3, 3], EPOCH)
    assert all(made.peek([1, 2], EPOCH).remaining(index) == fresh.remaining(index) for index in range(2))


def test_ratelimit_field_names_each_rule_not_skipped() -> None:
    specs = [BUCKET, RuleSpec("fixed-window", 5, MINUTE), BUCKET]
    outcome = plan(specs, [[0], [0], [1]]).decide([1, ABSENT], EPOCH)
    field = outcome.ratelimit_field([b'"burst"', b'"minute"', b'"other"'])
    minute_s = -(-(MINUTE - EPOCH % MINUTE) // SECOND)
    assert field == b'"burst";r=2;t=1, "minute";r=4;t=%d' % minute_s


def test_outcome_belongs_to_its_request() -> None:
    limiter = Limiter(COMPILED, BUCKET)
    first = limiter.ask(EPOCH)
    second = limiter.ask(EPOCH)
    assert (first.remaining(0), second.remaining(0)) == (2, 1)
    first.undo(EPOCH)
    assert (first.remaining(0), second.remaining(0)) == (2, 1)
    assert limiter.peek(EPOCH, 0).remaining(0) == 2


@pytest.mark.parametrize("index", [1, -1, 16, 2**63])
def test_outcomes_of_rules_that_do_not_exist_are_an_error(index: int) -> None:
    outcome = Limiter(COMPILED, BUCKET).ask(EPOCH)
    for read in (outcome.state, outcome.remaining, outcome.retry_after_ns, outcome.reset_after_ns):
        with pytest.raises((IndexError, OverflowError)):
            read(index)
    with pytest.raises((IndexError, OverflowError)):
        outcome.settle_rule(index, 1, EPOCH)


def test_outcomes_are_made_by_deciding_only() -> None:
    with pytest.raises(TypeError):
        Outcome()


@pytest.mark.parametrize(
    ("keys", "places"),
    [
        ([], {}),
        ([[0], [0]], {}),
        ([[-2]], {}),
        ([[0]], {"members": [0, 0]}),
        ([[0]], {"cost_positions": []}),
    ],
)
def test_plans_that_do_not_fit_their_rules_are_rejected(keys: Any, places: Any) -> None:
    with pytest.raises((UsageError, ValueError)):
        plan([BUCKET], keys, **places)


def test_distinct_without_a_member_is_rejected() -> None:
    with pytest.raises(UsageError):
        plan([RuleSpec("distinct", 5)], [[0]])


@pytest.mark.parametrize("identities", [[], [2**64], [-2], [-(2**63)]])
def test_identities_out_of_place_or_range_are_a_clean_error(identities: list[int]) -> None:
    made = plan([BUCKET], [[0]])
    with pytest.raises((UsageError, IndexError, OverflowError, ValueError)):
        made.decide(identities, EPOCH)
    assert made.decide([1], EPOCH).remaining(0) == 2


@pytest.mark.parametrize("identities", [None, 5, [None], ["a"], [1.0], [b"1"]])
def test_identities_of_other_types_are_a_clean_error(identities: Any) -> None:
    made = plan([BUCKET], [[0]])
    with pytest.raises(TypeError):
        made.decide(identities, EPOCH)


@pytest.mark.parametrize("costs", [None, [], [1]])
def test_missing_costs_are_a_clean_error(costs: Any) -> None:
    made = plan([BUCKET, BUCKET], [[0], [0]], cost_positions=[0, 1])
    with pytest.raises((UsageError, IndexError, ValueError, TypeError)):
        made.decide([1], EPOCH, costs)
    assert made.peek([1], EPOCH, [0, 0]).remaining(0) == 3


def test_bad_cost_of_a_later_rule_charges_none_before_it() -> None:
    made = plan([BUCKET, BUCKET], [[0], [0]], cost_positions=[0, 1])
    with pytest.raises(UsageError):
        made.decide([1], EPOCH, [1, -1])
    assert made.peek([1], EPOCH, [0, 0]).remaining(0) == 3


def test_identities_may_be_a_tuple_or_a_list() -> None:
    made = plan([BUCKET], [[0]])
    assert made.decide((1,), EPOCH).remaining(0) == 2
    assert made.decide([1], EPOCH).remaining(0) == 1


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window"])
def test_units_are_taken_once_however_many_take(algorithm: str) -> None:
    table = COMPILED.table()
    one, other = (COMPILED.plan(table, [RuleSpec(algorithm, 100, DAY)], [[0]]) for _ in range(2))
    add_use(one, 0, [1], 30, EPOCH)
    add_use(other, 0, [1], 12, EPOCH)
    assert take_use(one, 0, [1], 5, EPOCH) == 5
    assert one.peek([1], EPOCH).remaining(0) == 100 - 37
    assert [take_use(each, 0, [1], 1000, EPOCH) for each in (other, one)] == [37, 0]
    assert one.peek([1], EPOCH).remaining(0) == 100
    assert take_use(one, 0, [2], 1000, EPOCH) == 0
    assert take_use(one, 0, [-1], 1000, EPOCH) == 0
    add_use(one, 0, [1], 150, EPOCH)  # in debt
    assert take_use(other, 0, [1], 1000, EPOCH) == 150
    add_use(one, 0, [1], 10, EPOCH)
    assert take_use(one, 0, [1], 1000, EPOCH + 2 * DAY) == 0


@pytest.mark.parametrize("algorithm", ["sliding-log", "concurrency"])
def test_only_words_are_added_and_taken(algorithm: str) -> None:
    made = plan([RuleSpec(algorithm, 5, MINUTE)], [[0]])
    with pytest.raises(ValueError, match="words"):
        add_use(made, 0, [1], 1, EPOCH)
    with pytest.raises(ValueError, match="words"):
        take_use(made, 0, [1], 1, EPOCH)
    for index in (-1, 1):
        with pytest.raises(IndexError):
            take_use(made, index, [1], 1, EPOCH)


@pytest.mark.parametrize("quota", [1, 3, 5, 60])
def test_share_of_a_small_limit_is_rounded_up(quota: int) -> None:
    share = compiled_rule(RuleSpec("token-bucket", quota, MINUTE)).scaled(500_000, 1)
    assert (share.quota, share.burst) == (-(-quota // 2), -(-quota // 2))
    table = COMPILED.table()
    made = Plan(table, [share], [[0]])
    admitted = sum(
        made.decide([1], EPOCH + second * SECOND).allowed for second in range(600) for _ in range(2)
    )
    # Its rate is not: ten minutes and the burst, and less than a unit more.
    assert 5 * quota <= admitted <= 5.5 * quota + 1
