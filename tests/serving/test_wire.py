"""Calls read from their bytes mean what the protobuf library says, whatever the bytes; answers likewise."""

from __future__ import annotations

import random
from typing import Any

import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.serving.answer import write_answer
from ratelimit.serving.descriptors import REQUESTS, DescriptorError, Facts, facts_of, headers_looked_at
from ratelimit.serving.envoy import DirectService
from ratelimit.serving.wire import MOST_BYTES, MOST_DESCRIPTORS, MOST_ENTRIES, CallReader, read_call
from tests.asgi.driver import limit, rules

IDENTITIES = ("account", "payment")
ALONE = {"x-api-key": ("account",), "x-card": ("payment", "account")}
KEYS = (
    "account",
    "payment",
    "x-api-key",
    "X-Api-Key",
    "x-card",
    "path",
    "method",
    "remote_address",
    "request_id",
)
OTHERS = ("unit", "done", "x-other", "generic_key", "Generic_Key", "", "é", "pa\0th")
LOOKED_AT = {"x-other", "x-api-key", "x-card"}
VALUES = ("a", "b", "", " ", "a b", "/v1/x?y=1", "?", "post", "192.0.2.1", "é", "\x7f", "\0", "x" * 200)


def by_library(message: bytes) -> tuple[Facts, int] | None:
    """Return what the library and the rule make of a call; None for what they refuse."""
    try:
        request = rls_pb2.RateLimitRequest.FromString(message)
    except DecodeError:
        return None
    described = [
        (
            [(entry.key.encode(), entry.value.encode()) for entry in each.entries],
            (each.limit.requests_per_unit, each.limit.unit & 0xFFFFFFFF) if each.HasField("limit") else None,
            each.hits_addend.value if each.HasField("hits_addend") else None,
        )
        for each in request.descriptors
    ]
    assert read_call(message) == (request.domain.encode(), request.hits_addend, described)
    try:
        facts = facts_of(described, request.hits_addend, IDENTITIES, (REQUESTS,), ALONE)
    except DescriptorError:
        return None
    return facts, len(request.descriptors)


def check(message: bytes) -> bool:
    """Demand that what is read is what the library reads; return whether it was read."""
    found = CallReader(IDENTITIES, ALONE, LOOKED_AT).read(message)
    told = by_library(message)
    if found is None:
        assert CallReader(IDENTITIES, ALONE).read(message) is None
        return False
    method, path, client, identities, descriptors, name = found
    assert told is not None
    told[0].headers = [pair for pair in told[0].headers if pair[0].decode() in LOOKED_AT]
    assert told == (Facts(method, path, client, identities, request=name), descriptors)
    assert CallReader(IDENTITIES, ALONE).read(message) in (found, None)
    return True


def made_up(rng: random.Random) -> bytes:
    request = rls_pb2.RateLimitRequest(domain=rng.choice(("", "edge", "é")))
    request.hits_addend = rng.choice((0, 0, 0, 1, 7))
    keys = KEYS if rng.random() < 0.8 else KEYS + OTHERS
    for _ in range(rng.choice((0, 1, 1, 2, 3, MOST_DESCRIPTORS, MOST_DESCRIPTORS + 1))):
        descriptor = request.descriptors.add()
        for _ in range(rng.choice((0, 1, 2, 3, 5))):
            descriptor.entries.add(key=rng.choice(keys), value=rng.choice(VALUES))
        if rng.random() < 0.05:
            descriptor.hits_addend.value = rng.choice((0, 1, 5))
        if rng.random() < 0.05:
            descriptor.limit.requests_per_unit = 5
    return bytes(request.SerializeToString())


def damaged(rng: random.Random, message: bytes) -> bytes:
    made = bytearray(message)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(made) + 1)
        way = rng.randrange(4)
        if way == 0 and at < len(made):
            made[at] = rng.choice((rng.randrange(256), made[at] ^ 0x80, 0x0A, 0x12, 0x18, 0x00, 0xFF))
        elif way == 1:
            del made[at : at + rng.randint(1, 4)]
        elif way == 2:
            made[at:at] = rng.randbytes(rng.randint(1, 4))
        else:
            made += made[: rng.randrange(len(made) + 1)]
    return bytes(made)


def test_calls_are_read_as_the_library_reads_them() -> None:
    rng = random.Random(1)
    read = 0
    for _ in range(20_000):
        message = made_up(rng)
        read += check(message)
        for _ in range(3):
            check(damaged(rng, message))
    assert read > 2_000


@given(st.binary(max_size=80))
def test_any_bytes_mean_the_same_or_are_turned_away(message: bytes) -> None:
    check(message)


def test_keys_that_nothing_looks_at_say_nothing_but_may_not_contradict_themselves() -> None:
    request = rls_pb2.RateLimitRequest()
    request.descriptors.add().entries.add(key="generic_key", value="route")
    message = request.SerializeToString()
    assert check(message)
    assert CallReader(IDENTITIES, ALONE).read(message) is None
    request.descriptors.add().entries.add(key="generic_key", value="other")
    assert not check(request.SerializeToString())
    request = rls_pb2.RateLimitRequest()
    request.descriptors.add().entries.add(key="X-Other", value="seen")
    assert not check(request.SerializeToString())


@pytest.mark.parametrize(
    ("identities", "more", "fields"),
    [
        ('account = { from = "header:X-Key" }', "", {"x-key"}),
        ('account = { from = ["cookie:s", "header:a"] }', "", {"a"}),
        (
            'account = { from = "header:a" }',
            'proxies = ["10.0.0.1", "forwarded"]\n',
            {"a"},
        ),
        ('account = { from = ["header:a", "resolver:who"] }', "", None),
    ],
)
def test_fields_that_a_policy_looks_at(identities: str, more: str, fields: set[str] | None) -> None:
    compiled = Policy.from_toml(rules(limit(), identities=identities, more=more)).compiled
    found = headers_looked_at(compiled)
    usual = {"cookie", "origin", "x-forwarded-for", "forwarded"}
    assert found == (None if fields is None else fields | usual)


@pytest.mark.parametrize(
    "action", ['on_refusal = ["challenge"]', 'cost = "header:x-tokens"\nunit = "tokens"']
)
def test_any_field_may_be_looked_at_by_an_application(action: str) -> None:
    text = rules(limit(), identities='account = { from = "header:a" }') + action + "\n"
    assert headers_looked_at(Policy.from_toml(text).compiled) is None


@pytest.mark.parametrize("key", KEYS)
def test_common_calls_are_read_here(key: str) -> None:
    request = rls_pb2.RateLimitRequest(domain="edge")
    request.descriptors.add().entries.add(key=key, value="a")
    assert check(request.SerializeToString())


def test_lengths_that_are_written_longer_than_they_need_be_mean_the_same() -> None:
    assert check(b"\x0a\x81\x80\x00a\x12\x80\x00")
    assert not check(b"\x0a\x81\x80\x80\x00a")


@pytest.mark.parametrize(("descriptors", "entries"), [(MOST_DESCRIPTORS + 1, 0), (1, MOST_ENTRIES + 1)])
def test_more_than_the_bounds_is_turned_away(descriptors: int, entries: int) -> None:
    request = rls_pb2.RateLimitRequest()
    for _ in range(descriptors):
        descriptor = request.descriptors.add()
        for _ in range(entries):
            descriptor.entries.add(key="account", value="a")
    assert not check(request.SerializeToString())


def test_a_call_that_is_too_long_is_turned_away() -> None:
    request = rls_pb2.RateLimitRequest()
    request.descriptors.add().entries.add(key="account", value="a" * MOST_BYTES)
    assert not check(request.SerializeToString())


def test_memory_of_keys_is_bounded() -> None:
    reader = CallReader(IDENTITIES, ALONE)
    for number in range(3_000):
        request = rls_pb2.RateLimitRequest()
        request.descriptors.add().entries.add(key=f"key-{number}", value="a")
        assert reader.read(request.SerializeToString()) is None
    assert reader.read(b"\x12\x0e\x0a\x0c\x0a\x07account\x12\x01a") == (
        "GET",
        "/",
        None,
        {"account": "a"},
        1,
        None,
    )


NUMBERS = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 2**32 - 1))
TOLD = st.one_of(
    st.none(),
    st.tuples(st.text(max_size=200), NUMBERS, st.integers(0, 7), NUMBERS, st.integers(0, 2**63 - 1)),
)
PAIRS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=300)), max_size=5)


@given(st.booleans(), st.integers(0, 20), TOLD, PAIRS, st.binary(max_size=400))
def test_answers_are_what_the_library_would_write(
    allowed: bool, descriptors: int, told: Any, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    code = rls_pb2.RateLimitResponse.OK if allowed else rls_pb2.RateLimitResponse.OVER_LIMIT
    wanted = rls_pb2.RateLimitResponse(overall_code=code, raw_body=body)
    for _ in range(descriptors):
        status = wanted.statuses.add(code=code)
        if told is not None:
            status.current_limit.name, status.current_limit.requests_per_unit = told[0], told[1]
            status.current_limit.unit, status.limit_remaining = told[2], told[3]
            status.duration_until_reset.FromNanoseconds(told[4])
    for name, value in headers:
        wanted.response_headers_to_add.add(key=name.decode("latin-1"), value=value.decode("latin-1"))
    written = write_answer(allowed, descriptors, told, headers, body)
    assert rls_pb2.RateLimitResponse.FromString(written) == wanted
    assert written == wanted.SerializeToString()


class Aborted(Exception):
    pass


class Context:
    """A call's context that remembers what it was ended with."""

    said = ""

    def is_active(self) -> bool:
        return True

    def abort(self, code: object, details: str) -> None:
        self.said = f"{code}: {details}"
        raise Aborted


def test_what_is_no_call_is_said_to_be_none() -> None:
    identities = 'account = { from = "header:x-api-key" }\nip = { from = "client" }'
    limiter = Limiter(Policy.from_toml(rules(limit(), identities=identities)), clock=ManualClock())
    context = Context()
    with pytest.raises(Aborted):
        DirectService(limiter).ShouldRateLimit(b"\x12\xff", context)
    assert "INVALID_ARGUMENT" in context.said
    assert "no RateLimitRequest" in context.said
    limiter.close()
