"""A trial on a server of what decisions need: a short round trip, the same clock, the same hash key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ratelimit.environment.finding import Finding
from ratelimit.stores.redis.fallback.fair_share import mark_of, share_of, signs_in

ROUND_TRIPS = 200
MOST_TIME_NS = 5 * 10**9
"""A slow server is asked fewer times."""
MOST_SKEW_NS = 2 * 10**9
"""A server with a clock further off turns calendar windows visibly late or early."""

Timer = Callable[[], int]
"""Nanoseconds: of an era of its own (`timer`), or since the epoch (`wall`)."""


async def time_round_trips(client: Redis, timer: Timer, timeout_ns: int) -> Finding:
    """Return how long the server takes to answer: the median and the 99th percentile."""
    took: list[int] = []
    await client.ping()
    begun = timer()
    while len(took) < ROUND_TRIPS and timer() - begun < MOST_TIME_NS:
        before = timer()
        await client.ping()
        took.append(timer() - before)
    took.sort()
    median, late = took[len(took) // 2], took[len(took) * 99 // 100]
    facts = {"median_us": median / 1e3, "p99_us": late / 1e3, "round_trips": len(took)}
    words = f"median {_ms(median)}, 99 % within {_ms(late)}; time-out {_ms(timeout_ns)}"
    if median >= timeout_ns:
        return Finding(
            "round trip",
            "fail",
            f"{words}: decisions would not wait for the answer",
            "Move the server nearer, or raise `timeout` above what 99 % take.",
            facts=facts,
        )
    if late >= timeout_ns or 4 * median >= timeout_ns:
        return Finding(
            "round trip",
            "warn",
            f"{words}: under load, decisions will run out of time",
            "Move the server nearer or find what keeps it busy (`LATENCY DOCTOR`, `SLOWLOG GET`), "
            'raise `timeout`, or use leases: `mode = "leased"`.',
            facts=facts,
        )
    return Finding("round trip", "ok", words, facts=facts)


async def compare_clocks(client: Redis, wall: Timer) -> Finding:
    """Return how far the server's clock, which limits go by, is from this host's."""
    offsets = []
    for _ in range(5):
        before = wall()
        seconds, micros = await client.time()
        after = wall()
        offsets.append((after - before, int(seconds) * 10**9 + int(micros) * 1000 - (before + after) // 2))
    # The quickest answer says the most: it cannot be further off than half of what it took.
    took, offset = min(offsets)
    facts = {"offset_us": offset / 1e3, "uncertainty_us": took / 2e3}
    direction = "ahead of" if offset > 0 else "behind"
    if abs(offset) <= took // 2:
        return Finding("clock", "ok", f"the same as this host's, within {_ms(took // 2)}", facts=facts)
    words = f"{_ms(abs(offset))} {direction} this host's"
    if abs(offset) > MOST_SKEW_NS:
        return Finding(
            "clock",
            "warn",
            f"{words}: calendar windows turn by the server's clock",
            "Synchronise both (NTP).",
            facts=facts,
        )
    return Finding("clock", "ok", words, facts=facts)


async def compare_keys(client: Redis, place: bytes, key: bytes) -> list[Finding]:
    """Return whether the workers that run now hash identities with this key; nothing if it cannot be seen."""
    try:
        seconds, micros = await client.time()
        answer: Any = client.hgetall(place.decode())
        signs = signs_in((await answer).values(), int(seconds) * 1_000_000 + int(micros))
    except ResponseError:
        return []
    others = sum(sign.mark != mark_of(key) for sign in signs)
    hosts = len({sign.host for sign in signs})
    facts = {"workers": len(signs), "hosts": hosts, "other_keys": others}
    if others:
        return [
            Finding(
                "workers",
                "fail",
                f"{others} of {len(signs)} that run now hash identities with another key: "
                "each caller has its limits once with each key",
                "Give all hosts the same [hashing] key, or deployments of their own different prefixes; "
                "then restart the workers.",
                facts=facts,
            )
        ]
    if not signs:
        return [Finding("workers", "ok", "none runs now", facts=facts)]
    words = f"{len(signs)} run now on {hosts} host{'s' if hosts > 1 else ''}, with the same hash key"
    if hosts > 1:
        words += (
            f"; while the server is away, each host lets {share_of(hosts):g} of every limit through, "
            f"all together at most {hosts * share_of(hosts):g} limits"
        )
    return [Finding("workers", "ok", words, facts=facts)]


def _ms(time_ns: int) -> str:
    if time_ns >= 10**9:
        return f"{time_ns / 1e9:.3g} s"
    return f"{time_ns / 1e6:.3g} ms"
