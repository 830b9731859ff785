"""Hazards of trust under the policy that ships: age, cards, resellers, free accounts, shared limits.

A budget is 3,000 requests a day. Beyond it an account has 300, a network 2,700 and a payment method 3,000.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.clock import ManualClock
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import open_reader
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store

POLICY = Policy.load(Path(__file__).parents[2] / "examples" / "llm-api" / "policy.toml")
DAY_S = 86_400
START_S = 20_000 * DAY_S
BUDGET, AN_ACCOUNT, A_NETWORK = 3000, 300, 2700
MONTHS = 40
"""Days that pass before anything happens: records know who is established."""
ATTACK_S = START_S + MONTHS * DAY_S
Line = dict[str, Any]


def asks(account: str, times: int, ip: str, *, at_s: float = ATTACK_S, **facts: Any) -> Iterator[Line]:
    """Yield requests of one account, spread over a day."""
    for number in range(times):
        yield {
            "time": at_s + number * DAY_S / times,
            "method": "POST",
            "path": "/v1/chat/completions",
            "ip": ip,
            "account": account,
            "account_created": ATTACK_S - DAY_S,
            **facts,
        }


def customer(payment: str, ip: str, *, a_day: int = 20, **facts: Any) -> Iterator[Line]:
    """Yield what an established customer asks in the days before."""
    known = {"payment": payment, "account_created": START_S - 400 * DAY_S, **facts}
    for day in range(MONTHS):
        yield from asks(f"of {payment}", a_day, ip, at_s=START_S + day * DAY_S, **known)


def kept(*parts: Iterator[Line], correlates: bool = True) -> Counter[str]:
    """Return how many requests each account is given on the day of the attack."""
    lines = sorted((line for part in parts for line in part), key=lambda line: line["time"])
    chunks: list[bytes] = []
    replay = Replay(
        POLICY.compiled,
        lambda now_ns: private_store(POLICY, ManualClock(now_ns), seed=1),
        chunks.append,
        correlates=correlates,
    )
    text = "\n".join(map(json.dumps, lines)).encode()
    for batch in open_reader("-", replay.fields, format="ndjson", stdin=io.BytesIO(text)):
        replay.take(batch)
    replay.finish()
    replay.close()
    said = [json.loads(line)["action"] for line in b"".join(chunks).splitlines()]
    assert len(said) == len(lines)
    given = zip(lines, said, strict=True)
    return Counter(
        line["account"] for line, action in given if action == "allow" and line["time"] >= ATTACK_S
    )


def quiet() -> Iterator[Line]:
    """Yield what makes the records old enough: one customer that has nothing to do with it."""
    return customer("bystander", "198.18.0.1", a_day=1)


OLD, NEW = ATTACK_S - 1000 * DAY_S, ATTACK_S - DAY_S


def test_bought_age_opens_nothing() -> None:
    """An account older than two weeks, on a card of its own, once had 143 budgets."""
    found = [
        kept(quiet(), asks("bought", 20_000, "203.0.113.1", payment="card", account_created=created))[
            "bought"
        ]
        for created in (OLD, NEW)
    ]
    assert found[0] == found[1]
    assert BUDGET <= found[0] <= BUDGET + AN_ACCOUNT


def test_decoy_on_a_card_opens_nothing_for_the_accounts_that_do_the_work() -> None:
    """An old account that asks once an hour lifted every limit for seven new ones on its card."""
    work = [f"worker {number}" for number in range(7)]

    def attack(created: float) -> Iterator[Line]:
        yield from asks("decoy", 24, "203.0.113.1", payment="card", account_created=created)
        for name in work:
            yield from asks(name, 3000, "203.0.113.1", payment="card")

    old, new, off = (
        kept(quiet(), attack(created), correlates=correlates).total()
        for created, correlates in ((OLD, True), (NEW, True), (OLD, False))
    )
    assert old == new <= off
    assert BUDGET <= off <= BUDGET + A_NETWORK


def test_stolen_card_opens_nothing_of_what_its_owner_has_earned_and_takes_nothing_of_it() -> None:
    thieves = [f"thief {number}" for number in range(4)]
    found = kept(
        customer("card", "192.0.2.1", paid_usd=200),
        asks("of card", 9000, "192.0.2.1", payment="card", paid_usd=200, account_created=OLD),
        *(
            asks(name, 3000, f"203.0.113.{at}", payment="card", paid_usd=200, account_created=created)
            for at, (name, created) in enumerate(zip(thieves, (OLD, OLD, NEW, NEW), strict=True))
        ),
    )
    assert found["of card"] == 9000
    assert 0 < sum(found[name] for name in thieves) <= 4 * AN_ACCOUNT


def test_accounts_on_a_resellers_card_share_one_budget_and_take_nothing_from_its_customers() -> None:
    known = {"payment": "reseller", "paid_usd": 100}
    bought = [f"bought {number}" for number in range(60)]
    found = kept(
        customer("reseller", "192.0.2.1", paid_usd=100),
        asks("of reseller", 9000, "192.0.2.1", account_created=OLD, **known),
        *(asks(name, 400, f"203.0.{at}.1", **known) for at, name in enumerate(bought)),
    )
    assert found["of reseller"] == 9000
    assert 0 < sum(found[name] for name in bought) <= BUDGET


@pytest.mark.parametrize("facts", [{}, {"sponsor": "coupon"}], ids=["nobody pays", "free credit"])
def test_free_accounts_have_less_than_a_budget_where_they_come_from(facts: dict[str, str]) -> None:
    """Twenty accounts without a payment method once had eighteen budgets."""
    names = [f"free {number}" for number in range(20)]
    found = kept(quiet(), *(asks(name, 3000, "203.0.113.1", **facts) for name in names))
    assert max(found.values()) <= AN_ACCOUNT
    assert A_NETWORK * 0.9 <= sum(found[name] for name in names) <= A_NETWORK
    (alone,) = (kept(quiet(), asks("free", 250, "203.0.113.1", **facts))["free"],)
    assert alone == 250


def test_strangers_that_use_up_a_networks_limit_take_nothing_from_a_neighbour_who_pays() -> None:
    """Free accounts that filled a CGNAT's network once had a quarter of its newcomers refused."""
    strangers = [asks(f"stranger {number}", 3000, f"203.0.113.{number}") for number in range(20)]
    new = asks("neighbour", BUDGET, "203.0.113.200", payment="new card")
    before = 20  # requests of the day before, some of which still count
    old = asks("of card", BUDGET - before, "203.0.113.201", payment="card", account_created=OLD)
    found = kept(quiet(), customer("card", "203.0.113.201", a_day=before), *strangers, new, old)
    assert (found["neighbour"], found["of card"]) == (BUDGET, BUDGET - before)
    assert sum(found.values()) - 2 * BUDGET <= A_NETWORK - before


def test_keys_that_nobody_issued_take_nothing_from_payers_and_have_little_together() -> None:
    """300,000 keys a day where limits run before keys are checked; here a hundredth of them."""
    keys = (
        {**line, "account_created": None}
        for number in range(3000)
        for line in asks(f"key {number}", 2, f"203.0.113.{number % 250}")
    )
    new = asks("neighbour", BUDGET, "203.0.113.251", payment="card")
    found = kept(quiet(), keys, new)
    assert found["neighbour"] == BUDGET
    assert sum(found.values()) - BUDGET <= A_NETWORK
