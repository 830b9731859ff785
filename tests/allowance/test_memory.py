"""The records beside a store, and as a file: restarts, damage, another key, workers that are killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ratelimit.allowance.history import read_history, write_history
from ratelimit.allowance.memory import SharedRecords, pieces_of, records_form
from ratelimit.allowance.records import Standing, records_bytes
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.store import EmbeddedStore

DAY = 86_400
NOW = 20_000 * DAY
PAYERS = 1000
FORM = records_form(PAYERS)
KEY = bytes(range(16))


def store(folder: Path, key: bytes = KEY) -> EmbeddedStore:
    return EmbeddedStore.shared("policy", path=str(folder / "table"), keys=1000, block_bytes=1 << 20, key=key)


def filled(folder: Path) -> tuple[EmbeddedStore, SharedRecords]:
    """Return records that have one payer with a day that counts, and one account of it."""
    made = store(folder)
    shared = SharedRecords.beside(made, FORM)
    shared.memory.see(7, 1, 100, 0, NOW - 45 * DAY)
    shared.memory.note(7, 3000, NOW - 45 * DAY)
    shared.memory.see_paid(7, 200_000_000, 0, NOW - 35 * DAY)
    return made, shared


def file_of(folder: Path) -> Path:
    (found,) = (path for path in folder.glob("table.actors-records-*") if path.suffix != ".damaged")
    return found


def test_workers_share_records_and_a_restart_keeps_them(tmp_path: Path) -> None:
    made, shared = filled(tmp_path)
    other = SharedRecords.beside(made, FORM)
    assert other.memory.best(7, NOW) == shared.memory.best(7, NOW) > 0
    for each in (other, shared, made):
        each.close()
    again = SharedRecords.beside(store(tmp_path), FORM)
    assert again.memory.best(7, NOW) > 0
    assert again.memory.days == (NOW // DAY - 45, NOW // DAY - 45)
    assert again.renew() is None
    found = SharedRecords.existing(tmp_path / "table", KEY, FORM)
    assert found is not None
    assert found.memory.best(7, NOW) > 0
    assert SharedRecords.existing(tmp_path / "other", KEY, FORM) is None
    assert SharedRecords.existing(None, KEY, FORM) is None


def test_records_of_another_key_or_size_are_other_records(tmp_path: Path) -> None:
    filled(tmp_path)
    assert SharedRecords.existing(tmp_path / "table", bytes(16), FORM) is None
    assert SharedRecords.existing(tmp_path / "table", KEY, records_form(2 * PAYERS)) is None


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def by_noise(path: Path) -> None:
    overwrite(path, 0, random.Random(5).randbytes(path.stat().st_size))


RECORDS_KEPT = {
    "magic": lambda path: overwrite(path, 0, b"\xff"),
    "key": lambda path: overwrite(path, 48, b"\xff" * 16),
    "days": lambda path: overwrite(path, 64, b"\x01" * 16),
    "zeros": lambda path: overwrite(path, 0, bytes(4096)),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 4096),
    "removed": Path.unlink,
    "replaced": lambda path: Path(shutil.copy(path, f"{path}.copy")).replace(path),
}
RECORDS_LOST = {"noise": by_noise, "empty": lambda path: os.truncate(path, 0)}


@pytest.mark.parametrize("how", [*RECORDS_KEPT, *RECORDS_LOST])
def test_damaged_records_are_left_for_fresh_ones_and_what_is_whole_is_taken_along(
    tmp_path: Path, how: str
) -> None:
    _, shared = filled(tmp_path)
    damages: dict[str, Callable[[Path], object]] = {**RECORDS_KEPT, **RECORDS_LOST}
    path = file_of(tmp_path)
    before = path.stat().st_ino
    shared.memory.note(7, 9000, NOW)
    damages[how](path)
    assert shared.renew() is not None
    assert shared.renew() is None
    assert file_of(tmp_path).stat().st_ino != before
    best = shared.memory.best(7, NOW)
    assert 2750 < best <= 3000 if how in RECORDS_KEPT else best == 0
    assert (shared.memory.settled(7, NOW) > 0) is (how in RECORDS_KEPT)
    if how in RECORDS_KEPT:
        assert shared.memory.see(7, 2, 100, 0, NOW) == 0
        assert shared.memory.see(7, 3, 200, 0, NOW) == Standing.ELSEWHERE


def test_days_that_do_not_count_yet_do_not_count_sooner_when_the_header_is_lost(tmp_path: Path) -> None:
    """Hazard: a limiter that takes its own days for days before it, since it has forgotten when it began."""
    _, shared = filled(tmp_path)
    shared.memory.note(7, 9000, NOW - 10 * DAY)
    overwrite(file_of(tmp_path), 0, bytes(4096))
    assert shared.renew() is not None
    assert shared.memory.best(7, NOW) <= 3000
    assert shared.memory.see(8, 8, 8, NOW - 400 * DAY, NOW) == 0  # not as on a new installation


# -- the file -------------------------------------------------------------------------------------


def test_file_of_a_limiter_brings_back_all_that_it_knew(tmp_path: Path) -> None:
    made, shared = filled(tmp_path)
    write_history(tmp_path / "history", shared.memory, KEY)
    fresh = SharedRecords.private(made, FORM)
    history = read_history(tmp_path / "history", KEY)
    assert history.put_into(fresh.memory, NOW) == history.payers == 1
    assert pieces_of(fresh.memory) == pieces_of(shared.memory)
    assert fresh.memory.days == shared.memory.days
    assert [path.name for path in tmp_path.glob("history*")] == ["history"]
    assert (tmp_path / "history").stat().st_mode & 0o777 == 0o600


def test_days_of_a_log_count_at_once_and_those_of_a_limiter_do_not(tmp_path: Path) -> None:
    made = store(tmp_path)
    noted = SharedRecords.private(made, FORM)
    noted.memory.see(7, 1, 100, 0, NOW - 31 * DAY)
    noted.memory.note(7, 3000, NOW - 2 * DAY)
    for until, counts in ((NOW // DAY - 1, True), (None, False)):
        write_history(tmp_path / "history", noted.memory, KEY, until=until)
        fresh = SharedRecords.private(made, FORM).memory
        read_history(tmp_path / "history", KEY).put_into(fresh, NOW)
        assert (fresh.best(7, NOW) > 0) is counts
        assert fresh.see(8, 8, 8, NOW - 400 * DAY, NOW) == 0  # not as on a new installation
        assert fresh.see(7, 2, 200, NOW - 400 * DAY, NOW) == Standing.ELSEWHERE


def test_file_with_another_key_cut_short_or_changed_is_refused(tmp_path: Path) -> None:
    _, shared = filled(tmp_path)
    path = tmp_path / "history"
    write_history(path, shared.memory, KEY)
    right = path.read_bytes()

    def refused(what: bytes, key: bytes = KEY) -> str:
        path.write_bytes(what)
        with pytest.raises(StoreError) as caught:
            read_history(path, key)
        assert str(path) in str(caught.value)
        return caught.value.code

    assert refused(right, bytes(16)) == "history-key"
    assert refused(b"") == refused(b"access.log 200") == "history-version"
    assert {refused(right[:size]) for size in range(16, len(right))} == {"history-damaged"}
    for at in range(8, len(right)):
        changed = bytearray(right)
        changed[at] ^= 1
        assert refused(bytes(changed)).startswith("history-"), at
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_history(path, KEY)
    path.mkdir()
    with pytest.raises(StoreError) as caught:
        read_history(path, KEY)
    assert caught.value.code == "history-unreadable"


# -- processes ------------------------------------------------------------------------------------


def hammer(shared: SharedRecords, seed: int, pipe: int) -> None:
    """Note ever higher days for a key that all share, and see many others; say what was noted."""
    source = random.Random(seed)
    used = 1.0
    while True:
        used += source.random() * 5
        shared.memory.note(7, used, NOW)
        os.write(pipe, struct.pack("d", used))
        for _ in range(20):
            payer = source.randrange(1, 1 << 64)
            shared.memory.see(payer, source.randrange(1, 50), 5, 0, NOW + source.randrange(DAY))


def test_workers_killed_at_any_instant_lose_no_raise_and_damage_nothing(tmp_path: Path) -> None:
    made = store(tmp_path)
    shared = SharedRecords.beside(made, FORM)
    highest = 0.0
    for seed in range(0, 30, 2):
        pipes, children = [], []
        for number in (seed, seed + 1):
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    hammer(shared, number, writing)
                finally:
                    os._exit(1)
            os.close(writing)
            pipes.append(reading)
            children.append(child)
        for reading in pipes:
            os.read(reading, 8 * 50)  # it works
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for reading in pipes:
            with os.fdopen(reading, "rb") as file:
                said = file.read()
            if said:
                highest = max(highest, struct.unpack("d", said[len(said) - len(said) % 8 - 8 :][:8])[0])
    # Within a level of the highest that was said, and not above what the last one may have noted.
    assert highest / 2 ** (1 / 8) - 1 < shared.memory.best(7, NOW + 45 * DAY) <= highest + 5
    assert not any(shared.memory.damage() for _ in range(16))
    assert len(shared.mapping.memory) == records_bytes(PAYERS)
    assert shared.memory.counts[0] > 1000
