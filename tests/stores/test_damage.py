"""Files that are damaged, at the start and while they are used: put aside, replaced, said."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.clock import ManualClock
from ratelimit.core.memory.table import TABLE_HEADER_BYTES
from ratelimit.errors import StoreError
from ratelimit.events import NullObserver
from ratelimit.policy import Policy
from ratelimit.stores.embedded.key_file import key_path
from ratelimit.stores.factory import wish_of
from ratelimit.telemetry import names
from ratelimit.telemetry.cells import totals
from ratelimit.worker.upkeep import Upkeep
from tests.support.memory import COPY_AT
from tests.support.time import HostClock

POLICY = """
version = 1
[identities]
user = {{ from = "header:x-user" }}
[store]
keys = 200
{store}
[[limit]]
name = "five"
per = "user"
rate = "5/hour"
[[limit]]
name = "open"
per = "user"
concurrent = 50
[[limit]]
name = "slide"
per = "user"
rate = "90/hour"
algorithm = "sliding-window"
"""
CORRELATED = """
[correlation]
principal = "user"
[[limit]]
name = "actor"
per = "cluster"
rate = "500/hour"
"""


class Heard(NullObserver):
    """Keeps what was diagnosed."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def diagnosed(self, code: str, message: str) -> None:
        self.said.append((code, message))

    @property
    def codes(self) -> list[str]:
        """The codes alone."""
        return [code for code, _ in self.said]


@pytest.fixture(params=["named", "default"])
def policy(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """Return a policy with a store that has a path of its own or lies at the usual place."""
    monkeypatch.setattr("ratelimit.stores.embedded.folder.SHARED", tmp_path)
    store = f'memory = "{tmp_path}/table"' if request.param == "named" else ""
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(store=store))
    return Policy.load(path)


def started(policy: Policy, clock: ManualClock | None = None) -> tuple[Limiter, Heard]:
    """Return a limiter over the shared memory, and what it says."""
    heard = Heard()
    return Limiter(policy, clock=clock or HostClock(), observer=heard), heard


def place_of(policy: Policy) -> Path:
    """Return the file behind a policy's memory."""
    place = wish_of(policy).place
    assert place is not None
    return place


def admitted(limiter: Limiter, user: str = "ann", times: int = 7) -> int:
    """Ask so often; return how often it was granted."""
    decisions = [limiter.decide(identities={"user": user}, client="192.0.2.1") for _ in range(times)]
    for decision in decisions:
        decision.release()
    return sum(decision.allowed for decision in decisions)


def told(limiter: Limiter) -> int:
    """Return how often damage was counted, over all workers."""
    cells = totals(limiter.table, names.COUNTER_DIAGNOSTICS, len(names.DIAGNOSTIC_CODES))
    return cells[names.DIAGNOSTIC_CODES.index("memory-damaged")]


def overwrite(path: Path, at: int, content: bytes) -> None:
    """Write into a file that others may have mapped."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def flip(path: Path, at: int, bit: int) -> None:
    """Flip one bit of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))


def test_damaged_file_at_the_start_is_put_aside_and_said(policy: Policy) -> None:
    first, _ = started(policy)
    key = first.store.table.key
    assert admitted(first) == 5
    first.close()
    place = place_of(policy)
    flip(place, 70, 3)
    spoilt = place.read_bytes()
    second, heard = started(policy)
    assert admitted(second) == 5
    assert heard.codes == ["memory-damaged"]
    assert "header" in heard.said[0][1]
    assert told(second) == 1
    # What was there is kept, and so is the key: it lies beside it.
    assert place.with_name(place.name + ".damaged").read_bytes() == spoilt
    assert second.store.table.key == key
    third, silent = started(policy)
    assert (admitted(third), silent.codes) == (0, [])


@pytest.mark.parametrize("length", [0, 1, 4096, TABLE_HEADER_BYTES, 200_000])
def test_truncated_file_at_the_start_is_put_aside_and_said(policy: Policy, length: int) -> None:
    first, _ = started(policy)
    first.close()
    place = place_of(policy)
    os.truncate(place, length)
    if length == 1:
        # The first letter alone: of a file that the policy names its owner cannot be told.
        named = policy.compiled.file.store.path is not None
        if named:
            with pytest.raises(StoreError) as caught:
                started(policy)
            assert caught.value.code == "table-size"
            return
    second, heard = started(policy)
    assert (admitted(second), heard.codes) == (5, ["memory-damaged"])
    assert place.with_name(place.name + ".damaged").stat().st_size == length


def test_any_flipped_bit_of_the_header_is_survived_by_the_next_start(policy: Policy) -> None:
    source = random.Random(7)
    first, _ = started(policy)
    place = place_of(policy)
    for _ in range(60):
        flip(place, source.choice((0, COPY_AT, 200)) + source.randrange(152), source.randrange(8))
        limiter, _ = started(policy)
        assert admitted(limiter) in (0, 5)
        limiter.close()
        assert first.renew() in (True, False)
    first.close()


def test_noise_over_the_whole_file_is_survived_by_who_runs_and_who_starts(policy: Policy) -> None:
    running, heard = started(policy)
    place = place_of(policy)
    overwrite(place, 0, random.Random(3).randbytes(place.stat().st_size))
    assert 0 <= admitted(running) <= 7
    assert running.renew()
    assert heard.codes == ["memory-damaged"]
    second, silent = started(policy)
    assert second.store.table.key == running.store.table.key
    assert (admitted(running), admitted(second), silent.codes) == (5, 0, [])


def test_workers_of_damaged_memory_meet_in_the_fresh_one(policy: Policy) -> None:
    workers = [started(policy)[0] for _ in range(4)]
    assert admitted(workers[0]) == 5
    overwrite(place_of(policy), 0, bytes(300))
    assert [worker.renew() for worker in workers] == [True] * 4
    assert [worker.renew() for worker in workers] == [False] * 4
    assert [admitted(worker) for worker in workers] == [5, 0, 0, 0]
    assert told(workers[3]) == 4
    # Seats, counters and window lengths of all are there as well.
    rules = {rule.name: rule for rule in workers[0].rules}
    assert set(rules) == {"five", "open", "slide"}
    row = workers[1].table.counter("five")
    assert workers[2].table.totals(row)[0] == 5
    assert workers[0].table.seated == 1


def test_removed_file_does_not_leave_workers_apart(policy: Policy) -> None:
    running, heard = started(policy)
    place_of(policy).unlink()
    assert running.renew()
    later, _ = started(policy)
    assert (admitted(running), admitted(later)) == (5, 0)
    assert heard.codes == ["memory-damaged"]


def test_removed_folder_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit.stores.embedded.folder.SHARED", tmp_path)
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(store=""))
    policy = Policy.load(path)
    running, _ = started(policy)
    folder = place_of(policy).parent
    shutil.rmtree(folder)
    # And another's folder has the name meanwhile.
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    assert running.renew()
    assert not running.renew()
    later, _ = started(policy)
    assert place_of(policy).parent.name.startswith(f"{folder.name}-")
    assert (admitted(running), admitted(later)) == (5, 0)


def test_worker_goes_over_to_memory_with_another_key(policy: Policy) -> None:
    running, heard = started(policy)
    place_of(policy).unlink()
    key_path(place_of(policy)).unlink()
    later, _ = started(policy)
    assert later.store.table.key != running.store.table.key
    assert admitted(later) == 5
    assert running.renew()
    assert running.store.hasher.key == later.store.hasher.key
    assert (admitted(running), heard.codes) == (0, ["memory-damaged"])


def test_upkeep_looks_after_the_memory(policy: Policy) -> None:
    running, heard = started(policy)
    overwrite(place_of(policy), 0, b"\0" * 8)
    Upkeep(running, 2.0).tick()
    assert heard.codes == ["memory-damaged"]
    Upkeep(running, 2.0).tick()
    assert (heard.codes, running.table.damage()) == (["memory-damaged"], None)


def test_memory_that_cannot_be_had_again_is_said_and_requests_go_on(policy: Policy) -> None:
    running, heard = started(policy)
    place = place_of(policy)
    place.unlink()
    place.symlink_to("/nowhere")
    assert not running.renew()
    assert not running.renew()
    assert heard.codes == ["memory-unusable"]
    assert admitted(running) == 5
    place.unlink()
    assert running.renew()
    assert heard.codes == ["memory-unusable", "memory-damaged"]


def test_damaged_board_is_left_for_a_fresh_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit.stores.embedded.folder.SHARED", tmp_path)
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(store="") + CORRELATED)
    workers = [started(Policy.load(path)) for _ in range(2)]
    boards = [
        found
        for found in place_of(Policy.load(path)).parent.glob("*.actors-*")
        if "." not in found.suffix[8:]
    ]
    board = next(found for found in boards if found.stat().st_size > 100_000)
    overwrite(board, 24, b"\xff" * 8)
    for limiter, heard in workers:
        assert limiter.renew()
        assert heard.codes == ["memory-damaged"]
        assert not limiter.renew()
        assert admitted(limiter, "bob", 1) == 1
    assert board.with_name(board.name + ".damaged").exists()
    overwrite(board, 0, bytes(4096))
    third, heard = started(Policy.load(path))
    assert heard.codes == ["memory-damaged"]
    third.close()


CUT_SHORT = """
import faulthandler, os, sys
if sys.argv[2] == "watched":
    faulthandler.enable()
from ratelimit import Limiter
from tests.support.time import HostClock
limiter = Limiter(sys.argv[1])
files = [limiter.store.mapping.path]
if limiter.clustering is not None:
    files.append(limiter.clustering._shared.mapping.path)
if sys.argv[2] == "watched-later":
    faulthandler.enable()
    limiter.renew()
def admitted():
    asked = {"identities": {"user": "ann"}, "client": "192.0.2.1"}
    return sum(limiter.decide(**asked).allowed for _ in range(7))

for length in (1 << 16, 4096, 1, 0):
    for file in files:
        os.truncate(file, length)
    first = admitted()
    limiter.table.stats(limiter.now_ns())
    if limiter.clustering is not None:
        for _ in range(30):
            limiter.clustering.tick(limiter.now_ns())
    renewed = limiter.renew()
    print(first <= 7, renewed, admitted())
    limiter.close() if length == 0 else None
"""


@pytest.mark.parametrize("more", ["", CORRELATED], ids=["table", "board-too"])
@pytest.mark.parametrize("how", ["plain", "watched", "watched-later"])
def test_memory_cut_short_while_it_is_mapped_ends_no_worker(tmp_path: Path, how: str, more: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(store=f'memory = "{tmp_path}/table"') + more)
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT, str(path), how], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0
    # A limiter by itself says it in the log each time, and nothing else: no fault, no traceback.
    said = [line.rpartition(" ")[2] for line in done.stderr.splitlines()]
    assert len(said) >= 4
    assert set(said) == {"[memory-damaged]"}
    assert done.stdout == "True True 5\n" * 4


@pytest.mark.parametrize("how", ["fault", "sent"])
@pytest.mark.parametrize("watched", [False, True])
def test_fault_in_memory_of_others_still_ends_the_process(tmp_path: Path, how: str, watched: bool) -> None:
    (tmp_path / "file").write_bytes(bytes(8192))
    code = (
        "import faulthandler, mmap, os, signal, sys\n"
        "from ratelimit.core.memory.mapping import FileMemory, guard\n"
        + ("faulthandler.enable()\n" if watched else "")
        + "file = open(sys.argv[1], 'r+b')\n"
        "ours = FileMemory(file.fileno(), 8192)\n"
        "theirs = mmap.mmap(file.fileno(), 8192)\n"
        + (
            "os.truncate(sys.argv[1], 0); print(theirs[5000])"
            if how == "fault"
            else "os.kill(os.getpid(), signal.SIGBUS)"
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGBUS
    assert ("Fatal Python error: Bus error" in done.stderr) == watched


def test_file_memory_is_zeros_of_its_own_once_its_file_is_gone(tmp_path: Path) -> None:
    from ratelimit.core.memory.mapping import FileMemory

    (tmp_path / "file").write_bytes(b"x" * 8192)
    with (tmp_path / "file").open("r+b") as file:
        memory = FileMemory(file.fileno(), 8192)
        view: Any = memoryview(memory)
        assert (view[0], memory.is_broken) == (ord("x"), False)
        os.truncate(tmp_path / "file", 0)
        assert (view[5000], view[0], memory.is_broken) == (0, 0, True)
        view[0] = 7
        (tmp_path / "file").write_bytes(b"y" * 8192)
        assert view[0] == 7
        memory.replace(file.fileno())
        assert (view[0], memory.is_broken) == (ord("y"), False)
        with pytest.raises(BufferError):
            memory.close()
        view.release()
        memory.close()
        assert (len(memory), memory.is_broken) == (0, False)
        with pytest.raises(ValueError, match="closed"):
            memoryview(memory)  # type: ignore[arg-type]
