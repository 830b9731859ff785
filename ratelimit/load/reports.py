"""Load reports of the servers behind, fetched and passed to the limits that follow the load.

One worker of a host asks, twice a second, in a thread of its own. What the servers say is a cap and
nothing more (`load.model.saturation`). One that does not answer, or with anything else, costs nothing:
no report is made then. The last one is ignored when it is five seconds old.
Where a limit names several, all have to answer: a part of them would look like fewer places.
"""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from urllib.request import HTTPRedirectHandler, Request, build_opener

from ratelimit.clock import SystemClock
from ratelimit.limiter import Limiter
from ratelimit.load.limit import LoadLimit
from ratelimit.load.model.engine import EngineReport, read_metrics
from ratelimit.stores.embedded.election import Election
from ratelimit.stores.embedded.mapping import COMPANION

ASK_S = 0.5
"""The pause between questions to them."""
TIMEOUT_S = 1.0
"""The time that each part of a page may take."""
PAGE_NS = 2 * 10**9
"""The time that a page may take in all: one that trickles would keep the worker from ending."""
MOST_BYTES = 4 << 20
"""A page that is larger is not read."""


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow no redirect: the address is the operator's, and where it leads is not."""


CLOCK = SystemClock(0)
OPENER = build_opener(_Stay)


class EngineReports:
    """One host's questions to the servers behind, and holds on to no limiter."""

    def __init__(self) -> None:
        self._election: Election | None = None

    def look(self, limiter: Limiter) -> bool:
        """Ask once and report, if this worker is to; return whether a report was made."""
        asked = [load for load in limiter.loads.values() if load.spec.reports]
        if not asked:
            return False
        if self._election is None:
            place = limiter.store.place
            self._election = Election(
                None if place is None else place.with_name(f"{place.name}{COMPANION}engine-reader")
            )
        if not self._election.win():
            return False
        return sum(map(_report, asked)) > 0

    def resign(self) -> None:
        """Let another worker ask."""
        if self._election is not None:
            self._election.resign()


def _report(load: LoadLimit) -> bool:
    """Ask the servers behind one limit, and tell it; return whether they answered."""
    found = ask(load.spec.reports)
    if found is None:
        return False
    load.report(running=found.running, waiting=found.waiting, memory_used=found.memory_used)
    return True


def ask(addresses: Sequence[str]) -> EngineReport | None:
    """Return what all of them say together; None where one of them says nothing that can be used."""
    readings = []
    for address in addresses:
        reading = _ask(address)
        if reading is None:
            return None
        readings.append(reading)
    return EngineReport(
        sum(reading.running for reading in readings),
        sum(reading.waiting for reading in readings),
        max(reading.memory_used for reading in readings),
    )


def _ask(address: str) -> EngineReport | None:
    try:
        wanted = Request(address, headers={"User-Agent": "kinlimit", "Accept": "text/plain"})
        with OPENER.open(wanted, timeout=TIMEOUT_S) as answer:  # the policy's check knows the scheme
            page = _page(answer)
    except (OSError, HTTPException, ValueError):
        return None
    return None if page is None else read_metrics(page.decode("utf-8", "replace"))


def _page(answer: HTTPResponse) -> bytes | None:
    """Return a whole page; None where it is too large, or takes too long."""
    page, ends_ns = b"", CLOCK.now_ns() + PAGE_NS
    while piece := answer.read1(1 << 16):
        page += piece
        if len(page) > MOST_BYTES or CLOCK.now_ns() > ends_ns:
            return None
    return page
