"""Containers on one machine: what they share, and their room. docs/deployment.md, in namespaces."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.deployment.containers import contained

COUNTING = """\
import sys
from ratelimit import Limiter
limiter = Limiter(sys.argv[1])
print(sum(limiter.decide(identities={"account": "a"}).allowed for _ in range(6)))
"""
POLICY = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "ten"
per = "account"
rate = "10/year"
algorithm = "fixed-window"
"""


def count(folder: Path, **container: object) -> int:
    """Return how many of six requests a container admits."""
    command = [sys.executable, "-c", COUNTING, str(folder / "policy.toml")]
    done = subprocess.run(
        contained(command, folder=folder, **container),  # type: ignore[arg-type]
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


def test_containers_with_memory_of_their_own_each_admit_the_whole_limit(folder: Path) -> None:
    assert [count(folder) for _ in range(3)] == [6, 6, 6]


def test_containers_that_share_memory_have_one_budget(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        assert [count(folder, shared=Path(memory)) for _ in range(3)] == [6, 4, 0]


def test_path_in_a_shared_folder_is_one_budget_too(folder: Path) -> None:
    (folder / "policy.toml").write_text(f'{POLICY}[store]\nmemory = "{folder}/limits"\n')
    assert [count(folder) for _ in range(3)] == [6, 4, 0]


@pytest.mark.parametrize(
    ("policy", "megabytes", "starts"),
    [
        ("", 5, True),
        ("", 3, False),
        ("[store]\nkeys = 1_000_000\n", 64, True),
        ("[store]\nkeys = 1_000_000\n", 22, False),
    ],
    ids=["default", "default in too little", "a million", "a million in too little"],
)
def test_room_is_as_large_as_the_page_says(folder: Path, policy: str, megabytes: int, starts: bool) -> None:
    (folder / "policy.toml").write_text(POLICY + policy)
    command = [sys.executable, "-c", COUNTING, str(folder / "policy.toml")]
    done = subprocess.run(
        contained(command, folder=folder, megabytes=megabytes), capture_output=True, text=True
    )
    assert (done.returncode == 0) is starts, done.stderr
    if not starts:
        assert "enlarge it (in a container: --shm-size)" in done.stderr
