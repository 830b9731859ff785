"""`decide` by names is one compiled call where names say all, and says what the decider says."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ratelimit
from ratelimit import Limiter, ManualClock, Policy, UsageError
from ratelimit.decision import Reason
from ratelimit.telemetry.names import COUNTER_REQUESTS
from tests.asgi.driver import limit, rules
from tests.support.acting import START_NS
from tests.support.campaign import policy_text

KEY = '[hashing]\nkey = "00112233445566778899aabbccddeeff"'
KINDS = """
account = { from = "header:x-api-key" }
token   = { from = "header:authorization", missing = "skip" }
user    = { from = "state:user", missing = "skip" }
number  = { from = "state:number", missing = "shared" }
either  = { from = ["header:x-a", "cookie:a"], missing = "skip" }
insisted = { from = "header:x-tenant", missing = "refuse" }
ip      = { from = "client" }
network = { from = "client/24/48" }
"""
PLAIN = rules(
    limit("accounts", "account", "3/minute"),
    limit("tokens", "token", "3/minute"),
    limit("users", "user", "3/minute", match="GET /u/*"),
    limit("numbers", "number", "9/minute"),
    limit("eithers", "either", "3/minute"),
    limit("tenants", "insisted", "3/minute", match="/t"),
    limit("addresses", "ip", "5/minute"),
    limit("networks", "network", "7/minute", match="POST /*"),
    limit("shadowed", "account", "1/minute", mode="shadow"),
    identities=KINDS,
    more=KEY,
)
LISTS = rules(limit("accounts", "account", "3/minute"), more=KEY + '\n[deny]\naccount = ["bad"]')
PATHS = rules(
    limit("tenants", "tenant", "2/minute", match="/t/{tenant}"),
    identities='tenant = { from = "path:tenant", missing = "skip" }',
    more=KEY,
)
NAMES = ["account", "token", "user", "number", "either", "insisted", "ip", "network"]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["a", "b", " a ", "", "  ", "Bearer a", "token a", "\x00", "é", "a" * 5000, "\udc80"]),
    st.sampled_from([b"a", b"b", b"\xff", b""]),
    st.sampled_from(
        ["192.0.2.1", "192.0.2.77", "2001:db8::1", "::ffff:192.0.2.1", "testclient", "192.0.2.999"]
    ),
)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "PURGE"]),
        st.sampled_from(["/", "/u/1", "/t", "/t/a", "/other/x"]),
        st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
        st.sampled_from([None, None, "192.0.2.1", "192.0.2.9", "testclient", ""]),
        st.sampled_from([0, 1, 30, -5]),
    ),
    min_size=1,
    max_size=30,
)


class Pair:
    """The same policy twice: as it is, and with the decider alone."""

    def __init__(self, text: str) -> None:
        self.clock = ManualClock(START_NS)
        self.short, self.long = (Limiter(Policy.from_toml(text), clock=self.clock) for _ in range(2))
        self.long.current.by_name = None

    def decide(
        self, method: str, path: str, names: Mapping[str, str | bytes], client: str | None = None
    ) -> Any:
        """Return what both say of a request, which is the same."""
        said = []
        for limiter in (self.short, self.long):
            found = limiter.decide(method=method, path=path, identities=names, client=client)
            said.append(
                (found.allowed, found.reason, found.verdicts, found.binding, found.cluster, found.verdict)
            )
        assert said[0] == said[1], (method, path, names)
        return said[0]

    def counts(self) -> list[list[int]]:
        """Return what both have counted."""
        return [one.table.totals(one.table.counter(COUNTER_REQUESTS)) for one in (self.short, self.long)]


@given(calls=CALLS)
@pytest.mark.parametrize("text", [PLAIN, LISTS, PATHS], ids=["plain", "lists", "paths"])
def test_short_way_says_what_the_ladder_says(text: str, calls: Any) -> None:
    pair = Pair(text)
    known = pair.short.current.names
    for method, path, names, client, later_s in calls:
        pair.clock.advance(later_s)
        named = {"ip": "192.0.2.1", **names} if later_s == 1 else names
        pair.decide(method, path, {name: value for name, value in named.items() if name in known}, client)
    short, long = pair.counts()
    assert short == long


PLAINLY = Pair(PLAIN)


@given(
    names=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5),
    client=st.sampled_from([None, "192.0.2.1", "2001:db8::1", "testclient", "", "\udc80"]),
)
def test_identities_are_those_that_extraction_finds(
    names: dict[str, str | bytes], client: str | None
) -> None:
    bound = PLAINLY.short.current
    assert bound.by_name is not None
    found = bound.by_name.identities(names, client)
    assert found is None or found == bound.extractor.from_values(names, client)


def test_identities_are_found_without_python_where_names_are_plain() -> None:
    gate = Pair(PLAIN).short.current.by_name
    assert gate is not None
    assert gate.identities({"account": "a", "user": b"u"}, "192.0.2.1") is not None
    assert gate.identities({"token": "Bearer a"}, "192.0.2.1") is None
    assert gate.identities({"nothing": "a"}, "192.0.2.1") is None
    assert gate.identities(None, "192.0.2.1") is not None


def test_short_way_is_taken_where_names_say_all() -> None:
    assert all(Pair(text).short.current.by_name is not None for text in (PLAIN, LISTS, PATHS))
    gate = Pair(PLAIN).short.current.by_name
    assert gate is not None
    taken = [
        ({"account": "a"}, True),
        ({"account": b"a", "user": "u"}, True),
        ({"account": " a "}, True),
        ({"account": "é"}, False),  # its UTF-8 is the decider's business
        ({"token": "Bearer a"}, False),
        ({"network": "192.0.2.1"}, False),
        ({"nothing": "a"}, False),
        ({"account": 7}, False),
    ]
    for names, is_taken in taken:
        asked: Any = {"ip": "192.0.2.1", **names}
        assert (gate.decide("GET", "/", asked, None, (), None, None, START_NS) is not None) is is_taken, names
    named = {"account": "a", "ip": "192.0.2.1"}
    insisted = gate.decide("GET", "/t", named, None, (), None, None, START_NS)
    unaddressed = gate.decide("GET", "/", {"account": "a"}, None, (), None, None, START_NS)
    for found in (insisted, unaddressed):
        assert found is not None
        assert (found.allowed, found.reason) == (False, Reason.IDENTITY)


def test_name_that_the_policy_does_not_have_is_a_mistake_as_before() -> None:
    pair = Pair(PLAIN)
    with pytest.raises(UsageError, match="no identity 'nothing'"):
        pair.short.decide(identities={"account": "a", "nothing": "b"})
    assert pair.counts()[0] == pair.counts()[1]


def test_clusters_sightings_and_upkeep_are_the_same() -> None:
    pair = Pair(f"{policy_text(budget='40/day')}\n{KEY}")
    for limiter in (pair.short, pair.long):
        assert limiter.clustering is not None
        limiter.clustering._elapsed_ns = lambda: 0
    for number in range(600):
        pair.clock.advance(90)
        bot = number % 30
        names = {
            "account": f"bot{bot}",
            "payment": f"card{bot % 3}",
            "ip": f"45.1.{number % 20}.7",
            "client": "farm",
        }
        pair.decide("GET", "/v1/x", names)
    short, long = (limiter.correlation for limiter in (pair.short, pair.long))
    assert short == long
    assert short["taken"] > 500
    assert pair.counts()[0] == pair.counts()[1]


def test_costs_settle_after_the_short_way() -> None:
    text = rules(limit("tokens", rate="100/minute", unit="tokens", cost=10), more=KEY)
    pair = Pair(text)
    found = pair.short.decide(identities={"account": "a"})
    found.settle(tokens=35)
    assert found.verdicts[0].cost == 35
    assert pair.short.peek(identities={"account": "a"}, costs={"tokens": 0}).verdicts[0].remaining == 65


def test_reload_and_calendar_take_the_policy_in_force(tmp_path: Any) -> None:
    path = tmp_path / "policy.toml"
    text = rules(limit("a", rate="1/day", algorithm="fixed-window"), more='[store]\nmemory = "private"')
    path.write_text(text)
    clock = ManualClock(START_NS)
    limiter = Limiter(path, clock=clock)
    assert [limiter.decide(identities={"account": "a"}).allowed for _ in range(2)] == [True, False]
    path.write_text(text.replace("1/day", "5/day"))
    assert limiter.reload().result == "applied"
    assert [limiter.decide(identities={"account": "a"}).allowed for _ in range(5)] == [True] * 4 + [False]


class Method(StrEnum):
    POST = "POST"


def test_method_may_be_of_a_kind_of_text() -> None:
    for limiter in (Pair(PLAIN).short, Pair(PLAIN).long):
        asked = [limiter.decide(method=Method.POST, identities={"account": "a", "ip": "192.0.2.1"})]
        assert [verdict.limit for verdict in asked[0].verdicts if verdict.limit == "networks"] == ["networks"]


def test_compiled_call_shows_what_it_takes() -> None:
    stub = ast.parse((Path(ratelimit.__file__).parent / "deciding" / "by_name.pyi").read_text())
    (kind,) = (one for one in stub.body if isinstance(one, ast.ClassDef) and one.name == "DecidesByName")
    (written,) = (one for one in kind.body if isinstance(one, ast.FunctionDef) and one.name == "decide")
    shown = list(inspect.signature(Limiter.decide).parameters.values())
    assert [one.name for one in shown] == ["self", *(one.arg for one in written.args.kwonlyargs)]
    defaults = [ast.literal_eval(default) for default in written.args.kw_defaults if default is not None]
    assert [one.default for one in shown[1:]] == defaults
    assert {one.kind for one in shown[1:]} == {inspect.Parameter.KEYWORD_ONLY}
    assert inspect.getdoc(Limiter.decide) == ast.get_docstring(written)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"wrong": 1}, "unexpected keyword argument 'wrong'"),
        ({"now_ns": "now"}, "time is an integer"),
    ],
)
def test_wrong_arguments_are_refused_in_words(call: Any, words: str) -> None:
    limiter = Pair(PLAIN).short
    with pytest.raises(TypeError, match=words):
        limiter.decide(identities={"account": "a", "ip": "192.0.2.1"}, **call)


def test_limiter_whose_constructor_was_not_run_says_so() -> None:
    with pytest.raises(ValueError, match="never initialised"):
        Limiter.__new__(Limiter).decide()
