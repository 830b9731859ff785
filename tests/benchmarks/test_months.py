"""Long worlds, and the model of allowances: what opens a budget there, and what does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.correlation.adversary.attack import Attack, Exits
from benchmarks.correlation.adversary.search import evaluated
from benchmarks.correlation.adversary.world import world
from benchmarks.correlation.kinlimit import POLICY
from benchmarks.correlation.months import growth, harm, honest, twins
from benchmarks.correlation.months.__main__ import Played, agreement, replaced
from benchmarks.correlation.months.allowance import Allowance
from benchmarks.correlation.months.attacks import ATTACKS
from benchmarks.correlation.months.book import Book, v4
from benchmarks.correlation.months.policy import rules_of, scaled
from benchmarks.correlation.months.rules import Rules, Scaled
from benchmarks.correlation.numbers import DAY_NS, START_NS
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.written import lines
from ratelimit.policy import Policy

SCALE = 100
PRINTED_SCALE = 30
"""The scale of the prices in the docs."""
MEASURED = Path(__file__).absolute().parents[2] / "docs" / "measured-correlation.md"
BASE = 3000 // SCALE


def asks(book: Book, account: int, a_day: float, first: int, days: int, network: int = 1) -> None:
    """Let an account ask so often on each of some days, from one address."""
    times_ns = book.times(np.full(days, a_day), first)
    count = len(times_ns)
    book.asks(account, times_ns, np.zeros(count, np.uint64), np.full(count, v4(81, network, 7)))


def a_day(trace: Trace, ok: np.ndarray, account: int = 0) -> np.ndarray:
    """Return what an account is admitted on each day, from the first of the trace."""
    mine = trace.account == account
    day = (trace.time_ns - START_NS) // DAY_NS
    return np.bincount((day - day[0])[mine & ok], minlength=int(day[-1] - day[0]) + 1)


def decided(book: Book, rules: Rules | None = None, **how: float) -> tuple[Trace, np.ndarray]:
    trace = book.trace()
    return trace, Allowance(rules or Rules(account=0, network=0), SCALE, **how).decided(trace)  # type: ignore[arg-type]


def test_a_payer_has_one_budget_and_its_age_opens_nothing() -> None:
    book = Book(1, scale=SCALE)
    asks(book, book.account("one", card=book.payers()[0], created_day=-400), 90_000, -30, 70)
    days = a_day(*decided(book))
    assert (days <= BASE).all()
    assert days.mean() > BASE * 0.95


@pytest.mark.parametrize(("usd", "budgets"), [(4, 1.0), (10, 2.0), (15, 2.0), (100, 2.0)])
def test_dollars_of_a_young_payer_count_up_to_a_bound(usd: float, budgets: float) -> None:
    book = Book(1, scale=SCALE, warm_days=0)
    card = book.payers()[0]
    book.pays(card, -0.1, usd)
    asks(book, book.account("one", card=card, created_day=0), 90_000, 0, 40)
    days = a_day(*decided(book))
    assert days[2:29].mean() == pytest.approx(BASE * budgets, rel=0.1)
    # They were cleared 30 days ago.
    assert days[32:].mean() == pytest.approx(BASE, rel=0.1)


def test_an_allowance_is_rounded_down_to_a_level() -> None:
    units = Rules().scaled(1)
    assert units.paid(5_000_000) == 3000
    assert units.paid(10_000_000) == 6000
    assert units.paid(10_700_000) == 6000
    assert 8_999 * 2 ** (-1 / 8) < units.grown(2_999) <= 8_999


def test_the_model_has_the_numbers_of_the_policy_that_ships() -> None:
    assert rules_of(POLICY) == Rules()
    assert rules_of(POLICY).scaled(30) == Scaled(100, 20, 3, 16_666, 10, 90, 450, 100)
    divided = Policy.from_toml(scaled(POLICY, 30)).compiled
    whole = {rule.name: rule.quota for rule in Policy.load(POLICY).compiled.rules}
    assert {rule.name: rule.quota for rule in divided.rules if rule.period_ns == DAY_NS} == {
        name: quota // 30 for name, quota in whole.items() if name != "requests"
    }
    assert "per_usd = 20," in scaled(POLICY, 30)


@pytest.mark.parametrize(
    "name",
    [
        # One of each kind: cards, dollars that are taken back, places of others, waiting, nobody, history.
        "20 cards, renewed each three days",
        "ten cards that pay $10, taken back",
        "accounts at a reseller, on SIM cards",
        "a bought account of a reseller's customer",
        "busy 31 days before, pays $100, taken back",
        "split over all payers",
        "month imported",
    ],
)
def test_the_library_decides_long_worlds_as_the_model_does(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    """Hazard: prices and harm that are read off a model which the library has parted from."""
    plays = Played(POLICY, rules_of(POLICY), 400)
    (found,) = agreement(plays, 2, names=name.__eq__)
    record_property("requests", found.requests)
    assert found.requests > 4000
    assert 0 < found.refused < found.requests
    assert found.differ == 0


def test_a_model_with_another_number_parts_from_the_library() -> None:
    plays = Played(POLICY, Rules(young_usd=9), 300)
    (found,) = agreement(plays, 2, names="ten cards that pay $10, taken back".__eq__)
    assert found.differ > 100


def test_where_dollars_are_not_known_history_grows_after_a_month_and_is_capped() -> None:
    book = Book(1, scale=SCALE, warm_days=0, days=130)
    asks(book, book.account("one", card=book.payers()[0], created_day=0), 900_000, 0, 130)
    trace = book.trace().with_paid(None)
    rules = Rules(account=0, network=0, most=20_000)
    days = a_day(trace, Allowance(rules, SCALE, by_day=True).decided(trace))
    assert (days[:30] <= BASE).all()
    assert days[42:60].mean() == pytest.approx(3 * BASE, rel=0.15)
    assert days[90:].max() <= 20_000 / SCALE


def test_growth_by_unpaid_history_compounds_and_a_cap_ends_it() -> None:
    free = growth.grown(Rules(growth=3), months=4)
    assert free[0] == pytest.approx(1, abs=0.05)
    assert free == tuple(sorted(free))
    assert free[3] > 6
    assert max(growth.grown(Rules(growth=3, most=9000), months=4)) <= 3


def owner(book: Book, networks: tuple[int, ...] = (1,)) -> int:
    """Put a customer of a hundred dollars a month into a book; return its card."""
    card = book.payers()[0]
    for day in range(book.first_day - 30, book.days):
        book.pays(card, day, 100 / 30)
    account = book.account("owner", card=card)
    for network in networks:
        asks(book, account, 6000, book.first_day, book.days - book.first_day, network)
    return card


def test_newcomers_elsewhere_have_overflow_and_take_nothing_from_the_owner() -> None:
    book = Book(1, scale=SCALE)
    card = owner(book)
    for number in range(4):
        asks(book, book.account("thief", card=card, created_day=10), 30_000, 10, 25, 100 + number)
    trace, ok = decided(book, Rules(account=2000, network=2700))
    thieves = sum(a_day(trace, ok, number) for number in range(1, 5))
    assert thieves.max() <= BASE
    assert thieves[41:60].mean() > BASE * 0.85
    assert ok[trace.account == 0].all()


def test_newcomers_at_a_place_of_the_owner_share_its_allowance() -> None:
    book = Book(1, scale=SCALE)
    card = owner(book)
    asks(book, book.account("colleague", card=card, created_day=10), 20_000, 10, 25, 1)
    trace, ok = decided(book)
    assert a_day(trace, ok, 1)[42:60].mean() > 4 * BASE


@pytest.mark.parametrize(
    ("rules", "opens"),
    [(Rules(account=0, network=0, presence=False), True), (Rules(account=0, network=0), False)],
    ids=["established by time", "established by presence"],
)
def test_an_account_that_waits_a_month_elsewhere(rules: Rules, opens: bool) -> None:
    book = Book(1, scale=SCALE)
    card = owner(book)
    sleeper = book.account("sleeper", card=card, created_day=-1)
    asks(book, sleeper, SCALE, 1, 1, 100)
    asks(book, sleeper, 40_000, 33, 7, 100)
    trace, ok = decided(book, rules)
    assert bool(a_day(trace, ok, sleeper).max() > 4 * BASE) is opens


@pytest.mark.parametrize(("settled", "opens"), [(0.0, True), (1.0, False)])
def test_dollars_that_come_after_a_month_of_silence(settled: float, opens: bool) -> None:
    book = Book(1, scale=SCALE)
    card = book.payers()[0]
    account = book.account("one", card=card, created_day=-25)
    asks(book, account, SCALE, -25, 1)
    book.pays(card, 9.9, 500, charged_back=True)
    asks(book, account, 200_000, 10, 15)
    trace, ok = decided(book, Rules(account=0, network=0, settled=settled))
    assert bool(a_day(trace, ok).max() > 20 * BASE) is opens


def test_what_no_allowance_covers_has_a_little_by_account_and_network() -> None:
    book = Book(1, scale=SCALE)
    for number in range(20):
        asks(book, book.account("free", created_day=0), 3000, 0, 20, 1 if number < 15 else number)
    trace, ok = decided(book, Rules())
    days = np.array([a_day(trace, ok, number) for number in range(20)])
    assert days.max() <= 3
    assert days[:15].sum(axis=0).max() <= 27
    # Of three a day a sliding window leaves two at an even pace.
    assert days[15:, 2:18].mean() >= 2


def test_an_imported_month_is_known_at_once() -> None:
    book = Book(1, scale=SCALE)
    asks(book, book.account("one", card=book.payers()[0]), 20_000, -30, 70)
    trace = book.trace().with_paid(None)
    rules = Rules(account=0, network=0)
    for until, share in ((0.0, 1.0), (-100.0, 0.3)):
        ok = Allowance(rules, SCALE, imported_until=until).decided(trace)
        assert a_day(trace, ok)[32:39].mean() / 200 == pytest.approx(share, abs=0.16)


def test_a_day_at_once_decides_as_request_by_request() -> None:
    book = Book(3, scale=SCALE)
    card = owner(book)
    for number in range(3):
        asks(book, book.account("thief", card=card, created_day=10), 30_000, 10, 25, 100 + number)
    trace = book.trace()
    one, other = (Allowance(Rules(), SCALE, by_day=by_day).decided(trace) for by_day in (False, True))
    assert one.sum() == pytest.approx(other.sum(), rel=0.03)


@cache
def crowd() -> Trace:
    book = Book(1, scale=300)
    honest.put(book)
    return book.trace()


def test_customers_that_pay_grow_at_ease_and_a_limit_that_always_refuses_fails() -> None:
    names = {group.name for group in honest.GROWERS}
    refused = harm.of(crowd(), Allowance(scale=300, by_day=True))
    assert max(refused[name].share for name in names) <= 0.005
    none = harm.of(crowd(), Allowance(Rules(rate=0, per_usd=0, account=0), 300, by_day=True))
    assert all(none[name].share == 1 for name in names)


def test_without_payments_growers_are_held_back() -> None:
    silent = crowd().with_paid(None)
    refused = harm.of(silent, Allowance(scale=300, imported_until=0.0, by_day=True))
    assert refused["30 x on launch day"].share > 0.2


def test_lines_say_what_was_paid_and_who_sponsors() -> None:
    book = Book(1, scale=SCALE, warm_days=0, days=2)
    card, sponsor = book.payers(2)
    book.pays(card, 0.5, 12.5)
    asks(book, book.account("one", card=card), 3000, 0, 2)
    asks(book, book.account("two", sponsor=sponsor), 3000, 0, 2)
    asks(book, book.account("three"), 3000, 0, 2)
    rows = [json.loads(line) for line in b"".join(lines(book.trace())).splitlines()]
    paid = {(row.get("payment"), row.get("sponsor"), row.get("paid_usd")) for row in rows}
    assert paid == {
        ("card-000001", None, 0.0),
        ("card-000001", None, 12.5),
        (None, "sponsor-000002", 0.0),
        (None, None, None),
    }


def test_a_rule_that_ends_an_attack_refuses_its_honest_twin_of_the_same_facts() -> None:
    (pair,) = (one for one in twins.PAIRS if one.attack == "ten cards that pay $10, taken back")
    attack, trace = ATTACKS[pair.attack], twins.world(pair, scale=SCALE, seed=1)
    lost, price = [], []
    for rules in (rules_of(POLICY), replaced(rules_of(POLICY), pair.rule)):
        found = evaluated(attack, Allowance(rules, SCALE, by_day=True), scale=SCALE, seed=1)
        price.append(found.further)
        lost.append(harm.refused(trace, Allowance(rules, SCALE).decided(trace))[twins.NAME].share)
    before, after = price
    assert before is not None
    assert before < 5
    assert after is None or after >= 5
    assert lost[0] <= 0.02
    assert lost[1] >= 0.3


def printed_prices() -> dict[str, float]:
    """Return dollars a further budget by attack, as the page of measurements has them."""
    rows = re.findall(r"^\| ([^|]+) \| (\d+\.\d\d) \(\d+\.\d\d\) \|", MEASURED.read_text(), re.M)
    return {name: float(usd) for name, usd in rows}


def price(attack: Attack, *, by_day: bool = True) -> float | None:
    model = Allowance(rules_of(POLICY), PRINTED_SCALE, by_day=by_day)
    return evaluated(attack, model, scale=PRINTED_SCALE, seed=1).further


def test_all_ways_below_five_dollars_are_printed_with_their_prices() -> None:
    found = printed_prices()
    assert len(found) == 5
    assert found.keys() <= ATTACKS.keys()
    for name, usd in found.items():
        # Where accounts share a network's or an account's few, a day at once is too coarse.
        assert price(ATTACKS[name], by_day="free" not in name) == pytest.approx(usd, rel=0.01, abs=0.005), (
            name
        )


@pytest.mark.parametrize(("exits", "usd"), [("victims' homes", 0.16), ("SIM cards", 0.76)])
def test_evidence_of_presence_is_paid_once_and_goes_with_many_budgets(exits: Exits, usd: float) -> None:
    """Hazard: a mechanism that asks for such evidence is taken for one that closes the cheapest way."""
    (bought,) = ATTACKS["a bought account of a reseller's customer"]
    assert price((replace(bought, exits=exits),)) == pytest.approx(usd, abs=0.005)
    assert f"${usd:.2f}" in MEASURED.read_text()


def test_a_resellers_customer_that_is_its_own_payer_opens_nothing_when_it_is_bought() -> None:
    assert price(ATTACKS["one bought account"]) is None


def test_a_part_of_the_allowance_for_each_account_refuses_a_customer_that_launches() -> None:
    pair = twins.PAIRS[0]
    rules = replaced(rules_of(POLICY), "share=0.02")
    found = evaluated(
        ATTACKS[pair.attack], Allowance(rules, PRINTED_SCALE, by_day=True), scale=PRINTED_SCALE, seed=1
    )
    trace = twins.world(pair, scale=PRINTED_SCALE, seed=1)
    refused = harm.refused(trace, Allowance(rules, PRINTED_SCALE, by_day=True).decided(trace))
    assert found.further == pytest.approx(6.12, abs=0.005)
    assert refused[twins.NAME].share == pytest.approx(0.84, abs=0.005)


@pytest.mark.parametrize(
    "twin", ["a company whose drivers get other devices", "a company whose drivers share new devices"]
)
def test_an_attack_and_its_twin_are_seen_alike(twin: str) -> None:
    (pair,) = (one for one in twins.PAIRS if one.twin == twin)
    hostile = world(ATTACKS[pair.attack], scale=SCALE, seed=1)
    trace = twins.world(pair, scale=SCALE, seed=1)
    mine = np.array(trace.truth.klasses)[trace.truth.klass[trace.account]] == twins.NAME
    attack, twin = twins.facts(hostile, hostile.campaign == 0, SCALE), twins.facts(trace, mine, SCALE)
    assert (attack.known, twin.known) == (0, 0)
    assert min(attack.payers, twin.payers) >= 16
    assert attack.paid is not None
    assert twin.paid is not None
    assert min(attack.paid, twin.paid) > 100


def test_a_record_of_each_account_refuses_a_company_with_others_of_the_attacks_volume() -> None:
    """Hazard: a record of use is taken for what tells bought accounts from a customer's new ones."""
    (pair,) = (one for one in twins.PAIRS if one.rule == "record=3000")
    trace = twins.world(pair, scale=SCALE, seed=1)
    lost = [
        harm.refused(trace, Allowance(rules, SCALE, by_day=True).decided(trace))[twins.NAME].share
        for rules in (rules_of(POLICY), replaced(rules_of(POLICY), pair.rule))
    ]
    assert lost[0] <= 0.02
    assert lost[1] >= 0.3


def test_an_account_may_use_a_multiple_of_its_own_best_day_of_a_month_ago() -> None:
    """Hazard: what one of several accounts may use does not follow its own record."""
    book = Book(1, scale=SCALE, warm_days=40)
    card = book.payers()[0]
    old, new = (book.account("one", card=card, created_day=day) for day in (-400, 0))
    asks(book, old, 6000, -40, 50)
    asks(book, new, 6000, 0, 10)
    for day in range(-70, 10):
        book.pays(card, day, 100.0)
    trace, ok = decided(book, Rules(account=0, network=0, record=2))
    late = trace.time_ns >= START_NS
    assert ok[late & (trace.account == old)].all()
    assert ok[late & (trace.account == new)].sum() == pytest.approx(10 * BASE, rel=0.15)
