"""An answer that fails, or that its client leaves, costs what it produced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from tests.asgi.driver import Mounted, mount
from tests.asgi.metered import BUDGET, answering, pieces_of, policy, posting, used
from tests.usage.answers import CHAT_USAGE, EVENTS, JSON, chat, event, events

DECLARED = {"model": "m", "max_tokens": 8192, "messages": [{"role": "user", "content": "word " * 20}]}
CLIENTS = 100


class ClientDisconnect(Exception):
    """As Starlette names it."""


def words(count: int) -> list[bytes]:
    return [event({"choices": [{"delta": {"content": " word"[: 4 + at % 2]}}]}) for at in range(count)]


def failing(how: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if how == "raises":
            raise ConnectionResetError("the provider is gone")
        if how == "cancelled":
            raise asyncio.CancelledError
        if how == "head alone":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
            raise ValueError("the provider sent nonsense")
        if how == "error event":
            await answering(event({"error": {"message": "overloaded"}}), b"data: [DONE]\n\n")(
                scope, receive, send
            )
        elif how == "anthropic":
            error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
            await answering(events([error]))(scope, receive, send)
        elif how == "responses":
            error = {"type": "error", "code": "server_error", "message": "no", "param": None}
            await answering(event(error))(scope, receive, send)
        elif how == "whole":
            await answering(b'{"error": "no"}', content_type=JSON)(scope, receive, send)
        else:
            head = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": int(how), "headers": head})
            await send({"type": "http.response.body", "body": b"Internal Server Error" * 90})

    return app


FAILURES = (
    "raises",
    "cancelled",
    "head alone",
    "error event",
    "anthropic",
    "responses",
    "whole",
    "500",
    "503",
    "529",
)


def spent(mounted: Mounted, unit: str, account: str = "a") -> int:
    limiter = mounted.middleware.limiter
    return (
        BUDGET
        - limiter.peek(method="POST", identities={"account": account}, costs={unit: 0}).verdicts[0].remaining
    )


async def send_all(mounted: Mounted, requests: int, account: str = "a") -> None:
    for _ in range(requests):
        with suppress(Exception, asyncio.CancelledError):
            await posting(mounted).post(DECLARED, account=account)


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("unit", ["output_tokens", "total_tokens"])
async def test_outage_of_the_provider_spends_no_budget(how: str, unit: str) -> None:
    """The third call of a client was refused, with no token produced."""
    mounted = mount(policy(unit, cost="declared"), failing(how))
    for number in range(CLIENTS):
        await send_all(mounted, 3, f"client {number}")
    for number in range(CLIENTS):
        assert spent(mounted, unit, f"client {number}") == 0


@pytest.mark.parametrize("step", [1, 40, 10_000])
async def test_stop_button_costs_what_was_seen(step: int) -> None:
    pieces = pieces_of(b"".join(words(50)), step)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        raise asyncio.CancelledError

    mounted = mount(policy(cost="declared"), app)
    await send_all(mounted, 1)
    assert 50 <= used(mounted) <= 65


def leaving(produced: int, leave: Callable[[], BaseException | None]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for piece in words(produced):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        error = leave()
        if error is not None:
            raise error

    return app


@pytest.mark.parametrize("leave", [lambda: None, asyncio.CancelledError, OSError, ClientDisconnect])
async def test_clients_that_always_leave_pay_the_estimate(leave: Callable[[], BaseException | None]) -> None:
    """Hidden reasoning produces what is never seen: an account that hangs up each time has it four times."""
    mounted = mount(policy(), leaving(0, leave))
    await send_all(mounted, 4)
    assert used(mounted) == 0
    await send_all(mounted, 10)
    assert used(mounted) == 10 * 500
    await send_all(mounted, 1, "another")
    assert used(mounted, "another") == 0


async def test_outage_in_mid_stream_is_no_habit_of_the_client() -> None:
    mounted = mount(policy(), leaving(2, ValueError))
    await send_all(mounted, 40)
    assert used(mounted) == 80


async def test_one_in_five_that_is_stopped_is_no_habit() -> None:
    turns = iter(range(1000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        stopped = leaving(10, asyncio.CancelledError)
        whole = answering(chat("word", CHAT_USAGE))
        await (stopped if next(turns) % 5 == 0 else whole)(scope, receive, send)

    mounted = mount(policy(), app)
    await send_all(mounted, 50)
    assert used(mounted) == 40 * CHAT_USAGE["completion_tokens"] + 10 * (10 * 9 // 2 * 2 // 7)


async def test_answer_that_is_whole_when_the_application_raises_is_no_failure() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answering(chat("word", None, asked=False))(scope, receive, send)
        raise ValueError("in a task behind the answer")

    mounted = mount(policy(), app)
    await send_all(mounted, 1)
    assert used(mounted) == 500


@pytest.mark.parametrize("media", [b"image/png", b"audio/mpeg"])
async def test_answer_of_which_nothing_is_known_keeps_its_estimate(media: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media)]})
        await send({"type": "http.response.body", "body": b"bytes", "more_body": True})
        raise asyncio.CancelledError

    mounted = mount(policy(), app)
    await send_all(mounted, 1)
    assert used(mounted) == 500


@given(
    produced=strategies.integers(0, 300),
    how=strategies.sampled_from([None, asyncio.CancelledError, OSError, ValueError]),
    unit=strategies.sampled_from(["output_tokens", "total_tokens"]),
)
@settings(max_examples=40, deadline=None)
def test_broken_answer_costs_no_less_than_seen_and_no_more_than_a_third_beyond(
    produced: int, how: type[BaseException] | None, unit: str
) -> None:
    async def run() -> int:
        mounted = mount(policy(unit, cost="declared"), leaving(produced, how or (lambda: None)))
        await send_all(mounted, 1)
        found = spent(mounted, unit)
        mounted.middleware.limiter.close()
        return found

    found = asyncio.run(run())
    prompt = len(str(DECLARED)) * 2 // 7 if unit == "total_tokens" and produced else 0
    assert produced <= found <= produced * 4 / 3 + prompt
