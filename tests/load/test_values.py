"""A limit that follows the load for each value of an identity, as for each model behind a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.decision import Reason
from ratelimit.errors import PolicyError
from ratelimit.inspection.hosts.moment import FlightsHere
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.requests.explaining import in_force
from ratelimit.load.explanation import rooms_of
from ratelimit.load.following import _place
from ratelimit.load.metrics import value_counter
from ratelimit.load.values import IDLE_NS, LEAVING_NS, MOST_VALUES, SECOND_NS, LoadValues, known_values
from ratelimit.stores.embedded.mapping import COMPANION
from ratelimit.telemetry.collector import RateLimitCollector

ONE_CLASS = '[adaptive]\n[[class]]\nname = "a"\nwhen = { plan = "pro" }\n'
POLICY = """
version = 1
[store]
{store}
[hashing]
key = "env:VALUES_KEY"
[identities]
model = {{ from = "state:model" }}
[adaptive]
name = "chat"
first_byte = "1s"
in_flight = [1, 1, 1]
per = "model"
"""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUES_KEY", "k" * 32)


def limiter_of(store: str = 'memory = "private"', clock: ManualClock | None = None) -> Limiter:
    return Limiter(Policy.from_toml(POLICY.format(store=store)), clock=clock or ManualClock(10**18))


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    made = limiter_of()
    yield made
    made.close()


def ask(limiter: Limiter, model: str | None) -> Any:
    state = {} if model is None else {"model": model}
    return limiter.decide(method="POST", path="/v1/chat", state=state)


def values_of(limiter: Limiter) -> LoadValues[Any]:
    assert limiter.load is not None
    assert limiter.load.values is not None
    return limiter.load.values


def in_flight(limiter: Limiter) -> dict[str, int]:
    return {name: load.flight.counts(limiter.now_ns())[0] for name, load in limiter.every_load.items()}


def pass_time(limiter: Limiter, ns: int, *also: Limiter) -> None:
    clock: Any = limiter.clock
    ends_ns = clock.now_ns() + ns
    while clock.now_ns() < ends_ns:
        clock.advance(min(5.0, (ends_ns - clock.now_ns()) / SECOND_NS))
        for each in (limiter, *also):
            assert each.load is not None
            each.load.heartbeat()


def test_each_value_has_room_of_its_own(limiter: Limiter) -> None:
    a, b = ask(limiter, "a"), ask(limiter, "b")
    assert a.allowed
    assert b.allowed
    assert ask(limiter, "a").reason is Reason.CAPACITY
    assert in_flight(limiter) == {"chat": 0, "chat 1": 1, "chat 2": 1}
    a.release(200)
    assert ask(limiter, "a").allowed
    assert ask(limiter, "b").reason is Reason.CAPACITY
    b.release(200)


def test_requests_without_a_value_share_a_limit(limiter: Limiter) -> None:
    held = ask(limiter, None)
    assert ask(limiter, None).reason is Reason.CAPACITY
    assert ask(limiter, "a").allowed
    assert in_flight(limiter)["chat"] == 1
    held.release(200)


def test_values_beyond_the_sixteenth_share_a_limit(limiter: Limiter) -> None:
    held = [ask(limiter, f"m{number}") for number in range(MOST_VALUES + 1)]
    assert all(each.allowed for each in held)
    assert len(limiter.every_load) == MOST_VALUES + 1
    for number in range(100):
        assert ask(limiter, f"invented{number}").reason is Reason.CAPACITY
    assert len(limiter.every_load) == MOST_VALUES + 1
    assert ask(limiter, "m3").reason is Reason.CAPACITY
    for each in held:
        each.release(200)


def test_each_value_learns_a_target_of_its_own() -> None:
    policy = POLICY.format(store='memory = "private"').replace('first_byte = "1s"\n', "")
    limiter = Limiter(Policy.from_toml(policy), clock=ManualClock(10**18))
    for model, seconds in (("slow", 2.0), ("quick", 0.1)) * 40:
        decision = ask(limiter, model)
        limiter.clock.advance(seconds)  # type: ignore[attr-defined]
        decision.first_byte()
        limiter.clock.advance(0.5)  # type: ignore[attr-defined]
        decision.release(200)
    rest, slow, quick = (load.state().target_ns for load in limiter.every_load.values())
    assert rest == 0
    assert slow > 4 * SECOND_NS
    assert 0 < quick < SECOND_NS
    limiter.close()


def test_idle_values_are_forgotten_and_begin_afresh(limiter: Limiter) -> None:
    for number in range(MOST_VALUES):
        ask(limiter, f"m{number}").release(200)
    pass_time(limiter, IDLE_NS - SECOND_NS)
    ask(limiter, "m0").release(200)
    pass_time(limiter, SECOND_NS)
    assert list(in_flight(limiter)) == ["chat", "chat 1"]
    pass_time(limiter, LEAVING_NS)
    assert ask(limiter, "new").allowed
    assert list(in_flight(limiter)) == ["chat", "chat 1", "chat 2"]


def test_a_value_with_a_request_under_way_is_kept(limiter: Limiter) -> None:
    long = ask(limiter, "a")
    for _ in range(3):
        pass_time(limiter, IDLE_NS // 2)
        long.settle(tokens=1)  # it goes on
    assert in_flight(limiter)["chat 1"] == 1
    assert ask(limiter, "a").reason is Reason.CAPACITY
    long.release(200)


def test_workers_share_each_value(tmp_path: Path) -> None:
    clock = ManualClock(10**18)
    store = f'memory = "{tmp_path / "table"}"'
    one, two = limiter_of(store, clock), limiter_of(store, clock)
    try:
        held = ask(one, "a")
        assert ask(two, "a").reason is Reason.CAPACITY
        assert ask(two, "b").allowed
        # The one that speaks for the host sees values of others.
        assert list(in_flight(one)) == ["chat", "chat 1", "chat 2"]
        held.release(200)
        assert ask(two, "a").allowed
        key = one.store.hasher.key
        assert [cell for cell, _ in known_values(one.store.place, key, "chat")] == [0, 1]
        pass_time(one, IDLE_NS + LEAVING_NS, two)
        assert known_values(one.store.place, key, "chat") == []
        # Their memory is gone with them; only what all share is left.
        left = list(tmp_path.glob(f"*{COMPANION}flight-*"))
        assert len(left) == 1
    finally:
        one.close()
        two.close()


def test_workers_meet_again_after_the_memory_of_values_is_lost_or_damaged(tmp_path: Path) -> None:
    clock = ManualClock(10**18)
    store = f'memory = "{tmp_path / "table"}"'
    one, two = limiter_of(store, clock), limiter_of(store, clock)
    try:
        for harm in ("lost", "damaged"):
            ask(one, "a").release(200)
            beside = tmp_path.glob(f"*{COMPANION}values-*")
            cells = next(path for path in beside if not path.name.endswith(("-lock", ".damaged")))
            if harm == "lost":
                cells.unlink()
            else:
                with cells.open("r+b") as file:
                    file.write(b"\xff" * 4096)
            for each in (one, two):
                assert each.load is not None
                assert each.load.heartbeat() is not None
            held = ask(one, "a")
            assert ask(two, "a").reason is Reason.CAPACITY
            held.release(200)
    finally:
        one.close()
        two.close()


def test_metrics_name_values_by_few_numbers(limiter: Limiter) -> None:
    ask(limiter, "a secret model").release(200)
    groups = [watched.group for watched in limiter.watched_loads]
    assert groups == ["chat", "chat 1"]
    assert [watched.classes for watched in limiter.watched_loads] == [("all",), ()]


def test_what_is_shed_counts_for_the_limit_of_all_values(limiter: Limiter) -> None:
    held = ask(limiter, "a")
    ask(limiter, "a")
    (load,) = [load for name, load in limiter.every_load.items() if name == "chat 1"]
    assert load.state().shed == {"all": 1}
    held.release(200)


def test_what_each_value_sheds_is_counted_by_its_number(limiter: Limiter) -> None:
    """Hazard: one of sixteen models is shed, and nothing says which."""
    held = [ask(limiter, model) for model in "ab"]
    for _ in range(3):
        ask(limiter, "b")
    shed = {
        (each.labels["group"], each.labels["mode"]): each.value
        for family in RateLimitCollector(limiter).collect()
        for each in family.samples
        if each.name == "ratelimit_load_shed_by_value_total"
    }
    assert shed == {
        ("chat 1", "enforce"): 0,
        ("chat 1", "shadow"): 0,
        ("chat 2", "enforce"): 3,
        ("chat 2", "shadow"): 0,
    }
    for each in held:
        each.release(200)


def test_counters_of_sixteen_values_are_four() -> None:
    """The table has 288 counters for 256 limits."""
    cells = [(cell, mode) for cell in range(MOST_VALUES) for mode in (False, True)]
    found = [value_counter("chat", cell, in_shadow=mode) for cell, mode in cells]
    assert len(set(found)) == len(found)
    assert len({counter for counter, _ in found}) == 4


def test_check_says_what_has_a_limit_of_its_own(limiter: Limiter) -> None:
    (told,) = in_force(limiter.policy)
    assert "a limit and a target for each `model`, 16 at one time" in told.data["on"]


def test_value_that_clients_choose_is_said_and_reports_are_refused() -> None:
    header = POLICY.format(store='memory = "private"').replace("state:model", "header:x-model")
    assert "adaptive-asserted" in {each.code for each in Policy.from_toml(header).warnings}
    assert "adaptive-asserted" not in {
        each.code for each in Policy.from_toml(POLICY.format(store='memory = "private"')).warnings
    }
    by_class = f'[identities]\nplan = {{ from = "%s" }}\n{ONE_CLASS}'
    for source, asserted in (("header:x-plan", ["class[0].when"]), ("state:plan", [])):
        warned = Policy.from_toml(f"version = 1\n{by_class % source}").warnings
        assert [each.key for each in warned if each.code == "adaptive-asserted"] == asserted
    reports = POLICY.format(store='memory = "private"') + 'reports = "http://127.0.0.1:1/metrics"\n'
    with pytest.raises(PolicyError, match="with `per` no page"):
        Policy.from_toml(reports)


def test_hosts_meet_by_the_value_whatever_its_number(limiter: Limiter) -> None:
    other = limiter_of()
    for each, models in ((limiter, "ab"), (other, "ba")):
        for model in models:
            ask(each, model).release(200)
    places = [[_place(each, load) for load in each.every_load.values()] for each in (limiter, other)]
    assert places[0][0] == places[1][0] == "chat"
    assert places[0][1:] == places[1][:0:-1]
    assert places[0][1] != places[0][2]
    other.close()


def test_screens_show_values_by_their_hash(tmp_path: Path) -> None:
    limiter = limiter_of(f'memory = "{tmp_path / "table"}"')
    held = ask(limiter, "a")
    with ExitStack() as stack:
        store: Any = limiter.store
        shown = {
            group: flight.counts(limiter.now_ns())[0]
            for group, _, flight in FlightsHere(store, stack).of(limiter.policy)
        }
        (value,) = (value for _, value in known_values(store.place, store.hasher.key, "chat"))
        assert shown == {"chat": 0, f"chat {short_hash(value)}": 1}
        rooms = stack.enter_context(rooms_of(limiter.policy, store))
        assert rooms is not None
        for model, has_room in (("a", False), ("b", True)):
            given = (None, None, None, (), {"model": model}, None)
            asked = limiter._inquiry(None, "POST", "/v1/chat", "request", given)
            assert asked is not None
            room = rooms.of(*asked[:3], limiter.now_ns())
            assert room is not None
            assert room.has_room == has_room
    held.release(200)
    limiter.close()
