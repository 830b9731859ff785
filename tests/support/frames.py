"""Python's frames of the library that a request goes through, counted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import ratelimit

PACKAGE = str(Path(ratelimit.__file__).parent)
WARM = 3
"""Requests that find out what later ones remember."""
COUNTED = 5
"""Of these the one with fewest counts: one in 64 is timed, and some do what is due."""


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count frames by the function they are of; a coroutine counts again as often as it is resumed.

    Readings of a clock that a test moves are left out: the host's is read in C.
    """
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            found[frame.f_code.co_qualname] += 1
            del found["ManualClock.now_ns"]

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(before)


async def frames_of(ask: Callable[[], Awaitable[object]]) -> Counter[str]:
    """Return the frames of a warm request."""
    for _ in range(WARM):
        await ask()
    counts = []
    for _ in range(COUNTED):
        with counting() as found:
            await ask()
        counts.append(found)
    return min(counts, key=Counter.total)
