"""Answers are read and settled the same with limits on a server: one call at the start, one at the end."""

from __future__ import annotations

import asyncio

import pytest

from ratelimit import RateLimitMiddleware
from ratelimit.usage.ending import error_event
from tests.asgi.driver import Client
from tests.asgi.metered import Posting, answering, pieces_of
from tests.asgi.test_departures import ALL, STREAMS, TOKENS, leave_nothing
from tests.support.redis.live import Live, patient, rules
from tests.support.redis.server import Server
from tests.usage.answers import ANSWERS, CHAT_USAGE, chat, event

LIMIT = 'per = "{per}"\nunit = "output_tokens"\nrate = "{rate}/year"\nusage = "auto"\ncost = "declared"\n'
LIMIT += 'algorithm = "{algorithm}"\n'
HEADERS = [(b"x-account", b"a"), (b"x-ip", b"i")]


def limit(per: str = "account", rate: int = 10_000, algorithm: str = "fixed-window", more: str = "") -> str:
    return LIMIT.format(per=per, rate=rate, algorithm=algorithm) + more


async def left(limiter: Live) -> list[int]:
    await limiter.batch_client.settled()
    decision = await limiter.apeek(
        method="POST", identities={"account": "a", "ip": "i"}, costs={"output_tokens": 0}
    )
    return [verdict.remaining for verdict in decision.verdicts]


@pytest.mark.parametrize("mode", ["exact", "leased"])
@pytest.mark.parametrize("algorithm", ["fixed-window", "token-bucket"])
async def test_exact_usage_replaces_the_estimate_in_all_limits(
    server: Server, mode: str, algorithm: str
) -> None:
    limiter = Live(rules(server.url, limit(algorithm=algorithm), limit("ip", algorithm=algorithm), mode=mode))
    used = 0
    for answer in ANSWERS:
        app = answering(*pieces_of(answer.body, 400), content_type=answer.content_type)
        client = Posting(RateLimitMiddleware(app, limiter=limiter, reload_interval_s=0))
        got = await client.send_document({"max_tokens": 60}, HEADERS)
        assert got.body == answer.body
        used += answer.usage.output
    assert await left(limiter) == [10_000 - used] * 2
    await limiter.aclose()


async def test_hang_up_pays_what_was_seen(server: Server) -> None:
    limiter = Live(rules(server.url, limit()))
    client = Client(
        RateLimitMiddleware(
            answering(chat("w" * 7000, None, asked=False)), limiter=limiter, reload_interval_s=0
        )
    )
    await client("POST", headers=HEADERS)
    assert await left(limiter) == [8000]
    await limiter.aclose()


async def test_stream_is_cut_by_what_remained_when_it_was_admitted(server: Server) -> None:
    limiter = Live(rules(server.url, limit(rate=300, more='on_refusal = ["cut"]\n')))
    body = chat("w" * 7000, CHAT_USAGE)
    client = Client(RateLimitMiddleware(answering(*pieces_of(body)), limiter=limiter, reload_interval_s=0))
    got = await client("POST", headers=HEADERS)
    assert got.body.endswith(error_event("openai"))
    assert len(got.body) < len(body) / 4
    await limiter.aclose()


async def test_requests_that_leave_at_any_moment_leave_nothing_behind(server: Server) -> None:
    """Hang-ups and cancellations while a request waits, is decided by the server, or streams."""
    limits = [text.partition("\n")[2] for text in (TOKENS, STREAMS, ALL)]
    limiter = Live(rules(server.url, *limits))
    await leave_nothing(limiter, 15)
    await limiter.aclose()


@pytest.mark.parametrize("more", ["", 'on_refusal = ["cut"]\n'], ids=["finish", "cut"])
async def test_all_levels_take_one_call_at_the_start_and_one_at_the_end(server: Server, more: str) -> None:
    """Account, address, both and the total, reserved together; 200 events between ask nothing."""
    both, total = (limit(more=more).replace('"account"', per) for per in ('["account", "ip"]', "[]"))
    levels = [limit(more=more), limit("ip", more=more), both, total]
    limiter = Live(rules(server.url, *levels))
    pieces = pieces_of(chat("word " * 40, CHAT_USAGE), 100)
    seen: list[int] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(limiter.batch_client.round_trips)
        await answering(*pieces)(scope, receive, send)
        seen.append(limiter.batch_client.round_trips)

    client = Posting(RateLimitMiddleware(app, limiter=limiter, reload_interval_s=0))
    await client.send_document({"max_tokens": 60}, HEADERS)
    await left(limiter)
    before = limiter.batch_client.round_trips
    seen.clear()
    got = await client.send_document({"max_tokens": 60}, HEADERS)
    assert got.body == b"".join(pieces)
    assert seen == [before + 1] * 2, "at its start, and none while it goes on"
    await limiter.batch_client.settled()
    assert limiter.batch_client.round_trips == before + 2, "at its end, after the answer"
    assert await left(limiter) == [10_000 - 2 * 20] * 4
    await limiter.aclose()


async def test_burst_of_parallel_streams_reserves_on_the_server_what_it_declares(server: Server) -> None:
    """600 at once on 100 tokens, by two workers of a server: none is served beyond."""
    served = 0
    gate = asyncio.Event()

    async def app(scope: object, receive: object, send: object) -> None:
        nonlocal served
        await gate.wait()
        served += 10
        usage = {**CHAT_USAGE, "completion_tokens": 10}
        await answering(event({"choices": [], "usage": usage}))(scope, receive, send)

    workers = [patient(rules(server.url, limit(rate=100))) for _ in range(2)]
    clients = [Posting(RateLimitMiddleware(app, limiter=one, reload_interval_s=0)) for one in workers]
    sent = [
        asyncio.ensure_future(clients[number % 2].send_document({"max_tokens": 10}, HEADERS))
        for number in range(600)
    ]
    await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
    gate.set()
    statuses = [each.status for each in await asyncio.gather(*sent)]
    assert (served, statuses.count(200)) == (100, 10)
    for one in workers:
        await one.aclose()
