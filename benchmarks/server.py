"""Requests a second under a real server, with the middleware and without.

uvicorn with one worker (uvloop, httptools) on loopback, driven by `wrk` with 32
connections. The bare application and one with a middleware are measured right after
one another, over and over, and each pair gives a ratio; the median ratio is reported.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from benchmarks.apps import BARE, NO_OP, OURS, PEERS, QUOTA, WHICH, installed
from benchmarks.report import Answer, Row, best, number
from benchmarks.rounds import Sample
from benchmarks.scenarios import HOT_KEY, MOST_IN_A_WINDOW, PATH
from benchmarks.settings import Settings
from tests.support.redis.port import free_port

NAME = "under wrk"
AIM = 90.0
CONNECTIONS = 32
FEW = 5


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one run of wrk: requests a second, and microseconds of processor time each."""

    rate: float
    cost_us: float


class Server:
    """uvicorn with one worker and one of the applications, on a free port of loopback."""

    def __init__(self, name: str, quota: int = MOST_IN_A_WINDOW) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}{PATH}"
        command = [sys.executable, "-m", "uvicorn", "benchmarks.served:app", "--port", str(self._port)]
        command += ["--workers", "1", "--no-access-log", "--log-level", "error"]
        environment = {**os.environ, WHICH: name, QUOTA: str(quota)}
        self._process = subprocess.Popen(command, env=environment)

    def wait(self) -> Server:
        """Return when it listens.

        Raises:
            TimeoutError: it does not after 20 seconds, or has ended.
        """
        until = time.monotonic() + 20
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        raise TimeoutError("the server did not start")

    def status(self) -> int:
        """Return the status of one request."""
        request = urllib.request.Request(self.url, headers={"x-api-key": HOT_KEY})
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    def load(self, seconds: float) -> Load:
        """Return what wrk gets through; every answer must be a success."""
        wrk = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s"]
        wrk += ["-H", f"x-api-key: {HOT_KEY}", self.url]
        before = self._processor_s()
        said = subprocess.run(wrk, capture_output=True, text=True, check=True).stdout
        taken_s = self._processor_s() - before
        rate = re.search(r"Requests/sec:\s*([\d.]+)", said)
        requests = re.search(r"(\d+) requests in", said)
        if rate is None or requests is None or "Non-2xx" in said:
            raise AssertionError(f"wrk says: {said}")
        return Load(float(rate[1]), taken_s / int(requests[1]) * 1e6)

    def _processor_s(self) -> float:
        """Return the processor time that the server has taken so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def answer(settings: Settings) -> Answer:
    """Compare requests a second with and without each middleware."""
    found = Answer(
        NAME, "uvicorn with one worker under wrk: what part of the bare application's rate is left?"
    )
    if shutil.which("wrk") is None:
        found.notes.append("not measured: `wrk` is not installed (on Debian: apt-get install wrk)")
        return found
    names, absent = installed()
    for name in names:
        if name not in (BARE, NO_OP):
            _check_exact(name)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(name)) for name in names}
        for server in servers.values():
            server.wait().load(1)
        loads: dict[str, list[Load]] = {name: [] for name in names}
        shares: dict[str, list[float]] = {name: [] for name in names if name != BARE}
        for pair in range(settings.pairs):
            for name in shares:
                bare, other = _pair(servers[BARE], servers[name], settings.seconds / 2, pair)
                shares[name].append(100 * other.rate / bare.rate)
                loads[name].append(other)
                loads[BARE].append(bare)
    left = {name: statistics.median(values) for name, values in shares.items()}
    name, value = best({name: left[name] for name in PEERS if name in left}, more_is_better=True)
    found.rows.append(Row("share of the bare rate left", left[OURS], "%", AIM, True, name, value))
    found.columns = ("application", "requests a second", "% of bare", "quartiles", "processor time a request")
    for name in names:
        share = Sample.of(shares[name]) if name in shares else Sample(100, 100, 100)
        quartiles = f"{number(share.lower)} to {number(share.upper)}"
        rate = statistics.median(one.rate for one in loads[name])
        cost = statistics.median(one.cost_us for one in loads[name])
        found.measured.append((name, number(rate), number(share.median), quartiles, f"{number(cost)} µs"))
    found.notes.append(f"{settings.pairs} pairs each, {max(1, round(settings.seconds / 2))} s on either side")
    found.notes += [f"not installed: {name}" for name in absent]
    return found


def _pair(bare: Server, other: Server, seconds: float, turn: int) -> tuple[Load, Load]:
    """Measure both, each first in every second pair."""
    order: Sequence[Server] = (bare, other) if turn % 2 == 0 else (other, bare)
    loads = {id(one): one.load(seconds) for one in order}
    return loads[id(bare)], loads[id(other)]


def _check_exact(name: str) -> None:
    with Server(name, FEW) as server:
        statuses = [server.wait().status() for _ in range(2 * FEW)]
    if statuses != [200] * FEW + [429] * FEW:
        raise AssertionError(f"{name} answers {statuses} to {2 * FEW} requests of {FEW} an hour")
