"""A worker that starts while its policy file is broken goes on by the policy of workers that run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ratelimit import Limiter, PolicyError, UsageError
from ratelimit.errors import RateLimitError
from ratelimit.events import NullObserver
from ratelimit.runtime import last_policy
from ratelimit.stores.embedded import folder, watched
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry import names
from ratelimit.telemetry.cells import totals

POLICY = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "requests"
per = "account"
rate = "5/day"
algorithm = "fixed-window"
[store]
keys = 1000
"""
UNBOUND = POLICY.replace('"header:x-api-key"', '"resolver:nobody"')
BREAKS: dict[str, tuple[Callable[[Path], object], type[RateLimitError]]] = {
    "no TOML": (lambda path: path.write_text("version = 1\n[[limit"), PolicyError),
    "mistakes": (lambda path: path.write_text(POLICY.replace("5/day", "5/fortnight")), PolicyError),
    "empty": (lambda path: path.write_text(""), PolicyError),
    "missing": (Path.unlink, PolicyError),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), PolicyError),
    "resolver": (lambda path: path.write_text(UNBOUND), UsageError),
}
each_break = pytest.mark.parametrize("how", BREAKS)


class Heard(NullObserver):
    """Keeps what was diagnosed."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def diagnosed(self, code: str, message: str) -> None:
        self.said.append((code, message))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a policy's file, with shared memory of its own."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(folder, "SHARED", place)
    monkeypatch.setattr(watched, "LOOK_S", 0.01)
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    return path


def admitted(limiter: Limiter) -> int:
    return sum(limiter.decide(identities={"account": "ann"}, client="192.0.2.1").allowed for _ in range(8))


def rejected(limiter: Limiter) -> int:
    """Return how many reloads were rejected, and how often a start by another's policy was said."""
    cells = totals(limiter.table, names.COUNTER_DIAGNOSTICS, len(names.DIAGNOSTIC_CODES))
    return cells[names.DIAGNOSTIC_CODES.index("policy-last")]


@each_break
def test_worker_that_starts_goes_on_by_the_policy_of_one_that_runs(path: Path, how: str) -> None:
    running = Limiter(path)
    assert admitted(running) == 5
    BREAKS[how][0](path)
    heard = Heard()
    fresh = Limiter(path, observer=heard)
    assert admitted(fresh) == 0, "another table, or another policy"
    ((code, words),) = heard.said
    assert code == "policy-last"
    assert "\n" not in words
    assert rejected(fresh) == 1
    assert fresh.last_reload is not None
    assert fresh.last_reload.result == "rejected"
    assert fresh.reload_if_changed() is None, "read again though it is what it was"
    # Mended, it is in force with the next look, as in every worker.
    if path.is_dir():
        path.rmdir()
    path.write_text(POLICY.replace("5/day", "7/day"))
    for limiter in (fresh, running):
        reload = limiter.reload_if_changed()
        assert reload is not None
        assert reload.result == "applied"
    assert admitted(fresh) == 2
    fresh.close()
    running.close()


@each_break
def test_kept_text_without_a_worker_starts_none(path: Path, how: str) -> None:
    """Hazard: a policy that was last in force weeks ago comes back with a typing mistake."""
    Limiter(path).close()
    assert last_policy.last_in_force(str(path)) is not None
    breaks, error = BREAKS[how]
    breaks(path)
    with pytest.raises(error) as raised:
        Limiter(path)
    assert "\n" not in raised.value.brief


def test_workers_that_all_died_at_once_start_none(path: Path) -> None:
    """Hazard: their seats are taken still, and their last heartbeat was a moment ago."""
    code = (
        "import sys; from pathlib import Path; from ratelimit.stores.embedded import folder\n"
        "folder.SHARED = Path(sys.argv[2])\n"
        "from ratelimit import Limiter\n"
        "limiter = Limiter(sys.argv[1]); limiter.runtime.heartbeat(limiter.now_ns())\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(folder.SHARED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"ready\n"
    path.write_text("version = 1\n[[limit")
    fresh = Limiter(path)  # while it lives
    fresh.close()
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    results: list[BaseException | None] = [None] * 3

    def start(number: int) -> None:
        try:
            Limiter(path)
        except PolicyError as error:
            results[number] = error

    # Several at once, as a server replaces them: they are no proof for one another.
    threads = [threading.Thread(target=start, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(result, PolicyError) for result in results), results


def test_worker_of_another_container_is_known_by_its_heart(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: its process has no number here, so it counts as dead."""
    running = Limiter(path)
    store = running.store
    assert isinstance(store, EmbeddedStore)
    monkeypatch.setattr(watched, "is_alive", lambda _pid, _start: False)
    path.write_text("version = 1\n[[limit")
    with pytest.raises(PolicyError):
        Limiter(path)
    monkeypatch.setattr(watched.time, "sleep", lambda _s: store.heartbeat(store.clock.now_ns()))
    fresh = Limiter(path)
    assert fresh.policy.file == running.policy.file
    fresh.close()
    running.close()


def test_onlooker_is_no_worker(path: Path) -> None:
    from ratelimit.inspection.access.attachment import attach

    first = Limiter(path)
    onlooker = attach(first.policy)
    first.close()
    path.write_text("version = 1\n[[limit")
    with pytest.raises(PolicyError):
        Limiter(path)
    onlooker.close()


def test_text_that_this_release_cannot_use_starts_none(path: Path) -> None:
    running = Limiter(path)
    (kept,) = folder.memory_folder().glob("last-policy-*")
    path.write_text("version = 1\n[[limit")
    for text in (
        "version = 2\n",
        POLICY.replace("rate", "pace"),
        POLICY.replace("keys = 1000", "keys = 2000"),
    ):
        kept.write_text(text)
        with pytest.raises(PolicyError):
            Limiter(path)
    running.close()


def test_worker_without_the_hash_key_does_not_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(POLICY + '[hashing]\nkey = "env:LIMITS_KEY"\n')
    monkeypatch.setenv("LIMITS_KEY", "00112233445566778899aabbccddeeff")
    running = Limiter(path)
    path.write_text("version = 1\n[[limit")
    monkeypatch.delenv("LIMITS_KEY")
    with pytest.raises(PolicyError):
        Limiter(path)
    monkeypatch.setenv("LIMITS_KEY", "00112233445566778899aabbccddeeff")
    Limiter(path).close()
    running.close()


def test_text_of_another_file_is_not_gone_by(path: Path, tmp_path: Path) -> None:
    running = Limiter(path)
    other = tmp_path / "other.toml"
    shutil.copy(path, other)
    other.write_text("version = 1\n[[limit")
    with pytest.raises(PolicyError):
        Limiter(other)
    running.close()
