"""Hosts that share a correlator over a real server, driven by hand: no thread, no waiting.

Limiters live in virtual time; what the server does itself (leases, expiry) has its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic_ns
from typing import Any

import redis.asyncio

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.clustering.declarations import principal_key
from ratelimit.clustering.hosts.agent import HostAgent, Hosts
from ratelimit.runtime.runtime import Runtime
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts.entries import mark_of
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.hosts.queues import HostQueues
from ratelimit.stores.redis.hosts.stream_client import LEASE_MS, PATIENCE_S, StreamClient
from ratelimit.stores.redis.hosts.stream_thread import StreamThread
from tests.support.acting import START_NS, Actor, Noting
from tests.support.campaign import Request, policy_text
from tests.support.stopwatch import Stopwatch

KEY = "00112233445566778899aabbccddeeff"
PREFIX = "test"
PLACES = Places(PREFIX)


def shared_policy_text(*, key: str = KEY, **more: Any) -> str:
    """Return a policy of hosts that hash alike."""
    return policy_text(**more) + f'\n[hashing]\nkey = "{key}"\n'


class RunningClock(ManualClock):
    """Virtual time that goes on by itself from where it was set."""

    def __init__(self, now_ns: int) -> None:
        super().__init__(now_ns)
        self._since_ns = monotonic_ns()

    def now_ns(self) -> int:
        """Return the time last set, and what has passed since."""
        return super().now_ns() + monotonic_ns() - self._since_ns

    def set_ns(self, now_ns: int) -> None:
        """Jump to an instant and go on from there."""
        super().set_ns(now_ns)
        self._since_ns = monotonic_ns()


HAND_PATIENCE_S = 30.0
"""Longer than `PATIENCE_S`: a thread tries again after a slow server, and a turn by hand does not."""
HAND_LEASE_MS = 120_000
"""Longer than `LEASE_MS`: nobody renews it while a busy machine keeps a test waiting."""


class HandCarrier:
    """A stream client that a test turns by hand."""

    def __init__(self, stream_client: StreamClient) -> None:
        self.stream_client = stream_client
        self.loop = asyncio.new_event_loop()
        self.lock = Lock()
        self.is_stopped = False

    def turn(self) -> bool:
        """Do one round, and what it started beside."""

        async def all_of_it() -> bool:
            is_busy = await self.stream_client.turn()
            transfer = self.stream_client._transfer
            if transfer is not None and not transfer.done():
                await transfer
                is_busy = True
            return is_busy

        with self.lock:
            return not self.is_stopped and self.loop.run_until_complete(all_of_it())

    def stop(self, patience_s: float, *, resigns: bool = True) -> None:
        """End as the thread would."""
        with self.lock:
            if self.is_stopped:
                return
            self.is_stopped = True
            if resigns:
                self.loop.run_until_complete(self.stream_client.resign())
            self.loop.run_until_complete(self.stream_client.aclose_connections())
            self.loop.close()

    def abandon(self) -> None:
        """Leave everything as it is."""


class _HostedRuntime(Runtime):
    hosts: Hosts

    def _hosts(self, policy: Policy) -> Hosts:
        return self.hosts


class Host(Actor):
    """One host: a limiter with a board of its own, and a stream client.

    Args:
        port: the server's.
        path: a policy's file, for several workers of a host.
        is_candidate: whether it competes for correlating.
        is_live: its stream client has a thread, and its clock goes on by itself.
        connect: makes the client, instead of one for the port.
        key: the hash key, if it is another than its peers'.
        more: for `policy_text`.
    """

    def __init__(
        self,
        port: int,
        path: Path | None = None,
        *,
        now_ns: int = START_NS,
        is_candidate: bool = True,
        is_live: bool = False,
        connect: Callable[[], Any] | None = None,
        key: str = KEY,
        **more: Any,
    ) -> None:
        self.port = port
        self.stream_clients: list[HandCarrier] = []
        self.clock = RunningClock(now_ns) if is_live else ManualClock(now_ns)
        self.noted = Noting()

        def client() -> Any:
            return redis.asyncio.Redis(host="127.0.0.1", port=port)

        def start(box: HostQueues) -> HandCarrier | StreamThread:
            patience_s, lease_ms = (PATIENCE_S, LEASE_MS) if is_live else (HAND_PATIENCE_S, HAND_LEASE_MS)
            secret = bytes.fromhex(key)
            talks = StreamClient(
                connect or client,
                PLACES,
                box,
                mark=mark_of(fingerprint_of(secret)),
                key=secret,
                patience_s=patience_s,
                lease_ms=lease_ms,
            )
            if is_live:
                return StreamThread(talks, box)
            stream_client = HandCarrier(talks)
            self.stream_clients.append(stream_client)
            return stream_client

        runtime = type("HostedRuntime", (_HostedRuntime,), {"hosts": Hosts(start, is_candidate)})
        kind = type("HostedLimiter", (Limiter,), {"_runtime_type": runtime})
        policy = path if path is not None else Policy.from_toml(shared_policy_text(key=key, **more))
        self.limiter = kind(policy, clock=self.clock, observer=self.noted)
        clustering = self.limiter.clustering
        assert clustering is not None
        self.clustering = clustering
        clustering.is_kept_up = True  # ticks come when they are told to

    @property
    def agent(self) -> HostAgent:
        agent = self.clustering._leader
        assert isinstance(agent, HostAgent)
        return agent

    @property
    def is_leading(self) -> bool:
        return isinstance(self.clustering._leader, HostAgent) and self.agent.is_leading

    def explained(self, account: str) -> str:
        """Return what the correlator here has to say of an account; for a look by hand."""
        correlator = self.agent.correlator
        spec, current = self.limiter.policy.compiled.correlation, self.limiter.current
        if correlator is None or spec is None:
            return ""
        key = principal_key(spec, current.compiled.identities, current.extractor, [account])
        return "" if key is None else str(correlator.explain(key))

    def step(self) -> bool:
        """Tick once and let the stream client go once; return whether there is more to do."""
        is_busy = self.clustering.tick(self.clock.now_ns())
        assert self.clustering.take_fault() is None
        if self.stream_clients and not self.stream_clients[-1].is_stopped:
            is_busy |= self.stream_clients[-1].turn()
        return is_busy

    def resign(self) -> None:
        """Leave correlating to others, its stream client going on meanwhile."""
        self._while_turning(lambda: self.clustering.resign(self.clock.now_ns()))

    def _while_turning(self, work: Callable[[], None]) -> None:
        thread = Thread(target=work)
        thread.start()
        while thread.is_alive():
            if self.stream_clients:
                with suppress(Exception):
                    self.stream_clients[-1].turn()
            thread.join(0.002)

    def close(self) -> None:
        self._while_turning(self.limiter.close)
        for stream_client in self.stream_clients:
            stream_client.stop(0)


def are_level(hosts: Iterable[Host]) -> bool:
    """Return whether all hosts have heard what the one that correlates has said, if one does."""
    leaders = [host for host in hosts if host.is_leading]
    if not leaders:
        return True
    global_leader = leaders[0].agent._global_leader
    assert global_leader is not None
    return global_leader._is_public and all(
        host.agent.box.seen_term == global_leader.term
        and host.stream_clients[-1].stream_client._sequence == global_leader._sequence
        for host in hosts
    )


def settle(
    *hosts: Host, until: Callable[[], bool] | None = None, most: int = 20_000, level: bool = True
) -> None:
    """Go on with all hosts by turns until none has anything to do, and a condition holds.

    Args:
        level: whether all are to have heard what was said.
    """
    quiet = 0
    for _ in range(most):
        is_busy = False
        for host in hosts:
            is_busy |= host.step()
        quiet = 0 if is_busy else quiet + 1
        if quiet > 3 and (until is None or until()) and (not level or are_level(hosts)):
            return
        if quiet > 3:
            Event().wait(0.001)  # what the server does has its own time
    raise AssertionError("the work does not end")


def share(hosts: list[Host], requests: Iterable[Request], *, every: int = 200) -> None:
    """Send requests to hosts in turn, each at its time; all go on after every so many."""
    for number, request in enumerate(requests):
        hosts[number % len(hosts)].decide(request)
        if number % every == every - 1:
            now_ns = max(host.clock.now_ns() for host in hosts)
            for host in hosts:
                host.clock.set_ns(now_ns)
            settle(*hosts)


def rest_until(hosts: Iterable[Host], now_ns: int) -> None:
    """Let all go on without requests, until what is due at a time has been done."""
    hosts = list(hosts)
    for host in hosts:
        host.clock.set_ns(now_ns)
    settle(*hosts)
    for host in hosts:
        host.clock.advance(2)
    settle(*hosts)


class Ticking:
    """Ticks live hosts, each in a thread of its own, as upkeep would."""

    def __init__(self, *hosts: Host) -> None:
        self._ended = Event()
        self._threads = [Thread(target=self._run, args=(host,), daemon=True) for host in hosts]

    def _run(self, host: Host) -> None:
        pause_s = 0.0
        while not self._ended.wait(pause_s):
            pause_s = 0.0005 if host.clustering.tick(host.clock.now_ns()) else 0.1

    def __enter__(self) -> Ticking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


def wait_until(condition: Callable[[], object], patience_s: float = 60.0, every_s: float = 0.005) -> float:
    """Wait until a condition holds; return for how many seconds that the machine gave."""
    pause = Event()
    with Stopwatch() as watch:
        while not condition():
            if watch.s > patience_s:
                raise AssertionError("it never came to that")
            pause.wait(every_s)
    return watch.s
