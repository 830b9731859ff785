"""Verdicts only take away: nobody is given more with correlation than by the same policy without it."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.clock import ManualClock
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import open_reader
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store
from tests.support.policy_lines import tuned

START_S = 1_700_000_000
DAY_S = 86_400
NUMBERS = """\
principals = 400
identifiers = 1600
exits = 8.0
methods = 2
accounts = 4
rebuild_s = 1800
young_s = 43200
"""
POLICY = tuned(
    """
version = 1
[identities]
account = { from = "state:account" }
payment = { from = "state:payment", missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
[[limit]]
name = "a day of an account"
per = "account"
rate = "12/day"
algorithm = "sliding-window"
[[limit]]
name = "a day of a payment method"
per = "payment"
rate = "90/day"
algorithm = "sliding-window"
[[limit]]
name = "one actor"
per = "cluster"
rate = "20/day"
burst = 4
[[limit]]
name = "a young actor"
per = "cluster:young"
rate = "2/day"
algorithm = "sliding-window"
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payment"
created = "state:account_created"
""",
    NUMBERS,
)
OF_ACTORS = ("one actor", "a young actor")

EARNED = tuned(
    """
version = 1
[identities]
account = { from = "state:account" }
payer = { from = ["state:payment", "state:sponsor"], missing = "skip" }
payment = { from = "state:payment", missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
[[limit]]
name = "a day of a payer"
per = "payer"
rate = "20/day"
algorithm = "sliding-window"
budget = { per_usd = 4, growth = 3, most = 200 }
[[limit]]
name = "a day of an account beyond what is paid"
per = "account"
budget = "overflow"
rate = "5/day"
algorithm = "sliding-window"
[[limit]]
"""
    + POLICY[POLICY.index('name = "one actor"') :].replace(
        'created = "state:account_created"', 'created = "state:account_created"\npaid = "state:paid_usd"'
    ),
    NUMBERS,
)
SHARED = EARNED.replace(
    '[[limit]]\nname = "one actor"',
    """[[limit]]
name = "a day of a network beyond what is paid"
per = "network"
budget = "overflow"
rate = "9/day"
algorithm = "sliding-window"
[[limit]]
name = "one actor\"""",
)
POLICIES = {"open": POLICY, "earned": EARNED}


def trace(seed: int) -> list[dict[str, Any]]:
    """Return a day and a half of a few groups: cards, ages, exits and homes as they fall out."""
    rng = random.Random(seed)
    found = []
    for group in range(rng.randrange(1, 5)):
        per_card = rng.choice((1, 4, 8))
        pool = rng.choice((1, 40, 60))
        old_share = rng.choice((0.0, 0.0, 0.15, 1.0))
        begin_h = rng.choice((0, 6))
        for account in range(rng.choice((4, 16, 32))):
            is_old = rng.random() < old_share
            card = None if rng.random() < 0.05 else f"card {group}/{account // per_card}"
            paid = random.Random(f"{seed} {card}").choice((None, None, 0, 2, 5, 12.5, 30))
            for _ in range(rng.randrange(4, 40)):
                at = rng.randrange(pool)
                found.append(
                    {
                        "time": START_S + begin_h * 3600 + rng.random() * 1.5 * DAY_S,
                        "method": "POST",
                        "path": "/v1/x",
                        "ip": f"40.{group}.{at}.1" if rng.random() < 0.9 else f"20.{group}.{account}.1",
                        "account": f"{group}/{account}",
                        "payment": card,
                        "paid_usd": paid,
                        "account_created": START_S - (400 * DAY_S if is_old else 3600),
                    }
                )
    return sorted(found, key=lambda one: one["time"])


@lru_cache(8)
def parsed(text: str) -> Policy:
    """Return a policy, read once for all of its traces: a replay changes nothing of it."""
    return Policy.from_toml(text)


def admitted(
    lines: list[dict[str, Any]], *, correlates: bool, text: str = POLICY
) -> tuple[list[bool], Counter[str]]:
    """Return which requests a replay admits, and how many each limit refuses."""
    policy = parsed(text)
    chunks: list[bytes] = []
    replay = Replay(
        policy.compiled,
        lambda now_ns: private_store(policy, ManualClock(now_ns), seed=1),
        chunks.append,
        correlates=correlates,
    )
    text = "\n".join(map(json.dumps, lines)).encode()
    for batch in open_reader("-", replay.fields, format="ndjson", stdin=io.BytesIO(text)):
        replay.take(batch)
    replay.finish()
    replay.close()
    said = [json.loads(line) for line in b"".join(chunks).splitlines()]
    assert len(said) == len(lines)
    return [one["action"] == "allow" for one in said], Counter(one["limit"] for one in said)


def given_to(lines: list[dict[str, Any]], let_in: list[bool]) -> Counter[str]:
    """Return how many requests each payer was given, and each account that nobody pays for."""
    return Counter(line["payment"] or line["account"] for line, yes in zip(lines, let_in, strict=True) if yes)


@pytest.mark.parametrize("text", POLICIES.values(), ids=POLICIES.keys())
@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_correlation_gives_no_payer_more_than_the_same_policy_without_it(text: str, seed: int) -> None:
    lines = trace(seed)
    on, off = (given_to(lines, admitted(lines, correlates=each, text=text)[0]) for each in (True, False))
    assert {payer: (count, off[payer]) for payer, count in on.items() if count > off[payer]} == {}


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_correlation_gives_all_payers_together_no_more_where_they_share_a_limit(seed: int) -> None:
    """What an actor does not take of its network's limit beyond allowances is there for its neighbours."""
    lines = trace(seed)
    on, off = (sum(admitted(lines, correlates=each, text=SHARED)[0]) for each in (True, False))
    assert on <= off


@pytest.mark.parametrize("text", POLICIES.values(), ids=POLICIES.keys())
def test_these_traces_have_actors_that_are_refused_and_openers(text: str) -> None:
    seeds = iter(range(30))
    found: Counter[str] = Counter()
    # Two traces of each are enough: what comes after them is not asked.
    while min(found[limit] for limit in OF_ACTORS) < 2:
        seed = next(seeds, None)
        assert seed is not None, found
        refused = admitted(trace(seed), correlates=True, text=text)[1]
        found.update(limit for limit in OF_ACTORS if refused[limit])
