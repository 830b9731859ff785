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
    """Run the project's tests with the plugin alone, by the name that the distribution gives it.

    The other plugins that are installed here take seconds to load.
    """
    alone = {} if "no:valkey" in options else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugin = ["-p", "ratelimit"] if alone and "no:ratelimit" not in options else []
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, "-p", "no:cacheprovider", *options],
        cwd=project,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}", **alone, **environment},
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
        done = run(project, "-p", "no:valkey")  # the installed distribution brings the plugin by itself
        assert done.returncode == 0, done.stdout + done.stderr
        assert "5 passed" in done.stdout
    assert left_in_memory(project) == []


def test_setting_leaves_limiters_as_their_policies_say(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\nratelimit_isolated = false\n")
    for _ in range(2):  # the second run does not meet what the first one counted
        done = run(project, "-k", "begin_anew")
        assert "1 failed, 1 passed" in done.stdout, "tests of one run see each other's counts"
        assert left_in_memory(project) == []
    told = run(project, "-k", "reset")
    assert "needs `ratelimit_isolated = true`" in told.stdout


def test_counters_of_an_earlier_test_run_are_not_met_where_a_conftest_imports_the_application(
    project: Path,
) -> None:
    (project / "conftest.py").write_text("import application\n")
    for _ in range(2):
        done = run(project)
        assert done.returncode == 0, done.stdout + done.stderr
    assert left_in_memory(project) == []


STARTED = """\
import subprocess, sys

CHILD = '''
from ratelimit import Limiter
from ratelimit.integrations.limits import SharedStorage

limiter, storage = Limiter({policy!r}), SharedStorage("kinlimit+shared://" + {policy!r}[1:].replace("/", "-"))
print(sum(limiter.decide(client="::1", path="/by-path").allowed for _ in range(9)), storage.incr("key", 3600))
'''.format(policy=__file__.replace("test_application.py", "policy.toml"))


def test_processes_of_one_run_count_together():
    asked = [subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True) for _ in range(2)]
    assert [each.stdout for each in asked] == ["3 1\\n", "0 2\\n"], asked
"""


def test_counters_of_an_earlier_test_run_are_not_met_by_processes_that_tests_start(project: Path) -> None:
    (project / "test_application.py").write_text(STARTED)
    for _ in range(2):
        done = run(project)
        assert done.returncode == 0, done.stdout + done.stderr
    assert left_in_memory(project) == []


NAMED = """\
import limits
from limits.storage import storage_from_string
import ratelimit.integrations.limits

limiter = limits.strategies.FixedWindowRateLimiter(storage_from_string("URL"))


def spend():
    return [limiter.hit(limits.parse("2/hour"), "client") for _ in range(3)]


def test_storage_counts_for_this_run_and_test():
    assert spend() == [True, True, False]


def test_storage_moves_when_it_is_told(ratelimit):
    assert spend() == [True, True, False]
    ratelimit.advance(3500)
    assert spend() == [False] * 3
    ratelimit.advance(101)
    assert spend() == [True, True, False]
    ratelimit.reset()
    assert spend() == [True, True, False]
"""


@pytest.mark.parametrize(
    "url", ["kinlimit+shared://{name}", "kinlimit+shared:///dev/shm/kinlimit-test-{name}"]
)
def test_counters_of_an_earlier_test_run_are_not_met_by_a_storage_for_limits(project: Path, url: str) -> None:
    url = url.format(name=f"{project.parent.name}-{project.name}")
    (project / "test_application.py").write_text(NAMED.replace("URL", url))
    for _ in range(2):
        done = run(project)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "2 passed" in done.stdout
    assert not Path(url.partition("//")[2]).exists()


def test_memory_of_a_test_run_that_was_killed_is_removed_by_the_next(project: Path) -> None:
    (project / "test_application.py").write_text(
        "import os\n"
        "def test_kills():\n"
        "    print('at', os.environ['RATELIMIT_TEST_RUN'], 'it', flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    folder = Path(run(project, "-s").stdout.partition("at ")[2].partition(" it")[0])
    assert folder.is_dir()
    (project / "test_application.py").write_text("def test_passes(): ...\n")
    assert run(project).returncode == 0
    assert not folder.exists()


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
