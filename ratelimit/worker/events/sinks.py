"""Sinks of events: the log, a file, a webhook. No request waits for any of them.

Rules it keeps:

- What is told is put into a queue of 256; what finds it full is counted, and the next event says how many.
- A thread empties it, and is there while there is something to tell.
- A webhook has 5 seconds for each try, five tries, and at most one event a second after the first twenty.
  While it hangs, log and file go on: it has a queue and a thread of its own.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from urllib.error import URLError
from urllib.request import Request, urlopen

from ratelimit.core.threads.event import breathe
from ratelimit.events import EVENTS, Event
from ratelimit.policy.schema.events import Events

log = logging.getLogger("ratelimit.events")

MOST_WAITING = 256
TIMEOUT_S = 5.0
TRIES = 5
FIRST_PAUSE_S = 1.0
"""Before the second try; then twice as long each time."""
BURST = 20
INTERVAL_S = 1.0

Write = Callable[[Event], None]


class Sink:
    """One place that events go to, with a queue and a thread.

    Args:
        write: passes one event on; may wait, and may raise.
        name: of the thread.
    """

    def __init__(self, write: Write, name: str) -> None:
        self._write = write
        self._name = name
        self._lock = Lock()
        self._waiting: deque[Event] = deque()
        self._thread: Thread | None = None
        self._pid = 0
        self.dropped = 0
        """Events that found the queue full, since the last that was passed on."""
        self._lost = 0

    def put(self, event: Event) -> None:
        """Pass an event on, soon; never waits and never raises."""
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                self._lost += 1
                return
            self._waiting.append(event)
            is_running = self._thread is not None and self._pid == os.getpid()
            if not is_running:
                self._pid = os.getpid()
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                event = self._waiting[0]
                dropped, self.dropped = self.dropped, 0
            if dropped:
                event = event.with_fields(dropped=dropped)
            try:
                self._write(event)
            except Exception as error:
                log.warning("an event could not be passed on (%s): %s", self._name, type(error).__name__)
                with self._lock:
                    self._lost += 1
            with self._lock:
                self._waiting.popleft()
            breathe()

    @property
    def room(self) -> int:
        """How many events find room now."""
        with self._lock:
            return MOST_WAITING - len(self._waiting)

    @property
    def kind(self) -> str:
        """What it is, as its metric has it: `log`, `file` or `webhook`."""
        return self._name.rpartition("-")[2]

    def take_lost(self) -> int:
        """Return how many events were lost since the last call."""
        with self._lock:
            lost, self._lost = self._lost, 0
        return lost

    def wait_until_written(self, patience_s: float) -> None:
        """Wait until all that was put is passed on, for so long at most."""
        thread = self._thread
        if thread is not None:
            thread.join(patience_s)


def sinks_of(settings: Events) -> list[Sink]:
    """Return the sinks that a policy asks for; a webhook of which the variable is not set is left out."""
    found = []
    if settings.log:
        found.append(Sink(to_log, "ratelimit-events-log"))
    if settings.file is not None:
        found.append(Sink(lambda event: to_file(settings.file or "", event), "ratelimit-events-file"))
    address = settings.webhook or ""
    if address.startswith("env:"):
        address = os.environ.get(address.removeprefix("env:"), "")
    if address:
        found.append(Sink(Webhook(address).post, "ratelimit-events-webhook"))
    return found


def to_log(event: Event) -> None:
    """Write an event to the log, one line."""
    if EVENTS[event.name].is_logged:
        return
    log.log(logging.WARNING if event.is_alarming else logging.INFO, "%s", event.line())


def to_file(path: str, event: Event) -> None:
    """Append an event to a file, or to standard error: one JSON object a line."""
    if path == "stderr":
        sys.stderr.write(event.json() + "\n")
        return
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(event.json() + "\n")


class Webhook:
    """Posts events to one address.

    Args:
        address: `http://` or `https://`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._left = BURST
        self._pause = Signal()

    def post(self, event: Event) -> None:
        """Post an event; waits, and tries again.

        Raises:
            OSError: five tries failed.
        """
        if self._left > 0:
            self._left -= 1
        else:
            self._pause.wait(INTERVAL_S)
        for number in range(TRIES):
            try:
                self._post(event)
                return
            except (URLError, OSError, ValueError):
                if number == TRIES - 1:
                    raise
            self._pause.wait(FIRST_PAUSE_S * 2**number)

    def _post(self, event: Event) -> None:
        wanted = Request(
            self._address,
            data=event.json().encode(),
            headers={"Content-Type": "application/json", "User-Agent": "kinlimit"},
            method="POST",
        )
        if not self._address.startswith(("http://", "https://")):
            raise ValueError("a webhook is an http:// or https:// address")
        with urlopen(wanted, timeout=TIMEOUT_S) as answer:  # the scheme is checked
            answer.read(1024)
