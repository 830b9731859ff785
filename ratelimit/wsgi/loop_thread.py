"""An event loop beside the application's threads, for a store on a server, which is awaited."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines in a thread of its own, started when first needed and anew after a fork."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; the calling thread waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._pid != os.getpid():
            with self._lock:
                if self._loop is None or self._pid != os.getpid():
                    self._loop = asyncio.new_event_loop()
                    self._pid = os.getpid()
                    Thread(target=self._loop.run_forever, name="ratelimit-store", daemon=True).start()
        return self._loop
