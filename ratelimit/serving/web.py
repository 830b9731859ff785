"""The check's server: uvicorn beside whatever else the process serves."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import uvicorn

from ratelimit.asgi.check import Proxy, check_application
from ratelimit.asgi.pages import Pages
from ratelimit.limiter import Limiter

log = logging.getLogger("ratelimit")


class Serving:
    """A server that has started, in a task of its own."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None]) -> None:
        self._server = server
        self._task = task

    async def stop(self, grace_s: float) -> None:
        """End it after the requests that are under way, or that time."""
        self._server.should_exit = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._task, grace_s)


class _Quiet(uvicorn.Server):
    """Leaves signals to the process that it is a part of."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return nullcontext()


async def serve_http(limiter: Limiter, host: str, port: int, proxy: Proxy) -> Serving:
    """Return a server of a proxy that has started; several processes may share a port.

    Raises:
        OSError: the address cannot be had.
    """
    serving, at = await serve_application(check_application(limiter, proxy), host, port)
    log.info("the check over HTTP is at http://%s:%d/, for %s", host, at, proxy)
    return serving


async def serve_domains(pages: Pages, host: str, port: int) -> Serving:
    """Return a server of the reference service's pages that has started; several processes may share a port.

    Raises:
        OSError: the address cannot be had.
    """
    serving, at = await serve_application(pages, host, port)
    log.info("the check in JSON is at http://%s:%d/json", host, at)
    return serving


async def serve_application(application: Any, host: str, port: int) -> tuple[Serving, int]:
    """Return a server of an application that has started, and its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind((host, port))
    listening.listen()  # before it is said, as the server's own task has not run yet
    # A WebSocket's handshake is asked about over HTTP, and answered so. Warnings are of what clients send.
    config = uvicorn.Config(
        application,
        ws="none",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        lifespan="off",
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve([listening]))
    return Serving(server, task), listening.getsockname()[1]
