"""The reporter of events: once for each host, to the sinks that the policy in force names."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ratelimit.events import Event
from ratelimit.policy.schema.events import Events
from ratelimit.stores.journal import (
    EVENTS_ROOM,
    JournalRing,
    events_of,
    minutes_of,
    quarters_of,
    read_records,
    tail_of,
    takings_of,
)
from ratelimit.worker.events.host import HostRecord
from ratelimit.worker.events.sinks import MOST_WAITING, Sink, sinks_of

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
        self.journal = None if table is None else events_of(table)
        """What this host and those that share its server have told: the journal."""
        self.minutes = None if table is None else minutes_of(table)
        self.quarters = None if table is None else quarters_of(table)
        self.takings = None if table is None else takings_of(table)
        self._kept: dict[str, JournalRing] = {}
        """Copies of both beside the policy's file of events, which are there after a reboot."""
        self._settings = settings
        self._sinks: list[Sink] | None = None
        self._told: Counter[str] = Counter()
        self._unwritten = 0
        self._begin()

    def _begin(self) -> None:
        """Take the journal's room; after a reboot it begins with what the policy's file of events has."""
        if self.journal is None or self.quarters is None or self.takings is None:
            return
        file = self._settings.file
        if file not in (None, "stderr"):
            self._kept = {"quarter": quarters_of(Path(str(file))), "takings": takings_of(Path(str(file)))}
            with suppress(OSError):
                if not self.journal.read():
                    lines = tail_of(Path(str(file)), EVENTS_ROOM // 2)
                    self.journal.add([each.line for each in read_records(lines)])
                for name, ring in (("quarter", self.quarters), ("takings", self.takings)):
                    if not ring.read():
                        ring.add(self._kept[name].read())
        self.journal.reserve()

    def lines(self) -> list[bytes]:
        """Return the lines of the journal, as far as this host keeps one."""
        return [] if self.journal is None else self.journal.read()

    def adapt(self, settings: Events) -> None:
        """Go by the settings of another policy."""
        if settings != self._settings:
            self._settings, self._sinks = settings, None

    def tell(self, name: str, now_ns: int, **fields: Any) -> None:
        """Write an event into the journal, and pass it on; never waits for a sink and never raises."""
        if self._sinks is None:
            self._sinks = sinks_of(self._settings)
        event = Event(name, now_ns, socket.gethostname(), os.getpid(), fields)
        self._told[name] += 1
        if self.journal is not None:
            self._write(self.journal, event)
        for sink in self._sinks:
            sink.put(event)

    def note(self, name: str, now_ns: int, **fields: Any) -> None:
        """Write counts beside the journal; no sink has them."""
        if self.minutes is not None:
            self._write(self.minutes, Event(name, now_ns, socket.gethostname(), os.getpid(), fields))

    def note_for_long(self, name: Literal["quarter", "takings"], now_ns: int, **fields: Any) -> None:
        """Write what is kept for a week: the counts of a quarter of an hour, or what callers took."""
        event = Event(name, now_ns, socket.gethostname(), os.getpid(), fields)
        for ring in (self.quarters if name == "quarter" else self.takings, self._kept.get(name)):
            if ring is not None:
                self._write(ring, event)

    def _write(self, ring: JournalRing, event: Event) -> None:
        try:
            ring.append([event.json().encode()])
        except OSError as error:
            self._unwritten += 1
            log.warning("the journal cannot be written: %s", error.strerror or error)

    def tell_once(self, name: str, key: str, now_ns: int, *, for_ns: int, **fields: Any) -> None:
        """Pass an event on, unless a worker of this host told of `key` within so long."""
        try:
            is_mine = self.record.claim(f"{name} {key}", now_ns, for_ns)
        except OSError:
            is_mine = True  # twice is better than never
        if is_mine:
            self.tell(name, now_ns, **fields)

    @property
    def room(self) -> int:
        """How many events find room now in log and file; a webhook is slow, and counts what it loses."""
        if self._sinks is None:
            self._sinks = sinks_of(self._settings)
        return min((sink.room for sink in self._sinks if sink.kind != "webhook"), default=MOST_WAITING)

    def take_lost(self) -> dict[str, int]:
        """Return how many events each sink lost since the last call."""
        lost_by = {sink.kind: lost for sink in self._sinks or () if (lost := sink.take_lost())}
        unwritten, self._unwritten = self._unwritten, 0
        return {**lost_by, "journal": unwritten} if unwritten else lost_by

    def take_told(self) -> Mapping[str, int]:
        """Return how many events of each name were told since the last call."""
        told, self._told = self._told, Counter()
        return told

    def wait_until_written(self, patience_s: float = 2.0) -> None:
        """Wait until all that was told is passed on, for so long at most each."""
        for sink in self._sinks or ():
            sink.wait_until_written(patience_s)
