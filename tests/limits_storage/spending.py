"""A worker that spends a rate as fast as it can: `python -m tests.limits_storage.spending URL STRATEGY RATE`.

It waits for a line, asks for the whole rate, and prints how many it was given.
"""

from __future__ import annotations

import asyncio
import sys

import limits
from limits.storage import storage_from_string

import ratelimit.integrations.limits  # noqa: F401  # its schemes
from tests.limits_storage.strategies import answer, limiter_of


async def spend(url: str, strategy: str, rate: str) -> int:
    """Ask for as much as there is for all; return what was given."""
    limiter, item = limiter_of(storage_from_string(url), strategy), limits.parse(rate)
    print("ready", flush=True)
    sys.stdin.readline()
    return sum([await answer(limiter.hit(item, "client")) for _ in range(item.amount)])


if __name__ == "__main__":
    print(asyncio.run(spend(*sys.argv[1:])))
