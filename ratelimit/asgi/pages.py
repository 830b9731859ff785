"""Pages of a program that is no application: each has a path, is given a body and answers with one."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from starlette.types import Receive, Scope, Send

log = logging.getLogger("ratelimit")

MOST_BYTES = 1 << 20


class Page(NamedTuple):
    """The answer to a request."""

    status: int
    kind: bytes
    """Its content type."""
    body: bytes


class Pages:
    """An ASGI application of a few pages.

    Args:
        pages: by path, what answers a body.
    """

    def __init__(self, pages: Mapping[str, Callable[[bytes], Awaitable[Page]]]) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        page = self._pages.get(scope["path"])
        answer = Page(404, b"text/plain", f"there is {' and '.join(self._pages)}\n".encode())
        if page is not None:
            body = await _body_of(receive)
            answer = Page(413, b"text/plain", b"the body is too large\n")
            if body is not None:
                answer = await _answered(page, body)
        headers = [(b"content-type", answer.kind), (b"content-length", b"%d" % len(answer.body))]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


async def _answered(page: Callable[[bytes], Awaitable[Page]], body: bytes) -> Page:
    try:
        return await page(body)
    except Exception:
        log.exception("a page cannot be answered")
        return Page(500, b"text/plain", b"there is a fault of this program, which its log names\n")


async def _body_of(receive: Receive) -> bytes | None:
    """Return a request's body; None for one that is too large."""
    body = b""
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return body
