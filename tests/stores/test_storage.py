"""The store of a policy, also when shared memory or the hash key cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.clock import ManualClock
from ratelimit.errors import StoreError
from ratelimit.policy import Policy
from ratelimit.stores.factory import open_store, private_store, wish_of
from ratelimit.stores.secret import find_key

LIMIT = '[[limit]]\nname = "a"\nper = "ip"\nrate = "5/minute"\n'


def policy(tmp_path: Path, extra: str = "") -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(f"version = 1\n{extra}\n{LIMIT}", "utf-8")
    return Policy.load(path)


def test_policy_file_makes_workers_meet(tmp_path: Path) -> None:
    loaded = policy(tmp_path, f'[store]\nmemory = "{tmp_path}/table"')
    first, second = open_store(loaded), open_store(loaded)
    assert (first.counts_alone, first.hasher.key) == (False, second.hasher.key)


def test_policy_without_a_file_counts_alone() -> None:
    store = open_store(Policy.from_toml(f"version = 1\n{LIMIT}"))
    assert store.counts_alone


def test_unusable_memory_fails_at_start_by_default(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"something else")
    with pytest.raises(StoreError, match="table"):
        open_store(policy(tmp_path, f'[store]\nmemory = "{tmp_path}/table"'))


def test_unusable_memory_is_private_with_a_warning_where_the_policy_says_so(tmp_path: Path) -> None:
    loaded = policy(tmp_path, '[store]\nmemory = "prefer-shared"')
    place = wish_of(loaded).place
    assert place is not None
    place.parent.mkdir(mode=0o700, exist_ok=True)
    place.write_bytes(b"something else")
    with pytest.warns(RuntimeWarning, match="counts alone"):
        store = open_store(loaded)
    assert store.counts_alone
    assert place.read_bytes() == b"something else"
    place.unlink()
    # Counting alone is counting: the limit holds in this process.
    limiter = Limiter(loaded, store=store, clock=ManualClock())
    assert [limiter.decide(client="192.0.2.1").allowed for _ in range(7)] == [True] * 5 + [False] * 2


@pytest.mark.parametrize("damage", [b"something else", b"", b"\0" * 4096, None])
def test_memory_spoilt_before_a_restart_never_starts_a_limiter_that_counts_nothing(
    tmp_path: Path, damage: bytes | None
) -> None:
    loaded = policy(tmp_path, f'[store]\nmemory = "{tmp_path}/table"')
    clock = ManualClock()
    running = Limiter(loaded, store=open_store(loaded, clock))
    asked = {"client": "192.0.2.1", "now_ns": running.now_ns()}
    assert [running.decide(**asked).allowed for _ in range(6)] == [True] * 5 + [False]
    if damage is not None:
        # Another file in its place: those that hold the old one are not harmed.
        (tmp_path / "spoilt").write_bytes(damage)
        (tmp_path / "spoilt").chmod(0o600)
        (tmp_path / "spoilt").replace(tmp_path / "table")
    if damage and any(damage):
        with pytest.raises(StoreError) as caught:
            Limiter(loaded)
        assert caught.value.code in ("table-size", "table-foreign")
    elif damage is not None:
        # Nothing is in it that could be another program's: left for a fresh one.
        started = Limiter(loaded)
        assert [started.decide(**asked).allowed for _ in range(6)] == [True] * 5 + [False]
        assert (tmp_path / "table.damaged").read_bytes() == damage
    else:
        assert not Limiter(loaded).decide(**asked).allowed
    assert not running.decide(**asked).allowed


def test_hash_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = policy(tmp_path, '[hashing]\nkey = "env:TEST_HASH_KEY"\n[store]\nmemory = "private"')
    monkeypatch.setenv("TEST_HASH_KEY", "00112233445566778899aabbccddeeff")
    assert open_store(loaded).hasher.key.hex() == "00112233445566778899aabbccddeeff"


def test_missing_hash_key_is_a_clean_error_but_a_replay_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = policy(tmp_path, '[hashing]\nkey = "env:TEST_HASH_KEY"')
    monkeypatch.delenv("TEST_HASH_KEY", raising=False)
    with pytest.raises(StoreError, match="TEST_HASH_KEY") as caught:
        wish_of(loaded)
    assert caught.value.code == "hash-key"
    assert private_store(loaded, ManualClock()).counts_alone


def test_hash_key_in_a_file_may_be_a_passphrase(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("correct horse battery staple\n", "utf-8")
    key = find_key("file", str(tmp_path / "key"))
    assert len(key) == 16
    assert key == find_key("hex", "correct horse battery staple")
    for unusable in ("", "  \n"):
        (tmp_path / "key").write_text(unusable, "utf-8")
        with pytest.raises(StoreError, match="empty"):
            find_key("file", str(tmp_path / "key"))
    with pytest.raises(StoreError, match="cannot be read"):
        find_key("file", str(tmp_path / "absent"))
