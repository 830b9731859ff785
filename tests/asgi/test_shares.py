"""Strangers use up a bound of the worker: bodies, resolver calls, places in line, maxima. They lose."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit.asgi.metering import body
from ratelimit.waiting.stage import WaitingPart
from tests.asgi.driver import Answer, Mounted, key, limit, mount, ok, rules
from tests.asgi.metered import posting
from tests.asgi.test_bursts import Model
from tests.asgi.test_resolving import Faults
from tests.support.policy_lines import tuned

MIB = 1 << 20
HOG, VICTIM = "198.51.100.66", "192.0.2.1"
ACCOUNT = 'account = { from = "header:x-api-key" }'


async def turns(count: int = 8) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Stalled:
    """An upload that stops before its end, and the answer that it gets all the same."""

    def __init__(
        self, mounted: Mounted, size: int, *, peer: str = HOG, account: str = "hog", piece: int = 64 << 10
    ) -> None:
        self.answer = Answer()
        self.pieces = [b'{"model": "small", "pad": "', *[b"x" * piece] * (size // piece)]
        self.goes_on = asyncio.Event()
        headers = [*key(account), (b"content-length", b"9999999")]
        scope = mounted.client.scope("POST", "/v1/chat", headers, peer=peer)
        self.task = asyncio.ensure_future(mounted.middleware(scope, self.receive, self.send))

    async def receive(self) -> Any:
        if not self.pieces:
            await self.goes_on.wait()
            return {"type": "http.request", "body": b'"}', "more_body": False}
        return {"type": "http.request", "body": self.pieces.pop(0), "more_body": True}

    async def send(self, message: Any) -> None:
        self.answer.messages.append(message)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def verdicts(mounted: Mounted, name: str) -> list[int]:
    table = mounted.middleware.limiter.runtime.table
    return list(table.totals(table.counter(name)))[:2]


def by_model(*more: str) -> str:
    big = limit("big", rate="3/minute", algorithm="fixed-window", model=["big-*"])
    every = limit("every", rate="8/minute", algorithm="fixed-window")
    return rules(big, every, *more, identities=ACCOUNT)


async def test_stalled_uploads_of_one_caller_are_that_caller_s_own_matter() -> None:
    """66 of a mebibyte each: the victim has all of its limit, and is taken for no other model's caller."""
    mounted = mount(by_model(), ok)
    stalled = [Stalled(mounted, MIB - 64 * 1024) for _ in range(80)]
    await turns(40)
    large = {"model": "small", "pad": "y" * 40_000}
    statuses = [
        (await posting(mounted).post(large, 4096, account="victim", peer=VICTIM)).status for _ in range(10)
    ]
    assert statuses == [200] * 8 + [429] * 2
    assert verdicts(mounted, "big") == [0, 0]
    lost = [one for one in stalled if one.task.done()]
    assert [one.answer.status for one in lost] == [503] * len(lost)
    assert 10 <= len(lost) <= 20, "only what is beyond the bound"
    assert lost[0].answer.headers["retry-after"] == "1"
    assert lost[0].answer.headers["connection"] == "close", "else the rest of the body comes all the same"
    assert mounted.middleware._mount.metering.held.size <= body.MOST_HELD
    await asyncio.gather(*(one.end() for one in stalled))
    assert mounted.middleware._mount.metering.held.size == 0
    assert verdicts(mounted, "every") == [8, 2], "what was never decided charges nothing"


async def test_uploads_from_a_whole_network_are_one_holder_s() -> None:
    mounted = mount(by_model(), ok)
    stalled = [Stalled(mounted, MIB - 64 * 1024, peer=f"2001:db8:7:{at:x}::1") for at in range(80)]
    await turns(40)
    victim = Stalled(mounted, 256 << 10, peer="2001:db8:99::1", account="victim")
    await turns(20)
    victim.goes_on.set()
    await asyncio.wait_for(victim.task, 60)
    assert victim.answer.status == 200
    assert any(one.task.done() for one in stalled)
    await asyncio.gather(*(one.end() for one in stalled))


async def test_caller_below_the_bound_loses_nothing() -> None:
    mounted = mount(by_model(), ok)
    stalled = [Stalled(mounted, MIB // 2) for _ in range(100)]
    await turns(40)
    for one in stalled:
        assert not one.task.done()
        one.goes_on.set()
    await asyncio.gather(*(one.task for one in stalled))
    assert sorted(one.answer.status for one in stalled) == [200] * 8 + [429] * 92


async def test_stalled_body_ends_with_a_timeout_and_is_charged_nothing() -> None:
    mounted = mount(by_model(), ok)
    stalled = Stalled(mounted, 128 << 10)
    await turns(20)
    bodies = mounted.middleware._mount.metering.held.here()
    bodies.look()
    mounted.clock.advance(body.PACE_NS / 1e9 - 1)
    bodies.look()
    await turns()
    assert not stalled.task.done()
    mounted.clock.advance(1)
    bodies.look()
    await asyncio.wait_for(stalled.task, 60)
    assert stalled.answer.status == 408
    assert stalled.answer.problem["title"] == "Request Timeout"
    assert mounted.middleware._mount.metering.held.size == 0
    assert verdicts(mounted, "every") == [0, 0]


@pytest.mark.parametrize(("piece", "status"), [(body.PACE_BYTES, 200), (body.PACE_BYTES // 2, 408)])
async def test_slow_upload_that_keeps_pace_is_served(piece: int, status: int) -> None:
    """An honest client on a slow network takes minutes; one that drips would hold its place for hours."""
    mounted = mount(by_model(), ok)
    answer = Answer()
    bodies = mounted.middleware._mount.metering.held.here()
    sent = 0

    async def receive() -> Any:
        nonlocal sent
        await asyncio.sleep(0)
        mounted.clock.advance(body.PACE_NS / 1e9)
        sent += 1
        if sent > 1:
            bodies.look()
        if sent == 20:
            return {"type": "http.request", "body": b'"}', "more_body": False}
        return {
            "type": "http.request",
            "body": b'{"model": "' if sent == 1 else b"x" * piece,
            "more_body": True,
        }

    async def send(message: Any) -> None:
        answer.messages.append(message)

    scope = mounted.client.scope("POST", "/v1/chat", [*key("a"), (b"content-length", b"999999")])
    await asyncio.wait_for(mounted.middleware(scope, receive, send), 60)
    assert answer.status == status


async def test_server_s_own_cancellation_of_a_read_body_is_passed_on() -> None:
    mounted = mount(by_model(), ok)
    stalled = Stalled(mounted, MIB // 2)
    await turns(20)
    stalled.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stalled.task
    assert mounted.middleware._mount.metering.held.size == 0


async def test_clock_that_steps_back_ends_no_body() -> None:
    mounted = mount(by_model(), ok)
    stalled = Stalled(mounted, 64 << 10)
    await turns(20)
    bodies = mounted.middleware._mount.metering.held.here()
    bodies.look()
    mounted.clock.advance(-3600.0)
    bodies.look()
    await turns()
    assert not stalled.task.done()
    await stalled.end()


USERS = 'user = { from = "resolver:user", missing = "refuse" }\nip = { from = "client" }'
CACHED = USERS.replace('missing = "refuse"', 'cache = "header:x-api-key"')


class Slow:
    """A directory that answers when it is let."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, scope: Any) -> str | None:
        found = dict(scope["headers"])[b"x-api-key"].decode()
        await self.open.wait()
        return None if found.startswith("invented") else found


@pytest.mark.parametrize("identities", [USERS, CACHED], ids=["refuse", "cached"])
async def test_invented_tokens_of_one_caller_are_looked_up_in_place_of_no_other_s(identities: str) -> None:
    """1,100 at once filled the calls: a limit of 3 a user served 12 of 12, or refused 12 of 12."""
    slow, faults = Slow(), Faults()
    per_user = limit("by-user", per="user", rate="3/minute", algorithm="fixed-window")
    mounted = mount(rules(per_user, identities=identities), resolvers={"user": slow}, observer=faults)

    def ask(token: str, peer: str) -> asyncio.Task[Answer]:
        return asyncio.ensure_future(mounted.client(headers=key(token), peer=peer))

    flood = [ask(f"invented {number}", HOG) for number in range(1100)]
    await turns()
    victims = [ask(f"ann{number % 2}", VICTIM) for number in range(24)]
    await turns()
    slow.open.set()
    assert sorted(answer.status for answer in await asyncio.gather(*victims)) == [200] * 6 + [429] * 18
    refused = [answer.status for answer in await asyncio.gather(*flood)]
    assert refused.count(503) >= 1100 - 1024
    assert faults.codes == ["resolver-busy"]
    if identities is USERS:
        assert set(refused) == {503, 403}
        assert verdicts(mounted, "by-user")[0] == 6
    bound = mounted.middleware.resolving._bounds.here()
    await turns()
    assert bound.size == 0
    assert not bound._root.members


async def test_call_that_another_client_began_and_lost_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ratelimit.asgi.resolving.MOST_UNDER_WAY", 2)
    slow = Slow()
    per_user = limit("by-user", per="user", rate="9/minute", algorithm="fixed-window")
    mounted = mount(rules(per_user, identities=CACHED), resolvers={"user": slow})

    def ask(token: str, peer: str) -> asyncio.Task[Answer]:
        return asyncio.ensure_future(mounted.client(headers=key(token), peer=peer))

    first, second = ask("mine", HOG), ask("ann", HOG)
    await turns()
    shared = ask("ann", VICTIM)
    await turns()
    third = ask("bob", VICTIM)
    await turns()
    slow.open.set()
    statuses = [one.status for one in await asyncio.gather(first, second, shared, third)]
    assert statuses[1] == 503, "the largest holder's newest"
    assert (statuses[0], statuses[3]) == (200, 200) or statuses.count(503) == 2
    assert statuses[2] == 200 or statuses[3] == 200


async def test_waiters_with_invented_identities_make_room_for_a_newcomer() -> None:
    shared = limit("shared", per="", rate="600/minute", wait="30s", burst=1, algorithm="token-bucket")
    text = tuned(rules(shared, identities=ACCOUNT, more='fair_by = "account"'), "waiting = 50\n")
    mounted = mount(text, ok)
    assert (await mounted.client(headers=key("first"), peer="203.0.113.5")).status == 200

    def ask(account: str, peer: str) -> asyncio.Task[Answer]:
        return asyncio.ensure_future(mounted.client(headers=key(account), peer=peer))

    flood = [ask(f"invented {number}", HOG) for number in range(80)]
    await turns()
    queue_here = mounted.middleware.limiter.runtime.part(WaitingPart).queue
    assert queue_here.waiting == 50
    victim = ask("victim", VICTIM)
    await turns()
    assert not victim.done(), "it waits"
    assert queue_here.waiting == 50
    assert sum(one.done() for one in flood) == 31
    for one in (*flood, victim):
        one.cancel()
    await asyncio.gather(*flood, victim, return_exceptions=True)


async def test_answers_of_one_account_leave_others_their_declared_maxima() -> None:
    """After 270 large requests of one account, honest callers had 3 of 20 at once."""
    pool = limit(
        "pool",
        per="",
        rate="20000/hour",
        unit="output_tokens",
        usage="auto",
        cost="declared",
        algorithm="fixed-window",
    )
    own = limit("own", rate="1000/minute", algorithm="fixed-window")
    model = Model()
    mounted = mount(rules(own, pool, identities=ACCOUNT), model)
    for number in range(270):
        if number % 8 == 0:
            mounted.clock.advance(3600.0)
        await posting(mounted).post({"max_tokens": 1, "wants": 2000}, 4096, account="large", peer=HOG)
    mounted.clock.advance(3600.0)
    model.gate.clear()
    honest = [
        asyncio.ensure_future(
            posting(mounted).post({"max_tokens": 900, "wants": 800}, 4096, account=f"h{at}")
        )
        for at in range(20)
    ]
    await turns(40)
    model.gate.set()
    assert [answer.status for answer in await asyncio.gather(*honest)] == [200] * 20
    # The account's own maxima count for nothing: what it declares as one token counts as 4,096 in flight.
    mounted.clock.advance(3600.0)
    model.gate.clear()
    sly = [
        asyncio.ensure_future(posting(mounted).post({"max_tokens": 1, "wants": 2000}, 4096, account="large"))
        for _ in range(100)
    ]
    await turns(40)
    model.gate.set()
    assert [answer.status for answer in await asyncio.gather(*sly)].count(200) <= 3 * 20_000 // 4096
