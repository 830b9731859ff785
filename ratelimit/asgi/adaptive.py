"""The adaptive limit as a middleware of its own, around everything else.

It is outermost, so that what it turns away was charged to no limit. What the limits within refuse is
answered at once and says nothing of the back end, so it is no sample. The first byte is the first part
of a body: a streaming response sends its status before the back end has said anything.

Each worker has a limit of its own. All see the same back end, and steer to the same target.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratelimit.adaptive.controller import Allowance, Settings
from ratelimit.adaptive.factory import make_admission
from ratelimit.adaptive.saturation import Report
from ratelimit.adaptive.shedding import Standing, allowance
from ratelimit.clock import Clock, SystemClock
from ratelimit.errors import UsageError
from ratelimit.http.fields import whole_seconds
from ratelimit.http.problem import CONTENT_TYPE, REDUCED_CAPACITY
from ratelimit.policy import Policy
from ratelimit.policy.routing.classes import rank_of

REFUSED_BY_BACK_END = frozenset({429, 503, 529})
RETRY_NS = 10**9
"""What is shed may come again this soon, at least."""


@dataclass(frozen=True, slots=True)
class LoadState:
    """What one worker's limit is at this instant, and what it did.

    Args:
        allowance: what may be in flight, and what of it may wait for its first byte.
        in_flight: requests that are.
        unanswered: of these, those without a first byte.
        pressure: how late first bytes are; 1 is the target.
        target_ns: the target, 0 where the algorithm has none.
        shed: requests that were, or in shadow would have been, turned away, by class.
        stale_reports: reports of the engine that no other followed in time.
    """

    allowance: Allowance
    in_flight: int
    unanswered: int
    pressure: float
    target_ns: int
    shed: dict[str, int]
    stale_reports: int


class AdaptiveMiddleware:
    """Turns away what the back end would not answer in time.

        app.add_middleware(RateLimitMiddleware, policy="policy.toml")
        app.add_middleware(AdaptiveMiddleware, policy="policy.toml")  # added last: outermost

    Args:
        app: the application with all other middleware.
        policy: a policy with `[adaptive]`, or the path of its file.
        clock: for tests.

    Raises:
        PolicyError: the policy cannot be used.
        UsageError: it has no `[adaptive]` (code `middleware-adaptive`).
    """

    def __init__(
        self, app: ASGIApp, policy: Policy | str | os.PathLike[str], *, clock: Clock | None = None
    ) -> None:
        self.app = app
        loaded = policy if isinstance(policy, Policy) else Policy.load(policy)
        spec = loaded.compiled.adaptive
        if spec is None:
            raise UsageError("the policy has no `[adaptive]`", code="middleware-adaptive")
        settings = Settings(spec.first_byte_ns, spec.floor, spec.start, spec.ceiling)
        self._clock = SystemClock() if clock is None else clock
        self._admission = make_admission(spec.algorithm, settings)
        self._classes = spec.classes
        self._names = [one.name for one in spec.classes] or ["all"]
        self._standings = [Standing(rank, len(self._names)) for rank in range(len(self._names))]
        self._shed = [0] * len(self._names)
        self._shadow = spec.shadow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        admission = self._admission
        now_ns = self._clock.now_ns()
        rank = rank_of(self._classes, scope["method"], scope["path"]) if self._classes else 0
        if not admission.has_room(now_ns, self._allowance(rank, now_ns)):
            admission.turn_away(now_ns)
            self._shed[rank] += 1
            if not self._shadow:
                await self._turn_away(scope, send)
                return
        ticket = admission.admit(now_ns)
        try:
            await self.app(scope, receive, _Watched(self, scope, send, ticket))
        finally:
            admission.finished(ticket, self._clock.now_ns())

    def state(self) -> LoadState:
        """Return what the limit is now."""
        admission = self._admission
        controller = admission.controller
        saturation = admission.saturation
        return LoadState(
            admission.allowance(self._clock.now_ns()),
            admission.in_flight,
            admission.unanswered,
            controller.pressure,
            controller.target_ns,
            dict(zip(self._names, self._shed, strict=True)),
            0 if saturation is None else saturation.stale,
        )

    def report(self, *, running: int, waiting: int, memory_used: float = 0.0) -> None:
        """Take what the engine says of itself, as from a scrape of its metrics: a cap, never more.

        Raises:
            ValueError: a number is negative.
        """
        report = Report(self._clock.now_ns(), running, waiting, memory_used)
        if self._admission.saturation is not None:
            self._admission.saturation.report(report, self._admission.in_flight)

    def _allowance(self, rank: int, now_ns: int) -> Allowance:
        whole = self._admission.allowance(now_ns)
        places = self._admission.controller.places
        return whole if not rank else allowance(whole, self._standings[rank], places)

    async def _turn_away(self, scope: Scope, send: Send) -> None:
        wait_s = whole_seconds(max(RETRY_NS, self._admission.controller.target_ns))
        headers = [
            CONTENT_TYPE,
            (b"content-length", b"%d" % len(_BODY)),
            (b"retry-after", b"%d" % wait_s),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else _BODY
        await send({"type": "http.response.body", "body": body})

    def answered(self, scope: Scope, ticket: int, status: int) -> None:
        """Take notice of a first byte: of the back end's answer, of its refusal, or of a limit's."""
        now_ns = self._clock.now_ns()
        exchange = scope.get("ratelimit")
        if exchange is not None and not exchange.is_allowed:
            self._admission.finished(ticket, now_ns)
        elif status in REFUSED_BY_BACK_END:
            self._admission.failed(ticket, now_ns)
        else:
            self._admission.first_byte(ticket, now_ns)


_BODY = msgspec.json.encode(
    {
        "type": REDUCED_CAPACITY,
        "title": "Capacity is reduced for the moment",
        "status": 503,
        "detail": "More requests wait than can be answered in time; retry later.",
    }
)


class _Watched:
    """A `send` that sees the first part of a body."""

    __slots__ = ("_began", "_limit", "_scope", "_send", "_status", "_ticket")

    def __init__(self, limit: AdaptiveMiddleware, scope: Scope, send: Send, ticket: int) -> None:
        self._limit = limit
        self._scope = scope
        self._send = send
        self._ticket = ticket
        self._status = 200
        self._began = False

    async def __call__(self, message: Message) -> None:
        if not self._began:
            if message["type"] == "http.response.start":
                self._status = message["status"]
            elif (
                message["type"] != "http.response.body" or message.get("body") or not message.get("more_body")
            ):
                self._began = True
                self._limit.answered(self._scope, self._ticket, self._status)
        await self._send(message)
