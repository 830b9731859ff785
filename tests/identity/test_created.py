"""The creation time of an account: a number of seconds, in every form that applications write."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.errors import PolicyError, UsageError
from ratelimit.facts.numbers import ABSENT, CREATED, seconds_of
from ratelimit.identity.fact import Context
from tests.support.acting import Noting

POLICY = """\
version = 1
[store]
memory = "private"
[identities]
account = {{ from = "header:x-api-key" }}
{identities}
[[limit]]
name = "one actor"
per = "cluster"
rate = "10/day"
[correlation]
principal = "account"
network = ["ip"]
created = "{created}"
"""
THEN = 1_700_000_000


def limiter(created: str = "state:since", identities: str = "", **more: Any) -> Limiter:
    return Limiter(
        Policy.from_toml(POLICY.format(created=created, identities=identities)), clock=ManualClock(), **more
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (THEN, THEN),
        (1, 1),
        (0, ABSENT),
        (None, ABSENT),
        ("", ABSENT),
        (b"  ", ABSENT),
        (float(THEN) + 0.9, THEN),
        (str(THEN), THEN),
        (f" {THEN}.75 ", THEN),
        (str(THEN).encode(), THEN),
        ("000000001700000000", THEN),
        (2**32 - 1, 2**32 - 1),
        (2**32, None),
        (THEN * 1000, None),  # milliseconds
        (10**400, None),
        (-1, None),
        (-0.5, None),
        ("-5", None),
        ("+5", None),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        ("nan", None),
        ("1e9", None),
        ("1_700_000_000", None),
        ("١٧٠٠", None),
        ("2023-11-14T22:13:20Z", None),
        ("9" * 5000, None),
        (b"\xff\xfe", None),
        (True, None),
        (False, None),
        ([THEN], None),
        ({}, None),
        (UUID(int=THEN), None),
    ],
)
def test_what_counts_as_an_instant(value: object, seconds: int | None) -> None:
    assert seconds_of(value) == seconds


@given(
    st.one_of(
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.decimals(),
        st.complex_numbers(),
        st.datetimes(),
    )
)
def test_anything_is_an_instant_of_32_bits_or_none(value: object) -> None:
    found = seconds_of(value)
    assert found is None or (type(found) is int and (found == ABSENT or 0 < found < 2**32))


def created_in(
    one: Limiter, headers: dict[bytes, bytes] | None = None, created: object = None, **context: Any
) -> int:
    bound = one.current
    at = bound.compiled.place_of(CREATED)
    known = Context(numbers={at: created}, **context)
    return bound.extractor.extract(list((headers or {}).items()), "192.0.2.1", known)[at]


def test_state_header_and_resolver_say_it() -> None:
    assert created_in(limiter(), state={"since": THEN}) == THEN
    assert created_in(limiter(), state={"since": float(THEN)}) == THEN
    assert created_in(limiter("header:x-since"), {b"x-since": b"%d" % THEN}) == THEN
    one = limiter("resolver:since", resolvers={"since": lambda scope: None})
    found = one.current.extractor.resolved("since", THEN)
    assert created_in(one, resolved={"since": found}) == THEN
    assert [created_in(one) for one in (limiter(), limiter("header:x-since"), one)] == [ABSENT] * 3


def test_resolver_that_is_an_identity_as_well_says_both() -> None:
    one = limiter(
        "resolver:user", 'user = { from = "resolver:user" }', resolvers={"user": lambda scope: None}
    )
    extractor = one.current.extractor
    assert set(extractor.resolved("user", THEN)) == {
        extractor.positions["user"],
        extractor.positions["account created"],
    }


def test_garbage_is_told_of_once_and_unknown_is_not() -> None:
    noted = Noting()
    one = limiter(observer=noted)
    for value in (None, "", 0):
        assert created_in(one, state={"since": value}) == ABSENT
    assert noted.codes == []
    for value in ("yesterday", THEN * 1000, float("nan")):
        assert created_in(one, state={"since": value}) == ABSENT
    assert noted.codes == ["created-type"]


def test_caller_says_it_where_there_is_no_source() -> None:
    one = limiter("header:x-since")
    assert created_in(one, {b"x-since": b"5"}, created=THEN) == THEN
    assert created_in(one, {b"x-since": b"5"}, created="junk") == ABSENT
    assert one.decide(identities={"account": "a"}, client="192.0.2.1", created=THEN).allowed


@pytest.mark.parametrize("source", ["cookie:since", "path:since", "client"])
def test_clients_own_word_is_refused(source: str) -> None:
    with pytest.raises(PolicyError) as caught:
        limiter(source)
    problems = [problem for problem in caught.value.problems if problem.severity == "error"]
    assert [(problem.code, problem.key, problem.line) for problem in problems] == [
        ("correlation-created", "correlation.created", 14)
    ]


@pytest.mark.parametrize(("source", "code"), [("nowhere", "identity-source"), ("state:", "identity-source")])
def test_source_that_is_none_is_an_error(source: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        limiter(source)
    assert code in {problem.code for problem in caught.value.problems}


def test_without_a_principal_it_is_of_nobody() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(
            POLICY.format(created="state:since", identities="").replace('principal = "account"', "")
        )
    assert ("correlation-principal", "correlation.created") in {
        (problem.code, problem.key) for problem in caught.value.problems
    }


HIDDEN = ("account created", "cluster, likely", "cluster, likely or certain", "declared network")
KNOWN = '\n[correlation.known.networks]\ncloud = ["198.51.100.0/24"]\n'


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize(
    "text",
    [
        '[allow]\n"{0}" = ["1"]',
        '[deny]\n"{0}" = ["1"]',
        '[[limit]]\nname = "l"\nrate = "1/day"\nper = "{0}"',
        '[[limit]]\nname = "l"\nrate = "1/day"\nper = "account"\nunit = "distinct:{0}"',
        '[[limit]]\nname = "l"\nrate = "1/day"\nper = "account"\ntiers = {{ "{0}" = {{ a = "unlimited" }} }}',
    ],
)
def test_what_is_found_out_cannot_be_named(name: str, text: str) -> None:
    written = POLICY.format(created="state:since", identities="") + KNOWN + text.format(name)
    with pytest.raises(PolicyError) as caught:
        Policy.from_toml(written)
    assert "identity-unknown" in {problem.code for problem in caught.value.problems}


@pytest.mark.parametrize("name", [*HIDDEN, "cluster"])
def test_no_caller_says_what_is_found_out(name: str) -> None:
    with pytest.raises(UsageError, match="no identity"):
        limiter().decide(identities={name: "1"})
