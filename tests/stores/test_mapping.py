"""The file behind the shared memory: made whole, held by its users, never taken from others."""

from __future__ import annotations

import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ratelimit.clock import ManualClock
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Plan
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.mapping import default_path, sweep
from ratelimit.stores.embedded.store import EmbeddedStore
from tests.support.memory import COPY_AT

NOW = ManualClock().now_ns()
MINUTE = 60 * 10**9
KEYS = 200


def opened(path: Path, **changes: object) -> EmbeddedStore:
    facts: dict[str, object] = {"path": path, "keys": KEYS, "clock": ManualClock(), **changes}
    return EmbeddedStore.shared("policy.toml", **facts)  # type: ignore[arg-type]


def plan(store: EmbeddedStore) -> Plan:
    return store.plan([Rule("r", "token-bucket", quota=3, period_ns=MINUTE, salt=7)], [[0]])


def refusal(path: Path, **changes: object) -> str:
    with pytest.raises(StoreError) as caught:
        opened(path, **changes)
    assert str(path) in str(caught.value)
    return caught.value.code


def test_workers_of_one_policy_share_one_budget(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "t"), opened(tmp_path / "t")
    assert first.hasher.key == second.hasher.key
    answers = [plan(each).decide([5], NOW).allowed for each in (first, second, first, second)]
    assert answers == [True, True, True, False]


def test_budgets_survive_a_restart_of_all_workers(tmp_path: Path) -> None:
    store = opened(tmp_path / "t")
    assert [plan(store).decide([5], NOW).allowed for _ in range(3)] == [True] * 3
    store.close()
    assert not plan(opened(tmp_path / "t")).decide([5], NOW).allowed


def test_memory_of_another_size_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "t").close()
    assert refusal(tmp_path / "t", keys=10 * KEYS) == "table-size"


def test_memory_of_another_version_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "t").close()
    with (tmp_path / "t").open("r+b") as file:
        file.seek(8)
        file.write(b"\x63")
        file.seek(COPY_AT)
        file.write(bytes(256))
    assert refusal(tmp_path / "t") == "table-version"


def test_memory_of_another_boot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("ratelimit.stores.embedded.store.boot_id", lambda: b"the boot before")
        opened(tmp_path / "t").close()
    assert refusal(tmp_path / "t") == "table-boot"


def test_memory_made_with_another_hash_key_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "t", key=b"k" * 16).close()
    assert refusal(tmp_path / "t", key=b"l" * 16) == "table-key"
    assert opened(tmp_path / "t").hasher.key == b"k" * 16


def test_foreign_file_is_left_as_it_is(tmp_path: Path) -> None:
    opened(tmp_path / "t").close()
    size = (tmp_path / "t").stat().st_size
    precious = b"precious" * (size // 8)
    (tmp_path / "t").write_bytes(precious)
    assert refusal(tmp_path / "t") == "table-foreign"
    assert (tmp_path / "t").read_bytes() == precious


def test_file_that_others_may_write_is_not_trusted(tmp_path: Path) -> None:
    opened(tmp_path / "t").close()
    for mode in (0o666, 0o640, 0o604):
        (tmp_path / "t").chmod(mode)
        assert refusal(tmp_path / "t") == "table-foreign"


def test_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    opened(tmp_path / "real").close()
    (tmp_path / "t").symlink_to(tmp_path / "real")
    assert refusal(tmp_path / "t") == "table-memory"


def test_full_memory_is_an_error_at_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel would send SIGXFSZ for a write past the limit; Python ignores it, so EFBIG comes back.
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, hard))
    try:
        with pytest.raises(StoreError) as caught:
            opened(tmp_path / "t")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == "table-memory"
    assert "store.keys" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_start_killed_in_the_middle_leaves_no_half_table(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from ratelimit.stores.embedded.mapping import open_shared\n"
        "die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "open_shared(Path(sys.argv[1]), 1 << 20, die, die, is_ours=True)\n"
    )
    place = default_path(str(tmp_path), 1 << 20, None, make=True)
    killed = subprocess.run([sys.executable, "-c", code, str(place)], check=False)
    left = [path for path in place.parent.iterdir() if path.name.startswith(f"{place.name}.new.")]
    assert (killed.returncode, len(left), place.exists()) == (-9, 1, False)
    sweep(str(tmp_path), place)
    assert not left[0].exists()


def test_nobody_unlinks_memory_that_others_hold(tmp_path: Path) -> None:
    name = str(tmp_path)
    held, abandoned, foreign, keep = (
        default_path(name, 1, None, make=True),
        default_path(name, 2, None),
        default_path(name + "2", 1, None),
        default_path(name, 3, None),
    )
    for path in (held, abandoned, foreign, keep):
        path.write_bytes(b"")
    fd = os.open(held, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        sweep(name, keep)
        assert [path.exists() for path in (held, abandoned, foreign, keep)] == [True, False, True, True]
    finally:
        os.close(fd)
        for path in (held, foreign, keep):
            path.unlink()


def test_workers_that_start_at_once_make_one_table(tmp_path: Path) -> None:
    code = (
        "import sys; from ratelimit.stores.embedded.store import EmbeddedStore\n"
        "store = EmbeddedStore.shared('policy.toml', path=sys.argv[1], keys=200)\n"
        "print(store.hasher.key.hex(), store.table.anchor_ns)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "t")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = {each.communicate(timeout=60)[0] for each in started}
    assert len(said) == 1
    assert said != {""}
    assert {path.name for path in tmp_path.iterdir()} == {"t", "t.actors-key"}


def test_forked_child_takes_a_seat_of_its_own(tmp_path: Path) -> None:
    store = opened(tmp_path / "t")
    row = store.table.counter("requests")
    store.table.count(row, 0)
    child = os.fork()
    if child == 0:
        store.table.count(row, 0, 5)
        os._exit(0 if store.table.seat == 1 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert store.table.seat == 0
    assert store.table.totals(row)[0] == 6


def test_last_store_of_a_process_to_be_closed_frees_its_seat(tmp_path: Path) -> None:
    first, second = opened(tmp_path / "t"), opened(tmp_path / "t")
    assert first.table.seat == second.table.seat == 0
    first.close()
    assert second.table.seated == 1
    second.close()
    assert opened(tmp_path / "t").table.seated == 1
