"""A customer's own number in place of a limit's: which values are numbers, and what a change of it may do."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock, Policy, PolicyError
from ratelimit.decision import Decision
from ratelimit.reference.decision import ReferencePlan, ReferenceTable
from ratelimit.reference.rule import RuleSpec

NOW_NS = 1_700_006_400 * 10**9
SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS
ALGORITHMS = ["token-bucket", "fixed-window", "sliding-window", "staggered-window"]
HEAD = """
version = 1
[identities]
account = { from = "state:account" }
"""
OWN = """
[[limit]]
name = "requests"
per = "account"
rate = "8/minute"
algorithm = "ALGORITHM"
budget = { from = "state:budget", most = 100 }
"""


class Faults:
    """Keeps the codes that an observer is told."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def diagnosed(self, code: str, message: str) -> None:
        self.codes.append(code)

    def reloaded(self, result: Any, error: Any) -> None: ...
    def resolver_failed(self, name: str, error: BaseException) -> None: ...
    def store_failed(self, error: Any) -> None: ...


def limiter(text: str = OWN, algorithm: str = "fixed-window", *, in_python: bool = False) -> Limiter:
    policy = Policy.from_toml((HEAD + text).replace("ALGORITHM", algorithm))
    found = Limiter(policy, clock=ManualClock(NOW_NS), observer=Faults())
    if in_python:
        found.current.decider = found.current.by_name = None
    return found


def decide(subject: Limiter, now_ns: int = NOW_NS, costs: Any = None, **state: Any) -> Decision:
    return subject.decide(client="192.0.2.1", state={"account": "a", **state}, now_ns=now_ns, costs=costs)


def admitted(subject: Limiter, count: int = 200, now_ns: int = NOW_NS, **state: Any) -> int:
    return sum(decide(subject, now_ns, **state).allowed for _ in range(count))


def codes(subject: Limiter) -> set[str]:
    return set(subject.runtime.observer.codes)  # type: ignore[attr-defined]


@pytest.mark.parametrize("in_python", [False, True])
@pytest.mark.parametrize(
    ("value", "units", "code"),
    [
        (20, 20, None),
        (20.9, 20, None),
        ("20", 20, None),
        (b" 20 ", 20, None),
        (Decimal("20.5"), 20, None),
        ("20/minute", 20, None),
        ("20 per minute", 20, None),
        ("20/min", 20, None),
        ("20 per 60 seconds", 20, None),
        (None, 8, None),
        ("", 8, None),
        # Beyond a bound the bound holds.
        (100, 100, None),
        (101, 100, "budget-bounded"),
        (10**30, 100, "budget-bounded"),
        (2, 2, None),
        (1, 1, None),
        (0, 1, "budget-bounded"),
        (-5, 1, "budget-bounded"),
        # What is no number of this limit leaves the policy's.
        ("20/hour", 8, "budget-type"),
        ("20/minute; 30/hour", 8, "budget-type"),
        ("20.5/minute", 8, "budget-type"),
        ("many", 8, "budget-type"),
        ("per", 8, "budget-type"),
        ("20/" + "x" * 5000, 8, "budget-type"),
        (float("nan"), 8, "budget-type"),
        (float("inf"), 8, "budget-type"),
        (Decimal("sNaN"), 8, "budget-type"),
        (True, 8, "budget-type"),
        ([20], 8, "budget-type"),
        (object(), 8, "budget-type"),
    ],
)
def test_value_is_a_number_or_leaves_the_rate(in_python: bool, value: Any, units: int, code: Any) -> None:
    subject = limiter(in_python=in_python)
    assert admitted(subject, budget=value) == units
    assert codes(subject) == ({code} if code else set())


def test_property_that_raises_leaves_the_rate() -> None:
    class State:
        account = "a"

        @property
        def budget(self) -> int:
            raise RuntimeError("the database is away")

    subject = limiter()
    found = [subject.decide(client="192.0.2.1", state=State(), now_ns=NOW_NS).allowed for _ in range(20)]
    assert sum(found) == 8
    assert codes(subject) == {"budget-type"}


def test_dollars_have_fractions() -> None:
    text = OWN.replace('rate = "8/minute"', 'rate = "0.50/day"\nunit = "usd"\ncost = 0')
    subject = limiter(text)
    for value, micros in (("0.25/day", 250_000), (1.5, 1_500_000), ("0.125", 125_000), (None, 500_000)):
        state = {"account": repr(value), "budget": value}
        one = subject.peek(client="192.0.2.1", state=state, now_ns=NOW_NS)
        assert one.verdicts[0].quota == micros


def test_headers_and_verdicts_say_the_number() -> None:
    verdict = decide(limiter(), budget=40).verdicts[0]
    assert (verdict.quota, verdict.remaining) == (40, 39)


@pytest.mark.parametrize("in_python", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", range(3))
def test_number_that_changes_never_gives_a_fresh_budget(in_python: bool, algorithm: str, seed: int) -> None:
    """Whatever numbers come one after another, the state is the reference's under these numbers."""
    chance = random.Random(seed)
    text = OWN.replace('"\nbudget', '"\nburst = 16\nbudget') if algorithm == "token-bucket" else OWN
    subject = limiter(text, algorithm, in_python=in_python)
    table = ReferenceTable(NOW_NS - 1)
    plan = subject.current.match_named("GET", "/").plan
    assert plan is not None
    now_ns, number = NOW_NS, 8
    for _ in range(400):
        now_ns += chance.choice([0, 0, 0, SECOND_NS // 7, SECOND_NS, 20 * SECOND_NS])
        if chance.random() < 0.2:
            number = chance.choice([2, 5, 8, 9, 50, 100])
        burst = number * 2 if algorithm == "token-bucket" else None
        own = RuleSpec.of(subject.current._core_rules[0])
        spec = RuleSpec(algorithm, number, own.period_ns, burst, salt=own.salt)
        # A key that is staggered goes by its hash: ask with the same.
        row = subject.current.extractor.extract([], "192.0.2.1")
        row[0] = subject.current.extractor.value_hash("account", "a")
        table.hash_key = subject.store.hasher.key
        expected = ReferencePlan(table, [spec], [(0,)]).decide(row, now_ns)
        found = decide(subject, now_ns, budget=number)
        assert found.allowed == expected.allowed
        assert found.verdicts[0].remaining == expected.remaining(0)
        assert found.verdicts[0].retry_after_ns == (expected.retry_after_ns(0) or 0)


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(2, 100), min_size=1, max_size=60),
    algorithm=st.sampled_from(["fixed-window", "staggered-window", "token-bucket"]),
)
def test_at_one_instant_all_numbers_together_admit_the_largest(numbers: list[int], algorithm: str) -> None:
    subject = limiter(algorithm=algorithm)
    total = used = 0
    for number in numbers:
        total += admitted(subject, 120, budget=number)
        used = max(used, number)
        assert total <= used
    if algorithm != "token-bucket":  # a bucket keeps the part that is used
        assert total == used


def test_lowered_number_keeps_what_was_used_and_raised_number_opens_the_rest() -> None:
    subject = limiter()
    assert admitted(subject, 50, budget=50) == 50
    assert admitted(subject, 50, budget=10) == 0
    assert admitted(subject, 50, budget=53) == 3
    assert admitted(subject, 50, NOW_NS + MINUTE_NS - 1, budget=53) == 0
    assert admitted(subject, 50, NOW_NS + MINUTE_NS, budget=10) == 10


def test_settlement_after_a_change_goes_by_the_numbers_of_its_charge() -> None:
    text = OWN.replace('algorithm = "ALGORITHM"', 'unit = "tokens"\ncost = 4')
    subject = limiter(text)
    before = decide(subject, budget=8)
    assert decide(subject, budget=80).allowed
    before.settle({"tokens": 0})
    # Half of a bucket of 8 is given back: of one of 80 a twentieth is still used.
    assert decide(subject, costs={"tokens": 0}, budget=80).verdicts[0].remaining == 76


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('per = []\nrate = "8/minute"', "per"),
        ('per = "account"\nrate = "8/minute; 100/hour"', "rate"),
        ('per = "account"\nconcurrent = 8', "concurrent"),
        ('per = "account"\nrate = "8/minute"\nalgorithm = "sliding-log"', "algorithm"),
        ('per = "account"\nrate = "8/minute"\nunit = "distinct:ip"', "unit"),
        (
            'per = "account"\nrate = "8/minute"\ntiers = { account = { pro = "9/hour" } }',
            "tiers",
        ),
    ],
)
def test_limit_that_cannot_have_own_numbers_is_refused_at_the_start(line: str, place: str) -> None:
    text = HEAD + f'[[limit]]\nname = "requests"\n{line}\nbudget = {{ from = "state:budget", most = 9 }}\n'
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    found = [problem for problem in caught.value.problems if problem.code == "limit-budget"]
    assert any(place in problem.key for problem in found), caught.value


@pytest.mark.parametrize(
    ("budget", "code"),
    [
        ('from = "client", most = 9', "limit-budget"),
        ('from = "cookie:budget", most = 9', "limit-budget"),
        ('from = "path:budget", most = 9', "limit-budget"),
        ('from = "budget", most = 9', "identity-source"),
        ('from = "state:budget", most = 1e14', "limit-budget"),
        ('from = "state:budget"', "limit-budget"),
        ("most = 9", "limit-budget"),
    ],
)
def test_budget_without_a_source_or_a_bound_is_refused_at_the_start(budget: str, code: str) -> None:
    text = HEAD + f'[[limit]]\nname = "r"\nper = "account"\nrate = "8/minute"\nbudget = {{ {budget} }}\n'
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(text)
    assert code in {problem.code for problem in caught.value.problems}, caught.value


def test_plans_of_customers_go_before_the_rate_and_own_numbers_before_plans() -> None:
    text = OWN.replace("[[limit]]", '[[limit]]\ntiers = { plan = { pro = "20/minute" } }')
    subject = limiter('plan = { from = "state:plan", missing = "skip" }\n' + text)
    assert admitted(subject, account="free") == 8
    assert admitted(subject, account="pro", plan="pro") == 20
    assert admitted(subject, account="own", plan="pro", budget=30) == 30


def test_more_numbers_than_are_kept_stay_exact() -> None:
    text = OWN.replace("most = 100", "most = 100000")
    subject = limiter(text)
    for number in (5000, 2, 4097, 5000, 2):
        for other in range(2, 4200, 700):
            decide(subject, account=f"other {other}", budget=number + other)
    for number in range(2, 4300):
        assert decide(subject, account=str(number), budget=number).verdicts[0].quota == number
    assert decide(subject, account="2", budget=2).verdicts[0].remaining == 0
