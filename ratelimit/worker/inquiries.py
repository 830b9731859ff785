"""The answers of this host to inquiries, read from the table that its workers share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.memory.refusals import refusals_in
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.deciding.denials import counter_of, denied_counters
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.load.compile import AdaptiveSpec
from ratelimit.load.shed import shed_accounts
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.shed import ShedLine
from ratelimit.worker.events.minutes import HOUR_S, takings

if TYPE_CHECKING:
    from ratelimit.stores.redis.inquiries import Refusal, ServerInquiries

IN_CODE = ""
"""The name of a limit that is not known here: one in the application's code."""
_DENIED = counter_of("")
_MARK = "\x1f"
HOUR_NS = HOUR_S * 10**9
MOST_ANSWERED = 64
"""Names of inquiries that are remembered as answered."""

Line = tuple[str, int, int, int, int, int, bool]
"""Limit, hash, refused, uncertain, first and last time, and whether the limit only would have refused.

Of the deny list the limit is the name of a counter and the mark of an act, see `denied_by`.
"""


def denied_by(limit: str) -> tuple[str, int]:
    """Return by which identity the deny list refused a caller, and the act's mark; empty for a limit."""
    if not limit.startswith(_DENIED):
        return "", 0
    identity, _, mark = limit.removeprefix(_DENIED).partition(_MARK)
    try:
        return identity, int(mark or "0", 16)
    except ValueError:  # of another release
        return identity, 0


def refusal_lines(
    table: Table,
    compiled: CompiledPolicy,
    rules: Iterable[LimitRule],
    hashes: Collection[int] | None,
    now_ns: int,
) -> list[Line]:
    """Return what limits refused of callers within the last hour, the latest first; of all, the most first.

    Args:
        table: where they are noted.
        compiled: the policy.
        rules: the limits that are known.
        hashes: what limits count the callers by; of actors, their own. None for all callers.
        now_ns: the time.
    """
    names = {table.counter(rule.counter_name): rule for rule in reversed(list(rules))}
    denied = denied_counters(compiled, table)
    found = []
    for counter, who, refused, uncertain, since_ns, last_ns, in_shadow, mark in refusals_in(table, now_ns):
        rule = names.get(counter)
        is_actor = rule is not None and rule.is_clustered and len(rule.per) == 1
        if hashes is None or (cluster_of(who) if is_actor else who) in hashes:
            name = IN_CODE if rule is None else rule.name
            if counter in denied:
                name = f"{counter_of(denied[counter])}{_MARK}{mark:08x}"
            found.append((name, who, refused, uncertain, since_ns, last_ns, in_shadow))
    return sorted(found, key=lambda line: -line[2] if hashes is None else -line[5])


def shed_lines(
    flights: Iterable[tuple[AdaptiveSpec, InFlight]], table: Table, accounts: Collection[int], now_ns: int
) -> list[ShedLine]:
    """Return what was shed of some accounts within the last hour, the latest first.

    Args:
        flights: limits that follow the load, and what each has in flight.
        table: of their host.
        accounts: their hashes.
        now_ns: the time.
    """
    found = [
        ShedLine(one.group, one.class_, one.account, one.shed, one.would_shed, one.why, one.last_ns)
        for spec, flight in flights
        for one in shed_accounts(spec, table, flight, now_ns, {})
        if one.account in accounts
    ]
    return sorted(found, key=lambda each: -each.last_ns)


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
        from ratelimit.stores.redis.inquiries import MOST_LINES, MOST_METRICS, Answer

        with suppress(StoreError):
            asked = {name: one for name, one in server.asked().items() if name not in self._answered}
            for name, inquiry in asked.items():
                lines: list[Refusal] = []
                shed: list[ShedLine] = []
                metrics, hour = "", 0
                took: dict[str, dict[str, int]] = {}
                if inquiry.key == fingerprint_of(limiter.store.hasher.key).hex():
                    hashes = None if inquiry.about_all else set(inquiry.hashes)
                    lines = self._lines(limiter, hashes)[:MOST_LINES]
                    shed = [] if hashes is None else self._shed(limiter, hashes)[:MOST_LINES]
                if inquiry.about_all:
                    # Prometheus' library is not loaded for nothing.
                    from ratelimit.telemetry.exposition import Exposition

                    metrics = Exposition(limiter).render("")[0].decode()
                    metrics = metrics if len(metrics) <= MOST_METRICS else ""
                    hour = limiter.now_ns() // HOUR_NS
                    took = takings(limiter.table, limiter.rules, hour)
                server.answer(name, self._name, Answer(self._host, lines, metrics, shed, hour, took))
                self._answered[name] = None
            for name in list(self._answered)[:-MOST_ANSWERED]:
                del self._answered[name]

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
