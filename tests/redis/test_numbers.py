"""A script's answer is read in C as the libraries read it: the string of a reply, and the numbers in that."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.core.redis.message import numbers_in, whole_string
from ratelimit.stores.redis.transport.resp import read_reply

INTEGERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 1, 127, 128, 255, 256, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**63, 2**64 - 1]),
    st.sampled_from([-1, -32, -33, -128, -129, -(2**15), -(2**15) - 1, -(2**31), -(2**31) - 1, -(2**63)]),
)
_decode = msgspec.msgpack.Decoder(list[int], strict=True).decode


@given(numbers=st.lists(INTEGERS, max_size=40))
@example(numbers=[7] * 70_000)
@example(numbers=[7] * 16)
def test_numbers_are_those_that_were_written(numbers: list[int]) -> None:
    assert numbers_in(msgspec.msgpack.encode(numbers)) == numbers


@given(
    text=st.one_of(st.binary(max_size=24), st.lists(INTEGERS, max_size=20).map(msgspec.msgpack.encode)),
    cut=st.integers(0, 24),
)
@example(text=b"\xdd\xff\xff\xff\xff", cut=24)
@example(text=b"\x91\xc3", cut=24)
@example(text=b"\x91\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", cut=24)
@example(text=b"\x92\xc2\xc0", cut=24)
def test_what_is_no_list_of_integers_is_refused(text: bytes, cut: int) -> None:
    text = text[:cut]
    try:
        expected = _decode(text)
    except msgspec.DecodeError:
        with pytest.raises(ValueError, match=r"."):
            numbers_in(text)
    else:
        try:
            found = numbers_in(text)
        except ValueError:
            assert 0xCB in text or 0xCA in text, (
                "a number with a fraction's form, which the script never writes"
            )
        else:
            assert found == expected


REPLIES = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=300).map(lambda text: b"$%d\r\n%b\r\n" % (len(text), text)),
    st.sampled_from(
        [b"$-1\r\n", b"$0\r\n\r\n", b"$\r\n\r\n", b"$00001\r\na\r\n", b"$+1\r\na\r\n", b"$99999999999\r\n"]
    ),
)


@given(text=REPLIES, more=st.binary(max_size=3), cut=st.integers(0, 3))
def test_string_is_one_where_the_reply_is_that_and_no_more(text: bytes, more: bytes, cut: int) -> None:
    text = (text + more)[: len(text + more) - cut]
    found = whole_string(memoryview(bytearray(text + b"\r\nrest of the buffer")), len(text))
    if found is not None:
        assert read_reply(text) == (found, len(text))


@given(text=st.binary(max_size=300))
def test_plain_string_is_read_so(text: bytes) -> None:
    reply = b"$%d\r\n%b\r\n" % (len(text), text)
    assert whole_string(memoryview(bytearray(reply)), len(reply)) == text
    assert whole_string(memoryview(bytearray(reply)), len(reply) + 1) is None
