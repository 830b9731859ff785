"""Several hosts: how fast they learn of each other's actors, and the cost of the correlator's death.

Two processes, each a host with a board of its own, over one real server. The small world's
campaign is found first. Then newcomers of it are seen at one host, one after the other. The
other host is watched until it knows, from the moment that their last request was decided.
For the takeover the process that correlates is killed, and the other one watched until it
has the lease and the whole memory.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from benchmarks.report import Answer, Row, number
from benchmarks.settings import Settings
from tests.support.acting import BOTS, END_NS
from tests.support.campaign import campaign
from tests.support.hosting import PLACES, wait_until
from tests.support.hosting_worker import HostProcess
from tests.support.redis.binary import binaries
from tests.support.redis.server import Server

NAME = "hosts"
LATENCY_AIM_S = 1.0
TAKEOVER_AIM_S = 5.0
LARGE = 100_000
"""Principals of the default settings."""


@contextmanager
def two_hosts(principals: int = 2_000) -> Iterator[tuple[Server, HostProcess, HostProcess]]:
    """Start a server and two hosts that have found the small world's campaign; the first correlates."""
    with ExitStack() as stack:
        server = Server(binaries()[0])
        stack.callback(server.stop)
        server.start()
        first = HostProcess(server.port, principals)
        stack.callback(first.close)
        wait_until(lambda: first.ask("is_leading"))
        second = HostProcess(server.port, principals)
        stack.callback(second.close)
        requests = list(campaign())
        for start in range(0, len(requests), 500):
            first.live(requests[start : start + 500 : 2])
            second.live(requests[start + 1 : start + 500 : 2])
        wait_until(lambda: first.ask("numbers")["sent"] + second.ask("numbers")["sent"] == len(requests))
        wait_until(lambda: first.ask("numbers")["principals"] == 360)
        for host in (first, second):
            host.ask("rest_until", END_NS)
        # An account that comes in the midst of a rebuild waits for its next request: here there is none.
        wait_until(lambda: first.ask("numbers")["rebuilt_ns"] >= END_NS)
        wait_until(lambda: all(-1 not in host.ask("clusters", BOTS) for host in (first, second)))
        yield server, first, second


def latencies(count: int) -> list[float]:
    """Return for each of so many newcomers how long the other host did not know of it.

    A minute's worth at most: then a rebuild weighs all of them anew.
    """
    took = []
    with two_hosts() as (_, first, second):
        for at in range(count):
            seen_by, other = (first, second) if at % 2 else (second, first)
            seen_s = seen_by.ask("arrive", f"bot{1000 + at}")
            took.append(other.ask("wait_for", f"bot{1000 + at}") - seen_s)
    return took


def takeover(principals: int) -> tuple[float, int]:
    """Kill the correlator; return how long there was none, and the size of its snapshot."""
    with two_hosts(principals) as (server, first, second):
        if principals == LARGE:
            first.ask("fill", LARGE)
        saved_ns = first.ask("numbers")["saved_ns"]
        first.ask("rest_until", END_NS + 70 * 10**9)
        first.ask("arrive", "bot999")
        wait_until(lambda: first.ask("numbers")["saved_ns"] > saved_ns, 60)
        size = sum(
            server.client.memory_usage(key) or 0 for key in server.client.scan_iter(f"{PLACES.snapshot}:*")
        )
        first.kill()
        begin_s = monotonic()
        wait_until(lambda: second.ask("is_leading"), 60, every_s=0.01)
        return monotonic() - begin_s, size


def answer(settings: Settings) -> Answer:
    """Measure how fast assignments travel, and takeovers."""
    found = Answer(
        NAME, "two hosts over one server: how fast are assignments known, and a correlator replaced?"
    )
    found.columns = ("", "median", "p99", "longest")
    took = [
        each for _ in range(1 if settings.quick else 5) for each in latencies(30 if settings.quick else 60)
    ]
    _tell(found, "assignment known at the other host, s", took)
    found.rows.append(Row("assignment latency across hosts, p99", quantile(took, 0.99), "s", LATENCY_AIM_S))
    rounds = 2 if settings.quick else 7
    small = [takeover(2_000)[0] for _ in range(rounds)]
    _tell(found, "takeover after kill -9, 360 principals, s", small)
    large = [takeover(LARGE) for _ in range(1 if settings.quick else 3)]
    _tell(found, f"takeover after kill -9, {LARGE:,} principals, s", [each for each, _ in large])
    found.rows.append(
        Row("takeover after kill -9, longest", max(*small, *(each for each, _ in large)), "s", TAKEOVER_AIM_S)
    )
    found.notes.append(f"snapshot of {LARGE:,} principals: {number(large[0][1] / 2**20)} MiB in the server")
    return found


def _tell(found: Answer, what: str, took: list[float]) -> None:
    found.measured.append(
        (what, number(statistics.median(took)), number(quantile(took, 0.99)), number(max(took)))
    )


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that so large a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
