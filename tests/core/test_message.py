"""A call as bytes: what the libraries' encoders would have written, whatever the numbers."""

from __future__ import annotations

import random

import msgspec
import pytest

from ratelimit.core.redis.message import script_call

HEAD = b"$7\r\nEVALSHA\r\n$1\r\nx\r\n"
EDGES = [2**bits + near for bits in (5, 7, 8, 15, 16, 31, 32, 63, 64) for near in (-1, 0, 1)]
KEPT = [number for edge in EDGES for number in (edge, -edge) if -(2**63) <= number < 2**64]


def encoded(*numbers: int) -> bytes:
    return b"".join(msgspec.msgpack.encode(number) for number in numbers)


def framed(keys: list[bytes], payload: bytes) -> bytes:
    words = [b"%d" % len(keys), *keys, payload]
    frame = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n" % (len(words) + 2) + HEAD + frame


def test_every_width_of_number_is_as_messagepack_has_it() -> None:
    for number in [0, *KEPT]:
        assert script_call(HEAD, (), (), b"", [number]) == framed([], encoded(number)), number


def test_false_stands_for_no_time() -> None:
    assert script_call(HEAD, (), (False, 0), b"", []) == framed([], b"\xc2\x00")


@pytest.mark.parametrize("count", [0, 1, 5, 6, 9, 10, 95, 96, 100])
def test_call_is_framed_whatever_its_length(count: int) -> None:
    chance = random.Random(count)
    for size in (0, 1, 9, 10, 99, 100, 255, 999, 1000):
        keys = [b"%d:" % number + chance.randbytes(size) for number in range(count)]
        opening = (chance.choice(KEPT), chance.choice(KEPT))
        described = chance.randbytes(size)
        items = [chance.choice(KEPT) for _ in range(size)]
        payload = encoded(*opening) + described + encoded(*items)
        assert script_call(HEAD, dict.fromkeys(keys, 1), opening, described, items) == framed(keys, payload)


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**100, -(2**100)])
def test_number_of_more_than_64_bits_is_refused(number: int) -> None:
    with pytest.raises(OverflowError):
        script_call(HEAD, (), (), b"", [number])


@pytest.mark.parametrize("wrong", [None, 1.0, "1", b"1"])
def test_what_is_no_integer_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        script_call(HEAD, (), (), b"", [wrong])  # type: ignore[list-item]


@pytest.mark.parametrize("key", [None, "key", 1])
def test_key_is_bytes(key: object) -> None:
    with pytest.raises(TypeError):
        script_call(HEAD, [key], (), b"", [])  # type: ignore[list-item]
