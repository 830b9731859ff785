"""The answers of this host to inquiries, read from the table that its workers share."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.runtime.route_counters import route_counters
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.shed import MOST_LINES, ShedLine
from ratelimit.worker.events.host import memory_of
from ratelimit.worker.events.takings import HOUR_S, TakenHere, takings
from ratelimit.worker.refusal_lines import refusal_lines, shed_lines

if TYPE_CHECKING:
    from ratelimit.stores.redis.inquiries import Refusal, ServerInquiries

HOUR_NS = HOUR_S * 10**9
MOST_ANSWERED = 64
"""Names of inquiries that are remembered as answered."""


class InquiryFollower:
    """Answers inquiries for one host, and holds on to no limiter.

    Args:
        name: the host's name in its reports.
        host: what people call it.
    """

    def __init__(self, name: str, host: str) -> None:
        self._name, self._host = name, host
        self._answered: dict[str, None] = {}

    def look(self, server: ServerInquiries, limiter: Limiter) -> None:
        """Answer what was not answered yet; while the server is away nothing is asked."""
        # Its client library is not there for every policy.
        from ratelimit.stores.redis.inquiries import MOST_METRICS, HostAnswer

        with suppress(StoreError):
            asked = {name: one for name, one in server.asked().items() if name not in self._answered}
            for name, inquiry in asked.items():
                lines: list[Refusal] = []
                shed: list[ShedLine] = []
                metrics, hour = "", 0
                took = TakenHere()
                if inquiry.key == fingerprint_of(limiter.store.hasher.key).hex():
                    hashes = None if inquiry.about_all else self._named(limiter, inquiry.hashes)
                    lines = self._lines(limiter, hashes)[:MOST_LINES]
                    shed = [] if hashes is None else self._shed(limiter, hashes)[:MOST_LINES]
                if inquiry.about_all:
                    # Prometheus' library is not loaded for nothing.
                    from ratelimit.telemetry.exposition import Exposition

                    metrics = Exposition(limiter).render("")[0].decode()
                    metrics = metrics if len(metrics) <= MOST_METRICS else ""
                    hour = limiter.now_ns() // HOUR_NS
                    compiled, watch = limiter.policy.compiled, limiter.current.watch
                    took = takings(limiter.table, compiled, limiter.rules, hour, watch)
                memory = memory_of(limiter.store.place)
                said = HostAnswer(self._host, lines, metrics, shed, hour, took.callers, took.actors, memory)
                server.answer(name, self._name, said)
                self._answered[name] = None
            for name in list(self._answered)[:-MOST_ANSWERED]:
                del self._answered[name]

    @staticmethod
    def _named(limiter: Limiter, hashes: Collection[int]) -> set[int]:
        """Return the hashes that refusals of these callers are noted with here."""
        asked, path = limiter.runtime.asked, limiter.runtime.file.path
        bound = None if asked is None else asked.generation
        if bound is None:
            return set(hashes)
        return {*hashes, *route_counters(bound, None if path is None else str(path), hashes)}

    @staticmethod
    def _shed(limiter: Limiter, hashes: Collection[int]) -> list[ShedLine]:
        flights = [(load.spec, load.flight) for load in limiter.every_load.values()]
        return shed_lines(flights, limiter.table, hashes, limiter.now_ns())

    @staticmethod
    def _lines(limiter: Limiter, hashes: Collection[int] | None) -> list[Refusal]:
        from ratelimit.stores.redis.inquiries import Refusal

        return [
            Refusal(*line)
            for line in refusal_lines(
                limiter.table, limiter.policy.compiled, limiter.rules, hashes, limiter.now_ns()
            )
        ]
