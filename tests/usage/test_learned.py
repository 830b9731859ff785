"""Estimates follow what accounts use, and no caller pins what others share by declaring."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.usage.histogram import BOUNDS, Histogram, Shares
from ratelimit.usage.learned import FIRST, KEPT_NS, MOST_ROUTES, MOST_VOTES, UNHEEDED_NS, Learned

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
    learned = Learned()
    for number, amount in enumerate(range(10, 1010, 10)):
        learned.learn(number % 10, "/v1", amount, NOW_NS)
    assert 750 <= learned.estimate("new", "/v1", None, NOW_NS) <= 750 * 5 // 4


def test_modest_account_is_not_below_the_route_s_median() -> None:
    """One that prepares a burst by short answers reserves what is usual all the same."""
    learned = taught(*[1000] * 200)
    taught(*[1000] * 2, account="other", into=learned)
    taught(*[1] * 20, account="sly", into=learned)
    assert learned.estimate("sly", "/v1", None, NOW_NS) >= 1000


def test_silent_account_is_new_again() -> None:
    learned = Learned()
    for account in "acdefg":
        taught(*[100] * 50, account=account, into=learned)
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


def test_answer_beyond_its_maximum_is_the_account_s_own_matter() -> None:
    """One such answer switched off all accounts' maxima on the route, for good."""
    learned = Learned()
    learned.heed("sly", "/v1", 1, 10, 12, NOW_NS)
    assert learned.is_heeded("sly", "/v1", 1, NOW_NS)
    learned.heed("sly", "/v1", 1, 1, 2000, NOW_NS)
    assert not learned.is_heeded("sly", "/v1", 1, NOW_NS)
    assert learned.is_heeded("sly", "/v1", 2, NOW_NS)
    assert learned.is_heeded("sly", "/v2", 1, NOW_NS)
    assert learned.is_heeded("honest", "/v1", 1, NOW_NS)
    assert not learned.is_heeded("sly", "/v1", 1, NOW_NS + UNHEEDED_NS - 1)
    assert learned.is_heeded("sly", "/v1", 1, NOW_NS + UNHEEDED_NS), "it recovers"


def test_field_that_no_account_s_answers_heed_counts_for_nobody() -> None:
    """An API without the field: else each new account could reserve nothing, all of its requests at once."""
    learned = Learned()
    for number in range(3):
        assert learned.is_heeded("new", "/v1", 1, NOW_NS)
        learned.heed(f"account {number}", "/v1", 1, 1, 2000, NOW_NS)
    assert not learned.is_heeded("new", "/v1", 1, NOW_NS)
    for number in range(3):
        learned.heed(f"honest {number}", "/v1", 1, 100, 90, NOW_NS)
    assert learned.is_heeded("new", "/v1", 1, NOW_NS), "others' answers show that it is heeded after all"
    assert not learned.is_heeded("account 0", "/v1", 1, NOW_NS)


def test_answers_of_one_account_outvote_nobody() -> None:
    learned = Learned()
    for _ in range(1000):
        learned.heed("sly", "/v1", 1, 1, 2000, NOW_NS)
    assert learned.is_heeded("honest", "/v1", 1, NOW_NS)


def test_what_is_known_of_heeding_is_bounded() -> None:
    learned = Learned(most_accounts=100)
    for number in range(5000):
        learned.heed(number, "/v1", 1, 1, 2000, NOW_NS)
        learned.heed(0, number, 1, 1, 2000, NOW_NS)
    sizes = learned.sizes
    assert 0 < sizes["exceeded"] <= 100
    assert 0 < sizes["votes"] <= MOST_ROUTES
    assert 0 < sizes["voters"] <= MOST_VOTES


def test_large_answers_of_one_account_leave_others_their_estimate() -> None:
    """270 large requests of one, among 20 accounts of one small request each."""
    learned = Learned()
    for number in range(20):
        learned.learn(f"honest {number}", "/v1", 100, NOW_NS)
    before = learned.estimate("new", "/v1", None, NOW_NS)
    for _ in range(270):
        learned.learn("large", "/v1", 50_000, NOW_NS)
    assert learned.estimate("new", "/v1", None, NOW_NS) == before
    assert learned.estimate("honest 3", "/v1", None, NOW_NS) == before
    assert learned.estimate("large", "/v1", None, NOW_NS) >= 50_000, "its own are its own"


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2000)), max_size=200))
def test_accounts_weigh_the_same_and_nothing_is_left_behind(samples: list[tuple[int, int]]) -> None:
    shares = Shares()
    for account, amount in samples:
        shares.add(account, amount)
    accounts = {account for account, _ in samples}
    assert len(shares) == len(accounts)
    assert all(weight >= 0 for weight in shares.weights)
    whole = len(accounts) << 20
    assert whole - 100 * len(accounts) <= sum(shares.weights) <= whole
    for number in range(300):
        shares.add(f"later {number}", 4)
    assert shares.quantile(1) == shares.quantile(100) == 4, "the first ones are forgotten"


def test_no_amount_has_no_quantile() -> None:
    assert Shares().quantile(50) == 0


def test_old_amounts_of_an_account_fade() -> None:
    shares = Shares()
    for _ in range(1000):
        shares.add("a", 10_000)
    for _ in range(300):
        shares.add("a", 100)
    assert shares.quantile(90) <= 125


def test_declared_maximum_bounds_an_estimate() -> None:
    learned = taught(*[2000] * 50)
    assert learned.estimate("a", "/v1", 300, NOW_NS) == 300


def test_accounts_remembered_are_bounded() -> None:
    learned = Learned(most_accounts=100)
    for account in range(1000):
        learned.learn(account, "/v1", 5, NOW_NS)
    assert len(learned) == 100


def test_clock_steps_back() -> None:
    learned = Learned()
    for account in "abc":
        taught(*[500] * 30, account=account, into=learned)
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
