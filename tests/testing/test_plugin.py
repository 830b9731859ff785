"""An application's own tests, run by pytest as its developer runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratelimit.stores.embedded.folder import memory_folder
from ratelimit.stores.embedded.mapping import prefix_of

ROOT = Path(__file__).parents[2]
APPLICATION = """\
from fastapi import Depends, FastAPI
from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.integrations.fastapi import limit

POLICY = __file__.replace("application.py", "policy.toml")
app = FastAPI()
app.add_middleware(RateLimitMiddleware, policy=POLICY)
limiter = Limiter(POLICY)  # made when the module is imported, before any test


@app.get("/by-path")
async def by_path() -> None: ...


@app.get("/asked", dependencies=[Depends(limit("2/minute"))])
async def asked() -> None: ...
"""
POLICY = """\
version = 1
[[limit]]
name = "requests"
match = ["/by-path", "/"]
per = "ip"
rate = "3/minute"
"""
TESTS = """\
import pytest
from fastapi.testclient import TestClient
from application import app, limiter

client = TestClient(app)


def statuses(path, count):
    return [client.get(path).status_code for _ in range(count)]


@pytest.mark.parametrize("turn", range(2))
def test_counts_begin_anew_in_each_test(turn):
    assert statuses("/by-path", 4) == [200, 200, 200, 429]
    assert statuses("/asked", 3) == [200, 200, 429]
    assert [limiter.decide(client="::1").allowed for _ in range(4)] == [True] * 3 + [False]


def test_clock_moves_when_it_is_told(ratelimit):
    assert statuses("/asked", 3) == [200, 200, 429]
    ratelimit.advance(29)
    assert statuses("/asked", 1) == [429]
    ratelimit.advance(1)
    assert statuses("/asked", 2) == [200, 429]
    ratelimit.clock.advance(3600)
    assert statuses("/by-path", 4) == [200, 200, 200, 429]


def test_reset_forgets(ratelimit):
    assert statuses("/by-path", 4) == [200, 200, 200, 429]
    ratelimit.reset()
    assert statuses("/by-path", 4) == [200, 200, 200, 429]


def test_limits_can_be_off_for_a_while(ratelimit):
    with ratelimit.disabled():
        assert statuses("/by-path", 9) == [200] * 9
        assert statuses("/asked", 9) == [200] * 9
        assert all(limiter.decide(client="::1").allowed for _ in range(9))
        assert "ratelimit" not in client.get("/by-path").headers
    assert statuses("/by-path", 4) == [200, 200, 200, 429]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "test_application.py").write_text(TESTS)
    return tmp_path


def run(project: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the project's tests; the installed distribution brings the plugin."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:valkey",
            *options,
        ],
        cwd=project,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def left_in_memory(project: Path) -> list[Path]:
    prefix = prefix_of(str(project / "policy.toml"))
    folder = memory_folder(make=True)
    return [path for path in folder.iterdir() if prefix.rstrip("-") in path.name]


def test_application_is_tested_alike_in_each_run_and_leaves_nothing(project: Path) -> None:
    for _ in range(2):
        done = run(project)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "5 passed" in done.stdout
    assert left_in_memory(project) == []


def test_setting_leaves_limiters_as_their_policies_say(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\nratelimit_isolated = false\n")
    first = run(project, "-k", "begin_anew")
    assert "1 failed" in first.stdout, "tests of one run see each other's counts"
    assert left_in_memory(project)
    told = run(project, "-k", "reset")
    assert "needs `ratelimit_isolated = true`" in told.stdout
    (project / "policy.toml").unlink()


def test_environment_switches_limits_off(project: Path) -> None:
    (project / "test_application.py").write_text(
        "from fastapi.testclient import TestClient\n"
        "from application import app, limiter\n"
        "def test_nothing_is_limited():\n"
        "    client = TestClient(app)\n"
        "    for path in ('/by-path', '/asked'):\n"
        "        assert [client.get(path).status_code for _ in range(9)] == [200] * 9\n"
        "    assert all(limiter.decide(client='::1').allowed for _ in range(9))\n"
    )
    assert run(project).returncode == 1
    done = run(project, RATELIMIT_ENABLED="0")
    assert done.returncode == 0, done.stdout
    assert run(project, "-p", "no:ratelimit", RATELIMIT_ENABLED="off").returncode == 0
    misspelled = run(project, RATELIMIT_ENABLED="flase")
    assert "RATELIMIT_ENABLED is 'flase'; write 1 or 0" in misspelled.stdout
    assert left_in_memory(project) == []
