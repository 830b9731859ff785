"""Compiled reading of an account's creation time: equal to Python's, in every form."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock, Policy
from ratelimit.allowance.memory import pieces_of
from ratelimit.identity.fact import ABSENT, Context
from tests.support.campaign import policy_text

NOW_S = 1_700_000_000
WRITTEN = st.one_of(
    st.sampled_from(
        ["", " ", "0", "00", "1700000000", " 1700000000 ", "1700000000.9", "1700000000000", "4294967295"]
    ),
    st.sampled_from(
        ["4294967296", "-1", "+1", "1_000", "1e9", "0x10", "٣", "yesterday", "9" * 25, "1" * 5000]
    ),
    st.text(st.sampled_from("0123456789. -"), max_size=14),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    WRITTEN,
    WRITTEN.map(lambda text: text.encode()),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 2**33),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 2**33),
    st.sampled_from([[], {}, object(), b"\xff", "\udc80"]),
)


def limiter(source: str, more: str = "") -> Limiter:
    text = (policy_text() + more).replace(
        'client = "client"\n', f'client = "client"\ncreated = "{source}"\n[hashing]\nkey = "{"ab" * 16}"\n', 1
    )
    return Limiter(Policy.from_toml(text), clock=ManualClock(NOW_S * 10**9))


OF_STATE, OF_HEADER = limiter("state:since"), limiter("header:x-since")


def at_of(subject: Limiter) -> int:
    spec = subject.current.compiled.correlation
    assert spec is not None
    return spec.created


@given(value=VALUES)
def test_field_of_the_state_is_read_as_python_reads_it(value: Any) -> None:
    extractor = OF_STATE.current.extractor
    state = {"since": value}
    found = extractor.reader.identities([], "192.0.2.1", state)
    assert found == extractor.extract([], "192.0.2.1", Context({}, state))


@given(lines=st.lists(WRITTEN.map(lambda text: text.encode()), max_size=2))
@example(lines=[b"1700000000", b"1700000000"])
def test_header_is_read_as_python_reads_it_or_left_to_it(lines: list[bytes]) -> None:
    extractor = OF_HEADER.current.extractor
    headers = [(b"host", b"a"), *((b"x-since", line) for line in lines)]
    found = extractor.reader.identities(headers, "192.0.2.1", {})
    assert found is None or found == extractor.extract(headers, "192.0.2.1", Context({}, {}))


@pytest.mark.parametrize(
    ("lines", "created"),
    [
        ([], ABSENT),
        ([b"1700000000"], 1_700_000_000),
        ([b"0"], ABSENT),
        ([b"4294967295"], 2**32 - 1),
        ([b" 1700000000"], None),
        ([b"4294967296"], None),
        ([b"1700000000", b"1700000000"], None),
    ],
)
def test_header_with_a_plain_number_takes_no_python(lines: list[bytes], created: int | None) -> None:
    headers = [(b"x-since", line) for line in lines]
    found = OF_HEADER.current.extractor.reader.identities(headers, "192.0.2.1", {})
    assert (None if found is None else found[at_of(OF_HEADER)]) == created


EARNED = """
[[limit]]
name = "payers"
per = "account"
rate = "1/day"
algorithm = "sliding-window"
budget = { growth = 3, most = 9 }
"""


@given(value=st.one_of(VALUES, st.integers(NOW_S - 30 * 86_400, NOW_S + 9)))
def test_instant_that_a_caller_gives_is_remembered_alike_on_either_way(value: Any) -> None:
    short, long = (limiter("state:since", EARNED) for _ in range(2))
    gate, long.current.by_name = short.current.by_name, None
    call = {"identities": {"account": "a"}, "client": "192.0.2.1", "created": value}
    said = [[one.decide(**call).limit for _ in range(3)] for one in (short, long)]
    assert said[0] == said[1]
    assert gate is not None
    taken = gate.decide("GET", "/", {"account": "a"}, "192.0.2.1", (), None, None, NOW_S * 10**9, value)
    assert taken is not None, "in one compiled call"
    records = [pieces_of(one.records) for one in (short, long) if one.records is not None]
    assert records[0] == records[1] != []
