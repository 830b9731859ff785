"""The command that image, unit and pod run, run: in a container's namespaces, with what the unit forbids."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.deployment.containers import contained, end
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

DEPLOY = Path(__file__).absolute().parents[2] / "examples" / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
BURST = 100
FORBID_WRITABLE_CODE = """\
import ctypes, os, sys
# PR_SET_MDWE, as MemoryDenyWriteExecute=yes does; older kernels do not know it.
ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def of_dockerfile(instruction: str) -> list[str]:
    """Return the words of CMD or HEALTHCHECK's CMD."""
    (found,) = re.findall(rf"^{instruction}.*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(found)
    return words


def of_unit() -> list[str]:
    """Return the words of ExecStart."""
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "api.service")
    return shlex.split(unit["Service"]["ExecStart"])


def here(words: list[str], port: int) -> list[str]:
    """Return a command of the image with this environment's programs, at a free port."""
    program = str(Path(sys.executable).parent / Path(words[0]).name)
    return [program, *(word.replace("8000", str(port)) for word in words[1:])]


@contextmanager
def served(command: list[str], folder: Path, port: int) -> Iterator[str]:
    server = subprocess.Popen(command, cwd=folder)
    try:
        wait_until_connected(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        if command[0] == "unshare":
            end(server)
        else:
            server.terminate()
            server.wait(60)


def answers(url: str, count: int) -> Counter[int]:
    """Ask with a connection each, so that both workers are asked."""

    def ask(_: int) -> int:
        return httpx.get(f"{url}/v1/models", headers={"x-api-key": "a"}, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        return Counter(pool.map(ask, range(count)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the application's folder, with a limit that hardly refills during the test."""
    for name in ("app.py", "policy.toml"):
        shutil.copy(DEPLOY / name, tmp_path)
    policy = tmp_path / "policy.toml"
    policy.write_text(policy.read_text().replace('"600/minute"', '"101/day"'))
    return tmp_path


def test_image_runs_with_nothing_to_write_to_but_its_memory(folder: Path) -> None:
    port = free_port()
    with served(contained(here(of_dockerfile("CMD"), port), folder=folder), folder, port) as url:
        assert answers(url, 130) == {200: BURST, 429: 30}
        assert (
            'ratelimit_requests_total{action="refuse",reason="limits"} 30'
            in httpx.get(f"{url}/metrics", timeout=60).text
        )
        healthy = here(of_dockerfile("HEALTHCHECK"), port)
        assert subprocess.run(healthy, capture_output=True).returncode == 0
    assert subprocess.run(healthy, capture_output=True).returncode != 0


def test_unit_runs_without_memory_that_is_written_and_run(folder: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", FORBID_WRITABLE_CODE, sys.executable, "-m", *here(of_unit(), port)]
    command[5] = "uvicorn"
    with served(command, folder, port) as url:
        assert answers(url, 130) == {200: BURST, 429: 30}
