"""Conduct on other hosts: a strike on one counts on all within a second or two.

Theory of operation. A strike is in force at once where it was seen, in the host's memory. The thread
that follows the operator's acts tells the server of it, and takes in what changed there. So no request
waits for the server for the sake of conduct. While the server is away each host goes by its own memory,
and tells what struck meanwhile when the server is back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ratelimit.conduct.stage import ConductPart, conduct_of
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter

if TYPE_CHECKING:
    from ratelimit.conduct.server import ServerConduct

MOST_TOLD = 200
"""Strikes in one call."""


class ConductFollower:
    """Keeps one host's memory of conduct to what all hosts know, and holds on to no limiter."""

    def __init__(self) -> None:
        self._server: ServerConduct | None = None

    def look(self, limiter: Limiter, *, is_reader: bool) -> None:
        """Tell what struck in this worker, and take in what is new; `is_reader`: also where nothing struck.

        One worker of a host is its reader. All of them share the memory that it fills.
        """
        runtime = limiter.runtime
        remote, conduct = limiter.policy.compiled.remote, conduct_of(runtime.current)
        news = runtime.part(ConductPart).news
        if remote is None or conduct is None or not limiter.is_enabled or not (is_reader or news):
            return
        if self._server is None:
            # Its client library is not there for every policy.
            from ratelimit.conduct.server import ServerConduct

            self._server = ServerConduct(remote)
        told = [news.popleft() for _ in range(min(len(news), MOST_TOLD))]
        try:
            found = self._server.exchange(told)
        except StoreError:  # the limits' store says that it is away
            news.extendleft(reversed(told))
            return
        now_ns = limiter.now_ns()
        for shared in found:
            conduct.take_in(shared, now_ns)

    def disconnect(self) -> None:
        """Let go of the server."""
        if self._server is not None:
            with suppress(StoreError):
                self._server.close()
