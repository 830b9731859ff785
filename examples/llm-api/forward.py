"""The way to the provider: a request as it came, with the gateway's own key, and its answer as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from ratelimit.integrations import llm_errors

OWN = frozenset({
    "authorization", "x-api-key", "host", "content-length", "connection", "transfer-encoding",
    "accept-encoding", "keep-alive", "te", "trailer", "upgrade", "proxy-authorization", "cookie",
})  # fmt: skip
"""Headers that are of one connection, or the client's own: a provider gets none of them."""
NOT_BACK = frozenset({"content-length", "connection", "transfer-encoding", "content-encoding", "keep-alive"})


class Provider:
    """The provider behind the gateway.

    Args:
        url: where it is, without `/v1`.
        key: the gateway's own.
    """

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=httpx.Timeout(10, read=600))
        self._key = key

    async def answer(self, request: Request) -> Response:
        """Return the provider's answer to a request: a stream, whatever it is."""
        form = llm_errors.form_of(request.scope)
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=499)
        headers = {name: value for name, value in request.headers.items() if name not in OWN}
        headers |= (
            {"x-api-key": self._key} if form == "anthropic" else {"authorization": f"Bearer {self._key}"}
        )
        content = with_usage(body) if request.url.path.endswith("/chat/completions") else body
        asked = self._client.build_request(
            request.method, request.url.path, params=request.query_params, headers=headers, content=content
        )
        try:
            answer = await self._client.send(asked, stream=True)
        except httpx.HTTPError:
            # Nothing was produced, so nothing is charged.
            return llm_errors.answer(form, 503, "The provider does not answer; try again later.")
        back = {name: value for name, value in answer.headers.items() if name not in NOT_BACK}
        return StreamingResponse(to_the_end(answer, form), answer.status_code, back)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


async def to_the_end(answer: httpx.Response, form: llm_errors.Form) -> AsyncIterator[bytes]:
    """Pass an answer on; where it breaks off, a last event tells the client of a stream."""
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    except httpx.HTTPError:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            raise
        yield llm_errors.event(form, 503, "The provider broke off.")
    finally:
        await answer.aclose()


def with_usage(body: bytes) -> bytes:
    """Return a request of OpenAI's chat that asks for the usage of its stream.

    Else the end of the stream does not say what it used, and its text is counted.
    """
    try:
        asked: Any = json.loads(body)
    except ValueError:
        return body  # that is the provider's to complain of
    if not isinstance(asked, dict) or asked.get("stream") is not True:
        return body
    options = asked.get("stream_options")
    asked["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return json.dumps(asked).encode()
