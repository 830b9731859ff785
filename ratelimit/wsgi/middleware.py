"""The middleware: one WSGI application around another (PEP 3333).

A request is charged when it arrives and settled when the server closes its response. What it
tells a client is what the ASGI middleware would: both write their fields and refusals in one place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any

from ratelimit.asgi.decided import exchange_of
from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.mount import mounting
from ratelimit.challenge.hook import Challenge
from ratelimit.clock import Clock
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.compiled import DOOR
from ratelimit.deciding.stage import Decided
from ratelimit.deciding.visit import Visit
from ratelimit.errors import RateLimitError
from ratelimit.events import Observer
from ratelimit.http.fields import HeaderWriter
from ratelimit.http.problem import CONTENT_TYPE
from ratelimit.limiter import Limiter
from ratelimit.load.stage import enter_load
from ratelimit.policy import Policy
from ratelimit.runtime.resolvers import Resolver
from ratelimit.stores.contract import Store
from ratelimit.waiting.model.crowd import ANYWHERE
from ratelimit.waiting.model.fair_bound import FairBound
from ratelimit.waiting.stage import Waiting
from ratelimit.worker.diagnostics import end_start
from ratelimit.worker.siblings import is_server, several_workers
from ratelimit.wsgi.arrival import Arrival, Environ, target_of
from ratelimit.wsgi.loop_thread import LoopThread
from ratelimit.wsgi.waiting import ThreadVisit

Fields = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
StartResponse = Callable[..., Callable[[bytes], object]]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

KEY = "ratelimit.exchange"
"""Where a request's exchange is in its environment: decision, `settle`. Keys of extensions have a dot."""


class RateLimitMiddleware:
    """Limits the requests that reach a WSGI application.

        app.wsgi_app = RateLimitMiddleware(app.wsgi_app, policy="policy.toml")

    Args:
        app: the application.
        policy: a policy, or the path of its file; the file is watched and reloaded.
        limiter: instead of `policy`, a limiter of your own.
        resolvers: the application's callables for `resolver:NAME`, by name. Each is given the
            environment and returns a value or None, at once, in the thread of the request.
        reload_interval_s: how often the policy file is looked at; 0 for never.
        challenge: asked about a request that limits that challenge refuse, given the environment
            and the decision; True lets it pass. Where the policy keeps requests waiting or its counters on a
            server, it is called in another thread than the request's.
        waiting_threads: how many threads of this process may wait for room at once, where limits say `wait`.
            The server needs the others for requests that have room.
        store, clock, observer, enabled: passed on to the limiter made for `policy`, like `resolvers` and
            `challenge`; a limiter of your own has all six already.

    Raises:
        PolicyError, StoreError: the policy or its store cannot be used. In a worker of gunicorn or another
            server it ends the process instead, with one line in the log.
        UsageError: neither or both of `policy` and `limiter` are given (code `middleware-policy`),
            or a limiter together with what belongs to it (code `middleware-limiter`).
    """

    def __init__(
        self,
        app: Application,
        policy: Policy | str | os.PathLike[str] | None = None,
        *,
        limiter: Limiter | None = None,
        resolvers: Mapping[str, Resolver] | None = None,
        reload_interval_s: float = 2.0,
        store: Store | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        enabled: bool | None = None,
        challenge: Challenge | None = None,
        waiting_threads: int = 2,
    ) -> None:
        self.app = app
        self._threads = FairBound(waiting_threads)
        mount = mounting(
            policy,
            limiter,
            1.0,
            reload_interval_s,
            store=store,
            clock=clock,
            resolvers=resolvers,
            observer=observer,
            enabled=enabled,
            challenge=challenge,
        )
        try:
            self._mount = mount()
        except RateLimitError as error:
            if not is_server():
                raise
            end_start(error)
        self.limiter = self._mount.limiter
        self._door = Door(self.limiter)
        self._waiting = LoopThread()
        self._writer = HeaderWriter(self.limiter.current.headers)
        self._generation: object = None
        self._awake_in = 0

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        outer = environ.get(KEY)
        if isinstance(outer, Exchange) and outer.door.limiter.runtime.source == self.limiter.runtime.source:
            self.limiter.runtime.diagnose("mounted-twice")
            return self.app(environ, start_response)
        exchange = self._decided(environ, outer if isinstance(outer, Exchange) else None)
        environ[KEY] = exchange
        if not exchange.is_allowed:
            return _refuse(environ, start_response, exchange)
        is_asked = self.limiter.runtime.asked is not None
        if exchange.outcome is None and not is_asked and not exchange.is_in_flight:
            return self.app(environ, start_response)
        exchange.begin()
        telling = _Telling(start_response, exchange)
        try:
            answer = self.app(environ, telling)
        except BaseException:
            exchange.release(self.limiter.now_ns())
            raise
        if exchange.is_in_flight:
            return _Flying(answer, self._release, exchange, self.limiter.now_ns)
        outcome = exchange.outcome
        holds = outcome is not None and outcome.holds_slots
        ends = is_asked or holds or exchange.reservation is not None
        return _Closing(answer, self._release, exchange) if ends else answer

    def _release(self, exchange: Exchange) -> None:
        exchange.release(self.limiter.now_ns())

    def _decided(self, environ: Environ, outer: Exchange | None) -> Exchange:
        limiter = self.limiter
        now_ns = limiter.now_ns()
        self._wake(environ)
        generation = limiter.runtime.generation_at(now_ns)
        if generation is not self._generation:
            self._writer = HeaderWriter(generation.headers)
            self._generation = generation
        if not limiter.is_enabled:
            return Exchange(self._door, self._writer, None, None, now_ns, False, outer)
        matched = generation.match(environ["REQUEST_METHOD"], target_of(environ))
        arrival = None
        if matched.is_limited or generation.has_lists:
            arrival = Arrival(environ, generation, matched)
            early = matched.before_resolvers
            if early is not None:
                known = arrival.known()
                refused = self._early(generation, early, known, now_ns)
                if refused is not None:
                    return self._exchange(environ, generation, refused, known, now_ns, outer)
            identities = arrival.identities(limiter)
        else:
            identities = generation.extractor.anonymous
        asked = generation, matched, identities, now_ns
        enters = matched.group >= 0
        visit = Visit(environ, enters=enters)
        decided = None if enters else limiter.runtime.at_once(*asked, asker=DOOR)
        if decided is None and limiter.store.decides_here and not (generation.may_hold and matched.may_wait):
            decided = limiter.runtime.decide_by_stages(*asked, visit=visit, asker=DOOR)
        elif decided is None:
            # Also where memory decides: this thread may wait for room, and the lines are an event loop's.
            holder = ANYWHERE if arrival is None else arrival.holder()
            waiting = generation.find(Waiting)
            principal = generation.payer(identities) if waiting is None else waiting.principal(identities)
            visit = ThreadVisit(self._threads, (*holder, principal), environ, enters=enters)
            asking = limiter.runtime.adecide_by_stages(*asked, visit=visit, asker=DOOR)
            decided = self._waiting.result(asking)
        exchange = self._exchange(environ, generation, decided, identities, now_ns, outer, visit)
        if decided[0] and generation.decider is not None and generation.decider.counts_late:
            exchange.count_late(decided[1])
        if enters and decided[0]:
            enter_load(exchange, generation, matched, identities, visit)
        return exchange

    def _early(
        self, generation: BoundPolicy, early: Matched, identities: list[int], now_ns: int
    ) -> Decided | None:
        """Return what is decided of a request that is refused before a resolver is asked; else None."""
        asked = generation, early, identities, now_ns
        if self.limiter.store.decides_here:
            return self.limiter.runtime.early(*asked)
        return self._waiting.result(self.limiter.runtime.aearly(*asked))

    def _exchange(
        self,
        environ: Environ,
        generation: BoundPolicy,
        decided: Decided,
        identities: list[int],
        now_ns: int,
        outer: Exchange | None,
        visit: Visit | None = None,
    ) -> Exchange:
        """Return the exchange of a decided request."""
        return exchange_of(
            self._door,
            self._writer,
            generation,
            decided,
            identities,
            now_ns,
            cross_origin="HTTP_ORIGIN" in environ,
            outer=outer,
            visit=visit,
        )

    def _wake(self, environ: Environ) -> None:
        """Start what goes on between requests, in this process: the server has forked by now.

        Raises:
            UsageError: limits and routes do not fit each other: see `Mount.cover`.
        """
        pid = os.getpid()
        if self._awake_in == pid:
            return
        self._mount.cover(self._mount.survey({}, self.app), environ)
        self._awake_in = pid
        if self._mount.upkeep is not None:
            self._mount.upkeep.start()
        if self.limiter.store.counts_alone and several_workers():
            self.limiter.runtime.diagnose("private-memory")


class _Telling:
    """A `start_response` that adds what is to be said of the limits."""

    __slots__ = ("_exchange", "_start")

    def __init__(self, start: StartResponse, exchange: Exchange) -> None:
        self._start = start
        self._exchange = exchange

    def __call__(
        self, status: str, headers: Fields, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        self._exchange.status = int(status[:3])
        told = _texts(self._exchange.announced(_pairs(headers)))
        return self._start(status, told) if exc_info is None else self._start(status, told, exc_info)


class _Closing:
    """A response that gives back what its request held when the server closes it."""

    __slots__ = ("_answer", "_exchange", "_release")

    def __init__(
        self, answer: Iterable[bytes], release: Callable[[Exchange], None], exchange: Exchange
    ) -> None:
        self._answer = answer
        self._release = release
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        """Close the application's response, then give back."""
        try:
            close: Any = getattr(self._answer, "close", None)
            if close is not None:
                close()
        finally:
            self._release(self._exchange)


class _Flying(_Closing):
    """A response of a request that is in flight: the first part of its body is its first byte."""

    __slots__ = ("_now_ns",)

    def __init__(
        self,
        answer: Iterable[bytes],
        release: Callable[[Exchange], None],
        exchange: Exchange,
        now_ns: Callable[[], int],
    ) -> None:
        super().__init__(answer, release, exchange)
        self._now_ns = now_ns

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._answer)
        for part in parts:
            if part:
                self._exchange.first_byte(self._now_ns())
                yield part
                break
        yield from parts


def _refuse(environ: Environ, start_response: StartResponse, exchange: Exchange) -> list[bytes]:
    status, body, wait_ns = exchange.refusal()
    pairs = [CONTENT_TYPE, (b"content-length", b"%d" % len(body)), *exchange.retry_fields(wait_ns)]
    if exchange.outcome is not None:
        pairs = exchange.announced(pairs)
    elif exchange.cross_origin:
        pairs = exchange.writer.expose(pairs)
    start_response(f"{status} {HTTPStatus(status).phrase}", _texts(pairs))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _pairs(headers: Fields) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _texts(pairs: list[tuple[bytes, bytes]]) -> Fields:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
