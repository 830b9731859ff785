"""The reporter of events: once for each host, to the sinks that the policy in force names."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

from ratelimit.events import Event
from ratelimit.policy.schema.events import Events
from ratelimit.worker.events.host import HostRecord
from ratelimit.worker.events.sinks import Sink, sinks_of

log = logging.getLogger("ratelimit.events")


class Reporter:
    """Tells what the workers of one host notice.

    Args:
        table: the path of their table; None for a process of its own.
        settings: of the policy that is in force.
    """

    def __init__(self, table: Path | None, settings: Events) -> None:
        self.record = HostRecord(table)
        self.record.reserve()
        self._settings = settings
        self._sinks: list[Sink] | None = None

    def adapt(self, settings: Events) -> None:
        """Go by the settings of another policy."""
        if settings != self._settings:
            self._settings, self._sinks = settings, None

    def tell(self, name: str, now_ns: int, **fields: Any) -> None:
        """Pass an event on; never waits and never raises."""
        if self._sinks is None:
            self._sinks = sinks_of(self._settings)
        event = Event(name, now_ns, socket.gethostname(), os.getpid(), fields)
        for sink in self._sinks:
            sink.put(event)

    def tell_once(self, name: str, key: str, now_ns: int, *, for_ns: int, **fields: Any) -> None:
        """Pass an event on, unless a worker of this host told of `key` within so long."""
        try:
            is_mine = self.record.claim(f"{name} {key}", now_ns, for_ns)
        except OSError:
            is_mine = True  # twice is better than never
        if is_mine:
            self.tell(name, now_ns, **fields)

    def take_lost(self) -> dict[str, int]:
        """Return how many events each sink lost since the last call."""
        return {sink.kind: lost for sink in self._sinks or () if (lost := sink.take_lost())}

    def wait_until_written(self, patience_s: float = 2.0) -> None:
        """Wait until all that was told is passed on, for so long at most each."""
        for sink in self._sinks or ():
            sink.wait_until_written(patience_s)
