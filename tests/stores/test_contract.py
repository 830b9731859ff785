"""The contract of a store is enough: one written from it keeps the laws and serves every way to decide."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings

from ratelimit import Limiter, Policy, UsageError
from ratelimit.clock import ManualClock
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.store import EmbeddedStore
from ratelimit.telemetry.names import COUNTER_REQUESTS
from ratelimit.wsgi.middleware import RateLimitMiddleware as WSGILimits
from tests.asgi.driver import key, limit, mount, ok, rules
from tests.support.cores import compiled_rule
from tests.support.dictionary import DictionaryStore, FarStore
from tests.support.laws import admission, clocks, corrections, costs
from tests.support.rule import EPOCH, RuleSpec
from tests.support.streams import Stream, specs, streams

Case = tuple[RuleSpec, Stream]


class StoreCore:
    """A store as the laws see what they are run against."""

    name = "dictionary"
    grain_ns = 1

    def table(self, now_ns: int = EPOCH, keys: int = 256) -> Any:
        return DictionaryStore(ManualClock(now_ns))

    def plan(
        self,
        table: Any,
        specs: Sequence[RuleSpec],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
    ) -> Any:
        return table.plan([compiled_rule(spec) for spec in specs], keys, members, cost_positions)


OF_STREAMS = [
    admission.keeps_bound, admission.admits_exactly, admission.wait_is_exact, admission.remaining_is_exact,
    admission.reset_is_exact, admission.keys_are_apart, costs.splitting_never_gains,
    costs.peeks_change_nothing, costs.refusals_charge_nothing, costs.charges_are_exact,
    corrections.settling_less_is_charging_less,
    corrections.settling_more_is_charging_more, corrections.the_last_report_stands,
    corrections.reports_at_any_time_never_mint,
]  # fmt: skip
OF_RULES = [
    admission.reaches_bound, clocks.step_back_refills_nothing, clocks.shallow_swing_mints_nothing,
    corrections.refusals_have_nothing_to_settle, corrections.debt_is_bounded,
    corrections.a_late_overrun_is_charged,
]  # fmt: skip


@pytest.mark.parametrize("law", OF_STREAMS, ids=lambda law: law.__name__)
@settings(max_examples=20)
@given(case=streams())
def test_law_of_streams(law: Callable[..., None], case: Case) -> None:
    law(StoreCore(), *case)


@pytest.mark.parametrize("law", OF_RULES, ids=lambda law: law.__name__)
@settings(max_examples=20)
@given(spec=specs())
def test_law_of_rules(law: Callable[..., None], spec: RuleSpec) -> None:
    law(StoreCore(), spec)


@settings(max_examples=20)
@given(case=streams(backwards=True))
def test_steps_back_never_mint(case: Case) -> None:
    clocks.steps_back_never_mint(StoreCore(), *case)


MANY = rules(
    limit("bucket", rate="5/second", burst=9),
    limit("window", rate="20/minute", algorithm="fixed-window"),
    limit("sliding", rate="30/minute", algorithm="sliding-window"),
    limit("log", rate="25/minute", algorithm="sliding-log"),
    limit("tokens", rate="200/minute", unit="tokens", cost=5),
    limit("watched", rate="3/minute", mode="shadow"),
)


def told(decision: Any) -> tuple[Any, ...]:
    return (decision.allowed, decision.reason, decision.retry_after_ns, decision.verdicts)


def test_limiter_says_of_a_dictionary_what_it_says_of_memory() -> None:
    """Names, paths, costs, settlements and peeks, decision by decision."""
    draw, clock = random.Random(5), ManualClock()
    stores: list[Store] = [EmbeddedStore.private(keys=1000, clock=clock), DictionaryStore(clock)]
    limiters = [Limiter(Policy.from_toml(MANY), store=store, clock=clock) for store in stores]
    answers = set()
    for _ in range(600):
        clock.advance(draw.choice([0.0, 0.05, 0.3, 2.0]))
        asked = {"identities": {"account": draw.choice("ab")}, "costs": {"tokens": draw.randrange(40)}}
        decided = [limiter.decide(**asked) for limiter in limiters]
        assert told(decided[0]) == told(decided[1])
        if draw.random() < 0.3:
            used = draw.randrange(60)
            for decision in decided:
                decision.settle(tokens=used)
        assert told(limiters[0].peek(**asked)) == told(limiters[1].peek(**asked))
        answers.add(decided[0].allowed)
    assert answers == {True, False}
    assert all(store.decides_here for store in stores)


@pytest.mark.parametrize("make", [DictionaryStore, FarStore])
async def test_middleware_answers_from_a_dictionary_as_from_memory(make: Callable[..., Store]) -> None:
    clocks_of = [ManualClock(), ManualClock()]
    memory = mount(MANY, clock=clocks_of[0])
    other = mount(MANY, clock=clocks_of[1], store=make(clocks_of[1]))
    statuses = set()
    for number in range(80):
        for clock in clocks_of:
            clock.advance(0.11)
        found = [await each.client("GET", "/", key("ab"[number % 2])) for each in (memory, other)]
        assert found[0].messages == found[1].messages
        statuses.add(found[0].status)
    assert statuses == {200, 429}


@pytest.mark.parametrize("make", [DictionaryStore, FarStore])
async def test_slots_are_given_back_when_a_request_ends(make: Callable[..., Store]) -> None:
    clock = ManualClock()
    subject: Any = None
    inner: list[int] = []

    async def nested(scope: Any, receive: Any, send: Any) -> None:
        if not inner:
            inner.append(0)
            inner[0] = (await subject.client("GET", "/", key("a"))).status
        await ok(scope, receive, send)

    subject = mount(rules(limit("slots", rate="", concurrent=1)), nested, clock=clock, store=make(clock))
    assert (await subject.client("GET", "/", key("a"))).status == 200
    assert inner == [429]
    assert (await subject.client("GET", "/", key("a"))).status == 200


def test_counters_outlive_a_reload(tmp_path: Any) -> None:
    path, clock = tmp_path / "policy.toml", ManualClock()
    path.write_text(rules(limit(rate="3/minute", algorithm="fixed-window")))
    limiter = Limiter(path, store=DictionaryStore(clock), clock=clock)
    for _ in range(3):
        assert limiter.decide(identities={"account": "a"}).allowed
    path.write_text(rules(limit(rate="4/minute", algorithm="fixed-window")))
    assert limiter.reload().result == "applied"
    assert [limiter.decide(identities={"account": "a"}).allowed for _ in range(2)] == [True, False]


def test_requests_are_counted_without_a_table() -> None:
    clock = ManualClock()
    store = DictionaryStore(clock)
    limiter = Limiter(Policy.from_toml(rules(limit(rate="2/minute"))), store=store, clock=clock)
    for _ in range(5):
        limiter.decide(identities={"account": "a"})
    assert store.table is None
    assert sum(limiter.table.totals(limiter.table.counter(COUNTER_REQUESTS))) == 5


async def test_awaited_store_is_awaited_by_every_door() -> None:
    clock = ManualClock()
    limiter = Limiter(Policy.from_toml(rules(limit(rate="2/minute"))), store=FarStore(clock), clock=clock)
    with pytest.raises(UsageError, match="await") as raised:
        limiter.decide(identities={"account": "a"})
    assert raised.value.code == "store-remote"
    found = [(await limiter.adecide(identities={"account": "a"})).allowed for _ in range(3)]
    assert found == [True, True, False]
    assert not (await limiter.apeek(identities={"account": "a"})).allowed


def test_awaited_store_serves_wsgi() -> None:
    clock = ManualClock()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"ok"]

    limiter = Limiter(Policy.from_toml(rules(limit(rate="2/minute"))), store=FarStore(clock), clock=clock)
    subject = WSGILimits(app, limiter=limiter)
    statuses: list[str] = []
    for _ in range(3):
        environ = {
            "REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "192.0.2.1", "HTTP_X_API_KEY": "a",
        }  # fmt: skip
        list(subject(environ, lambda status, headers, error=None: statuses.append(status[:3])))
    assert statuses == ["200", "200", "429"]


async def test_several_workers_are_told_that_each_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit.asgi.middleware.several_workers", lambda: True)
    clock = ManualClock()
    subject = mount(rules(limit()), clock=clock, store=DictionaryStore(clock))
    said: list[str] = []
    monkeypatch.setattr(subject.middleware.limiter.runtime, "diagnose", lambda code, **_: said.append(code))
    await subject.client("GET", "/", key("a"))
    assert said == ["private-memory"]


class OldStore(DictionaryStore):
    """A store from before the sliding window."""

    algorithms = frozenset({"token-bucket", "fixed-window"})


class SilentStore(DictionaryStore):
    """A store that does not say what it knows."""

    algorithms = Store.algorithms  # type: ignore[assignment]


def test_algorithm_that_a_store_does_not_know_is_refused_at_binding() -> None:
    clock = ManualClock()
    known = rules(limit("bucket"), limit("window", algorithm="fixed-window"))
    assert Limiter(Policy.from_toml(known), store=OldStore(clock), clock=clock).decide().allowed
    for store in (OldStore(clock), SilentStore(clock)):
        with pytest.raises(UsageError, match=r"slide \(sliding-window\)") as raised:
            Limiter(
                Policy.from_toml(rules(limit("slide", algorithm="sliding-window"))), store=store, clock=clock
            )
        assert raised.value.code == "store-algorithm"


def test_reload_with_an_algorithm_that_the_store_does_not_know_changes_nothing(tmp_path: Any) -> None:
    path, clock = tmp_path / "policy.toml", ManualClock()
    path.write_text(rules(limit(rate="3/minute", algorithm="fixed-window")))
    limiter = Limiter(path, store=OldStore(clock), clock=clock)
    path.write_text(rules(limit(rate="3/minute", algorithm="sliding-window")))
    reload = limiter.reload()
    assert reload.result == "rejected"
    assert isinstance(reload.error, UsageError)
    assert reload.error.code == "store-algorithm"
    assert [limiter.decide(identities={"account": "a"}).allowed for _ in range(4)] == [True] * 3 + [False]
