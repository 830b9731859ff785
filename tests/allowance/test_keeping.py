"""Records of payers that are kept in a file: over a reboot, a kill in the middle of a save, damage."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.allowance.history import read_history, write_history
from ratelimit.allowance.keeping import LEFT_S, PERIOD_NS, RecordsKeeper
from ratelimit.allowance.memory import pieces_of
from ratelimit.clock import ManualClock
from ratelimit.worker.upkeep import Upkeep

NS = 10**9
DAY = 86_400
START_S = 20_000 * DAY
KEY = "00112233445566778899aabbccddeeff"
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
card = {{ from = "state:card", missing = "skip" }}
[[limit]]
name = "a day of a payer"
per = "card"
rate = "10/day"
algorithm = "sliding-window"
budget = {{ growth = 3, most = 5000 }}
[hashing]
key = "{key}"
[store]
memory = "{memory}/table"
keys = 1000
history = "{disk}/history.bin"
"""


class Host:
    """A host whose memory is lost with each boot, and whose disk is not."""

    def __init__(self, folder: Path) -> None:
        self.memory, self.disk = folder / "memory", folder / "disk"
        self.memory.mkdir()
        self.disk.mkdir()
        self.kept = self.disk / "history.bin.kept"
        self.clock = ManualClock(START_S * NS)
        self._open: list[Limiter] = []

    def limiter(self, key: str = KEY) -> Limiter:
        """Return a worker's limiter."""
        made = Limiter(
            Policy.from_toml(POLICY.format(key=key, memory=self.memory, disk=self.disk)), clock=self.clock
        )
        self._open.append(made)
        return made

    def boot(self) -> None:
        """Lose all memory."""
        self.close()
        shutil.rmtree(self.memory)
        self.memory.mkdir()

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def wait(self) -> None:
        self.clock.advance(PERIOD_NS // NS)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


def allowed(limiter: Limiter, card: str = "card", times: int = 100) -> int:
    """Return how many of so many requests of a payer are allowed."""
    asked = (
        limiter.decide(identities={"account": "a"}, state={"card": card}, client="192.0.2.1")
        for _ in range(times)
    )
    return sum(decision.allowed for decision in asked)


def earned(host: Host) -> Limiter:
    """Return a limiter with a payer that used all of its ten requests a month ago, and has kept that."""
    limiter, keeper = host.limiter(), RecordsKeeper()
    assert allowed(limiter, times=30) == 10
    host.clock.advance(41 * DAY)
    keeper.look(limiter)
    keeper.leave(limiter)
    return limiter


def test_payers_are_known_after_a_reboot(host: Host) -> None:
    """Hazard: a host without a server forgets in a boot what its payers have earned in months."""
    earned(host)
    host.boot()
    assert allowed(host.limiter()) == 30, "three times its best day"
    host.boot()
    host.kept.unlink()
    assert allowed(host.limiter()) == 10, "without the file it is new"


def test_worker_that_ends_keeps_what_its_payers_have(host: Host) -> None:
    limiter = host.limiter()
    upkeep = Upkeep(limiter, 0)
    upkeep.start()
    allowed(limiter)
    upkeep.stop()
    assert read_history(host.kept, bytes.fromhex(KEY)).payers == 1


def test_kept_records_are_joined_with_newer_ones_in_memory(host: Host) -> None:
    """Hazard: an old file takes back what memory has learned since."""
    limiter = earned(host)
    assert allowed(limiter, times=100) == 30
    before = pieces_of(limiter.records) if limiter.records is not None else []
    other = host.limiter()
    assert other.records is not None
    assert pieces_of(other.records) == before


def test_only_changes_are_written_and_no_more_often_than_the_period(host: Host) -> None:
    limiter, keeper = host.limiter(), RecordsKeeper()
    keeper.look(limiter)
    assert not host.kept.exists(), "nothing is known yet"
    stamps = []
    for times, waits in ((1, True), (0, True), (30, False), (0, True)):
        allowed(limiter, times=times)
        if waits:
            host.wait()
        keeper.look(limiter)
        stamps.append(host.kept.stat().st_ino)
    assert stamps[0] == stamps[1] == stamps[2] != stamps[3]
    assert host.kept.stat().st_mode & 0o777 == 0o600


def test_one_worker_writes_and_the_next_one_goes_on_with_what_it_wrote(host: Host) -> None:
    """Hazard: two workers write in turns, and one takes back what the other had."""
    limiter = host.limiter()
    first, second = RecordsKeeper(), RecordsKeeper()
    allowed(limiter, "one")
    first.look(limiter)
    written = host.kept.read_bytes()
    allowed(limiter, "two")
    host.wait()
    second.look(limiter)
    second.leave(limiter)
    assert host.kept.read_bytes() == written, "it was not its turn"
    first.leave(limiter)
    assert read_history(host.kept, bytes.fromhex(KEY)).payers == 2
    # One that begins with memory of its own, as in another container: it takes the file in first.
    host.boot()
    limiter, alone = host.limiter(), RecordsKeeper()
    allowed(limiter, "three")
    alone.look(limiter)
    assert read_history(host.kept, bytes.fromhex(KEY)).payers == 3


DAMAGE = {
    "a bit": lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    "half of it": lambda content: content[: len(content) // 2],
    "nothing": lambda content: b"",
    "another file": lambda content: b"#!/bin/sh\n" * 99,
}


@pytest.mark.parametrize("hurt", DAMAGE.values(), ids=DAMAGE)
def test_damaged_file_is_set_aside_with_a_warning_and_gives_nobody_a_budget(host: Host, hurt: object) -> None:
    """Hazard: a half-written file whose payers have allowances that they never earned."""
    earned(host)
    host.boot()
    bad = hurt(host.kept.read_bytes())  # type: ignore[operator]
    host.kept.write_bytes(bad)
    limiter, keeper = host.limiter(), RecordsKeeper()
    assert "records-refused" in limiter.runtime.noticed
    assert allowed(limiter) == 10
    keeper.look(limiter)
    assert host.kept.with_name("history.bin.kept.refused").read_bytes() == bad
    assert read_history(host.kept, bytes.fromhex(KEY)).payers == 1, "and is kept anew"


def test_file_of_another_installation_is_set_aside(host: Host) -> None:
    earned(host)
    host.boot()
    limiter, keeper = host.limiter(KEY[::-1]), RecordsKeeper()
    assert "another hash key" in limiter.runtime.noticed["records-refused"]
    assert allowed(limiter) == 10
    keeper.look(limiter)
    assert host.kept.with_name("history.bin.kept.refused").exists()


def test_folder_that_is_not_there_is_said_once(host: Host) -> None:
    limiter, keeper = host.limiter(), RecordsKeeper()
    shutil.rmtree(host.disk)
    allowed(limiter)
    for _ in range(3):
        host.wait()
        keeper.look(limiter)
    assert "is not there" in limiter.runtime.noticed["records-unwritten"]


def test_what_a_killed_writer_left_is_removed(host: Host) -> None:
    limiter, keeper = host.limiter(), RecordsKeeper()
    names = ("history.bin.kept.new.7.0a", "history.bin.kept.new.8.0b")
    for name, age_s in zip(names, (2 * LEFT_S, 0), strict=True):
        path = host.disk / name
        path.write_bytes(b"half")
        written_s = path.stat().st_mtime - age_s
        os.utime(path, (written_s, written_s))
    allowed(limiter)
    keeper.look(limiter)
    assert [name for name in names if (host.disk / name).exists()] == [names[1]], "another may still write"


def test_large_file_is_taken_in_by_pieces_beside_requests(host: Host) -> None:
    """Hazard: the worker whose turn it is takes in 100,000 payers, and its event loop waits a second."""
    records, path = host.limiter().records, host.disk / "large"
    assert records is not None
    for payer in range(1, 3000):
        records.see(payer * 0x9E3779B97F4A7C15 % 2**64, 0, 0, 0, START_S)
    write_history(path, records, bytes.fromhex(KEY))
    before = pieces_of(records)
    host.boot()
    taken, breaths = host.limiter().records, []
    assert taken is not None
    read_history(path, bytes.fromhex(KEY)).put_into(taken, START_S, lambda: breaths.append(1))
    assert pieces_of(taken) == before
    assert len(breaths) >= 2999 / 500


WRITER = """
import os, signal, sys
from pathlib import Path
from ratelimit.allowance import history
from ratelimit.allowance.memory import records_form
from ratelimit.stores.embedded.mapping import private_mapping

path, point, which = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
form = records_form(1000)
records = form.attach(private_mapping(form.size).memory, bytes(16))
records.see(1 << 20 | 5, 1, 9, 0, 20_000 * 86_400)
history.write_history(path, records, bytes(range(16)))
for payer in range(2, 1000):
    records.see(payer << 20 | 5, payer, 9, 0, 20_000 * 86_400)
holder, name = {"piece": (history, "breathe"), "sync": (os, "fsync"), "move": (Path, "replace")}[point]
do, left = getattr(holder, name), [which]

def dying(*arguments):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return do(*arguments)

setattr(holder, name, dying)
history.write_history(path, records, bytes(range(16)))
"""
POINTS = [("piece", 0, 1), ("piece", 1, 1), ("piece", 2, 1), ("sync", 0, 1), ("move", 0, 1), ("sync", 1, 999)]
"""Moments of a save, the folder's synchronising the last, and how many payers the file has then."""


@pytest.mark.parametrize(("point", "which", "payers"), POINTS)
def test_writer_that_is_killed_in_the_middle_leaves_a_whole_file(
    tmp_path: Path, point: str, which: int, payers: int
) -> None:
    """Hazard: kill -9 or a power cut while records are saved."""
    path = tmp_path / "kept"
    ended = subprocess.run([sys.executable, "-c", WRITER, str(path), point, str(which)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert read_history(path, bytes(range(16))).payers == payers
    assert len(list(tmp_path.glob("kept.new.*"))) == (payers == 1), "it died with a file half written"
