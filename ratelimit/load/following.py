"""Limits that follow the load, shared by the hosts of a server: one worker of each host speaks for it.

Theory of operation. A thread of its own sends a message some times a second and takes in what comes back
(`load.link`). Requests go by the host's memory and never wait for it. While the server is away, nothing is
heard: after a second each host steers by itself, with the part of the back end that it had. No host has
more than before, so together they are at most where they were. When the server is back the host that
steered for longest steers again.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING

from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.load.compile import loads_of
from ratelimit.load.limit import LoadLimit
from ratelimit.load.link import HostLink
from ratelimit.load.model.hosts import LEAST_PERIOD_NS, MOST_PERIOD_NS
from ratelimit.stores.embedded.election import Election
from ratelimit.stores.embedded.mapping import COMPANION

if TYPE_CHECKING:
    from ratelimit.load.server import ServerLoad

SECOND_NS = 10**9
IDLE_S = 1.0
"""The pause of a worker that does not speak for its host."""


def is_shared(limiter: Limiter) -> bool:
    """Return whether hosts share the limits of a policy: it has some, and a server."""
    compiled = limiter.policy.compiled
    return compiled.remote is not None and bool(loads_of(compiled))


def _place(limiter: Limiter, load: LoadLimit) -> str:
    """Return where hosts meet for a limit; a value's number differs from host to host."""
    whole = limiter.loads[load.spec.name]
    return load.spec.name if whole is load or whole.values is None else whole.values.name_of(load)


class HostsFollower:
    """One worker's part, and holds on to no limiter."""

    def __init__(self) -> None:
        self._server: ServerLoad | None = None
        self._election: Election | None = None
        self._links: dict[str, HostLink] = {}
        self._name = f"{socket.gethostname()} {token_hex(4)}"

    def look(self, limiter: Limiter) -> float:
        """Exchange once, if this worker is to; return the pause until the next time, in seconds."""
        remote = limiter.policy.compiled.remote
        if remote is None or not is_shared(limiter) or not limiter.is_enabled:
            return IDLE_S
        if self._election is None:
            place = limiter.store.place
            self._election = Election(
                None if place is None else place.with_name(f"{place.name}{COMPANION}hosts-speaker")
            )
        if not self._election.win():
            return IDLE_S
        if self._server is None:
            # Its client library is not there for every policy.
            from ratelimit.load.server import ServerLoad

            self._server = ServerLoad(remote)
        pause_ns = MOST_PERIOD_NS
        every = {_place(limiter, load): load for load in limiter.every_load.values()}
        for gone in self._links.keys() - every.keys():  # a value that was forgotten
            del self._links[gone]
        for group, load in every.items():
            link = self._links.get(group)
            if link is None or link.flight is not load.flight:
                link = self._links[group] = HostLink(self._name, load.flight)
            if load.flight.closed:
                continue
            pause_ns = min(pause_ns, link.period_ns)
            told = link.say(limiter.now_ns())
            try:
                found = self._server.exchange(group, self._name, told, link.may_wait(limiter.now_ns()))
            except StoreError:  # the limits' store says that it is away
                continue
            if not load.flight.closed:
                link.hear(found, limiter.now_ns())
                load.freed(limiter.now_ns())
        return max(pause_ns, LEAST_PERIOD_NS) / SECOND_NS

    def leave(self) -> None:
        """Say that this host is gone, and let go of the server; another worker may speak for it then."""
        if self._server is not None:
            with suppress(StoreError):
                for group in self._links:
                    self._server.leave(group, self._name)
            self._server.close()
        if self._election is not None:
            self._election.resign()
