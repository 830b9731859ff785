"""Keyed hashing: the right function, of inputs that cannot be confused, under a key that matters."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.memory.hashing import KEY_BYTES, Hasher, is_stand_in
from tests.support.siphash import framed, framed_identity, siphash

KEY = bytes(range(16))
STAND_IN = 1 << 31
TUPLE_HEAD = 0x7475706C << 32
COMBINE_HEAD = 0x636F6D62 << 32


def test_reference_gives_the_published_values() -> None:
    # The paper's example (SipHash-2-4 of 15 bytes), and the empty message of both variants.
    assert siphash(KEY, bytes(range(15)), 2, 4) == 0xA129CA6149BE45E5
    assert siphash(KEY, b"", 2, 4) == 0x726FDB47DD0E0E31
    assert siphash(KEY, b"") == 0xABAC0158050FC4DC


@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this interpreter hashes otherwise")
def test_reference_gives_what_the_interpreter_gives() -> None:
    code = "print(*[hash(bytes(range(n))) for n in range(8, 40)])"
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    expected = [siphash(bytes(16), bytes(range(length))) for length in range(8, 40)]
    assert [int(number) % 2**64 for number in printed.split()] == expected


@given(key=st.binary(min_size=16, max_size=16), kind=st.integers(0, 2**32 - 1), value=st.binary(max_size=100))
def test_identities_are_siphash_of_kind_and_value(key: bytes, kind: int, value: bytes) -> None:
    expected = siphash(key, framed_identity(kind, value))
    assert Hasher(key).identity(kind, value) == (
        expected | STAND_IN if kind & STAND_IN else expected & ~STAND_IN
    )


def test_stand_ins_say_that_they_are() -> None:
    hasher = Hasher(KEY)
    for value in (b"", b"a", b"192.0.2.1"):
        assert is_stand_in(hasher.identity(hasher.kind_of("account", stands_in=True), value))
        assert not is_stand_in(hasher.identity(hasher.kind_of("account"), value))


@given(key=st.binary(min_size=16, max_size=16), parts=st.lists(st.binary(max_size=20), max_size=5))
def test_tuples_are_siphash_of_framed_parts(key: bytes, parts: list[bytes]) -> None:
    assert Hasher(key).tuple(*parts) == siphash(key, framed(TUPLE_HEAD | len(parts), parts))


@given(first=st.integers(0, 2**64 - 1), second=st.integers(0, 2**64 - 1))
def test_combining_is_siphash_in_that_order(first: int, second: int) -> None:
    message = struct.pack("<QQQ", COMBINE_HEAD, first, second)
    assert Hasher(KEY).combine(first, second) == siphash(KEY, message)


@given(
    one=st.lists(st.binary(max_size=12), max_size=4),
    other=st.lists(st.binary(max_size=12), max_size=4),
)
def test_key_confusion_no_two_tuples_are_framed_alike(one: list[bytes], other: list[bytes]) -> None:
    alike = framed(TUPLE_HEAD | len(one), one) == framed(TUPLE_HEAD | len(other), other)
    assert alike == (one == other)
    assert (Hasher(KEY).tuple(*one) == Hasher(KEY).tuple(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((b"a/b", b"c"), (b"a", b"b/c")),
        ((b"a", b"bc"), (b"ab", b"c")),
        ((b"",), ()),
        ((b"", b"a"), (b"a", b"")),
        ((b"a",), (b"a\0",)),
        ((b"a" * 8,), (b"a" * 8, b"")),
        ((b"\x01\0\0\0\0\0\0\0",), (b"", b"")),
    ],
)
def test_key_confusion_of_tuples(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    assert Hasher(KEY).tuple(*one) != Hasher(KEY).tuple(*other)


def test_key_confusion_of_kinds_and_of_order() -> None:
    hasher = Hasher(KEY)
    assert hasher.identity(hasher.kind_of("ip"), b"x") != hasher.identity(hasher.kind_of("account"), b"x")
    assert hasher.combine(1, 2) != hasher.combine(2, 1)
    assert hasher.tuple(b"x") != hasher.identity(0, b"x")


def test_kinds_are_stable_and_differ() -> None:
    names = ["account", "ip", "network", "payment", "client", "session", "user", "cluster", "tenant", ""]
    kinds = [Hasher(KEY).kind_of(name) for name in names]
    assert kinds == [Hasher(bytes(16)).kind_of(name) for name in names]
    assert len(set(kinds)) == len(names)
    assert all(0 <= kind < 2**31 for kind in kinds)


@given(text=st.text(max_size=40))
def test_text_is_hashed_as_its_utf8_bytes(text: str) -> None:
    assert Hasher(KEY).identity(1, text) == Hasher(KEY).identity(1, text.encode())


@given(raw=st.binary(max_size=40))
def test_undecodable_bytes_survive_a_detour_through_text(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    assert Hasher(KEY).identity(1, text) == Hasher(KEY).identity(1, raw)


def test_lone_surrogates_are_hashed_and_kept_apart() -> None:
    hashes = {Hasher(KEY).identity(1, text) for text in ("\ud800", "\udfff", "\udc80", "\ud800\udc80", "")}
    assert len(hashes) == 5


def test_oversized_values_are_hashed_whole() -> None:
    hasher = Hasher(KEY)
    assert hasher.identity(1, b"x" * 1_000_000 + b"a") != hasher.identity(1, b"x" * 1_000_000 + b"b")


def test_hash_flooding_needs_the_key() -> None:
    # Values chosen to meet in one of 256 places under one key scatter under another.
    known, secret = Hasher(KEY), Hasher(b"sixteen secret b")
    chosen = [b"%d" % n for n in range(100_000) if known.identity(1, b"%d" % n) % 256 == 0]
    assert len(chosen) > 300
    places = Counter(secret.identity(1, value) % 256 for value in chosen)
    assert max(places.values()) <= 12
    assert len(places) > 150


@pytest.mark.parametrize("key", [b"", b"x" * 15, b"x" * 17])
def test_keys_of_another_length_are_rejected(key: bytes) -> None:
    with pytest.raises(ValueError, match="16"):
        Hasher(key)


@pytest.mark.parametrize("key", [None, "x" * 16, bytearray(16), 16])
def test_keys_that_are_no_bytes_are_rejected(key: object) -> None:
    with pytest.raises(TypeError):
        Hasher(key)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 1, 1.5, bytearray(b"a"), ["a"]])
def test_values_that_are_neither_bytes_nor_text_are_rejected(value: object) -> None:
    with pytest.raises(TypeError):
        Hasher(KEY).identity(1, value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Hasher(KEY).tuple(b"a", value)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [-1, 2**32, 2**64, 2**100])
def test_kinds_out_of_range_are_rejected(kind: int) -> None:
    with pytest.raises(OverflowError):
        Hasher(KEY).identity(kind, b"a")


@pytest.mark.parametrize("number", [-1, 2**64])
def test_hashes_out_of_range_are_rejected(number: int) -> None:
    for pair in ((number, 0), (0, number)):
        with pytest.raises(OverflowError):
            Hasher(KEY).combine(*pair)


def test_key_is_kept_and_never_pickled_or_shown() -> None:
    hasher = Hasher(KEY)
    assert KEY_BYTES == 16
    assert hasher.key == KEY
    with pytest.raises(TypeError):
        pickle.dumps(hasher)
    assert KEY.hex() not in repr(hasher)
    assert repr(KEY) not in repr(hasher)
