"""Shares of budgets that hosts tell of together: one event each, also where the server was away meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from ratelimit.budgets.following import BudgetFollower
from ratelimit.budgets.stage import BudgetPart
from ratelimit.errors import StoreError
from ratelimit.stores.redis.caller import ServerCaller
from tests.budgets.test_notify import Telling
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, patient, rules
from tests.support.redis.server import Server

LIMIT = 'per = "account"\nrate = "4/year"\nalgorithm = "fixed-window"\nnotify = [0.5, 1]'


def look(hosts: list[Live], followers: list[BudgetFollower], telling: Telling) -> None:
    """Let each host's thread look once, outside of the event loop."""
    for follower, host in zip(followers, hosts, strict=True):
        follower.look(host, telling)  # type: ignore[arg-type]


async def close(hosts: list[Live], followers: list[BudgetFollower]) -> None:
    for follower in followers:
        await asyncio.to_thread(follower.disconnect)
    for host in hosts:
        await host.aclose()


async def test_two_hosts_of_two_workers_tell_every_customer_once(server: Server) -> None:
    hosts = [patient(rules(server.url, LIMIT)) for _ in range(4)]
    for host in hosts:
        host.wait_for_answers(60)  # a busy machine's own pause is no outage
    followers, telling, chance = [BudgetFollower() for _ in hosts], Telling(), random.Random(5)
    try:
        for _ in range(3):
            order = [str(number) for number in range(300)] * 2
            chance.shuffle(order)
            await asyncio.gather(*(hosts[chance.randrange(4)].ask(account) for account in order))
            await asyncio.to_thread(look, hosts, followers, telling)
        for _ in range(10):  # what had no answer in a busy machine's pause is asked again
            await asyncio.to_thread(look, hosts, followers, telling)
        assert set(telling.counts().values()) == {1}
        assert Counter(telling.shares()) == {0.5: 300, 1: 300}
    finally:
        await close(hosts, followers)


async def test_share_that_is_crossed_while_the_server_is_away_is_told_once_when_it_is_back(
    start_server: StartServer,
) -> None:
    server = start_server()
    hosts = [patient(rules(server.url, LIMIT)) for _ in range(2)]
    followers, telling = [BudgetFollower() for _ in hosts], Telling()
    try:
        for host in hosts:
            await host.ask()
            await host.ask("b")
        server.kill()
        await asyncio.to_thread(look, hosts, followers, telling)
        assert telling.events == []
        assert len(hosts[1].runtime.part(BudgetPart).crossed.waiting) == 2
        server.start()
        await asyncio.to_thread(look, hosts, followers, telling)
        assert Counter((each["share"], each["caller"]) for each in telling.events).most_common(1)[0][1] == 1
        assert telling.shares() == [0.5, 0.5]
    finally:
        await close(hosts, followers)


async def test_use_of_a_hosts_share_is_told_when_the_server_has_it(start_server: StartServer) -> None:
    """Hazard: each host tells of its share of a number, and tells again of the whole of it."""
    server = start_server()
    hosts = [patient(rules(server.url, LIMIT)) for _ in range(2)]
    followers, telling = [BudgetFollower() for _ in hosts], Telling()
    try:
        for number, host in enumerate(hosts):
            await host.ask(f"before {number}")
        server.kill()
        for host in hosts:
            await host.ask()
            assert not host.runtime.part(BudgetPart).crossed.waiting
        server.start()
        for host in hosts:
            await host.connected()
            await host.ask()
        await asyncio.to_thread(look, hosts, followers, telling)
        assert Counter(telling.shares()) == {0.5: 1, 1: 1}
    finally:
        await close(hosts, followers)


async def test_claim_without_an_answer_is_told_once_when_it_is_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: the server has the claim, its answer is lost, and nobody tells."""
    hosts = [patient(rules(server.url, LIMIT)) for _ in range(2)]
    followers, telling = [BudgetFollower() for _ in hosts], Telling()
    call = ServerCaller.call

    def unanswered(self: ServerCaller, work: Any) -> Any:
        call(self, work)
        raise StoreError("the answer is lost", code="redis-unreachable")

    try:
        for _ in range(2):
            await hosts[0].ask()
        with monkeypatch.context() as patch:
            patch.setattr(ServerCaller, "call", unanswered)
            await asyncio.to_thread(look, hosts, followers, telling)
            assert telling.events == []
        for _ in range(2):
            await hosts[1].ask()
        for _ in range(2):
            await asyncio.to_thread(look, hosts, followers, telling)
        assert Counter(telling.shares()) == {0.5: 1, 1: 1}
    finally:
        await close(hosts, followers)
