"""Work that is played side by side, each piece in a process of its own, with a line of progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def spread(work: Callable[[Piece], Result], pieces: Sequence[Piece], title: str, jobs: int) -> list[Result]:
    """Return what a function makes of each piece, in their order.

    Each piece follows from its seed alone, so the results are the same however many processes there are.

    Args:
        work: a function of a module; it and the pieces go to other processes.
        pieces: the longest first, so that none is begun last.
        title: of the line of progress.
        jobs: processes; 1 is this one.
    """
    if jobs == 1:
        found = []
        for number, piece in enumerate(pieces):
            found.append(work(piece))
            _say(title, number + 1, len(pieces))
        return found
    with ProcessPoolExecutor(jobs) as pool:
        running = [pool.submit(work, piece) for piece in pieces]
        for number, _ in enumerate(as_completed(running)):
            _say(title, number + 1, len(pieces))
        return [one.result() for one in running]


def usual_jobs() -> int:
    """Return one process for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _say(title: str, done: int, of: int) -> None:
    """Draw a bar on the terminal; in a log a line for each piece."""
    bar = "#" * (20 * done // of)
    end = "\n" if done == of or not sys.stderr.isatty() else "\r"
    print(f"{title:28}[{bar:20}] {done}/{of}", end=end, file=sys.stderr, flush=True)
