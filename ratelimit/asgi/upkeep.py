"""What has to happen between requests: heartbeats, a look at memory and policy file, correlating.

Threads of their own, not tasks: a blocked event loop must not let this worker's
concurrency slots lapse, and compiling a policy must not block the event loop. They start
with the first scope a worker sees, so after the server has forked, and end with the
lifespan or the process.

Correlating has its own, because it looks into its ring much more often than a policy file
is looked at. It works in slices, mostly without the interpreter's lock, and after each one
lets whoever waits for that lock have it.
"""

from __future__ import annotations

import os
from threading import Event, Lock, Thread

from ratelimit.asgi.diagnostics import log
from ratelimit.limiter import Limiter

CORRELATE_S = 0.1
"""How often the ring of observations is looked into,"""
BREATH_S = 0.0005
"""and the pause between slices of longer work."""


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
        self._correlator: Thread | None = None

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
            self._start_correlating(self._ended)

    def stop(self) -> None:
        """End the thread and wait for it, unless others have started it as well."""
        with self._lock:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            threads = (self._thread, self._correlator)
            self._thread = self._correlator = None
            self._ended.set()
        for thread in threads:
            if thread is not None and thread.is_alive():
                thread.join()
        correlating = self._limiter.correlating
        if correlating is not None:
            correlating.is_kept_up = False
            correlating.rest(self._limiter.now_ns())

    def tick(self) -> None:
        """Do once what is to be done."""
        now_ns = self._limiter.now_ns()
        self._limiter.renew()
        self._limiter.store.heartbeat(now_ns)
        self._limiter.reload_if_changed()
        self._limiter.generation_at(now_ns)

    def _run(self, ended: Event) -> None:
        while not ended.wait(self._interval_s):
            try:
                self.tick()
                if self._limiter.correlating is not None:
                    with self._lock:
                        self._start_correlating(ended)
            except Exception:
                # Heartbeats must go on: without them this worker's slots lapse.
                log.exception("the upkeep of a limiter failed and is tried again")

    def _start_correlating(self, ended: Event) -> None:
        """Start the other thread if there is something to correlate: a reload may have asked for it."""
        is_running = self._correlator is not None and self._correlator.is_alive()
        if self._limiter.correlating is None or is_running or ended.is_set():
            return
        self._correlator = Thread(
            target=self._correlate, args=(ended,), name="ratelimit-correlator", daemon=True
        )
        self._correlator.start()

    def _correlate(self, ended: Event) -> None:
        pause_s = 0.0
        while not ended.wait(pause_s):
            correlating = self._limiter.correlating
            if correlating is None:
                return
            correlating.is_kept_up = True
            is_busy = correlating.tick(self._limiter.now_ns())
            pause_s = BREATH_S if is_busy else CORRELATE_S
            fault = correlating.take_fault()
            if fault is not None:
                log.error("correlating failed and is tried again", exc_info=fault)
