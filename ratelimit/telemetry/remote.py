"""Names of what is counted on the way to a store that is a server: see `names` for the rules."""

from __future__ import annotations

from enum import IntEnum

from ratelimit.telemetry.metric import Metric

COUNTER_REMOTE = "\x1fremote"
COUNTER_ROUND_TRIPS = "\x1froundtrips"
COUNTER_CHARGED_BACK = "\x1fcharged back"
COUNTER_STOOD_IN = "\x1fstood in"
"""Also what refusals by a host's share alone are noted with; their mark is the limit's own counter."""


class RemoteColumn(IntEnum):
    """Columns of the `remote` counter: a store that is a server."""

    QUESTIONS = 0
    TRIPS = 1
    CORRECTIONS_LOST = 2
    COUNTERS_FORGOTTEN = 3
    AWAY_MS = 4
    REQUESTS_FORGOTTEN = 5


class ChargedBackColumn(IntEnum):
    """Columns of the `charged back` counter: what was used while the server was away, and it has now."""

    REQUESTS = 0
    TOKENS = 1
    MICRO_DOLLARS = 2
    OTHERS = 3

    @classmethod
    def of(cls, unit: str) -> ChargedBackColumn:
        """Return the column of a limit's unit; messages and the application's own units are others."""
        if unit == "usd":
            return cls.MICRO_DOLLARS
        if unit.endswith("_tokens"):
            return cls.TOKENS
        return cls.REQUESTS if unit in ("requests", "handshakes") else cls.OTHERS


class StoodInColumn(IntEnum):
    """Columns of the `stood in` counter: decisions that hosts made in the place of a server."""

    ALLOWED = 0
    REFUSED = 1
    BY_SHARE = 2
    """Refused by the share of a limit; the whole limit had room, as far as the host can know."""


# Upper bounds of the buckets in nanoseconds; one more column takes the rest (+Inf), and one the sum.
ROUND_TRIP_BOUNDS_NS = tuple(
    micros * 1_000
    for micros in (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000)
)
ROUND_TRIP_SUM_NS = len(ROUND_TRIP_BOUNDS_NS) + 1
ROUND_TRIP_WIDTH = ROUND_TRIP_SUM_NS + 1

ROUND_TRIPS = Metric(
    "ratelimit_store_round_trip_duration_seconds",
    "histogram",
    "Time a round trip to the store's server took, of those that brought an answer.",
    bounds=ROUND_TRIP_BOUNDS_NS,
)
QUESTIONS = Metric(
    "ratelimit_store_questions",
    "counter",
    "Decisions and corrections that the server answered; divided by round trips: how many share one.",
)
BREAKER_TRIPS = Metric(
    "ratelimit_store_breaker_trips",
    "counter",
    "Times a worker stopped asking the server because it did not answer.",
)
CORRECTIONS_LOST = Metric(
    "ratelimit_store_corrections_lost",
    "counter",
    "Settlements and releases that may not have reached the server; slots return with their lease.",
)
COUNTERS_FORGOTTEN = Metric(
    "ratelimit_store_counters_forgotten",
    "counter",
    "Counters used elsewhere, while the server was away or under a former actor, that may not be charged.",
)
REQUESTS_FORGOTTEN = Metric(
    "ratelimit_store_requests_forgotten",
    "counter",
    "Requests of this host that a server forgot when it came back empty, of the limit that had allowed most "
    "within its window: limits may let as many through again.",
)
REFUSED_BY_SHARE = Metric(
    "ratelimit_store_share_refusals",
    "counter",
    "Requests refused only because this host lets a share of each limit through while the server is away: "
    "the whole limit had room, as far as this host knows.",
)
STORE_AWAY = Metric(
    "ratelimit_store_away",
    "gauge",
    "Workers of this host that do not ask the server: their limits' stance decides.",
)
STORE_AWAY_SECONDS = Metric(
    "ratelimit_store_away_seconds",
    "counter",
    "Time that workers of this host did not ask the server, summed over them; its rate is how many do not. "
    "Each sign of life adds to it, so an absence of less than a few seconds may be missing.",
)
STORE_SHARE = Metric(
    "ratelimit_store_share_ratio",
    "gauge",
    "Part of each limit that this host lets through while the server is away.",
)
STORE_HOSTS = Metric(
    "ratelimit_store_hosts",
    "gauge",
    "Hosts that share the server, as this one last heard; 0 before. "
    "While the server is away they let through at most half as many limits together; one host, one.",
)
STORE_WORKERS = Metric(
    "ratelimit_store_workers",
    "gauge",
    "Workers of all hosts that the server has heard of lately, as this worker knows it.",
    per_worker=True,
)

REMOTE_METRICS: tuple[Metric, ...] = (
    ROUND_TRIPS,
    QUESTIONS,
    BREAKER_TRIPS,
    CORRECTIONS_LOST,
    COUNTERS_FORGOTTEN,
    REQUESTS_FORGOTTEN,
    REFUSED_BY_SHARE,
    STORE_AWAY,
    STORE_AWAY_SECONDS,
    STORE_SHARE,
    STORE_HOSTS,
    STORE_WORKERS,
)
"""Exported only where the store is a server."""
