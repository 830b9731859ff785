"""A process with tasks that ask one limit as fast as they can, and note when each was asked and answered.

Run as `python -m tests.support.redis.hammering POLICY TASKS REQUESTS`; it writes its notes as
JSON: when (monotonic, which all processes of a host share) each request began and ended, in ns,
and whether it was allowed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import NamedTuple

from tests.support.redis.live import patient


class Note(NamedTuple):
    """One request."""

    begun_ns: int
    ended_ns: int
    allowed: bool


async def hammer(text: str, tasks: int, requests: int) -> list[Note]:
    """Ask so many times in each of so many tasks."""
    limiter = patient(text)
    notes: list[Note] = []
    await limiter.look()
    await limiter.connected()

    async def run() -> None:
        for _ in range(requests):
            begun_ns = time.monotonic_ns()
            found = await limiter.ask()
            notes.append(Note(begun_ns, time.monotonic_ns(), found.allowed))

    await asyncio.gather(*(run() for _ in range(tasks)))
    assert not limiter.watcher.faults, limiter.watcher.faults
    await limiter.aclose()
    return notes


def hammer_by_processes(text: str, processes: int, tasks: int, requests: int) -> list[Note]:
    """Return the notes of several processes, in the order of their beginnings."""
    command = [sys.executable, "-m", "tests.support.redis.hammering", text, str(tasks), str(requests)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(processes)]
    notes: list[Note] = []
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert not any(process.returncode for process in running)
    for output in outputs:
        notes += [Note(*note) for note in json.loads(output)]
    return sorted(notes)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(hammer(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
