"""What has to happen between requests: heartbeats, and watching the policy file.

A thread of its own, not a task: a blocked event loop must not let this worker's
concurrency slots lapse, and compiling a policy must not block the event loop. It starts
with the first scope a worker sees, so after the server has forked, and ends with the
lifespan or the process.
"""

from __future__ import annotations

import os
from threading import Event, Lock, Thread

from ratelimit.asgi.diagnostics import log
from ratelimit.limiter import Limiter


class Upkeep:
    """Looks after one limiter, every `interval_s` seconds.

    Args:
        limiter: whom.
        interval_s: how often; a changed policy file is in force that long after at most.
    """

    def __init__(self, limiter: Limiter, interval_s: float) -> None:
        self._limiter = limiter
        self._interval_s = interval_s
        self._lock = Lock()
        self._ended = Event()
        self._thread: Thread | None = None
        self._pid = 0
        self._users = 0

    @property
    def is_running(self) -> bool:
        """Whether the thread is alive in this process: threads do not survive a fork."""
        return self._thread is not None and self._pid == os.getpid() and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread in this process, unless it runs; `stop` once for each start."""
        with self._lock:
            self._users = self._users + 1 if self._pid == os.getpid() else 1
            if self.is_running:
                return
            self._ended = Event()
            self._pid = os.getpid()
            self._thread = Thread(target=self._run, args=(self._ended,), name="ratelimit-upkeep", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it, unless others have started it as well."""
        with self._lock:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            thread, self._thread = self._thread, None
            self._ended.set()
        if thread is not None and thread.is_alive():
            thread.join()

    def tick(self) -> None:
        """Do once what is to be done."""
        now_ns = self._limiter.now_ns()
        self._limiter.store.heartbeat(now_ns)
        self._limiter.reload_if_changed()
        self._limiter.generation_at(now_ns)

    def _run(self, ended: Event) -> None:
        while not ended.wait(self._interval_s):
            try:
                self.tick()
            except Exception:
                # Heartbeats must go on: without them this worker's slots lapse.
                log.exception("the upkeep of a limiter failed and is tried again")
