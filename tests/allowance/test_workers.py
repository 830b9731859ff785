"""Workers of one host on one payer: never one too many and never one too few, whichever way requests go."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from ratelimit import Limiter, ManualClock, Policy

SPAWN = multiprocessing.get_context("spawn")
WORKERS, ASKED = 3, 400
PATIENCE_S = 60
NOW_NS = 1_700_006_400 * 10**9
POLICY = """
version = 1
[identities]
account = {{ from = "state:account" }}
payer = {{ from = "state:payment", missing = "skip" }}
[store]
memory = "{path}"
[[limit]]
name = "payer"
per = "payer"
rate = "100/day"
algorithm = "sliding-window"
budget = {{ per_usd = 25 }}
[[limit]]
name = "beyond"
per = "account"
budget = "overflow"
rate = "50/day"
algorithm = "sliding-window"
[correlation]
paid = "state:paid_usd"
"""


def ask(path: str, number: int, gate: Barrier, results: Any) -> None:
    """Ask for a payer that has 200, by an account that has 50 beyond; the payer's first level as well."""
    limiter = Limiter(Policy.from_toml(POLICY.format(path=path)), clock=ManualClock(NOW_NS))
    gate.wait(PATIENCE_S)
    given = [0, 0]
    for at in range(ASKED):
        # The numbers of two levels, over one counter: the lower one opens nothing that the higher used.
        state = {"account": "a", "payment": "card", "paid_usd": 8 if (at + number) % 2 else 4}
        decision = limiter.decide(state=state, now_ns=NOW_NS)
        if decision.allowed:
            given[decision.verdicts[0].limit == "beyond"] += 1
    results.put(given)
    gate.wait(PATIENCE_S)


def test_workers_give_a_payer_its_allowance_and_what_is_beyond_exactly(tmp_path: Path) -> None:
    gate, results = SPAWN.Barrier(WORKERS), SPAWN.Queue()
    workers = [
        SPAWN.Process(target=ask, args=(str(tmp_path / "limits"), number, gate, results))
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    given = [results.get(timeout=PATIENCE_S) for _ in workers]
    for worker in workers:
        worker.join(PATIENCE_S)
    assert [sum(each) for each in zip(*given, strict=True)] == [200, 50]
