"""The store of docs/extending.md: four processes admit exactly the limit, and it answers as memory does."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter, Policy, UsageError
from ratelimit.clock import ManualClock
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.asgi.driver import limit, rules

ROOT = Path(__file__).parents[2]
KEY = bytes(range(16))
MANY = rules(
    limit("bucket", rate="5/second", burst=9),
    limit("window", rate="20/minute", algorithm="fixed-window"),
    limit("own", rate="20/minute", algorithm="staggered-window"),
    limit("sliding", rate="30/minute", algorithm="sliding-window"),
    limit("log", rate="25/minute", algorithm="sliding-log"),
    limit("tokens", rate="200/minute", unit="tokens", cost=5),
    limit("half", rate="3/minute", mode=0.5),
)
WORKER = """
import runpy, sys
from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
store = runpy.run_path("examples/sqlite_store.py")["SQLiteStore"]
clock = ManualClock()
limiter = Limiter(Policy.from_toml(sys.argv[2]), store=store(sys.argv[1], bytes(16), clock), clock=clock)
print(sum(limiter.decide(identities={"account": "a"}).allowed for _ in range(100)))
"""


def store_at(path: Path, clock: ManualClock) -> Any:
    return runpy.run_path(str(ROOT / "examples" / "sqlite_store.py"))["SQLiteStore"](path, KEY, clock)


def test_four_processes_admit_exactly_the_limit(tmp_path: Path) -> None:
    policy = rules(limit(rate="250/day", algorithm="fixed-window"), limit("wide", rate="350/day"))
    store_at(tmp_path / "limits.db", ManualClock())  # the file is made once
    command = [sys.executable, "-c", WORKER, str(tmp_path / "limits.db"), policy]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, said
    assert sum(int(out) for out, _ in said) == 250


def test_it_answers_as_memory_does(tmp_path: Path) -> None:
    draw, clock = random.Random(5), ManualClock()
    stores = [EmbeddedStore.private(keys=1000, key=KEY, clock=clock), store_at(tmp_path / "limits.db", clock)]
    limiters = [Limiter(Policy.from_toml(MANY), store=store, clock=clock) for store in stores]
    answers = set()
    for _ in range(150):
        clock.advance(draw.choice([0.0, 0.05, 0.3, 2.0]))
        asked: dict[str, Any] = {
            "identities": {"account": draw.choice("ab")},
            "costs": {"tokens": draw.randrange(40)},
        }
        decided = [limiter.decide(**asked) for limiter in limiters]
        assert decided[0].verdicts == decided[1].verdicts
        if draw.random() < 0.3:
            used = draw.randrange(60)
            for decision in decided:
                decision.settle(tokens=used)
        answers.add(decided[0].allowed)
    assert answers == {True, False}


def test_slots_are_refused_at_binding(tmp_path: Path) -> None:
    clock = ManualClock()
    with pytest.raises(UsageError) as raised:
        Limiter(
            Policy.from_toml(rules(limit("slots", rate="", concurrent=1))),
            store=store_at(tmp_path / "limits.db", clock),
            clock=clock,
        )
    assert raised.value.code == "store-algorithm"
