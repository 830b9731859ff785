"""Shared memory belongs to the policy's path as written, and goes with its policy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.runtime import limits_in_code
from ratelimit.stores import leftovers
from ratelimit.stores.embedded import folder
from ratelimit.stores.embedded.mapping import prefix_of
from ratelimit.stores.leftovers import ABROAD_S, NOTE, TEXT

POLICY = """\
version = 1
[store]
keys = 1000
[[limit]]
name = "requests"
per = "ip"
rate = "{rate}/year"
algorithm = "fixed-window"
"""
WORKER = """\
import sys
from ratelimit import Limiter
limiter = Limiter(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    admitted = sum(limiter.decide(client="192.0.2.1").allowed for _ in range(int(line)))
    print(admitted, flush=True)
limiter.close()
"""


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that this process' shared memory lies in: no other process's."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(folder, "SHARED", place)
    return place / f"kinlimit-{os.geteuid()}"


class Worker:
    """A process with a limiter, told how many requests to decide."""

    def __init__(self, policy: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(policy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.said() == "ready"

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def decide(self, requests: int) -> int:
        """Return how many of so many requests were admitted."""
        assert self.process.stdin is not None
        print(requests, file=self.process.stdin, flush=True)
        return int(self.said())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


def release(folder: Path, name: str, rate: int) -> Path:
    """Put a release with its policy into a folder; return the release."""
    made = folder / name
    made.mkdir()
    (made / "policy.toml").write_text(POLICY.format(rate=rate))
    return made


def point(link: Path, target: Path) -> None:
    """Have a link lead to another place from now on, as `ln -sfn` and the kubelet do."""
    fresh = link.with_name("fresh")
    fresh.symlink_to(target.name)
    fresh.replace(link)


def test_worker_that_restarts_after_a_link_was_swapped_counts_on(tmp_path: Path) -> None:
    link = tmp_path / "..data"
    point(link, release(tmp_path, "..2026_01", 260))
    policy = tmp_path / "policy.toml"
    policy.symlink_to("..data/policy.toml")
    first, second = Worker(policy), Worker(policy)
    assert first.decide(130) == 130
    point(link, release(tmp_path, "..2026_02", 260))
    shutil.rmtree(tmp_path / "..2026_01")
    first.end()
    restarted = Worker(policy)
    admitted = restarted.decide(200) + second.decide(200)
    assert admitted == 130, "a budget of 260 had 130 left"
    restarted.end()
    policy.unlink()
    second.end()


def test_limiters_on_temporary_paths_leave_nothing(tmp_path: Path, shared: Path) -> None:
    for number in range(5):
        place = tmp_path / str(number)
        place.mkdir()
        limiter = Limiter(release(place, "release", 5) / "policy.toml")
        assert limiter.decide(client="192.0.2.1").allowed
        if number % 2:
            shutil.rmtree(place)  # before its limiter is closed, or after
            limiter.close()
        else:
            limiter.close()
            shutil.rmtree(place)
    last = release(tmp_path, "last", 5) / "policy.toml"
    limiter = Limiter(last)
    assert {path.name for path in shared.iterdir()} == {
        f"{NOTE}{prefix_of(str(last))[:-1]}",
        f"{TEXT}{prefix_of(str(last))[:-1]}",
        limiter.store.place.name,  # type: ignore[union-attr]
        f"{limiter.store.place.name}.actors-key",  # type: ignore[union-attr]
    }
    last.unlink()
    limiter.close()
    assert list(shared.iterdir()) == []


def test_what_a_process_holds_stays_though_its_policy_is_gone(tmp_path: Path, shared: Path) -> None:
    policy = release(tmp_path, "release", 5) / "policy.toml"
    limiter = Limiter(policy)
    assert limiter.decide(client="192.0.2.1").allowed
    text = policy.read_text()
    policy.unlink()
    other = release(tmp_path, "other", 5) / "policy.toml"
    Limiter(other).close()
    assert limiter.store.place is not None
    assert limiter.store.place.exists()
    policy.write_text(text)  # it was only being replaced
    again = Limiter(policy)
    assert sum(again.decide(client="192.0.2.1").allowed for _ in range(9)) == 4
    limiter.close()
    again.close()
    assert limiter.store.place.exists(), "a policy that is there keeps its counters over a restart"


def test_policy_of_another_container_is_not_gone_because_it_is_not_here(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = release(tmp_path, "theirs", 5) / "policy.toml"
    with monkeypatch.context() as patched:
        patched.setattr(leftovers, "_namespace", lambda: 4_026_500_000)
        limiter = Limiter(theirs)
        limiter.close()
    theirs.unlink()
    note = shared / f"{NOTE}{prefix_of(str(theirs))[:-1]}"
    ours = release(tmp_path, "ours", 5) / "policy.toml"
    Limiter(ours).close()
    assert note.exists()
    assert limiter.store.place is not None
    assert limiter.store.place.exists()
    then = note.stat().st_mtime - ABROAD_S - 60
    os.utime(note, (then, then))
    Limiter(ours).close()
    assert not note.exists()
    assert not limiter.store.place.exists()


@pytest.mark.parametrize("wrong", [b"", b"no namespace", b"1\n\0", b"\xff" * 9000])
def test_note_that_says_nothing_removes_nothing(tmp_path: Path, shared: Path, wrong: bytes) -> None:
    policy = release(tmp_path, "release", 5) / "policy.toml"
    Limiter(policy).close()
    note = shared / f"{NOTE}{prefix_of(str(policy))[:-1]}"
    note.write_bytes(wrong)
    before = set(shared.iterdir())
    leftovers.sweep_gone(shared, 2e9)
    assert set(shared.iterdir()) == before


def test_what_is_kept_of_limits_in_code_goes_with_the_policy(tmp_path: Path, shared: Path) -> None:
    """Hazard: files of routes stay in memory for each policy that ever was."""
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY.format(rate=3))
    limiter = Limiter(policy)
    limits_in_code.keep(str(policy), [{"name": "1/minute per ip"}])
    for route in ("/a", "/a", "/b"):
        limits_in_code.keep_route(str(policy), "1/minute per ip", f"digest of {route}", route)
    routes = limits_in_code.kept_routes_of(str(policy))["1/minute per ip"]
    assert routes == {"digest of /a": "/a", "digest of /b": "/b"}
    limiter.close()
    policy.unlink()
    leftovers.sweep_if_gone(str(policy), shared)
    assert [*shared.iterdir()] == []
