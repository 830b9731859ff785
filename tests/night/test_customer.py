"""A customer who is refused, and acts: what a person reads on one host is so on all of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from ratelimit.inspection.hosts import moment as hosts_asked
from ratelimit.integrations.fastapi import limit
from tests.cli.running import in_group, run
from tests.console.driving import reading
from tests.night.two_hosts import Host, two_hosts
from tests.support.redis.patience import until
from tests.support.redis.server import Server
from tests.support.stopwatch import Stopwatch

CUSTOMER, ADDRESS, CARD = "c-5", "203.0.113.9", "card-9"
HEADERS = [(b"x-api-key", CUSTOMER.encode()), (b"x-payment", CARD.encode())]
IN_CODE = "2/year per account"


@pytest.fixture
def hosts(server: Server, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Return the host that a person asks, and the one whose applications refuse."""
    server.client.flushall()
    with two_hosts(tmp_path, server.url) as (here, there):
        for each in (here, there):
            each.be_one_actor(CUSTOMER, "c-6")
        until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
        yield here, there


def told(host: Host, command: str, *more: str, code: int = 0) -> dict[str, Any]:
    result = run(*in_group(command), host.path, *more, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


async def asked(host: Host, path: str, times: int = 5) -> list[int]:
    """Return the statuses of some requests of the customer's."""
    found = [(await host.client("GET", path, HEADERS, peer=ADDRESS)).status for _ in range(times)]
    await host.limiter.aclose_connections()
    return found


async def asked_of_a_full_back_end(host: Host) -> list[int]:
    """Return the same where another request is in flight all the while."""
    ended, began = asyncio.Event(), asyncio.Event()
    usual = host.app

    async def hanging(scope: Any, receive: Any, send: Any) -> None:
        began.set()
        await ended.wait()
        await usual(scope, receive, send)

    host.app = hanging
    other = asyncio.create_task(host.client("GET", "/load", [(b"x-api-key", b"other")]))
    await began.wait()
    host.app = usual
    found = await asked(host, "/load", 3)
    ended.set()
    assert (await other).status == 200
    await host.limiter.aclose_connections()
    return found


def with_a_limit_in_code() -> FastAPI:
    app = FastAPI()

    @app.get("/code", dependencies=[Depends(limit("2/year", per="account"))])
    async def code() -> str:
        return "found"

    return app


def refused_by(found: dict[str, Any], *, in_shadow: bool = False) -> dict[str, tuple[str | None, int]]:
    return {
        each["limit"]: (each["per"], each["refused"])
        for each in found["refused"]
        if each["in_shadow"] is in_shadow
    }


WAYS = {
    "account": ("requests", "account"),
    "address": ("address", "ip"),
    "payment": ("card", "payment"),
    "actor": ("one actor", "cluster"),
    "tier": ("plans", "account"),
    "code": (IN_CODE, None),
    "shadow": ("trial", "account"),
    "load": (None, None),
}


def test_why_a_customer_is_refused_has_a_true_answer_on_two_hosts(hosts: tuple[Host, Host]) -> None:
    """Eight ways to be refused on one host, each asked about on the other after the last."""
    here, there = hosts
    names = [CUSTOMER, ADDRESS, f"payment={CARD}"]
    usual, refused, in_shadow, shed = there.app, {}, {}, 0
    for way, (limit_name, per) in WAYS.items():
        there.app = with_a_limit_in_code() if way == "code" else usual
        ask = asked_of_a_full_back_end(there) if way == "load" else asked(there, f"/{way}")
        statuses = asyncio.run(ask)
        if way == "load":
            assert statuses == [503] * 3
            shed = 3
        elif way == "shadow":
            assert statuses == [200] * 5
            in_shadow[limit_name] = (per, 3)
        else:
            assert statuses == [200, 200, 429, 429, 429], way
            refused[limit_name] = (per, 3)
        with Stopwatch() as watch:
            found = told(here, "who", *names)
        assert watch.s < hosts_asked.PATIENCE_S, way  # not as long as it would wait for a host
        assert refused_by(found) == refused, way
        assert refused_by(found, in_shadow=True) == in_shadow, way
        assert [each["shed"] for each in found["shed"]] == ([shed] if shed else []), way
        assert found["hosts"]["missing"] == []
    refusing = {each["limit"] for each in found["limits"] if each["refuses"] and each["mode"] == "enforce"}
    assert refusing == {"requests", "address", "card", "one actor", "plans"}
    lines = told(there, "refused")["refused"]
    assert {each["limit"] for each in lines} >= {"requests", "address", "card", "one actor", "plans"}
    # Another account of the actor is refused as the actor, and by nothing else.
    assert refused_by(told(here, "who", "c-6")) == {"one actor": ("cluster", 3)}


def in_journal(host: Host, words: str) -> bool:
    return words in run("journal", host.path).stdout


READING = {
    "acts": lambda found: [each["kind"] for each in found["acts"] if each["in_force"]],
    "who": lambda found: [each["kind"] for each in found["acts"]],
    "top": lambda found: ["stop"] * found["acts"],
}
"""The commands that read acts, and what each says of them."""


def test_no_screen_contradicts_decisions(hosts: tuple[Host, Host]) -> None:
    """Hazard: a screen that contradicts decisions. All have an act, and its end, once it is confirmed."""
    maker, reader = hosts
    act = told(maker, "stop", "c-8", "--yes", "--for", "1h")
    assert [each["applied"] for each in act["hosts"]] == [True, True]
    assert asyncio.run(asked_as(reader, b"c-8")) == 403
    with Stopwatch() as watch:
        for host in (maker, reader):
            assert READING["acts"](told(host, "acts")) == ["stop"]
            assert READING["who"](told(host, "who", "c-8")) == ["stop"]
            assert READING["top"](told(host, "top")) == ["stop"]
            live = run("explain", host.path, "-r", "GET /account account=c-8", "--live")
            assert f"act {act['act']}" in live.stdout + live.stderr, live.output
            assert "1 act" in run("check", host.path).output
            until(partial(in_journal, host, f"act {act['act']} made"), "the journal")
            with reading(host.path) as pages:
                assert "stopped" in pages.get("/audit").text
                assert "stopped" in pages.find("c-8").text
                assert f"act {act['act']} made" in pages.get("/changes").text
                assert f"act {act['act']} made" in pages.get("/week").text
        undone = told(reader, "undo", act["act"])
        assert [each["applied"] for each in undone["hosts"]] == [True, True]
        assert asyncio.run(asked_as(maker, b"c-8")) == 200
        for host in (maker, reader):
            assert READING["acts"](told(host, "acts")) == []
            assert READING["who"](told(host, "who", "c-8")) == []
            assert READING["top"](told(host, "top")) == []
            live = run("explain", host.path, "-r", "GET /account account=c-8", "--live")
            assert f"act {act['act']}" not in live.stdout + live.stderr
            with reading(host.path) as pages:
                assert "stopped" not in pages.find("c-8").text
    assert watch.s < 60


async def asked_as(host: Host, account: bytes) -> int:
    answer = await host.client("GET", "/account", [(b"x-api-key", account)])
    await host.limiter.aclose_connections()
    return answer.status


def in_force(host: Host) -> list[str]:
    return [each["kind"] for each in told(host, "acts", code=0)["acts"] if each["in_force"]]


def test_an_act_for_what_does_not_exist_on_a_cut_off_host_through_an_empty_server(
    hosts: tuple[Host, Host], server: Server
) -> None:
    """Hazards: any text is an act, a host that is cut off confirms, a server that is empty ends all acts."""
    here, there = hosts
    for unknown in ("no-such-account", "hash:148ff4b5", "0123456789abcdef"):
        result = run("act", "stop", here.path, unknown)
        assert result.exit_code == 3, result.output
        assert "known here" in result.output
    assert in_force(here) == []

    asyncio.run(asked(there, "/account", 3))
    at_ms = time.time_ns() // 1_000_000 - 300_000
    gone = f'{at_ms} {{"host": "gone", "digest": "", "workers": 3}}'
    server.client.hset("{night}:acts:applied", "gone 1", gone)
    act = told(here, "stop", CUSTOMER, code=4)
    assert [each["host"] for each in act["hosts"] if not each["applied"]] == ["gone"]
    server.client.hdel("{night}:acts:applied", "gone 1")

    server.client.flushall()
    assert asyncio.run(asked_as(there, CUSTOMER.encode())) == 403
    until(lambda: server.client.llen("{night}:acts") == 2, "the log that hosts bring back")
    until(lambda: len(told(here, "acts")["hosts"]) == 2, "both hosts")
    assert in_force(here) == in_force(there) == ["stop"]
    assert asyncio.run(asked_as(there, CUSTOMER.encode())) == 403
    assert not in_journal(there, "undone")
    told(there, "undo", act["act"])
    assert asyncio.run(asked_as(here, CUSTOMER.encode())) != 403
    until(partial(in_journal, here, f"act {act['act']} undone"), "the journal")
