"""A gateway before a back end with two places, which answers each request when a test says so.

The bounds are fixed: two places, and two that may wait in the back end.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from ratelimit import RateLimitMiddleware
from ratelimit.load.model.controller import Bounds
from tests.load.flights import SECOND
from tests.load.test_admission import Recorder

BOUNDS = Bounds(400, 20, 2, full_from=2, places=2)
KIND = 99
FOLDER = "RATELIMIT_TEST_BACK_END"
"""A file in it for each request that is in the back end; once it is gone, the request is answered."""


class Patient(Recorder):
    """A controller that lets requests be held for as long as a test takes."""

    target_ns = 60 * SECOND


async def back_end(scope: Any, receive: Any, send: Any) -> None:
    """Answer once the request's file is gone; a first byte at once where its path says so."""
    if scope["type"] != "http":
        return
    is_ours = scope["path"] != "/ready"
    await send({"type": "http.response.start", "status": 200 if is_ours else 404, "headers": []})
    if scope["path"] in ("/ready", "/pid"):
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
        return
    place = Path(os.environ[FOLDER]) / dict(scope["headers"])[b"x-name"].decode()
    place.touch()
    if scope["path"] == "/begun":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
    while place.exists():
        passed = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, passed.set_result, None)
        await passed
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


app = RateLimitMiddleware(back_end, os.environ["RATELIMIT_TEST_POLICY"])
assert app.limiter.load is not None
app.limiter.load._admission.adapt(Patient(bounds=BOUNDS), kind=KIND)
