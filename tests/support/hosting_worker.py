"""A host as a process of its own, told over a pipe what to do; stream client and ticks go on by themselves.

    python -m tests.support.hosting_worker PORT [PRINCIPALS]

One JSON list a line in, one value a line out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import astuple
from time import monotonic
from typing import Any

from tests.support.acting import NS, START_NS
from tests.support.campaign import Request
from tests.support.hosting import Host, Ticking, wait_until


class HostProcess:
    """The parent's end of a host."""

    def __init__(self, port: int, principals: int = 2_000) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.hosting_worker", str(port), str(principals)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, name: str, *given: Any) -> Any:
        """Have something done and return what came of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *given]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the host died"
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


EXITS = (3, 9, 17, 22, 30, 35)


def arrive(host: Host, name: str) -> float:
    """Let a new account of the campaign be seen; return when it was, by the machine's clock."""
    at_s = (host.clock.now_ns() - START_NS) / NS
    for exit_ in EXITS:
        host.decide(
            Request(at_s, name, "stolen1", "farm/1.0", f"45.{exit_ // 4}.{exit_ % 4 * 16}.{7 + exit_}")
        )
    return monotonic()


def wait_for(host: Host, name: str) -> float:
    """Return when an account was first seen to be in a cluster here."""
    wait_until(lambda: host.cluster(name) != -1, every_s=0.001)
    return monotonic()


def fill(host: Host, count: int) -> None:
    """Let so many accounts be seen that have nothing in common."""
    at_s = (host.clock.now_ns() - START_NS) / NS
    for number in range(count):
        network = f"{1 + number % 200}.{number // 200 % 250}.{number // 50_000 % 250}"
        host.decide(Request(at_s, f"one{number}", f"pay{number}", f"agent{number % 50}", f"{network}.9"))
        if number % 2_000 == 1_999:
            wait_until(lambda: host.numbers["waiting"] < 500 and host.agent.box.outgoing < 64, 60)


def main(port: int, principals: int) -> None:
    """Do as told until the pipe ends."""
    host = Host(port, is_live=True, principals=principals, identifiers=max(10_000, 3 * principals))
    with Ticking(host):
        for line in sys.stdin:
            name, *given = json.loads(line)
            answer: Any = None
            if name == "live":
                answer = host.live(Request(*fields) for fields in given[0])
            elif name == "arrive":
                answer = arrive(host, given[0])
            elif name == "wait_for":
                answer = wait_for(host, given[0])
            elif name == "fill":
                fill(host, given[0])
            elif name == "rest_until":
                host.clock.set_ns(given[0])
            elif name == "now":
                answer = host.clock.now_ns()
            elif name == "clusters":
                answer = sorted(host.clusters(given[0]))
            elif name == "numbers":
                answer = host.numbers
            elif name == "is_leading":
                answer = host.is_leading and host.agent.correlator is not None
            elif name == "position":
                global_leader = host.agent._global_leader
                answer = None if global_leader is None else global_leader._intake.position.decode()
            elif name == "explain":
                answer = host.explained(given[0])
            elif name == "codes":
                answer = host.noted.codes
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
