"""Limiters in a test without the plugin: private, by a clock of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.testing import ManualClock, isolated
from tests.asgi.driver import limit, rules


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(rules(limit(rate="2/hour", algorithm="fixed-window")))
    return path


def admitted(limiter: Limiter, requests: int = 5) -> int:
    return sum(limiter.decide(identities={"account": "a"}, client="::1").allowed for _ in range(requests))


def test_limiter_sees_nothing_of_others_and_leaves_nothing(policy: Path) -> None:
    outside = Limiter(policy)
    assert admitted(outside) == 2
    with isolated() as ratelimit:
        inside = Limiter(policy)
        assert admitted(inside) == 2
        ratelimit.advance(3600)
        assert admitted(inside) == 2
        ratelimit.reset()
        assert admitted(inside) == 2
        assert admitted(outside) == 2, "made before the block, and isolated as well"
        ratelimit.advance(3600)
        assert admitted(outside) == 2
        assert inside.store.place is outside.store.place is None
    assert admitted(outside) == 0
    assert Limiter(policy).store.place == outside.store.place is not None
    policy.unlink()
    outside.close()
    inside.close()


def test_server_of_a_policy_is_not_looked_for(policy: Path) -> None:
    policy.write_text(
        rules(
            limit(rate="2/hour"),
            more='[store]\nurl = "redis://127.0.0.1:1/0"\n[hashing]\nkey = "env:NOT_HERE"\n'
            '[correlation]\nprincipal = "account"\n',
        )
    )
    with isolated() as ratelimit:
        limiter = Limiter(policy)
        assert admitted(limiter) == 2
        ratelimit.reset()
        assert admitted(limiter) == 2
        limiter.close()


def test_clock_that_stands_still_has_counters_of_its_own(policy: Path) -> None:
    outside = Limiter(policy)
    assert admitted(outside) == 2
    clock = ManualClock()
    limiter = Limiter(policy, clock=clock)
    assert admitted(limiter) == 2
    clock.advance(3600)
    assert admitted(limiter) == 2
    limiter.close()
    policy.unlink()
    outside.close()


UNITTEST = """\
import unittest
from application import limiter, storage
from checks import ratelimit

class Checks(unittest.TestCase):
    def test_counts(self):
        self.assertEqual([limiter.decide(client="::1").allowed for _ in range(3)], [True, True, False])
        self.assertEqual(storage.incr("key", 3600), 1)
        ratelimit.advance(3600)
        self.assertTrue(limiter.decide(client="::1").allowed)
        self.assertEqual(storage.incr("key", 3600), 1)
"""


def test_counters_of_an_earlier_test_run_are_not_met_by_unittest(tmp_path: Path) -> None:
    policy, package = tmp_path / "policy.toml", tmp_path / "checks"
    policy.write_text(rules(limit(per="ip", rate="2/hour", algorithm="fixed-window")))
    (tmp_path / "application.py").write_text(
        "from ratelimit import Limiter\n"
        "from ratelimit.integrations.limits import SharedStorage\n"
        f"limiter = Limiter({str(policy)!r})\n"
        f"storage = SharedStorage('kinlimit+shared://{tmp_path / 'table'}')\n"
    )
    package.mkdir()
    # The application is there before the isolation is: imported by what comes first.
    (package / "__init__.py").write_text(
        "import application\nfrom ratelimit.testing import isolate\nratelimit = isolate()\n"
    )
    (package / "test_it.py").write_text(UNITTEST)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "unittest", "discover", "-t", ".", "-s", "checks"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    policy.unlink()
