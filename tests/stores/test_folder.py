"""The folder that shared memory lies in: private, found again, and never another account's."""

from __future__ import annotations

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
    assert place.parent == shared / f"{NAME}-2"
    assert is_clean(place.parent)
    assert not (shared / "elsewhere").exists() or not any((shared / "elsewhere").iterdir())
    # All that start later meet there, also when the name is free again.
    if not (shared / NAME).is_dir() or (shared / NAME).is_symlink():
        (shared / NAME).unlink()
    else:
        (shared / NAME).rmdir()
    assert open_policy() == place


def test_all_names_taken_is_an_error_in_words(shared: Path) -> None:
    for name in (NAME, *(f"{NAME}-{number}" for number in range(2, 17))):
        squat(shared / name, "open")
    with pytest.raises(StoreError, match="taken by other") as caught:
        memory_folder(make=True)
    assert caught.value.code == "table-folder"


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
    assert left in (["", ".new.folder"], ["", ".new.folder", ".new.pipe"])


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
