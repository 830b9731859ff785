"""The usage page: what each limit has left for the caller who asks, as JSON or as a line of HTML a limit.

    app.add_route("/usage", usage_app())

It tells a caller what the `RateLimit` field of its requests does, of limits that count by an identity of the
request that asks. Limits in shadow and per cluster are not told. Nothing is charged or counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from html import escape

from starlette.types import Receive, Scope, Send

from ratelimit.algorithms import OF_SLOTS, PREPAID
from ratelimit.asgi.arrival import identify
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.share import RequestLost
from ratelimit.budgets.paid import owed_of, paid_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.errors import StoreError, UsageError
from ratelimit.http.fields import duration
from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import LimitRule, LimitSpec
from ratelimit.stores.contract import SKIPPED, Outcome
from ratelimit.usage.pricing import MICRO, USD

_SECOND_NS = 1_000_000_000
_UNITS = {"concurrency": "in flight", "distinct": "distinct values"}


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """A caller's part of one limit; amounts are in its unit, or in dollars."""

    limit: str
    unit: str
    size: float
    """The most that it ever has; of a lifetime with what was added."""
    used: float
    left: float
    reset_s: int | None
    """Seconds until all of it is there again; None of requests in flight, and of a lifetime."""
    added: float | None = None
    """Units added to a lifetime, such as payments."""
    owed: float | None = None
    """Units used beyond all that a lifetime had: the next payment pays them first."""

    @property
    def line(self) -> str:
        """It as a sentence."""
        unit = self.unit.replace("_", " ")
        added = f" ({self.added:,} of it added)" if self.added else ""
        said = f"{self.limit}: {self.used:,} of {self.size:,} {unit}{added} used, {self.left:,} left"
        said += f", {self.owed:,} owed" if self.owed else ""
        return (
            said
            if self.reset_s is None or not self.used
            else f"{said}, all of it in {duration(self.reset_s * _SECOND_NS)}"
        )


class UsageApp:
    """Answers every GET with the caller's usage. An object, so that a route takes it as it is."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(scope, send, 405, b"", b"text/plain", (b"allow", b"GET, HEAD"))
            return
        exchange = scope.get("ratelimit")
        if not isinstance(exchange, Exchange):
            raise UsageError("the usage page is mounted behind RateLimitMiddleware", code="limit-unmounted")
        try:
            found = await usage_of(scope, exchange)
        except (StoreError, RequestLost):
            await _answer(scope, send, 503, b"", b"text/plain", (b"retry-after", b"1"))
            return
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        if b"text/html" in accept:
            lines = "".join(f"<p>{escape(each.line)}.</p>\n" for each in found)
            page = f"<!doctype html><meta charset=utf-8><title>Usage</title>\n{lines}"
            await _answer(scope, send, 200, page.encode(), b"text/html; charset=utf-8")
        else:
            body = json.dumps({"limits": [asdict(each) for each in found]}).encode()
            await _answer(scope, send, 200, body, b"application/json")


def usage_app() -> UsageApp:
    """Return an ASGI application that answers every GET with the caller's usage: see `UsageApp`.

    Behind `RateLimitMiddleware`, which knows the limits and who calls.
    """
    return UsageApp()


async def usage_of(scope: Scope, exchange: Exchange) -> list[LimitUsage]:
    """Return what each limit has for the caller of a request, in the policy's order.

    Raises:
        StoreError: the store's server has no answer.
        Ended: too many resolvers' calls are under way.
    """
    limiter, resolving = exchange.door.limiter, exchange.door.resolving
    now_ns = limiter.now_ns()
    bound = limiter.runtime.generation_at(now_ns)
    limits = [limit for limit in bound.compiled.limits if limit.per and not limit.shadow]
    if not limits or resolving is None or not limiter.is_enabled:
        return []
    row = await identify(scope, bound, bound.of(limits, "", {}), resolving, now_ns)
    asked = [_asked(limiter, bound, limit, list(row), now_ns) for limit in limits]
    return [usage for each in await asyncio.gather(*asked) for usage in each]


async def _asked(
    limiter: Limiter, bound: BoundPolicy, limit: LimitSpec, row: list[int], now_ns: int
) -> list[LimitUsage]:
    """Return what one limit's rules have for a row of identities."""
    matched = bound.of([limit], "", {})
    plan = matched.plan_for(row)
    if plan is None:
        return []  # the caller's plan has none
    nothing = (0,) * len(plan.rules)
    _, _, decided, outcome = await limiter.runtime.adecide(bound, matched, row, now_ns, nothing, charge=False)
    if decided is None or outcome is None:
        return []
    return list(
        _told(
            decided,
            outcome,
            lambda rule: (paid_of(bound, rule, row, now_ns), owed_of(bound, rule, row, now_ns)),
        )
    )


def _told(
    plan: RoutePlan, outcome: Outcome, balance: Callable[[LimitRule], tuple[int, int]]
) -> Iterator[LimitUsage]:
    for at, rule in enumerate(plan.rules):
        if plan.labels[at] and outcome.state(at) != SKIPPED:
            added, owed = balance(rule) if rule.algorithm in PREPAID else (0, 0)
            yield usage_by(rule, outcome.remaining(at), outcome.reset_after_ns(at), added, owed)


def usage_by(rule: LimitRule, left: int, reset_ns: int, paid: int = 0, owed: int = 0) -> LimitUsage:
    """Return what a rule has, in amounts as people read them."""
    is_lifetime = rule.algorithm in PREPAID
    most = max(left, rule.burst + paid) if is_lifetime else rule.burst
    left = min(left, most)
    size, used, rest, added, debt = (
        (round(each / MICRO, 6) if rule.unit == USD else each)
        for each in (most, most - left, left, paid, owed)
    )
    is_timeless = is_lifetime or rule.algorithm in OF_SLOTS
    reset_s = None if is_timeless else -(-max(0, reset_ns) // _SECOND_NS)
    unit = _UNITS.get(rule.algorithm, rule.unit)
    if not is_lifetime:
        return LimitUsage(rule.name, unit, size, used, rest, reset_s)
    return LimitUsage(rule.name, unit, size, used, rest, reset_s, added, debt)


async def _answer(
    scope: Scope, send: Send, status: int, body: bytes, kind: bytes, *more: tuple[bytes, bytes]
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"private, no-store"),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
