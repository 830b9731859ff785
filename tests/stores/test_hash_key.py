"""The hash key of workers that share a table: in a private file beside it, and not in it."""

from __future__ import annotations

import stat
from multiprocessing import get_context
from pathlib import Path

import pytest

from ratelimit.errors import StoreError
from ratelimit.stores.embedded import key_file
from ratelimit.stores.embedded.key_file import agreed_key, kept_key, key_path
from ratelimit.stores.embedded.store import EmbeddedStore

KEY = bytes(range(16, 32))


def store_at(path: Path, key: bytes | None = None, *, mends: bool = True) -> EmbeddedStore:
    return EmbeddedStore.shared(str(path), path=path, keys=1000, key=key, mends=mends)


@pytest.mark.parametrize("key", [None, KEY, bytes(16)], ids=["fresh", "of the policy", "zeros"])
def test_the_key_is_nowhere_in_the_table(tmp_path: Path, key: bytes | None) -> None:
    store = store_at(tmp_path / "table", key)
    own, place = store.hasher.key, store.place
    assert place is not None
    assert own == key or key is None
    if any(own):
        content = place.read_bytes()
        assert [part for part in (own, own[:8], own[8:]) if part in content] == []
    found = key_path(place).stat()
    assert (found.st_size, stat.S_IMODE(found.st_mode)) == (16, 0o600)
    # A command of this user that has no key reads the same callers.
    other = store_at(tmp_path / "table", mends=False)
    assert other.hasher.key == own
    for each in (store, other):
        each.close()


def test_a_table_of_another_key_is_refused(tmp_path: Path) -> None:
    store = store_at(tmp_path / "table", KEY)
    with pytest.raises(StoreError) as caught:
        store_at(store.place or Path(), bytes(range(16)))
    assert caught.value.code in ("table-key", "table-size")
    store.close()


def test_a_key_that_was_removed_is_put_back_by_a_worker_that_runs(tmp_path: Path) -> None:
    store = store_at(tmp_path / "table")
    place = store.place
    assert place is not None
    key_path(place).unlink()
    with pytest.raises(StoreError, match="hash key"):
        store_at(tmp_path / "table", mends=False)
    assert store.renew() is None
    assert kept_key(place) == store.hasher.key
    other = store_at(tmp_path / "table")
    assert other.hasher.key == store.hasher.key
    for each in (store, other):
        each.close()


@pytest.mark.parametrize("spoilt", ["short", "link", "readable", "another"])
def test_a_file_that_is_no_key_of_ours_is_not_gone_by(tmp_path: Path, spoilt: str) -> None:
    store = store_at(tmp_path / "table")
    place, own = store.place, store.hasher.key
    assert place is not None
    path = key_path(place)
    if spoilt == "link":
        path.unlink()
        (tmp_path / "elsewhere").write_bytes(KEY)
        path.symlink_to(tmp_path / "elsewhere")
    elif spoilt == "readable":
        path.chmod(0o644)
    else:
        path.write_bytes(b"short" if spoilt == "short" else KEY)
    with pytest.raises(StoreError, match="hash key"):
        store_at(tmp_path / "table", mends=False)
    later = store_at(
        tmp_path / "table"
    )  # leaves the table for a fresh one: nobody can say whose hashes it has
    assert later.damage is not None
    assert kept_key(later.place or Path()) == later.hasher.key
    assert store.renew() is not None
    assert store.hasher.key == later.hasher.key
    assert spoilt == "another" or later.hasher.key not in (own, KEY)
    for each in (store, later):
        each.close()


@pytest.mark.parametrize("spoilt", [None, "short", "link"])
def test_a_key_that_another_worker_puts_there_meanwhile_is_everybodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str | None
) -> None:
    table = tmp_path / "table"
    if spoilt == "short":
        key_path(table).write_bytes(b"short")
    elif spoilt == "link":
        key_path(table).symlink_to(tmp_path / "nowhere")
    others: list[bytes] = []

    def overtaken(place: Path) -> bytes | None:
        # Another worker puts its key between the look of this one and its act.
        seen = kept_key(place)
        if not others:
            monkeypatch.setattr(key_file, "kept_key", kept_key)
            others.append(agreed_key(place))
        return seen

    monkeypatch.setattr(key_file, "kept_key", overtaken)
    assert agreed_key(table) == others[0] == kept_key(table)
    assert [each.name for each in tmp_path.iterdir()] == [key_path(table).name]


def test_a_key_that_others_could_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has no modes."""
    monkeypatch.setattr(key_file, "own_file", lambda place, most: None)
    with pytest.raises(StoreError, match="not a private file") as caught:
        agreed_key(tmp_path / "table")
    assert caught.value.code == "table-foreign"


def test_a_lock_that_a_killed_worker_left_is_in_nobodys_way(tmp_path: Path) -> None:
    table = tmp_path / "table"
    key_path(table).with_name(f"{key_path(table).name}.lock").touch()
    assert agreed_key(table) == kept_key(table)
    assert [each.name for each in tmp_path.iterdir()] == [key_path(table).name]


def _agree(table: Path, start: object, answers: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    answers.put(agreed_key(table))  # type: ignore[attr-defined]


@pytest.mark.parametrize("spoilt", [False, True], ids=["none there", "a spoilt one there"])
def test_workers_that_start_together_agree_on_one_key(tmp_path: Path, spoilt: bool) -> None:
    if spoilt:
        key_path(tmp_path / "table").write_bytes(b"short")
    spawning = get_context("fork")
    start, answers = spawning.Event(), spawning.Queue()
    processes = [spawning.Process(target=_agree, args=(tmp_path / "table", start, answers)) for _ in range(8)]
    for each in processes:
        each.start()
    start.set()
    found = {answers.get(timeout=60) for _ in processes}
    for each in processes:
        each.join(60)
    assert found == {kept_key(tmp_path / "table")}
    assert [each.name for each in tmp_path.iterdir()] == [key_path(tmp_path / "table").name]
