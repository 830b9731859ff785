"""The adversary: what it buys has its price, and it finds what the shipped policy sells cheapest."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

from benchmarks.correlation.adversary.attack import MOST_A_DAY, Attack, Part, draw, mutated, total
from benchmarks.correlation.adversary.bill import bill
from benchmarks.correlation.adversary.here import Here
from benchmarks.correlation.adversary.search import Found, evaluated, scaled, search
from benchmarks.correlation.adversary.world import world
from benchmarks.correlation.kinlimit import POLICY, Kinlimit
from benchmarks.correlation.numbers import generator

SCALE = 30


@cache
def shipped() -> Here:
    return Here(scaled(POLICY, SCALE))


def tried(attack: Attack, *, control: bool = False) -> Found:
    return evaluated(attack, shipped(), scale=SCALE, seed=2, control=control)


def part(accounts: int, a_day: float, **changed: object) -> Part:
    """Return new accounts on one card at one address, but for what is said."""
    given = {
        "aged": False, "pays": "cards", "per_card": accounts, "shares_card": False, "exits": "address",
        "addresses": 1,
    }  # fmt: skip
    return Part(accounts, a_day, **(given | changed))  # type: ignore[arg-type]


def test_the_price_of_one_old_account() -> None:
    paid = bill((part(1, 430_000, aged=True),))
    assert (paid.total, paid.accounts) == (pytest.approx(17.6), 0.5)
    assert paid.further(143) == pytest.approx(0.12, abs=0.005)
    assert paid.further(1.1) is None


def test_an_attack_varies_within_its_bounds_and_by_its_seed_alone() -> None:
    def walk(seed: int) -> list[Attack]:
        rng = generator(seed, "adversary", "test")
        found = [draw(rng)]
        for _ in range(300):
            found.append(mutated(found[-1], rng))
        return found

    assert walk(1) == walk(1) != walk(2)
    for attack in walk(3):
        assert 1 <= len(attack) <= 3
        assert total(attack) <= MOST_A_DAY * 1.000001
        assert not attack[0].shares_card
        assert all(1 <= each.accounts <= 200 and each.a_day > 0 for each in attack)


def test_a_world_has_the_attack_and_honest_customers() -> None:
    attack = (part(4, 3000), part(6, 300, shares_card=True, exits="pool", addresses=64))
    trace = world(attack, scale=SCALE, seed=1)
    assert int(trace.truth.honest.sum()) == 110
    mine = trace.campaign == 0
    assert mine.sum() == pytest.approx(total(attack) / SCALE * 2, rel=0.2)
    assert len(np.unique(trace.payment[mine])) == 1
    assert not trace.truth.victim.any()


def test_a_search_finds_what_the_shipped_policy_sells_cheapest() -> None:
    """Accounts that are old, however they became so, open a budget for $0.12: the search has to find that."""
    found = search(partial(evaluated, contender=shipped(), scale=SCALE, seed=2), 120, 2)
    cheapest = next((one for one in found if one.further is not None and one.further <= 0.13), None)
    assert cheapest is not None
    assert all(each.aged for each in cheapest.attack)
    assert cheapest.budgets > 100


@pytest.mark.parametrize(
    ("attack", "most"),
    [
        # An old account that asks once an hour opens nothing for seven new ones on its card.
        ((part(1, 24, aged=True), part(7, 9000, shares_card=True)), 1.1),
        # New accounts without a payment method have 0.9 of a budget a network.
        ((part(20, 3000, pays="nobody"),), 1.0),
        ((part(60, 3000, pays="nobody", exits="pool", addresses=128),), 1.9),
        # Two stolen cards of established customers, and a reseller's, are a budget each.
        ((part(8, 9000, pays="stolen", per_card=4),), 2.1),
        ((part(60, 3000, pays="reseller"),), 1.1),
    ],
    ids=["opener", "no payment method", "no payment method, two networks", "stolen cards", "reseller"],
)
def test_new_accounts_have_a_budget_a_payer(attack: Attack, most: float) -> None:
    found = tried(attack, control=True)
    assert 0.5 < found.budgets <= most
    assert found.budgets <= found.without * 1.0001


@pytest.mark.parametrize("seed", range(4))
def test_no_attack_keeps_more_with_correlation_than_without(seed: int) -> None:
    found = tried(draw(generator(seed, "adversary", "more")), control=True)
    assert found.budgets <= found.without * 1.0001


def test_a_replay_in_this_process_decides_as_the_command_does(tmp_path: object) -> None:
    trace = world((part(3, 30_000),), scale=SCALE, seed=1)
    here, there = Here(POLICY.read_text("utf-8")).run(trace), Kinlimit().run(trace)
    assert (here.admitted == there.admitted).all()
