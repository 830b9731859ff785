"""Reading of what a payer has paid: one number from every source, compiled as in Python."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock, Policy, PolicyError
from ratelimit.facts.numbers import ABSENT, MOST_PAID, PAID, micros_of
from ratelimit.identity.fact import Context
from ratelimit.lab.columns import Rows
from ratelimit.lab.records import fields_of
from ratelimit.lab.traces import PlainLines, open_reader

NOW_S = 1_700_000_000
WRITTEN = st.one_of(
    st.sampled_from(["", " ", "0", "00", "5", "12.5", " 12.50 ", "0.000001", "0.0000004", "1e3", "-1", "+1"]),
    st.sampled_from(
        ["nan", "inf", "-inf", "Infinity", "$5", "1_000", "1,000", "٣", "9" * 25, "1" * 5000, ".", "5.", ".5"]
    ),
    st.text(st.sampled_from("0123456789. -e"), max_size=17),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    WRITTEN,
    WRITTEN.map(lambda text: text.encode()),
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 2**31),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 2e9),
    st.decimals(),
    st.sampled_from([[], {}, object(), b"\xff", "\udc80", Decimal("sNaN")]),
)


def policy(source: str) -> Policy:
    return Policy.from_toml(
        f"""
        version = 1
        [identities]
        account = {{ from = "header:x-api-key" }}
        [[limit]]
        name = "a"
        per = "account"
        rate = "5/day"
        [correlation]
        paid = "{source}"
        """
    )


def limiter(source: str) -> Limiter:
    return Limiter(policy(source), clock=ManualClock(NOW_S * 10**9))


OF_STATE, OF_HEADER = limiter("state:paid_usd"), limiter("header:x-paid")
AT = OF_STATE.current.compiled.place_of(PAID)


@given(value=VALUES)
def test_field_of_the_state_is_read_as_python_reads_it(value: Any) -> None:
    extractor = OF_STATE.current.extractor
    state = {"paid_usd": value}
    found = extractor.reader.identities([], "192.0.2.1", state)
    assert found == extractor.extract([], "192.0.2.1", Context({}, state))
    assert found is not None
    assert ABSENT <= found[AT] <= MOST_PAID


@given(lines=st.lists(WRITTEN.map(lambda text: text.encode()), max_size=2))
@example(lines=[b"5", b"5"])
def test_header_is_read_as_python_reads_it_or_left_to_it(lines: list[bytes]) -> None:
    extractor = OF_HEADER.current.extractor
    headers = [(b"host", b"a"), *((b"x-paid", line) for line in lines)]
    found = extractor.reader.identities(headers, "192.0.2.1", {})
    assert found is None or found == extractor.extract(headers, "192.0.2.1", Context({}, {}))


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        (0, 0),
        (5, 5_000_000),
        (12.5, 12_500_000),
        ("12.50", 12_500_000),
        (b"1e3", 1_000_000_000),
        (Decimal("0.25"), 250_000),
        (-3, 0),
        (-0.01, 0),
        ("-4.2", 0),
        (10**30, MOST_PAID),
        (1e300, MOST_PAID),
        (None, ABSENT),
        ("", ABSENT),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        ("nan", None),
        ("$5", None),
        ("1,000", None),
        (True, None),
        ([5], None),
    ],
)
def test_number_is_kept_in_millionths_and_garbage_is_not_known(value: object, micros: int | None) -> None:
    assert micros_of(value) == micros


def test_garbage_is_said_once_by_a_code() -> None:
    codes: list[str] = []
    extractor = OF_STATE.current.extractor
    object.__setattr__(extractor, "_diagnose", lambda code, about="": codes.append(code))
    assert extractor.number(AT, "$5") == ABSENT
    assert codes == ["paid-type"]


@given(values=st.lists(st.one_of(st.none(), st.integers(-5, 10**12), st.floats(0, 1e7), WRITTEN), max_size=6))
def test_column_of_a_trace_is_what_single_records_say(values: list[Any]) -> None:
    bound = OF_STATE.current
    fields = fields_of(bound.compiled)
    lines = [
        json.dumps({"time": NOW_S, "method": "GET", "path": "/", "ip": "::1", "paid_usd": value})
        for value in values
    ]
    batches = list(open_reader("-", fields, format="ndjson", stdin=io.BytesIO("\n".join(lines).encode())))
    read, attribute = partial(bound.extractor.number, AT), fields.attribute["paid_usd"]
    rows = [Rows(batch.records, fields) for batch in batches]
    column = [one for each in rows for one in each.made("numbers", attribute, "dollars", read)]
    assert column == [read(value) & (2**64 - 1) for value in values]


def test_amounts_with_cents_keep_a_chunk_of_plain_lines_plain() -> None:
    fields = fields_of(OF_STATE.current.compiled)
    line = '{"time": 1700000000, "method": "GET", "path": "/", "ip": "::1", "paid_usd": 12.75}\n'
    (batch,) = open_reader("-", fields, format="ndjson", stdin=io.BytesIO(line.encode() * 3))
    assert isinstance(batch.records, PlainLines)
    rows, attribute = Rows(batch.records, fields), fields.attribute["paid_usd"]
    assert list(rows.made("numbers", attribute, "dollars", lambda value: 1)) == [12_750_000] * 3


@pytest.mark.parametrize("source", ["cookie:paid", "client", "path:paid"])
def test_client_does_not_say_itself_what_it_paid(source: str) -> None:
    with pytest.raises(PolicyError, match="would have paid what it likes"):
        policy(source)
