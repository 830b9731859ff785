"""One of many: the process that holds the lock, until it dies or resigns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ratelimit.stores.embedded.election import Election
from tests.processes.test_forks import in_child

HOLD = """
import sys
from pathlib import Path
from ratelimit.stores.embedded.election import Election
held = Election(Path(sys.argv[1]))
print(held.win(), flush=True)
sys.stdin.read()
"""


def test_one_wins_and_the_others_do_not(tmp_path: Path) -> None:
    elections = [Election(tmp_path / "lock") for _ in range(3)]
    assert [each.win() for each in elections] == [True, False, False]
    assert [each.win() for each in elections] == [True, False, False]
    assert [each.is_won for each in elections] == [True, False, False]


def test_who_resigns_is_followed(tmp_path: Path) -> None:
    first, second = Election(tmp_path / "lock"), Election(tmp_path / "lock")
    first.win()
    first.resign()
    first.resign()
    assert second.win()
    assert not first.win()


def test_death_of_any_kind_ends_a_term(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        waiting = Election(tmp_path / "lock")
        assert not waiting.win()
        holder.send_signal(signal.SIGKILL)
        holder.wait(60)
        assert waiting.win()


def test_child_has_not_won_what_its_parent_won(tmp_path: Path) -> None:
    held = Election(tmp_path / "lock")
    held.win()
    assert in_child(lambda: not held.is_won and not held.win())
    assert held.is_won
    assert not Election(tmp_path / "lock").win()


def test_child_that_lives_on_does_not_hold_its_parents_lock(tmp_path: Path) -> None:
    held = Election(tmp_path / "lock")
    held.win()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    held.resign()
    assert Election(tmp_path / "lock").win()
    os.close(write)
    os.waitpid(child, 0)


def test_lock_file_removed_meanwhile_is_no_lock(tmp_path: Path) -> None:
    first = Election(tmp_path / "lock")
    first.win()
    (tmp_path / "lock").unlink()
    second, third = Election(tmp_path / "lock"), Election(tmp_path / "lock")
    assert second.win()
    assert not third.win()


@pytest.mark.parametrize("kind", ["link", "folder", "shared", "nowhere"])
def test_lock_that_is_not_ours_is_not_won(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock"
    if kind == "link":
        (tmp_path / "target").write_bytes(b"")
        path.symlink_to(tmp_path / "target")
    elif kind == "folder":
        path.mkdir()
    elif kind == "shared":
        path.write_bytes(b"")
        path.chmod(0o666)
    else:
        path = tmp_path / "missing" / "lock"
    assert not Election(path).win()


def test_who_is_alone_wins() -> None:
    alone = Election(None)
    assert not alone.is_won
    assert alone.win()
    assert alone.is_won
    alone.resign()
    assert not alone.is_won
