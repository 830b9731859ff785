"""The folder that shared memory lies in: private, found again, and never another account's."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from ratelimit.clock import ManualClock
from ratelimit.errors import StoreError
from ratelimit.stores.embedded import folder
from ratelimit.stores.embedded.folder import memory_folder
from ratelimit.stores.embedded.mapping import default_path
from ratelimit.stores.embedded.store import EmbeddedStore

NAME = f"kinlimit-{os.geteuid()}"
ANOTHER_ACCOUNT = 54321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another account")


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what stands for `/dev/shm`: any user may make names in it."""
    place = tmp_path / "shm"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setattr(folder, "SHARED", place)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    return place


def is_clean(path: Path) -> bool:
    """Return whether a folder is this user's alone."""
    found = path.lstat()
    return (
        stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.geteuid()
    )


def open_policy() -> Path:
    """Open a policy's store at its usual place; return the file behind it."""
    store = EmbeddedStore.shared("policy.toml", keys=200, clock=ManualClock())
    assert store.place is not None
    store.close()
    return store.place


def test_folder_is_private_whatever_the_umask(shared: Path) -> None:
    before = os.umask(0)
    try:
        place = open_policy()
    finally:
        os.umask(before)
    assert place.parent == shared / NAME
    assert is_clean(place.parent)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_looking_for_the_folder_makes_none(shared: Path) -> None:
    assert default_path("policy.toml", 1, None).parent == shared / NAME
    assert list(shared.iterdir()) == []


def squat(path: Path, how: str) -> None:
    """Take a folder's name before it is made."""
    if how == "link":
        target = path.with_name("elsewhere")
        target.mkdir(mode=0o700, exist_ok=True)
        path.symlink_to(target)
    elif how == "dangling":
        path.symlink_to(path.with_name("nowhere"))
    elif how == "file":
        path.write_bytes(b"")
    elif how == "fifo":
        os.mkfifo(path)
    elif how == "open":
        path.mkdir()
        path.chmod(0o777)
    elif how == "readable":
        path.mkdir()
        path.chmod(0o750)
    else:
        path.mkdir(mode=0o700)
        os.chown(path, ANOTHER_ACCOUNT, ANOTHER_ACCOUNT)


each_way = pytest.mark.parametrize(
    "how", ["link", "dangling", "file", "fifo", "open", "readable", pytest.param("foreign", marks=as_root)]
)


@each_way
def test_name_taken_first_by_somebody_else_is_passed_over(shared: Path, how: str) -> None:
    squat(shared / NAME, how)
    place = open_policy()
    assert place.parent.name.startswith(f"{NAME}-")
    assert is_clean(place.parent)
    assert not (shared / "elsewhere").exists() or not any((shared / "elsewhere").iterdir())
    # All that start later meet there, also when the name is free again.
    if not (shared / NAME).is_dir() or (shared / NAME).is_symlink():
        (shared / NAME).unlink()
    else:
        (shared / NAME).rmdir()
    assert open_policy() == place


def test_place_that_cannot_be_written_to_is_an_error_in_words(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    for make in (True, False):
        with pytest.raises(StoreError, match="cannot write to") as caught:
            memory_folder(make=make)
        assert caught.value.code == "table-folder"


def test_place_that_is_full_for_the_moment_leads_to_no_other_place(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: another account fills the place while one worker starts, and that worker counts elsewhere."""
    (tmp_path / "absent").mkdir()

    def full(_path: Path, *_given: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", full)
        with pytest.raises(StoreError, match="No space") as caught:
            memory_folder(make=True)
    assert caught.value.code == "table-folder"
    assert memory_folder(make=True) == shared / NAME


def test_offer_of_a_dead_worker_is_removed(shared: Path) -> None:
    for name in (NAME, f"{NAME}-0123"):
        (shared / name).mkdir(mode=0o1500)
    assert memory_folder() != shared / NAME
    assert memory_folder(make=True) == shared / NAME
    assert [path.name for path in shared.iterdir()] == [NAME]


def test_stopped_worker_is_waited_for_and_named_at_last(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "LOOKS", 3)
    offer = shared / f"{NAME}-0123"
    offer.mkdir(mode=0o1500)
    fd = os.open(offer, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(StoreError, match="do not agree"):
        memory_folder(make=True)
    assert [path.name for path in shared.iterdir()] == [offer.name]
    os.fchmod(fd, 0o700)
    os.close(fd)
    assert memory_folder(make=True) == offer


def test_offer_that_becomes_known_late_is_withdrawn_or_waited_for(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: two workers that each made a folder before they looked."""
    real = folder._make
    beside: list[tuple[Path, int]] = []

    def make(places: list[Path]) -> Path:
        path = real(places)
        if not beside:
            other = shared / f"{NAME}{late}"
            other.mkdir(mode=0o1500)
            fd = os.open(other, os.O_RDONLY)
            fcntl.flock(fd, fcntl.LOCK_EX)
            beside.append((other, fd))
        return path

    def settles(_pause_s: float) -> None:
        fd = beside[0][1]
        os.fchmod(fd, 0o700)

    monkeypatch.setattr(folder, "_make", make)
    monkeypatch.setattr(folder.time, "sleep", settles)
    squat(shared / NAME, "file")
    for late in ("-", "-zzz"):  # before and after this worker's own, in the order of names
        beside.clear()
        assert memory_folder(make=True) == shared / f"{NAME}{late}"
        assert sorted(path.name for path in shared.iterdir()) == [NAME, f"{NAME}{late}"]
        (shared / f"{NAME}{late}").rmdir()
        os.close(beside[0][1])


def test_runtime_folder_stands_in_where_there_is_no_shared_memory(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "runtime"
    own.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own))
    monkeypatch.setattr(folder, "SHARED", tmp_path / "no-shm")
    assert open_policy().parent == own / NAME
    # One that others may write to is not believed to be the system's.
    own.chmod(0o777)
    with pytest.raises(StoreError):
        memory_folder(make=True)


def test_empty_file_with_a_long_number_in_its_name_fails_no_start(shared: Path) -> None:
    place = open_policy()
    for tail in (".new." + "9" * 150, ".new.1", ".new.-1", ".new.0", ".new.x"):
        place.with_name(place.name + tail).write_bytes(b"")
    place.with_name(place.name + ".new.folder").mkdir()
    os.mkfifo(place.with_name(place.name + ".new.pipe"))
    assert open_policy() == place
    left = sorted(path.name.removeprefix(place.name) for path in place.parent.iterdir())
    assert left in (["", ".actors-key", ".new.folder"], ["", ".actors-key", ".new.folder", ".new.pipe"])


def test_temporary_file_made_before_never_receives_the_key(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even where its name is guessed: a name that is there is not written to.
    place = default_path("policy.toml", 1, None, make=True)
    bait = place.parent / "bait"
    bait.write_bytes(b"")
    size_place = EmbeddedStore.shared("policy.toml", keys=200, clock=ManualClock())
    found = size_place.place
    assert found is not None
    size_place.close()
    found.unlink()
    monkeypatch.setattr("secrets.token_hex", lambda _size: "guessed")
    for squatted in (bait.symlink_to, bait.hardlink_to):
        del squatted
    guessed = found.with_name(f"{found.name}.new.guessed")
    for make in (lambda: guessed.symlink_to(bait), lambda: guessed.write_bytes(b"")):
        make()
        with pytest.raises(StoreError) as caught:
            EmbeddedStore.shared("policy.toml", path=found, keys=200, clock=ManualClock())
        assert caught.value.code == "table-memory"
        assert guessed.read_bytes() == b""
        assert bait.read_bytes() == b""
        guessed.unlink()
