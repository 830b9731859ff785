"""Calls to the server that wait, over one connection that is made when it is needed.

For threads of their own and for commands; requests go through `transport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ratelimit.errors import StoreError
from ratelimit.stores.redis.hosts.stream_client import Failures
from ratelimit.stores.redis.transport.connect import connect

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

PATIENCE_S = 1.0


class ServerCaller:
    """One connection, and what is asked over it, for `PATIENCE_S` at most each time.

    Args:
        remote: which server.
    """

    def __init__(self, remote: RemoteSpec) -> None:
        self._remote = remote
        self._loop = asyncio.new_event_loop()
        self._client: Any = None

    def call(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Return what the work with a client returns.

        Raises:
            StoreError: code `redis-unreachable`; what was asked may or may not have been done.
        """

        async def bounded() -> Any:
            async with asyncio.timeout(PATIENCE_S):
                if self._client is None:
                    self._client = connect(self._remote, timeout_s=PATIENCE_S)
                return await work(self._client)

        try:
            return self._loop.run_until_complete(bounded())
        except Failures as error:
            self._drop()
            raise StoreError(
                f"the server cannot be reached: {type(error).__name__}: {error}", code="redis-unreachable"
            ) from error

    def close(self) -> None:
        """Let go of the connection."""
        if not self._loop.is_closed():
            self._drop()
            self._loop.close()

    def _drop(self) -> None:
        client, self._client = self._client, None

        async def closed() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await client.aclose()

        if client is not None:
            with suppress(*Failures):
                self._loop.run_until_complete(closed())
