"""Verdicts only take away: nobody is given more with correlation than by the same policy without it."""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.clock import ManualClock
from ratelimit.policy import Policy
from ratelimit.replay.run import Replay
from ratelimit.stores.factory import private_store
from ratelimit.traces import open_reader

START_S = 1_700_000_000
DAY_S = 86_400
POLICY = """
version = 1
[identities]
account = { from = "state:account" }
payment = { from = "state:payment", missing = "skip" }
ip = { from = "client" }
network = { from = "client", prefix = { v4 = 24, v6 = 48 } }
[[limit]]
name = "a day of an account"
per = "account"
rate = "60/day"
algorithm = "sliding-window"
[[limit]]
name = "a day of a new account"
per = "account"
age = "new"
rate = "12/day"
algorithm = "sliding-window"
[[limit]]
name = "a day of a new payment method"
per = "payment"
age = "new"
rate = "20/day"
algorithm = "sliding-window"
[[limit]]
name = "one actor"
per = "cluster"
rate = "20/day"
burst = 4
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payment"
created = "state:account_created"
[correlation.tuning]
principals = 400
identifiers = 1600
exits = 8.0
methods = 2
accounts = 4
rebuild_s = 1800
"""


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
                        "account_created": START_S - (400 * DAY_S if is_old else 3600),
                    }
                )
    return sorted(found, key=lambda one: one["time"])


def admitted(lines: list[dict[str, Any]], *, correlates: bool) -> tuple[list[bool], int]:
    """Return which requests a replay admits, and how many it refuses for their actor."""
    policy = Policy.from_toml(POLICY)
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
    return [one["action"] == "allow" for one in said], sum(one["limit"] == "one actor" for one in said)


def given_to(lines: list[dict[str, Any]], let_in: list[bool]) -> Counter[str]:
    """Return how many requests each payer was given, and each account that nobody pays for."""
    return Counter(line["payment"] or line["account"] for line, yes in zip(lines, let_in, strict=True) if yes)


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_correlation_gives_no_payer_more_than_the_same_policy_without_it(seed: int) -> None:
    lines = trace(seed)
    on, off = (given_to(lines, admitted(lines, correlates=each)[0]) for each in (True, False))
    assert {payer: (count, off[payer]) for payer, count in on.items() if count > off[payer]} == {}


def test_these_traces_have_actors_that_are_refused_and_openers() -> None:
    refused = [admitted(trace(seed), correlates=True)[1] for seed in range(12)]
    assert sum(count > 0 for count in refused) >= 2
