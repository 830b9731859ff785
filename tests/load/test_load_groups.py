"""Several limits that follow the load: each counts its own requests, and sheds and holds those alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Policy
from ratelimit.telemetry import RateLimitCollector
from ratelimit.waiting.compile import queue_of
from tests.load.held import Gateway, status
from tests.load.test_adaptive import Server, begin_many, go

SECOND = 10**9
TWO = """
version = 1
[store]
memory = "private"
[[adaptive]]
name = "chat"
match = "POST /v1/chat"
first_byte = "1s"
in_flight = [1, 4, 8]
[[adaptive]]
name = "search"
match = "POST /v1/search"
first_byte = "100ms"
in_flight = [1, 2, 8]
[[class]]
name = "paid"
match = "POST /v1/search"
[[class]]
name = "free"
match = "* /v1/search"
"""
BY_THE_GATE = '[[limit]]\nname = "requests"\nper = "ip"\nrate = "1000/minute"\n'


@pytest.fixture(params=["", BY_THE_GATE], ids=["decider", "gate"])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(TWO + request.param)


def statuses(begun: list[tuple[Any, list[Any]]]) -> list[int]:
    return [sent[0]["status"] for _, sent in begun]


def begin_all(server: Server, count: int, path: str) -> list[tuple[Any, list[Any]]]:
    """Begin requests that stay open: a request that is forgotten here would be closed, and counted out."""
    begun = begin_many(server, count, path)
    server.open += begun
    return begun


def unanswered(server: Server) -> dict[str, int]:
    return {name: load.state().unanswered for name, load in server.middleware.limiter.loads.items()}


def test_one_back_end_that_is_full_sheds_its_own_requests_alone(server: Server):
    assert statuses(begin_all(server, 5, "/v1/chat")) == [200] * 4 + [503]
    begun = begin_all(server, 3, "/v1/search")
    assert statuses(begun) == [200] * 2 + [503]
    assert unanswered(server) == {"chat": 4, "search": 2}
    loads = server.middleware.limiter.loads
    assert loads["chat"].state().shed == {"all": 1}
    assert loads["search"].state().shed == {"paid": 1, "free": 0}
    while not go(begun[0][0]):
        pass
    assert unanswered(server) == {"chat": 4, "search": 1}
    assert server.limit is loads["chat"]  # `limiter.load` is the first


def test_what_no_limit_is_on_is_neither_counted_nor_shed(server: Server):
    begin_all(server, 5, "/v1/chat")
    assert statuses(begin_all(server, 20, "/health")) == [200] * 20
    assert unanswered(server) == {"chat": 4, "search": 0}


def test_metrics_tell_the_limits_apart(server: Server):
    begin_all(server, 5, "/v1/chat")
    begin_all(server, 1, "/v1/search")
    found = {
        (sample.labels["group"], sample.labels.get("class", sample.labels.get("state"))): sample.value
        for family in RateLimitCollector(server.middleware.limiter).collect()
        for sample in family.samples
        if sample.name == "ratelimit_load_requests"
        or (sample.name == "ratelimit_load_shed_total" and sample.labels["of"] == "others")
        if sample.labels.get("mode") != "shadow"
    }
    assert found == {
        ("chat", "answering"): 0,
        ("chat", "waiting"): 4,
        ("chat", "all"): 1,
        ("search", "answering"): 0,
        ("search", "waiting"): 1,
        ("search", "paid"): 0,
        ("search", "free"): 0,
    }


def _without(name: str) -> str:
    head, *tables = TWO.split("[[adaptive]]\n")
    return "[[adaptive]]\n".join([head, *(table for table in tables if f'name = "{name}"' not in table)])


def test_limit_that_a_reload_takes_away_and_brings_back_knows_what_is_in_flight(tmp_path: Path):
    """Hazard: positions of limits change with the file, and what is in flight is counted out elsewhere."""
    file = tmp_path / "policy.toml"
    file.write_text(TWO)
    server = Server(file)
    begun = begin_all(server, 3, "/v1/chat") + begin_all(server, 2, "/v1/search")
    file.write_text(_without("chat"))
    assert server.middleware.limiter.reload().result == "applied"
    assert statuses(begin_all(server, 6, "/v1/chat")) == [200] * 6  # no limit is on it now
    assert statuses(begin_all(server, 1, "/v1/search")) == [503]
    assert unanswered(server) == {"search": 2}
    for step, _ in begun:
        while not go(step):
            pass
    file.write_text(TWO)
    assert server.middleware.limiter.reload().result == "applied"
    assert unanswered(server) == {"chat": 0, "search": 0}


def test_workers_share_each_limit_by_its_name_whatever_the_order_of_the_file(tmp_path: Path):
    """Hazard: a worker that has not read the changed file yet counts into another limit's memory."""
    text = TWO.replace('memory = "private"', f'memory = "{tmp_path / "table"}"')
    head, chat, search = text.split("[[adaptive]]\n")
    one, other = Server(text), Server("[[adaptive]]\n".join([head, search, chat]))
    begin_all(one, 3, "/v1/chat")
    begin_all(other, 1, "/v1/search")
    assert unanswered(one) == unanswered(other) == {"chat": 3, "search": 1}
    for server in (one, other):
        server.middleware.limiter.close()


HELD = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key" }
[[adaptive]]
name = "chat"
match = "POST /v1/chat"
first_byte = "1s"
in_flight = [1, 40, 400]
[[adaptive]]
name = "search"
match = "POST /v1/search"
first_byte = "1s"
"""


@pytest.fixture
def held() -> Iterator[Gateway]:
    gateway = Gateway(HELD)
    yield gateway
    gateway.limiter.close()


def test_request_that_is_held_for_one_back_end_holds_up_no_other(held: Gateway):
    async def scenario() -> None:
        await held.saturate("/v1/chat")
        waits = await held.begin("a", "/v1/chat")
        goes_on = await held.begin("b", "/v1/search")
        assert held.reached == ["b" + goes_on.get_name()[1:]]
        assert {name: load.state().held for name, load in held.limiter.loads.items()} == {
            "chat": 1,
            "search": 0,
        }
        await held.pass_by(2.0)
        assert status(held, waits.get_name()) == 503

    asyncio.run(scenario())


def test_classes_of_one_limit_are_those_that_requests_wait_for_limits_in():
    text = """
    version = 1
    [[adaptive]]
    name = "chat"
    match = "/v1/chat"
    {more}
    [[class]]
    name = "paid"
    match = "/v1/chat"
    [[limit]]
    name = "requests"
    per = "ip"
    rate = "1/minute"
    wait = "1s"
    """
    assert queue_of(Policy.from_toml(text.format(more="")).compiled).classes[0].name == "paid"
    second = '[[adaptive]]\nname = "search"\nmatch = "/v1/search"\n'
    several = Policy.from_toml(text.format(more="").replace("    [[adaptive]]", second + "[[adaptive]]", 1))
    assert queue_of(several.compiled).classes[0].name == "paid"


def test_policy_is_reloaded_while_the_gate_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Hazard: upkeep's thread reloads between two lines, and a request is counted at another back end."""
    file = tmp_path / "policy.toml"
    file.write_text(TWO + BY_THE_GATE)
    server = Server(file)
    limiter, runtime = server.middleware.limiter, server.middleware.limiter.runtime
    chat, generation_at = limiter.loads["chat"], runtime.generation_at

    def reload_after(now_ns: int) -> Any:
        bound = generation_at(now_ns)
        file.write_text(_without("chat") + BY_THE_GATE)
        limiter.reload_if_changed()
        return bound

    monkeypatch.setattr(runtime, "generation_at", reload_after)
    assert statuses(begin_all(server, 1, "/v1/chat")) == [200]
    assert unanswered(server) == {"search": 0}
    assert chat.state().unanswered == 1
    assert statuses(begin_all(server, 1, "/v1/search")) == [200]
    assert unanswered(server) == {"search": 1}
