"""Refusals as the clients of OpenAI and Anthropic meet them, by `llm_errors`; in virtual time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import anthropic
import openai
import pytest
from fastapi import Depends, FastAPI

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.http.fields import duration
from ratelimit.integrations import llm_errors
from ratelimit.integrations.fastapi import limits
from tests.asgi.driver import Client, limit, rules
from tests.clients.answers import ANSWERS
from tests.clients.test_retries import SECOND, World

POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = {{ from = ["header:authorization", "header:x-api-key"] }}
ip = {{ from = "client" }}
[[limit]]
name = "of the account"
match = "/*"
per = "account"
{limit}
"""
PRICES = """
[prices.m]
input = 1
output = 1
"""
CLUSTERED = """
[[limit]]
name = "one actor"
match = "/v1/*"
per = "cluster"
rate = "6/minute"
burst = 1
[correlation]
principal = "account"
network = "ip"
"""
KINDS = ["openai", "anthropic"]


class Gateway(World):
    """The same server with a limit of one's own, and the ready responder."""

    def __init__(self, limit: str, more: str = "", form: llm_errors.Form | None = None) -> None:
        self.clock = ManualClock(1_700_000_000 * SECOND)
        self.refused = self.answered = 0
        policy = Policy.from_toml(POLICY.format(limit=limit) + more)
        responder = llm_errors.Responder(form)
        self.middleware = RateLimitMiddleware(
            self.app, policy, clock=self.clock, reload_interval_s=0, responder=responder
        )

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.answered += 1
        await super().app(scope, receive, send)

    def asks(self, kind: str, times: int) -> tuple[list[Exception], float]:
        """Return what calls raised, and how long they took by the clock."""
        raised: list[Exception] = []
        began_ns = self.clock.now_ns()

        async def work() -> None:
            create: Callable[[], Awaitable[Any]] = getattr(self, kind)()
            for _ in range(times):
                try:
                    await create()
                except (openai.APIError, anthropic.APIError) as error:
                    raised.append(error)

        self.run(work())
        return raised, (self.clock.now_ns() - began_ns) / SECOND


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ('rate = "1/30d"\nalgorithm = "fixed-window"', " d "),
        ('rate = "1/month"\nalgorithm = "calendar"\n', " d "),
        ('rate = "1/2m"', "min"),
    ],
)
def test_client_is_told_at_once_that_a_month_is_used_up(kind: str, limit: str, words: str) -> None:
    gateway = Gateway(limit)
    raised, seconds = gateway.asks(kind, 2)
    (error,) = raised
    assert isinstance(error, (openai.RateLimitError, anthropic.RateLimitError))
    assert seconds < 1
    assert 'The limit "of the account" is used up; try again in' in str(error)
    assert words in str(error)
    assert error.response.headers["x-should-retry"] == "false"
    assert "retry-after-ms" not in error.response.headers
    if kind == "openai":
        assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", KINDS)
def test_client_waits_for_a_limit_that_frees_in_300_ms(kind: str) -> None:
    gateway = Gateway('rate = "200/minute"\nburst = 1')
    raised, seconds = gateway.asks(kind, 2)
    assert raised == []
    assert gateway.answered == 2
    assert 0.3 <= seconds < 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_wait_of_a_minute_is_still_left_to_the_client(kind: str) -> None:
    """The other side of the bound: a limit that frees in a minute is waited for, and then answers."""
    gateway = Gateway('rate = "1/minute"')
    raised, seconds = gateway.asks(kind, 2)
    assert raised == []
    assert 59 < seconds < 61


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", ["1/day", "2148/day", "17000/month"])
def test_model_without_a_price_is_not_there(kind: str, rate: str) -> None:
    limit = f'unit = "usd"\nrate = "{rate}"\ncost = "declared"\nusage = "auto"'
    refusing = PRICES + '[prices]\n"*" = "refuse"\n'
    gateway = Gateway(limit, refusing.replace("prices.m", "prices.other"))
    raised, seconds = gateway.asks(kind, 1)
    (error,) = raised
    assert isinstance(error, (openai.NotFoundError, anthropic.NotFoundError))
    assert "model" in str(error)
    assert "more than" not in str(error)
    assert seconds < 1
    known = Gateway(limit, refusing)
    assert known.asks(kind, 1)[0] == []
    assert known.answered == 1


@pytest.mark.parametrize("kind", KINDS)
def test_request_larger_than_its_budget_is_wrong_and_not_retried(kind: str) -> None:
    """A route says how much a request takes: eleven pages of a limit that holds ten."""
    gateway = Gateway('rate = "10/hour"')
    app = FastAPI()
    pages = [11, 10]

    @app.post("/v1/{path:path}", dependencies=[Depends(limits("pages", cost=lambda request: pages.pop(0)))])
    async def answered(path: str) -> Any:
        return ANSWERS[f"/v1/{path}"]

    text = rules(limit("pages", match=[], rate="10/hour", unit="pages"), limit("other", match="/other"))
    app.add_middleware(
        RateLimitMiddleware,
        policy=Policy.from_toml(text),
        clock=gateway.clock,
        responder=llm_errors.responder,
    )
    gateway.middleware = app  # type: ignore[assignment]
    raised, seconds = gateway.asks(kind, 2)
    (error,) = raised
    assert isinstance(error, (openai.BadRequestError, anthropic.BadRequestError))
    assert 'asks for more than the limit "pages" ever allows at once' in str(error)
    assert seconds < 1
    assert pages == []  # the second was answered: ten are not too many


async def answered_by(middleware: Any, path: str, headers: Any = (), times: int = 2) -> Any:
    client = Client(middleware)
    for _ in range(times - 1):
        await client("POST", path, [(b"x-api-key", b"a"), *headers])
    return await client("POST", path, [(b"x-api-key", b"a"), *headers])


@pytest.mark.parametrize(
    ("path", "headers", "form"),
    [
        ("/v1/chat/completions", (), "openai"),
        ("/v1/responses", (), "responses"),
        ("/openai/deployments/gpt/chat/completions", (), "openai"),
        ("/v1/messages", (), "anthropic"),
        ("/v1/messages/count_tokens", (), "anthropic"),
        ("/anthropic/v1/messages", (), "anthropic"),
        ("/v1/threads/t1/messages", (), "openai"),
        ("/v1/models", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        ("/v1/models", [(b"x-goog-api-key", b"k")], "gemini"),
        ("/v1/models", (), "openai"),
        ("/v1beta/models/gemini-pro:streamGenerateContent", (), "gemini"),
        ("/v1/projects/p/locations/l/models/gemini-pro:generateContent", (), "gemini"),
    ],
)
async def test_form_is_that_of_the_client(path: str, headers: Any, form: llm_errors.Form) -> None:
    assert llm_errors.form_of({"path": path, "headers": headers}) == form
    gateway = Gateway('rate = "6/minute"\nburst = 1')
    gateway.middleware.app = _nothing
    got = await answered_by(gateway.middleware, path, headers)
    said = json.loads(got.body)
    assert (got.status, got.headers["content-type"]) == (429, "application/json")
    assert (got.headers["retry-after"], got.headers["retry-after-ms"]) == ("10", "10000")
    message = 'The limit "of the account" was exceeded; try again in 10 s.'
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "10.000s"}]
    gemini = {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}
    assert (
        said
        == {
            "openai": {"error": _openai(message)},
            "responses": {"error": _openai(message)},
            "anthropic": {"type": "error", "error": {"type": "rate_limit_error", "message": message}},
            "gemini": {"error": gemini},
        }[form]
    )


def _openai(message: str) -> dict[str, Any]:
    return {"message": message, "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def test_stated_form_holds_for_every_path() -> None:
    gateway = Gateway('rate = "6/minute"\nburst = 1', form="anthropic")
    gateway.middleware.app = _nothing
    got = await answered_by(gateway.middleware, "/v1/chat/completions")
    assert json.loads(got.body)["error"]["type"] == "rate_limit_error"


async def test_limit_per_cluster_is_named_by_no_form() -> None:
    """The other limit refuses, and is not named either: else its absence would tell."""
    text = POLICY.format(limit='rate = "6/minute"\nburst = 1') + CLUSTERED
    middleware = RateLimitMiddleware(
        _nothing, Policy.from_toml(text), clock=ManualClock(), responder=llm_errors.responder
    )
    got = await answered_by(middleware, "/v1/messages")
    assert json.loads(got.body)["error"]["message"] == "Too many requests; try again in 10 s."
    middleware.limiter.close()


@pytest.mark.parametrize(
    ("wait_ns", "words"),
    [
        (0, "1 ms"),
        (1, "1 ms"),
        (299_000_001, "300 ms"),
        (999_000_000, "999 ms"),
        (999_000_001, "1 s"),
        (60 * SECOND, "1 min"),
        (61 * SECOND, "1 min 1 s"),
        (171_942 * SECOND, "1 d 23 h"),
        (86_400 * SECOND + 5, "1 d"),
        (7_200 * SECOND, "2 h"),
    ],
)
def test_wait_is_said_in_words(wait_ns: int, words: str) -> None:
    assert duration(wait_ns) == words


def test_last_event_of_a_stream_that_broke_has_the_form_of_its_api() -> None:
    events = {form: llm_errors.event(form, 503, "It broke.") for form in get_args(llm_errors.Form)}
    assert {form: text.partition(b"data: ")[0] for form, text in events.items()} == {
        "openai": b"", "responses": b"event: error\n", "anthropic": b"event: error\n", "gemini": b"",
    }  # fmt: skip
    documents = {form: json.loads(text.partition(b"data: ")[2]) for form, text in events.items()}
    assert documents["responses"] == {
        "type": "error", "code": "overloaded", "message": "It broke.", "param": None, "sequence_number": 0,
    }  # fmt: skip
    assert documents["gemini"]["error"]["status"] == "UNAVAILABLE"
    assert documents["anthropic"]["error"]["type"] == "overloaded_error"
    assert documents["openai"]["error"]["type"] == "server_error"
    assert all(text.endswith(b"\n\n") for text in events.values())
