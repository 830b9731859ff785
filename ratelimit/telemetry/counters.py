"""The write side: what is counted beside the core's own counters, and where.

Each method is one or two integer additions into this worker's cells of the shared table. None
allocates, waits or can fail on account of what a client sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ratelimit.core.memory.refusals import note_refused
from ratelimit.core.memory.timings import Timings
from ratelimit.decision import Reason
from ratelimit.errors import StoreError
from ratelimit.features.parts import parts
from ratelimit.telemetry import names, remote
from ratelimit.telemetry.cells import WideCounter
from ratelimit.telemetry.names import (
    LATENCY_BOUNDS_NS,
    LATENCY_SUM_NS,
    REQUEST_COLUMN,
    RuleColumn,
    RuntimeColumn,
)
from ratelimit.usage import metrics as settlement

if TYPE_CHECKING:
    from ratelimit.core.memory.table import Table

_OTHER_DIAGNOSTIC = len(names.DIAGNOSTIC_CODES) - 1
_EVENT_COLUMN = {name: column for column, name in enumerate(names.EVENTS)}
_DIAGNOSTIC_COLUMN = {code: column for column, code in enumerate(names.DIAGNOSTIC_CODES)}


class Counters:
    """This worker's counters in one table; made again when the table is.

    Raises:
        StoreError: code `counters-full`; all counters are taken.
    """

    __slots__ = (
        "_diagnostics",
        "_latency",
        "_ratios",
        "_routes",
        "_runtime",
        "_table",
        "_wide",
        "cells",
    )

    def __init__(self, table: Table) -> None:
        self._table = table
        # Every request is counted: cells are looked up once.
        cells = WideCounter(table, names.COUNTER_REQUESTS, names.REQUESTS_WIDTH).cells
        self.cells = {decided: cells[column] for decided, column in REQUEST_COLUMN.items()}
        """Where a decision is counted: counter and column, by whether it allows and why."""
        self._wide = {
            name: WideCounter(table, name, width)
            for part in parts("metrics")
            for name, width in getattr(part, "COUNTERS", ())
        }
        """Counters of features: those that each limiter has, and others once they count."""
        self._ratios: dict[str, int] = {}
        """Counters of ratios that were looked up, by label."""
        self._routes: dict[str, int] = {}
        """Those of routes, likewise."""
        self._latency = WideCounter(table, names.COUNTER_LATENCY, names.LATENCY_WIDTH)
        self._runtime = WideCounter(table, names.COUNTER_RUNTIME, len(RuntimeColumn))
        self._diagnostics = WideCounter(table, names.COUNTER_DIAGNOSTICS, len(names.DIAGNOSTIC_CODES))

    def decided(self, allowed: bool, reason: Reason) -> None:
        """Count one decided request."""
        if reason is Reason.CAPACITY:
            self._runtime.add(names.CAPACITY_COLUMN)
        else:
            self._table.count(*self.cells[allowed, reason])

    def add(self, counter: str, width: int, column: int, amount: int = 1) -> None:
        """Add to a column of a feature's counter that has so many."""
        wide = self._wide.get(counter)
        if wide is None:
            wide = self._wide[counter] = WideCounter(self._table, counter, width)
        wide.add(column, amount)

    def decisions(self) -> dict[tuple[bool, Reason], int]:
        """Return how many requests all workers decided, by whether that allowed them, and why."""
        totals = self._table.totals
        found = {
            decided: totals(counter)[column]
            for decided, (counter, column) in (
                *self.cells.items(),
                ((False, Reason.CAPACITY), self._runtime.cells[names.CAPACITY_COLUMN]),
            )
        }
        return {decided: number for decided, number in found.items() if number}

    def acted(self, counter_name: str) -> None:
        """Count a request that a limit let through after a wait; the counter is the limit's."""
        self._table.count(self._table.counter(counter_name), RuleColumn.ACTED)

    def settled(self, label: str, real: int, estimate: int) -> None:
        """Count one real cost by its ratio to the estimate, which is above 0.

        Args:
            label: of its limit, by `settlement.ratio_labels`.
            real, estimate: in units.
        """
        percent = -(-100 * real // estimate)  # upwards: a bucket's bound holds what is at most that
        # Done without where limits took all counters. A request may also end after the table was closed.
        try:
            counter = self._ratios.get(label)
            if counter is None:
                counter = self._ratios[label] = self._table.counter(settlement.ratio_counter(label))
            self._table.count(counter, bisect_left(settlement.RATIO_BOUNDS_PERCENT, percent))
            self._table.count(counter, settlement.RATIO_SUM_PERCENT, percent)
        except (StoreError, ValueError):
            pass

    def ended(self, label: str, certainty: int) -> None:
        """Count an answer that ended, by how certain its usage is.

        Args:
            label: of its route, by `settlement.route_labels`.
            certainty: a position in `settlement.CERTAINTIES`.
        """
        try:
            counter = self._routes.get(label)
            if counter is None:
                counter = self._routes[label] = self._table.counter(settlement.settled_counter(label))
            self._table.count(counter, certainty)
        except (StoreError, ValueError):
            pass

    def observe_latency(self, elapsed_ns: int) -> None:
        """Count one sampled decision time; a clock that stepped back counts as zero."""
        elapsed_ns = max(elapsed_ns, 0)
        self._latency.add(bisect_left(LATENCY_BOUNDS_NS, elapsed_ns))
        self._latency.add(LATENCY_SUM_NS, elapsed_ns)

    def store_fault(self) -> None:
        """Count one decision the store could not make."""
        self._runtime.add(RuntimeColumn.STORE_FAULTS)

    def reloaded(self, result: str) -> None:
        """Count one reload of the policy file: "applied", "unchanged" or "rejected"."""
        self._runtime.add(_RELOAD_COLUMN[result])

    def events_lost(self, sink: str, number: int) -> None:
        """Count events that a sink could not pass on: "log", "file", "webhook" or "journal"."""
        self._runtime.add(_LOST_COLUMN[sink], number)

    def told(self, event: str, number: int) -> None:
        """Count events of a name that this worker reported."""
        self.add(names.COUNTER_EVENTS, len(names.EVENTS), _EVENT_COLUMN[event], number)

    def diagnosed(self, code: str) -> None:
        """Count one noticed mistake; a code that is not listed counts as "other"."""
        self._diagnostics.add(_DIAGNOSTIC_COLUMN.get(code, _OTHER_DIAGNOSTIC))


class RemoteCounters:
    """This worker's counters of a store that is a server. What ends after the table is not counted.

    Raises:
        StoreError: code `counters-full`; all counters are taken.
    """

    __slots__ = ("_back", "_remote", "_stood_in", "_table", "answered")

    def __init__(self, table: Table) -> None:
        self._table = table
        self._remote = WideCounter(table, remote.COUNTER_REMOTE, len(remote.RemoteColumn))
        self._back = WideCounter(table, remote.COUNTER_CHARGED_BACK, len(remote.ChargedBackColumn))
        self._stood_in = WideCounter(table, remote.COUNTER_STOOD_IN, len(remote.StoodInColumn))
        trips = WideCounter(table, remote.COUNTER_ROUND_TRIPS, remote.ROUND_TRIP_WIDTH).cells
        self.answered = Timings(
            table,
            remote.ROUND_TRIP_BOUNDS_NS,
            trips[: remote.ROUND_TRIP_SUM_NS],
            trips[remote.ROUND_TRIP_SUM_NS],
            self._remote.cells[remote.RemoteColumn.QUESTIONS],
        ).add
        """Counts a round trip, and the questions it answered; every decision passes here."""

    def tripped(self) -> None:
        """Count that the server is not asked any more."""
        self._add(remote.RemoteColumn.TRIPS, 1)

    def away(self, elapsed_ns: int) -> None:
        """Count time in which the server was not asked."""
        self._add(remote.RemoteColumn.AWAY_MS, elapsed_ns // 1_000_000)

    def lost(self, corrections: int) -> None:
        """Count corrections that may not have been made."""
        self._add(remote.RemoteColumn.CORRECTIONS_LOST, corrections)

    def charged_back(self, amount: int, unit: str) -> None:
        """Count what was used while the server was away, and that it has now."""
        with suppress(ValueError):
            self._back.add(remote.ChargedBackColumn.of(unit), amount)

    def stood_in(self, *, allowed: bool) -> None:
        """Count a decision in the server's place."""
        column = remote.StoodInColumn.ALLOWED if allowed else remote.StoodInColumn.REFUSED
        with suppress(ValueError):
            self._stood_in.add(column)

    def refused_by_share(self, refused: Iterable[tuple[int, str]], now_ns: int) -> None:
        """Count a request that was refused by this host's share alone, and note its caller by each limit."""
        with suppress(ValueError):
            self._stood_in.add(remote.StoodInColumn.BY_SHARE)
            counter = self._stood_in.cells[0][0]
            for who, limit in refused:
                note_refused(self._table, who, counter, now_ns, 1 + self._table.counter(limit))

    def forgot(self, counters: int) -> None:
        """Count counters that were not handed over."""
        self._add(remote.RemoteColumn.COUNTERS_FORGOTTEN, counters)

    def _add(self, column: remote.RemoteColumn, amount: int) -> None:
        with suppress(ValueError):
            self._remote.add(column, amount)


_RELOAD_COLUMN = {
    "applied": RuntimeColumn.RELOADS_APPLIED,
    "unchanged": RuntimeColumn.RELOADS_UNCHANGED,
    "rejected": RuntimeColumn.RELOADS_REJECTED,
}
_LOST_COLUMN = {
    "log": RuntimeColumn.EVENTS_LOST_LOG,
    "file": RuntimeColumn.EVENTS_LOST_FILE,
    "webhook": RuntimeColumn.EVENTS_LOST_WEBHOOK,
    "journal": RuntimeColumn.EVENTS_LOST_JOURNAL,
}
