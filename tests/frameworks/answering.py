"""A process of its own that asks one framework's application which account it takes each caller for.

    python -m tests.frameworks.answering FRAMEWORK < requests.json > callers.json

A process of its own, so that another version of a framework can be first on its path.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any
from urllib.parse import quote

from tests.frameworks.applications import APPLICATIONS, Application


async def caller(app: Application, kind: str, segment: str | None, headers: list[list[str]]) -> str | None:
    """Return what the application takes a request's caller for, None for no account."""
    path = f"/{kind}" if segment is None else f"/{kind}/{segment}"
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": quote(path.encode("utf-8", "surrogatepass")).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"h")] + [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.1", 4711),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    status, body = 0, b""
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status, body
        status = message.get("status", status)
        body += message.get("body", b"")

    try:
        await app(scope, receive, send)
    except Exception:
        return None  # a server answers 500: no caller was served
    return body.decode("utf-8", "backslashreplace") if status == 200 else None


async def started(app: Application) -> None:
    """Tell the application that the server starts: BlackSheep answers nothing before."""
    come = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if come.is_set():
            await asyncio.Event().wait()
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.failed":
            raise RuntimeError(message["message"])
        come.set()

    task = asyncio.ensure_future(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    )
    await asyncio.wait({task, asyncio.ensure_future(come.wait())}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()


async def answer(framework: str) -> None:
    """Answer the requests on standard input."""
    app = APPLICATIONS[framework]()
    if framework != "django":
        await started(app)
    found = [await caller(app, *request) for request in json.load(sys.stdin)]
    json.dump(found, sys.stdout)
    sys.stdout.flush()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(answer(sys.argv[1]))
