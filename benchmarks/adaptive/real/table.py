"""Results of a real run, means by means."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from benchmarks.adaptive.real.run import Means, play
from ratelimit.demo.engine import CAPACITY, PLACES
from ratelimit.demo.saturated import TARGET_S, TIMES, Outcome
from ratelimit.demo.server import WORKERS

HEAD = (
    f"{'':33}{'in time':>9}{'of what it can':>16}{'p50':>8}{'p95':>8}{'p99':>8}{'refused':>9}{'gave up':>9}"
)


def print_real(seconds: int, seeds: Sequence[int], means: Sequence[Means]) -> None:
    """Play every means with every seed, and print both halves of the runs."""
    print(
        f"A server with {PLACES} places, a process of its own, answers {CAPACITY:.0f} requests a second; "
        f"{TIMES * CAPACITY:.0f} come (Poisson, open loop).\nBefore it a gateway: uvicorn with {WORKERS} "
        f"workers. First bytes are to come within {TARGET_S:g} s. Seeds {', '.join(map(str, seeds))}."
    )
    found: dict[Means, list[Outcome]] = {one: [] for one in means}
    for seed in seeds:
        for one in means:
            found[one].append(asyncio.run(play(one, seconds, seed)))
    half = seconds // 2
    late_s = max(outcome.late_s for outcomes in found.values() for outcome in outcomes)
    _part(f"{half} s with all places", found, lambda outcome: outcome.part(0, half), CAPACITY)
    _part(
        f"{seconds - half} s after half of them were lost",
        found,
        lambda outcome: outcome.part(half, seconds),
        CAPACITY / 2,
    )
    print(f"\nCallers came {1000 * late_s:.0f} ms late at most; it is part of their waits.")


def _part(
    title: str,
    found: Mapping[Means, Sequence[Outcome]],
    part: Callable[[Outcome], Outcome],
    capacity: float,
) -> None:
    print(f"\n{title}, all seeds together; first byte of what was answered\n\n{HEAD}")
    for means, outcomes in found.items():
        whole = Outcome([second for outcome in outcomes for second in part(outcome).seconds])
        can = capacity * len(whole.seconds)
        waits = "".join(
            f"{whole.wait_s(share):>6.2f} s" if whole.waits_s else f"{'-':>8}" for share in (0.5, 0.95, 0.99)
        )
        print(
            f"{means.name:33}{whole.in_time:>9,}{100 * whole.in_time / can:>14.0f} %{waits}"
            f"{whole.refused:>9,}{whole.given_up:>9,}"
        )
