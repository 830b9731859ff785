"""A worker process that correlates with others, told over a pipe what to do and when it is.

    python -m tests.support.acting_worker POLICY

One JSON list a line in, one value a line out. Spawned, so it maps and attaches by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from tests.support.acting import Actor
from tests.support.campaign import Request


class Process:
    """The parent's end of a worker."""

    def __init__(self, policy: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.acting_worker", str(policy)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, name: str, *given: Any) -> Any:
        """Have something done and return what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *given]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the worker died"
        return json.loads(answer)

    def live(self, requests: Iterable[Request]) -> int:
        """Decide requests; return how many were refused."""
        refused: int = self.ask("live", [astuple(request) for request in requests])
        return refused

    def kill(self) -> None:
        """End it as nothing can be prepared for."""
        self._process.kill()
        self._process.wait(60)

    def close(self) -> None:
        """End it, by whatever means."""
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


def main(policy: str) -> None:
    """Do as told until the pipe ends."""
    actor = Actor(Path(policy))
    clustering = actor.limiter.clustering
    assert clustering is not None
    clustering.is_kept_up = True  # ticks come when they are told to
    for line in sys.stdin:
        name, *given = json.loads(line)
        answer: Any = None
        if name == "live":
            answer = actor.live(Request(*fields) for fields in given[0])
        elif name == "tick":
            actor.clock.set_ns(given[0])
            answer = actor.tick()
        elif name == "step":
            actor.clock.set_ns(given[0])
            answer = clustering.tick(given[0])
        elif name == "clusters":
            answer = [actor.cluster(account) for account in given[0]]
        elif name == "numbers":
            answer = actor.numbers
        elif name == "elected":
            answer = clustering.is_elected
        elif name == "settle":
            clustering.wait_until_saved()
        elif name == "codes":
            answer = actor.noted.codes
        elif name == "pid":
            answer = os.getpid()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
