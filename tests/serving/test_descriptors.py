"""Descriptors become the facts of one request; what means nothing is said to mean nothing."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.serving.descriptors import (
    Described,
    DescriptorError,
    Facts,
    facts_of,
    headers_alone,
)
from ratelimit.serving.wire import read_call

IDENTITIES = ("account", "payment")
UNITS = ("requests", "tokens")
CLIENT = "192.0.2.1"


def descriptor(*entries: tuple[str, str], hits: int | None = None) -> Any:
    """Return a descriptor of these entries."""
    made = rls_pb2.RateLimitRequest().descriptors.add()
    for key, value in entries:
        made.entries.add(key=key, value=value)
    if hits is not None:
        made.hits_addend.value = hits
    return made


def described(*descriptors: Any) -> list[Described]:
    """Return descriptors as they are read off the wire."""
    return read_call(rls_pb2.RateLimitRequest(descriptors=descriptors).SerializeToString())[2]


def facts(*descriptors: Any, hits: int = 0) -> Facts:
    return facts_of(described(*descriptors), hits, IDENTITIES, UNITS)


def test_each_key_is_what_the_rule_says() -> None:
    found = facts(
        descriptor(
            ("account", "a1"),
            ("remote_address", "192.0.2.7"),
            ("path", "/v1/chat?x=1"),
            ("method", "post"),
            ("X-Api-Key", "k"),
        ),
        descriptor(("account", "a1"), ("payment", "card")),
    )
    assert found == Facts(
        method="POST",
        path="/v1/chat",
        client="192.0.2.7",
        identities={"account": "a1", "payment": "card"},
        headers=[(b"x-api-key", b"k")],
        costs={},
    )


COSTS = [
    ("none is what the policy says", (), 0, {}),
    (
        "none beside a unit is one",
        (("account", "a", 1), ("unit", "tokens", 0)),
        0,
        {"requests": 1, "tokens": 0},
    ),
    ("the call's", (), 5, {"requests": 5}),
    ("the descriptor's own", (("account", "a", 3),), 5, {"requests": 3}),
    ("its own, of nothing", (("account", "a", 0),), 5, {"requests": 0}),
    ("the largest of a unit", (("account", "a", 3), ("payment", "c", 9)), 5, {"requests": 9}),
    ("by unit", (("account", "a", 1), ("unit", "tokens", 812)), 0, {"requests": 1, "tokens": 812}),
    ("beyond what a cost holds", (("account", "a", 2**40),), 0, {"requests": 2**31 - 1}),
]


@pytest.mark.parametrize(("said", "hits", "costs"), [row[1:] for row in COSTS], ids=[row[0] for row in COSTS])
def test_hits_are_costs(said: Any, hits: int, costs: dict[str, int]) -> None:
    made = [descriptor((key, value), hits=own) for key, value, own in said] or [descriptor(("account", "a"))]
    assert facts(*made, hits=hits).costs == costs


def overriding() -> Any:
    made = descriptor(("account", "a"))
    made.limit.requests_per_unit = 5
    return made


WRONG = [
    ("a limit of its own", [overriding()], "brings a limit of its own"),
    ("unknown unit", [descriptor(("unit", "gold"))], "a unit that no limit has; there are requests, tokens"),
]


@pytest.mark.parametrize(("said", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_mistake_in_the_configuration_says_what_it_is(said: Any, says: str) -> None:
    with pytest.raises(DescriptorError, match=says):
        facts(*said)


ALONE = {"x-api-key": ("account",)}
ODD = ["", " ", " k ", "k,l", "\u00fc", "k\x00", "k" * 9000]
HEADERS = """\
[identities]
account = { from = "header:x-api-key" }
twin = { from = "header:x-api-key" }
either = { from = ["header:x-user", "header:x-org"], missing = "skip" }
org = { from = "header:x-org" }
agent = { from = "header:user-agent", missing = "shared" }
cookie = { from = "cookie:session" }
"""


def test_header_is_given_by_name_where_it_alone_says_an_identity() -> None:
    compiled = Policy.from_toml("version = 1\n" + HEADERS).compiled
    alone = headers_alone(compiled.identities)
    assert alone == {"x-api-key": ("account", "twin"), "user-agent": ("agent",)}
    names = {spec.name for spec in compiled.identities}
    said = descriptor(("X-Api-Key", "k"), ("x-org", "o"), ("account", "told"))
    found = facts_of(described(said), 0, names, UNITS, alone)
    assert found.identities == {"account": "told", "twin": "k"}
    assert found.headers == [(b"x-org", b"o")]


@given(value=st.text(max_size=40) | st.sampled_from(ODD))
def test_header_given_by_name_counts_with_the_same_header(value: str) -> None:
    text = "version = 1\n" + HEADERS + '[[limit]]\nname = "a"\nper = "account"\nrate = "2/day"\n'
    limiter = Limiter(Policy.from_toml(text), clock=ManualClock())
    said = facts_of(described(descriptor(("x-api-key", value))), 0, limiter.current.names, UNITS, ALONE)
    try:
        field = [(b"x-api-key", value.encode("utf-8", "surrogateescape"))]
        verdicts = [
            limiter.decide(headers=field, client=CLIENT).allowed,
            limiter.decide(identities=said.identities, headers=said.headers, client=CLIENT).allowed,
            limiter.decide(headers=field, client=CLIENT).allowed,
        ]
    finally:
        limiter.close()
    # Both are the same caller's: the third is beyond two a day. A value that is none is refused by each.
    assert verdicts in ([True, True, False], [False, False, False])
