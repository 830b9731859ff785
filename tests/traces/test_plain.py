"""Plain lines: what is found where it stands is what decoding says, and what is not plain is left to it."""

from __future__ import annotations

import gc
import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.replay.columns import (
    amount_column,
    blank_column,
    declared_column,
    hash_column,
    number_column,
)
from ratelimit.core.replay.members import MOST_MEMBERS, Members, count_lines
from ratelimit.core.replay.spans import Spans
from ratelimit.core.request.networks import Networks
from ratelimit.core.request.scanner import Scanner
from ratelimit.facts.numbers import ABSENT, units_of
from ratelimit.lab.records import Fields, times_ns
from ratelimit.lab.traces import PlainLines, column

FIELDS = Fields(["account", "payment"], ["tokens"], numbers={"account_created": "seconds"})
MEMBERS = Members(FIELDS.members)
DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(FIELDS.type)
LINE = {"time": 1.5, "method": "GET", "path": "/"}
NAMES = [name for name, _ in FIELDS.members]

whole = st.integers(0, 10**18 - 1)
text = st.text(st.characters(max_codepoint=126, min_codepoint=32, exclude_characters='"\\'), max_size=12)
odd = st.one_of(
    st.text(max_size=4), st.floats(), st.booleans(), st.integers(), st.lists(st.integers(), max_size=2)
)
times = st.one_of(
    st.integers(0, 9_199_999_999),
    st.floats(0, 9.19e9),
    st.decimals(0, 9_199_999_999, places=6).map(float),
)
plain_line = st.fixed_dictionaries(
    {"time": times, "method": text, "path": text},
    optional={
        "ip": st.one_of(st.none(), text),
        "user_agent": st.one_of(st.none(), text),
        "headers": st.none(),
        "account": st.one_of(st.none(), text, whole),
        "payment": st.one_of(st.none(), text, whole),
        "tokens": st.one_of(st.none(), st.integers(0, 2**31 - 1)),
        "account_created": st.one_of(st.none(), whole),
        "status": st.one_of(st.none(), text, st.integers(), st.floats(allow_nan=False, allow_infinity=False)),
    },
)
any_line = st.dictionaries(st.sampled_from([*NAMES, "status"]), st.one_of(text, whole, times, odd, st.none()))


def scanned(*lines: dict[str, Any] | bytes) -> Spans | None:
    return MEMBERS.scan(
        b"\n".join(one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines)
    )


def says_as_decoded(spans: Spans) -> None:
    records = DECODER.decode_lines(spans.lines)
    assert spans.size == len(records)
    assert spans.times_ns == times_ns(records)
    for attribute, at in FIELDS.member.items():
        if attribute != "time":
            assert spans.values(at) == [getattr(record, attribute) for record in records], attribute


@given(st.lists(plain_line, min_size=1, max_size=6))
def test_plain_lines_say_what_decoding_says(lines: list[dict[str, Any]]) -> None:
    spans = scanned(*lines)
    if spans is None:
        assert any("e" in json.dumps(line["time"]) or len(json.dumps(line["time"])) > 16 for line in lines)
        return
    says_as_decoded(spans)


@given(st.lists(st.one_of(plain_line, any_line), min_size=1, max_size=4))
@example([{**LINE, "account": -1}])
@example([{**LINE, "account": True}])
@example([{**LINE, "tokens": 2**31}])
@example([{**LINE, "ip": 7}])
@example([{**LINE, "account": 1.0}])
def test_what_is_taken_for_plain_is_decoded_alike(lines: list[dict[str, Any]]) -> None:
    if (spans := scanned(*lines)) is not None:
        says_as_decoded(spans)


@given(st.binary(max_size=60), st.integers(0, 120))
def test_damaged_lines_are_not_plain_or_decoded_alike(noise: bytes, at: int) -> None:
    line = json.dumps({**LINE, "ip": "203.0.113.9", "account": 12, "status": 1.5e-3, "tokens": None}).encode()
    spans = scanned(line[:at] + noise + line[at + len(noise) :])
    if spans is not None:
        says_as_decoded(spans)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b'{"time": 1, "method": "GET"}',
        b'{"time": 1, "method": "GET", "path": null}',
        b'{"time": 1, "method": "GET", "path": "/", "path": "/a"}',
        b'{"time": 1, "method": "GET", "path": "/"',
        b'{"time": 1, "method": "GET", "path": "/"},',
        b'{"time": 1, "method": "GET", "path": "/",}',
        b'{"time": 1, "method": "GET", "path": "/"} x',
        b'{"time": 01, "method": "GET", "path": "/"}',
        b'{"time": 1., "method": "GET", "path": "/"}',
        b'{"time": -1, "method": "GET", "path": "/"}',
        b'{"time": 9300000000, "method": "GET", "path": "/"}',
        b'{"time": "2023-11-14T22:13:20Z", "method": "GET", "path": "/"}',
        b'{"time": 1776816000.5950751, "method": "GET", "path": "/"}',
        b'{"time": 1, "method": "GET", "path": "/\\u0061"}',
        b'{"time": 1, "method": "GET", "path": "/\xc3\xa4"}',
        b'{"time": 1, "method": "GET", "path": "/\x01"}',
        b'{"time": 1, "method": "GET", "path": "/", "headers": {}}',
        b'{"time": 1, "method": "GET", "path": "/", "more": [1]}',
        b'{"time": 1, "method": "GET", "path": "/", "more": nul}',
        b'{"time": 1, "method": "GET", "path": "/", "more": 1e}',
        b'{"time": 1, "method": "GET", "path": "/", "tokens": "7"}',
        b'{"time": 1, "method": "GET", "path": "/", "account": 1000000000000000000}',
        b'{"time": 1, "method": "GET", "path": "/"}\0',
    ],
)
def test_what_is_not_plain_makes_its_chunk_be_decoded(line: bytes) -> None:
    good = json.dumps(LINE).encode()
    assert MEMBERS.scan(line + b"\n") is None
    assert MEMBERS.scan(good + b"\n" + line + b"\n" + good + b"\n") is None
    assert MEMBERS.scan(good + b"\n" + good + b"\n") is not None


@pytest.mark.parametrize("byte", [0, 1, 31, 32, 33, 34, 35, 91, 92, 93, 126, 127, 128, 160, 255])
@pytest.mark.parametrize("at", range(20))
def test_a_byte_that_does_not_stand_for_itself_is_found_anywhere_in_a_text(byte: int, at: int) -> None:
    """Hazard: texts are read eight bytes at a time, and a byte is taken for its neighbour's."""
    for around in (b" ", b"a", b"\x7f"):
        text = around * at + bytes([byte]) + around * (20 - at)
        spans = MEMBERS.scan(b'{"time": 1, "method": "GET", "path": "/", "account": "' + text + b'"}')
        if byte < 32 or byte > 127 or chr(byte) in '"\\':
            assert spans is None
        else:
            assert spans is not None
            assert spans.values(NAMES.index("account")) == [text.decode()]


def test_a_time_is_rounded_once_more_than_a_fused_product_would_be() -> None:
    written = [f"{1_700_000_000 + i / 7:.6f}" for i in range(20_000)]
    spans = scanned(*(b'{"time":%s,"method":"","path":""}' % one.encode() for one in written))
    assert spans is not None
    assert spans.times_ns == [int(float(one) * 1e6 + 0.5) * 1000 for one in written]


def test_a_part_is_the_lines_from_here_to_there() -> None:
    lines = [{**LINE, "time": at, "account": f"a{at}", "ip": f"10.0.0.{at}"} for at in range(6)]
    spans = scanned(*lines)
    assert spans is not None
    whole = PlainLines(spans, FIELDS, DECODER.decode_lines)
    part = whole[1:5][1:]
    assert [record.account for record in map(_named, part)] == ["a2", "a3", "a4"]
    assert column(part, "ip") == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert part.spans.times_ns == [2_000_000_000, 3_000_000_000, 4_000_000_000]
    assert [getattr(whole[at], "ip") for at in (0, -1)] == ["10.0.0.0", "10.0.0.5"]  # noqa: B009
    assert len(whole[4:2]) == 0
    with pytest.raises(IndexError):
        whole[6]


class _named:  # reads like the function it stands for
    def __init__(self, record: Any) -> None:
        self.account = getattr(record, FIELDS.attribute["account"])


def unread(value: Any) -> int:
    return ABSENT


def as_units(value: Any) -> int:
    found = units_of(value)
    return ABSENT if found is None else found


@given(st.lists(plain_line, min_size=1, max_size=5))
def test_columns_are_those_of_the_values(lines: list[dict[str, Any]]) -> None:
    spans = scanned(*lines)
    if spans is None:
        return
    hasher = Hasher(bytes(range(16)))
    kind = hasher.kind_of("account")
    account = FIELDS.member[FIELDS.attribute["account"]]

    def other(value: Any) -> int:
        return hasher.identity(kind, str(value)) if str(value) else -1

    assert spans.hashes(account, hasher, kind, 8, other) == hash_column(
        hasher, kind, spans.values(account), 8, other
    )
    created = FIELDS.member[FIELDS.attribute["account_created"]]
    written = spans.values(created)
    assert spans.numbers(created, "seconds", unread) == number_column(written, "seconds", unread)
    assert spans.numbers(created, "units", as_units) == number_column(written, "units", as_units)
    tokens = FIELDS.member[FIELDS.attribute["tokens"]]
    assert spans.amounts(tokens) == amount_column(spans.values(tokens))
    ip = FIELDS.member["ip"]
    assert spans.absent(ip) == [at for at, value in enumerate(spans.values(ip)) if value is None]
    assert spans.is_absent(ip) == (len(spans.absent(ip)) == spans.size)


def test_pairs_are_asked_for_where_they_change() -> None:
    spans = scanned(*({**LINE, "path": path} for path in ("/a", "/a", "/b", "/a")))
    assert spans is not None
    asked: list[tuple[str, str]] = []

    def of(pair: tuple[str, str]) -> int:
        asked.append(pair)
        return len(asked)

    assert spans.pairs(1, 2, of) == [1, 1, 2, 3]
    assert asked == [("GET", "/a"), ("GET", "/b"), ("GET", "/a")]


def test_members_are_bounded() -> None:
    with pytest.raises(ValueError, match="at most"):
        Members([("time", "time"), *((f"m{at}", "text") for at in range(MOST_MEMBERS))])
    with pytest.raises(ValueError, match="time"):
        Members([("account", "text")])
    many = b'{"time":1,"method":"","path":""' + b"".join(b',"x%d":1' % at for at in range(200)) + b"}\n"
    spans = MEMBERS.scan(many * 3)
    assert spans is not None
    assert spans.size == 3


@pytest.mark.parametrize(("chunk", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"\n\n", 2), (b"a\nb", 2)])
def test_lines_are_counted(chunk: bytes, lines: int) -> None:
    assert count_lines(chunk) == lines


def test_a_part_that_the_collector_frees_leaves_the_whole_its_memory() -> None:
    whole = scanned(*({**LINE, "time": at} for at in range(1000)))
    assert whole is not None
    times = whole.times_ns
    for at in range(100):
        # The collector clears what is in a circle before it frees it, the older ones first.
        part = whole.part(at, at + 10)
        circle: list[Any] = [part]
        circle.append(circle)
        del part, circle
    gc.collect()
    assert whole.times_ns == times
    del whole
    gc.collect()


def test_what_is_made_of_an_address_is_the_same_wherever_it_stands() -> None:
    """Hazard: an address that stands on several lines is read once, and another one's is taken for it."""
    rng = random.Random(7)
    known: list[str | None] = [f"203.0.113.{number}" for number in range(60)]
    known += [f"2001:db8::{number:x}" for number in range(60)]
    known += ["nonsense", "", "::ffff:203.0.113.7", "[2001:db8::7]:443", None, "x" * 90, "203.0.113.7 "]
    blanks = [(5, 24, 48, -1), (6, 32, 64, -2), (None, 0, 0, -2), (None, 0, 0, -1), (7, 8, 16, -2)]
    said: list[str] = []
    networks = Networks(
        [(32, 203 << 24, 1), (32, (203 << 24) + 2**16 * 7, 2), (128, 0x20010DB8 << 96, 3)], fields=[3]
    )
    scanner = Scanner(
        Hasher(bytes(16)),
        {},
        256,
        blanks,
        needs_peer=False,
        diagnose=said.append,
        listed=networks,
        origins=networks,
        origin_at=3,
    )
    addresses = [rng.choice(known) for _ in range(2000)]
    spans = scanned(*({**LINE, "ip": address} for address in addresses))
    assert spans is not None
    member = NAMES.index("ip")
    values = spans.values(member)
    for position in range(len(blanks)):
        assert spans.blanks(member, scanner, position) == blank_column(scanner, position, values)
    for position in range(len(blanks) + 2):
        assert spans.declared(member, scanner, position) == declared_column(scanner, position, values)
    part = spans.part(500, 900)
    assert part.blanks(member, scanner, 0) == blank_column(scanner, 0, values[500:900])
