"""Verdicts only take away, by the policy that ships and by drawn ones: of a payer, and of all that share."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.correlation.kinlimit import POLICY
from benchmarks.correlation.months.policy import scaled
from tests.correlation.test_taking_away import admitted, given_to, trace
from tests.support.policy_lines import tuned

SCALE = 150
NUMBERS = """\
principals = 400
identifiers = 1600
exits = 8.0
methods = 2
accounts = 4
rebuild_s = 1800
young_s = 43200
"""
"""Actors of a few accounts are certain, so that a drawn trace has some."""
SHIPPED = tuned(scaled(POLICY, SCALE), NUMBERS)
UNSHARED = "[[limit]]".join(part for part in SHIPPED.split("[[limit]]") if 'per = "network"' not in part)
"""What an actor does not take of its network's limit beyond allowances is there for its neighbours."""
IDENTITIES = """
version = 1
[identities]
account = { from = "state:account" }
payment = { from = "state:payment", missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
"""
CORRELATION = """
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payment"
created = "state:account_created"
paid = "state:paid_usd"
"""


def drawn(seed: int, *, shared: bool) -> str:
    """Return a policy with limits as they fall out; `shared`: payers have one of their network together."""
    rng = random.Random(seed)

    def limit(name: str, per: str, most: int, *lines: str) -> str:
        kind = rng.choice(('algorithm = "sliding-window"', 'algorithm = "fixed-window"', ""))
        text = "\n".join((f'name = "{name}"', f'per = "{per}"', f'rate = "{rng.randint(2, most)}/day"', kind))
        return "[[limit]]\n" + "\n".join((text, *lines)) + "\n"

    per_usd, growth = rng.choice((1, 4, 20)), rng.choice((2, 5))
    found = [
        limit("payer", "payment", 40, f"budget = {{ per_usd = {per_usd}, growth = {growth}, most = 200 }}"),
        limit("beyond", "account", 8, 'budget = "overflow"'),
        limit("actor", "cluster", 30),
    ]
    if rng.random() < 0.5:
        found.append(limit("young", "cluster:young", 10))
    if rng.random() < 0.5:
        found.append(limit("likely", "cluster:likely", 40))
    if rng.random() < 0.5:
        found.append(limit("account", "account", 60))
    if shared:
        found.append(limit("network", "network", 12, 'budget = "overflow"'))
    rng.shuffle(found)
    return tuned(IDENTITIES + "".join(found) + CORRELATION, NUMBERS)


def each(lines: list[dict[str, Any]], text: str) -> tuple[Counter[str], Counter[str]]:
    """Return what each payer is given, with correlation and without."""
    on, off = (
        given_to(lines, admitted(lines, correlates=correlates, text=text)[0]) for correlates in (True, False)
    )
    return on, off


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_the_shipped_policy_gives_no_payer_more_with_correlation(seed: int) -> None:
    on, off = each(trace(seed), UNSHARED)
    assert {payer: (count, off[payer]) for payer, count in on.items() if count > off[payer]} == {}


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_shipped_policy_gives_all_payers_together_no_more(seed: int) -> None:
    on, off = each(trace(seed), SHIPPED)
    assert on.total() <= off.total()


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_drawn_policy_gives_no_payer_more_with_correlation(seed: int, of: int) -> None:
    on, off = each(trace(seed), drawn(of, shared=False))
    assert {payer: (count, off[payer]) for payer, count in on.items() if count > off[payer]} == {}


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_drawn_policy_with_a_shared_limit_gives_all_payers_together_no_more(seed: int, of: int) -> None:
    on, off = each(trace(seed), drawn(of, shared=True))
    assert on.total() <= off.total()


@pytest.mark.parametrize(
    "text", [SHIPPED, UNSHARED, drawn(1, shared=False)], ids=["shipped", "unshared", "drawn"]
)
def test_verdicts_take_away_something_in_these_traces(text: str) -> None:
    """A property of traces without actors would hold of anything."""
    taken = (off.total() - on.total() for on, off in (each(trace(seed), text) for seed in range(20)))
    # The first three are enough: what comes after them is not asked.
    assert len(list(islice((less for less in taken if less > 0), 3))) == 3
