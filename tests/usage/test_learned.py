"""Estimates follow what accounts use, and no caller pins what others share by declaring."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.usage.histogram import BOUNDS, Histogram
from ratelimit.usage.learned import FIRST, KEPT_NS, Learned

NOW_NS = 1_800_000_000 * 10**9


def taught(*amounts: int, account: str = "a", into: Learned | None = None) -> Learned:
    learned = Learned() if into is None else into
    for amount in amounts:
        learned.learn(account, "/v1", amount, NOW_NS)
    return learned


@given(st.lists(st.integers(0, 2**20), min_size=1, max_size=60), st.integers(1, 100))
def test_quantile_is_never_too_small_and_a_quarter_too_large_at_most(
    amounts: list[int], percent: int
) -> None:
    histogram = Histogram(64)
    for amount in amounts:
        histogram.add(amount)
    true = sorted(amounts)[-(-len(amounts) * percent // 100) - 1]
    assert true <= histogram.quantile(percent) <= max(true + 1, true * 5 // 4)


def test_bounds_ascend_and_hold_large_answers() -> None:
    assert list(BOUNDS) == sorted(set(BOUNDS))
    assert BOUNDS[-1] > 2**21


def test_old_amounts_fade() -> None:
    histogram = Histogram(64)
    for _ in range(1000):
        histogram.add(10_000)
    for _ in range(200):
        histogram.add(100)
    assert histogram.quantile(90) <= 125


def test_nothing_known_is_the_first_estimate() -> None:
    assert Learned().estimate("a", "/v1", None, NOW_NS) == FIRST


def test_account_s_own_past() -> None:
    learned = taught(*[2000] * 50)
    assert 2000 <= learned.estimate("a", "/v1", None, NOW_NS) <= 2500
    assert learned.estimate("a", "/v2", None, NOW_NS) == FIRST


def test_newcomer_has_the_route_s_third_quartile() -> None:
    learned = taught(*range(10, 1010, 10))
    assert 750 <= learned.estimate("new", "/v1", None, NOW_NS) <= 750 * 5 // 4


def test_modest_account_is_not_below_the_route_s_median() -> None:
    """One that prepares a burst by short answers reserves what is usual all the same."""
    learned = taught(*[1000] * 200)
    taught(*[1] * 20, account="sly", into=learned)
    assert learned.estimate("sly", "/v1", None, NOW_NS) >= 1000


def test_silent_account_is_new_again() -> None:
    learned = taught(*[100] * 250)
    taught(*[9000] * 5, account="b", into=learned)
    assert learned.estimate("b", "/v1", None, NOW_NS) >= 9000
    assert learned.estimate("b", "/v1", None, NOW_NS + KEPT_NS) <= 125


@pytest.mark.parametrize(("declared", "counts"), [(1_000_000, 125), (400, 400), (50, 50), (0, 0)])
def test_huge_maximum_counts_as_what_the_route_needs(declared: int, counts: int) -> None:
    """A huge maximum: above four times what 99 in 100 needed, it says nothing of the request."""
    learned = taught(*[100] * 100)
    assert counts * 4 // 5 <= learned.reserved("/v1", declared) <= counts


@pytest.mark.parametrize(
    ("declared", "counts"), [(1_000_000, 6250), (6250, 6250), (6000, 6000), (4096, 4096), (10, 10)]
)
def test_maximum_of_a_route_without_a_past_counts_up_to_a_sixteenth_of_the_budget(
    declared: int, counts: int
) -> None:
    """A larger maximum never reserves less: before, 5,000 reserved 1,024 and 4,096 all of itself."""
    assert Learned().reserved("/v1", declared, most=100_000) == counts
    assert Learned().reserved("/v1", declared) == min(declared, 4 * FIRST)


def test_maximum_that_was_not_heeded_counts_no_more() -> None:
    learned = Learned()
    learned.heed("/v1", 1, 10, 12)
    assert learned.is_heeded("/v1", 1)
    learned.heed("/v1", 1, 1, 2000)
    assert not learned.is_heeded("/v1", 1)
    assert learned.is_heeded("/v1", 2)
    assert learned.is_heeded("/v2", 1)
    for other in range(2000):
        learned.heed(other, 1, 1, 2000)
    assert learned.is_heeded("/v1", 1), "what is remembered is bounded"


def test_declared_maximum_bounds_an_estimate() -> None:
    learned = taught(*[2000] * 50)
    assert learned.estimate("a", "/v1", 300, NOW_NS) == 300


def test_accounts_remembered_are_bounded() -> None:
    learned = Learned(most_accounts=100)
    for account in range(1000):
        learned.learn(account, "/v1", 5, NOW_NS)
    assert len(learned) == 100


def test_clock_steps_back() -> None:
    learned = taught(*[500] * 30)
    assert learned.estimate("a", "/v1", None, NOW_NS - 10**9) <= 625


def test_estimates_of_a_real_spread_cover_nine_in_ten() -> None:
    """Log-normal answers, as traces of chat services have them."""
    random = Random(15)
    learned = Learned()
    covered = total = 0
    for number in range(4000):
        account = number % 20
        real = int(random.lognormvariate(5.5 + account / 20, 0.8))
        estimate = learned.estimate(account, "/v1", None, NOW_NS)
        if number >= 1000:
            total += 1
            covered += estimate >= real
        learned.learn(account, "/v1", real, NOW_NS)
    assert 0.88 <= covered / total <= 0.97
