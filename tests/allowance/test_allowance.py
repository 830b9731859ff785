"""Allowances: what a payer paid opens, by level, and what no allowance covers."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock, Policy, PolicyError
from ratelimit.decision import Decision

NOW_NS = 1_700_006_400 * 10**9
DAY_NS = 86_400 * 10**9
HEAD = """
version = 1
[identities]
account = { from = "state:account" }
payer = { from = ["state:payment", "state:sponsor"], missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
[correlation]
paid = "state:paid_usd"
"""
ALLOWANCE = """
[[limit]]
name = "payer"
per = "payer"
rate = "8/day"
algorithm = "ALGORITHM"
budget = { per_usd = 2 }
"""
BEYOND = """
[[limit]]
name = "account beyond"
per = "account"
budget = "overflow"
rate = "3/day"
algorithm = "sliding-window"
[[limit]]
name = "network beyond"
per = "network"
budget = "overflow"
rate = "5/day"
algorithm = "sliding-window"
"""


def limiter(text: str, algorithm: str = "sliding-window", *, in_python: bool = False) -> Limiter:
    policy = Policy.from_toml((HEAD + text).replace("ALGORITHM", algorithm))
    found = Limiter(policy, clock=ManualClock(NOW_NS))
    if in_python:
        found.current.decider = found.current.by_name = None
    return found


def decide(subject: Limiter, now_ns: int = NOW_NS, client: str = "192.0.2.1", **state: Any) -> Decision:
    return subject.decide(client=client, state={"account": "a", **state}, now_ns=now_ns)


def admitted(subject: Limiter, count: int, now_ns: int = NOW_NS, **state: Any) -> int:
    return sum(decide(subject, now_ns, **state).allowed for _ in range(count))


@pytest.mark.parametrize("in_python", [False, True])
@pytest.mark.parametrize("algorithm", ["sliding-window", "fixed-window", "staggered-window", "token-bucket"])
@pytest.mark.parametrize(
    ("paid", "units"),
    [(None, 8), (0, 8), (-7, 8), (3.99, 8), (4, 8), (8, 16), (7.99, 14), (16, 32), ("8", 16), ("x", 8)],
)
def test_what_was_paid_opens_as_much_and_nothing_known_opens_the_base(
    in_python: bool, algorithm: str, paid: Any, units: int
) -> None:
    subject = limiter(ALLOWANCE, algorithm, in_python=in_python)
    assert admitted(subject, 40, payment="card", paid_usd=paid) == units


@pytest.mark.parametrize("in_python", [False, True])
def test_levels_count_by_the_same_counters(in_python: bool) -> None:
    subject = limiter(ALLOWANCE, in_python=in_python)
    assert admitted(subject, 10, payment="card") == 8
    assert admitted(subject, 20, payment="card", paid_usd=8) == 8  # 16, of which 8 are used
    assert admitted(subject, 20, payment="card", paid_usd=16) == 16
    assert admitted(subject, 1, payment="card", paid_usd=8) == 0
    assert admitted(subject, 20, payment="other", paid_usd=8) == 16


def test_verdict_and_fields_name_what_the_payer_has() -> None:
    decision = decide(limiter(ALLOWANCE), payment="card", paid_usd=8)
    (verdict,) = decision.verdicts
    assert (verdict.limit, verdict.quota, verdict.remaining) == ("payer", 16, 15)


@pytest.mark.parametrize("in_python", [False, True])
def test_request_without_a_payer_falls_under_the_limits_beyond_allowances(in_python: bool) -> None:
    subject = limiter(ALLOWANCE + BEYOND, in_python=in_python)
    assert admitted(subject, 10) == 3
    assert admitted(subject, 10, account="b") == 2
    refused = decide(subject, account="c")
    assert (refused.allowed, refused.limit) == (False, "network beyond")
    assert admitted(subject, 10, account="c", client="198.51.100.1") == 3


@pytest.mark.parametrize("in_python", [False, True])
def test_request_for_which_the_allowance_has_no_room_goes_beyond_it(in_python: bool) -> None:
    subject = limiter(ALLOWANCE + BEYOND, in_python=in_python)
    decisions = [decide(subject, payment="card") for _ in range(14)]
    assert [one.allowed for one in decisions] == [True] * 11 + [False] * 3
    assert [{verdict.limit for verdict in one.verdicts} for one in decisions] == (
        [{"payer"}] * 8 + [{"account beyond", "network beyond"}] * 6
    )
    assert decisions[-1].limit == "account beyond"
    # One way is charged: what went by the allowance left the others as they were.
    assert [one.verdicts[1].remaining for one in decisions[8:11]] == [4, 3, 2]


@pytest.mark.parametrize("in_python", [False, True])
def test_other_limits_that_refuse_are_the_last_word(in_python: bool) -> None:
    text = '[[limit]]\nname = "all"\nper = "account"\nrate = "4/day"\nalgorithm = "sliding-window"\n'
    subject = limiter(ALLOWANCE + BEYOND + text, in_python=in_python)
    assert admitted(subject, 20, payment="card") == 4
    assert decide(subject, payment="card").limit == "all"
    assert (totals(subject, "account beyond").allowed, totals(subject, "payer").refused) == (0, 0)


class Totals(NamedTuple):
    """What one limit said, as its metrics count it."""

    allowed: int
    refused: int


def totals(subject: Limiter, limit: str) -> Totals:
    table = subject.table
    return Totals(*table.totals(table.counter(limit))[:2])


@pytest.mark.parametrize("in_python", [False, True])
def test_request_that_goes_on_beyond_its_allowance_is_not_counted_as_refused(in_python: bool) -> None:
    subject = limiter(ALLOWANCE + BEYOND, in_python=in_python)
    assert admitted(subject, 11, payment="card") == 11
    assert [totals(subject, name) for name in ("payer", "account beyond")] == [(8, 0), (3, 0)]
    assert admitted(subject, 2, payment="card") == 0
    assert [totals(subject, name) for name in ("payer", "account beyond")] == [(8, 0), (3, 2)]


@pytest.mark.parametrize("in_python", [False, True])
def test_tier_overrides_and_one_without_a_limit_has_nothing_beyond(in_python: bool) -> None:
    text = (
        'version = 1\n[identities]\nplan = { from = "state:plan", missing = "skip" }\n'
        + HEAD.split("[identities]\n")[1]
    )
    tiers = 'tiers.plan = { big = "20/day", all = "unlimited" }\n'
    policy = Policy.from_toml((text + ALLOWANCE + tiers + BEYOND).replace("ALGORITHM", "sliding-window"))
    subject = Limiter(policy, clock=ManualClock(NOW_NS))
    if in_python:
        subject.current.decider = subject.current.by_name = None
    assert admitted(subject, 40, payment="card", plan="big", paid_usd=400) == 23
    assert admitted(subject, 40, payment="other", account="b", plan="all") == 40
    assert admitted(subject, 40, payment="third", account="c", client="198.51.100.1", paid_usd=8) == 19


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ('per = ["payer", "account"]\nrate = "8/day"', "one payer"),
        ('per = "cluster"\nrate = "8/day"', "pays for nothing"),
        ('per = "payer"\nrate = "8/day"\nalgorithm = "sliding-log"', "cannot grow"),
        ('per = "payer"\nconcurrent = 4', "does not count units"),
        ('per = "payer"\nrate = "8/day"\nunit = "distinct:ip"', "does not count units"),
        ('per = "payer"\nrate = "1/second; 8/day"', "which one grows"),
    ],
)
def test_what_cannot_be_earned_is_said_with_its_reason(limit: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        limiter(f'[[limit]]\nname = "a"\nbudget = {{ per_usd = 2 }}\n{limit}\n')


def test_limit_beyond_needs_an_allowance_and_allowances_one_payer() -> None:
    with pytest.raises(PolicyError, match="no limit has a `budget`"):
        limiter(BEYOND)
    with pytest.raises(PolicyError, match="has another payer"):
        limiter(
            ALLOWANCE + ALLOWANCE.replace('"payer"\nper = "payer"', '"b"\nper = "account"'), "sliding-window"
        )
    with pytest.raises(PolicyError, match="no source for what a payer has paid"):
        Policy.from_toml((HEAD.split("[correlation]")[0] + ALLOWANCE).replace("ALGORITHM", "sliding-window"))


STEP = st.tuples(
    st.integers(0, 3),  # account
    st.sampled_from([None, "one", "two"]),  # payer
    st.sampled_from([None, 0, 4, 6.5, 8, 9, 16, 1e9, "x"]),
    st.integers(0, 2),  # network
    st.integers(0, DAY_NS // 6),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEP, max_size=60))
def test_compiled_decider_decides_as_the_one_in_python(steps: list[tuple[Any, ...]]) -> None:
    subjects = [limiter(ALLOWANCE + BEYOND, in_python=in_python) for in_python in (False, True)]
    now_ns = NOW_NS
    for account, payer, paid, network, passed_ns in steps:
        now_ns += passed_ns
        state = {"account": f"a{account}", "payment": payer, "paid_usd": paid}
        said = [decide(one, now_ns, f"192.0.{network}.1", **state) for one in subjects]
        assert said[0].verdicts == said[1].verdicts
        assert said[0].allowed == said[1].allowed


@pytest.mark.parametrize("seed", range(8))
def test_payer_gets_no_more_than_its_allowance_and_what_is_beyond(seed: int) -> None:
    """Whatever order and accounts: in a window, the allowance and the limits beyond it."""
    rng = random.Random(seed)
    subject = limiter(ALLOWANCE + BEYOND)
    paid = rng.choice([0, 8, 16])
    accounts, networks = rng.randrange(1, 9), rng.randrange(1, 4)
    let_in = 0
    for _ in range(300):
        let_in += decide(
            subject,
            client=f"192.0.{rng.randrange(networks)}.1",
            account=f"a{rng.randrange(accounts)}",
            payment="card",
            paid_usd=paid,
        ).allowed
    most = max(8, 2 * paid) + min(3 * accounts, 5 * networks)
    assert let_in <= most
    assert let_in >= max(8, 2 * paid) + min(3, 5)
