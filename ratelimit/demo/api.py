"""A small mock of an LLM API behind the middleware: what a user of the library would write.

    GET  /                     how to try it by hand
    POST /v1/chat/completions  {"max_tokens": 20, "stream": false}
    GET  /metrics
    GET  /actors               the actors that were found, and why

It is `examples/llm-api` cut down to one API. The demo runs from a wheel, which has no examples, and without
FastAPI. As in the example, no handler counts. The "model" says `max_tokens` words and takes its time.
The limiter reads from the answers what they used.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app
from ratelimit.clock import civil_s
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.description import verdict_word
from ratelimit.correlation.overview import Overview
from ratelimit.demo.people import everyone
from ratelimit.parsing.json import read_json

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

POLICY_VARIABLE = "RATELIMIT_DEMO_POLICY"
MOST_TOKENS = 4000
ANSWER_S = 0.02
STREAM_S = 5.0
_CHUNKS = 25
_MOST_ACTORS = 8

WELCOME = """\
A mock of an LLM API, limited by kinlimit.
Ten requests at once and one a second are yours. Ask for more:

  for i in $(seq 15); do
    curl -si -w '\\n\\n' {url}/v1/chat/completions \\
      -H 'X-API-Key: me' -d '{{}}'
  done

What was decided, for Prometheus: {url}/metrics
Who is one actor, and why: {url}/actors
"""


def create() -> Starlette:
    """Return the application; each of uvicorn's workers calls this."""
    policy = Path(os.environ[POLICY_VARIABLE])
    limiter = Limiter(policy)
    report = policy.with_name("actors.json")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        writing = asyncio.create_task(_keep_writing(limiter, report))
        yield
        writing.cancel()

    async def actors(request: Request) -> Response:
        """Say which accounts are one actor; either worker can, only one of them knows at first hand."""
        said = report.read_bytes() if report.exists() else b'{"actors": []}'
        return Response(said, media_type="application/json")

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/actors", actors),
            Route("/", welcome),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/metrics", metrics_app(limiter)),
        ],
    )
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    app.add_middleware(Accounts)  # added last, it comes first
    return app


class Accounts:
    """The application's own middleware, outside of the limiter's: it knows who pays, and since when.

    An application has this in its database, and adds it once a request is authenticated. Of an account that
    it does not know (a visitor's) it says neither.

    Args:
        app: what comes next.
        now_s: when the demo began, in seconds since the epoch.
    """

    def __init__(self, app: ASGIApp, now_s: float | None = None) -> None:
        self._app = app
        self._known = known_accounts(civil_s() if now_s is None else now_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add what is known of the account behind the API key to `scope["state"]`."""
        for name, value in scope.get("headers", ()):
            if name == b"x-api-key" and (known := self._known.get(value)) is not None:
                scope["state"] = {**scope.get("state", {}), **known}
        await self._app(scope, receive, send)


def known_accounts(now_s: float) -> dict[bytes, dict[str, Any]]:
    """Return by API key the payment method, and when the account was created."""
    return {
        person.account.encode(): {
            "account_created": int(now_s - person.days * 86400),
            **({} if person.card is None else {"payment": person.card}),
        }
        for _, _, person in everyone()
    }


async def welcome(request: Request) -> Response:
    """Say how to try it by hand."""
    return PlainTextResponse(WELCOME.format(url=str(request.base_url).rstrip("/")))


async def chat(request: Request) -> Response:
    """Answer with as many words as were asked for."""
    try:
        asked = read_json(await request.body() or b"{}")
        tokens = max(1, min(int(asked.get("max_tokens", 64)), MOST_TOKENS))
    except (ValueError, TypeError, AttributeError):
        return PlainTextResponse("the body is to be a JSON object; see /\n", status_code=400)
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    if asked.get("stream"):
        return StreamingResponse(_stream(tokens, usage), media_type="text/event-stream")
    await asyncio.sleep(ANSWER_S)
    message = {"role": "assistant", "content": "word " * min(tokens, 20)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse({"object": "chat.completion", "choices": [choice], "usage": usage})


async def _stream(tokens: int, usage: dict[str, int]) -> AsyncIterator[str]:
    said = 0
    for number in range(1, _CHUNKS + 1):
        await asyncio.sleep(STREAM_S / _CHUNKS)
        words = tokens * number // _CHUNKS - said
        said += words
        yield _event([{"index": 0, "delta": {"content": "word " * words}}], None)
    yield _event([], usage)
    yield "data: [DONE]\n\n"


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None) -> str:
    chunk = {"object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return f"data: {json.dumps(chunk)}\n\n"


async def _keep_writing(limiter: Limiter, path: Path) -> None:
    """Write which actors there are now and then, as long as this worker is the one that knows."""
    bound, spec = limiter.current, limiter.policy.compiled.correlation
    assert spec is not None  # the demo's policy has one
    populations = {}
    for population, _, person in everyone():
        row = bound.extractor.extract([(b"x-api-key", person.account.encode())], "127.0.0.1")
        populations[row[spec.principal[0]]] = population.name
    while True:
        await asyncio.sleep(0.25)
        known = None if limiter.clustering is None else limiter.clustering.clusters()
        if known is not None:
            beside = path.with_suffix(".new")
            beside.write_text(json.dumps(report_of(known, populations, limiter.now_ns() // 10**9)))
            beside.replace(path)


def report_of(known: list[Overview], populations: dict[int, str], now_s: int) -> dict[str, Any]:
    """Return the report on some actors: the certain first, then the largest.

    `certain` and `likely` count members by population: the demo knows the truth, as a deployment does not.
    """

    def members(found: Overview, verdict: Verdict) -> dict[str, int]:
        return Counter(populations.get(key, "others") for key, said in found.members if said is verdict)

    return {
        "actors": [
            {
                "id": f"{each.identity:016x}",
                "size": len(each.members),
                "verdict": verdict_word(each.verdict),
                "why": each.why,
                "words": each.words,
                "age_s": now_s - each.first_s,
                "evidence": each.evidence,
                "certain": members(each, Verdict.CERTAIN),
                "likely": members(each, Verdict.LIKELY),
            }
            for each in sorted(known, key=lambda each: (-each.verdict, -len(each.members)))[:_MOST_ACTORS]
        ]
    }
