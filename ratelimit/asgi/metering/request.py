"""One request with limits that estimate by words or read the answer: from its body to its settlement.

Most are decided by the gate in one call (`asgi.gate.Metered`). Those that have to wait for their body, for
room or for a server are decided here:

    request = metering.request(scope, receive, bound, matched, identities)
    if not await request.is_there():    # the client is gone, and nothing is owed
        return
    … decide what `request.matched` with `request.costs()` …

Either way `run_metered` runs the application, and settles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.metering.body import HeldBody, Holding, resize
from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.share import Share
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.limiter import Limiter
from ratelimit.stores.contract import Outcome
from ratelimit.usage.answer import Answer
from ratelimit.usage.compile import EstimateSpec
from ratelimit.usage.ending import Ending, is_about_the_cut
from ratelimit.usage.grants import Places, places_of
from ratelimit.usage.learned import Learned
from ratelimit.usage.request import MOST_DECLARED, Declared, fields_of, named
from ratelimit.usage.rules import MeteredRules, Use

Told = dict[EstimateSpec, int | None]
_NOTHING_DECLARED = Declared()


class Metering:
    """The shared parts of one limiter's metered requests in this worker.

    Args:
        limiter: the one that decides.
    """

    __slots__ = ("held", "learned", "limiter")

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.learned = Learned()
        self.held = Holding(limiter.now_ns)

    def request(
        self,
        scope: Scope,
        receive: Receive,
        bound: BoundPolicy,
        matched: Matched,
        identities: Sequence[int],
        share: Share | None = None,
        *,
        has_looked: bool = False,
    ) -> MeteredRequest | None:
        """Return what is to be done around a request; None where its limits ask for nothing.

        `has_looked`: the limits that can be asked early have let it go on.
        """
        plan = matched.plan_for(identities)
        if plan is None or plan.metered is None:
            return None
        if share is None and plan.metered.asks_body:
            share = self.held.share(partial(holder_of, scope, bound))
        return MeteredRequest(
            self, plan.metered, scope, receive, bound, matched, identities, share, has_looked
        )

    def least_costs(
        self, scope: Scope, route: str, identities: Sequence[int], now_ns: int, plan: RoutePlan
    ) -> Sequence[int]:
        """Return the least that each rule of a plan will take of a request with a body that was not read."""
        if plan.metered is None:
            return plan.costs
        return Use(plan.metered, self.learned, identities, route).least_costs(
            told_by(scope, plan.metered.told), now_ns
        )


class MeteredRequest:
    """One request.

    `matched` is what applies to it, once `is_there`: of its model, if limits look at that. `use` is what it
    takes, once `costs` were asked for.
    """

    __slots__ = (
        "_body",
        "_bound",
        "_declared",
        "_has_looked",
        "_identities",
        "_metering",
        "_places",
        "_rules",
        "_scope",
        "matched",
        "receive",
        "share",
        "use",
    )

    def __init__(
        self,
        metering: Metering,
        rules: MeteredRules,
        scope: Scope,
        receive: Receive,
        bound: BoundPolicy,
        matched: Matched,
        identities: Sequence[int],
        share: Share | None,
        has_looked: bool,
    ) -> None:
        self.matched = matched
        self.use: Use | None = None
        self._has_looked = has_looked
        self._metering = metering
        self._rules: MeteredRules | None = rules
        self._scope = scope
        self.share = share
        """What is held for it counts for, until it is decided; None where nothing is."""
        self._body: HeldBody | None = None
        if rules.asks_body and share is not None:
            self._body = HeldBody(scope, receive, metering.held.here(), share)
        self.receive: Receive = receive if self._body is None else self._body.receive
        """What the application receives by: all of the body."""
        self._declared = _NOTHING_DECLARED
        self._places: Places | None = None
        self._bound = bound
        self._identities = list(identities)

    @property
    def looks_early(self) -> bool:
        """Return whether to look at limits before `is_there`, which waits for what the client sends.

        Of a server only for a body that costs more than one more question.
        """
        body = self._body
        return (
            body is not None
            and not self._has_looked
            and body.is_read
            and (self._metering.limiter.store.decides_here or not body.is_small)
        )

    async def is_there(self) -> bool:
        """Wait for the body, where limits look at it; return whether the client is there yet."""
        rules = self._rules
        if rules is None:
            return True
        if self._body is None:
            return self._narrow(rules)
        declared = await self._body.declared()
        if declared is None:
            return False
        self._declared = declared
        return self._narrow(rules)

    def _narrow(self, rules: MeteredRules) -> bool:
        """Take the model from the path where its template has one, and only the limits for it."""
        model = self.matched.params.get("model")
        if model is not None:
            self._declared = named(self._declared, model)
        if rules.has_models:
            self.matched = self._bound.narrowed(self.matched, rules.of_model(self._declared.model))
            plan = self.matched.plan
            self._rules = None if plan is None else plan.metered
        return True

    def costs(self) -> tuple[int, ...] | None:
        """Return what each rule takes on arrival; None: as the policy says."""
        rules, metering = self._rules, self._metering
        if rules is None:
            return None
        self.use = Use(rules, metering.learned, self._identities, self.matched.template)
        return self.use.costs(self._declared, told_by(self._scope, rules.told), metering.limiter.now_ns())

    def lacks_price(self) -> bool:
        """Return whether a limit refuses the request since its model has no price; after `costs`."""
        return self.use is not None and self.use.has_no_price()

    def find_maximum(self) -> bool:
        """Find the maximum in the body; return whether it is to be lowered to what is left (`lowered`)."""
        rules, body = self._rules, self._body
        if rules is None or body is None or not rules.has_grants or not self._declared.is_object:
            return False
        path = self._scope["path"]
        self._places = places_of(body.whole, fields_of(path), path, rules.grant_field)
        return self._places is not None and self._places.can_write

    def lowered(self, seen: Outcome | None) -> tuple[int, ...]:
        """Return what each rule takes with a maximum that is lowered to what is left.

        Args:
            seen: the outcome of a peek of its plan; None: the store has no answer.
        """
        use, rules, places = self.use, self._rules, self._places
        assert use is not None
        assert rules is not None
        assert places is not None
        told = told_by(self._scope, rules.told)
        return use.lowered(places, seen, told, self._metering.limiter.now_ns())

    def write_grant(self, exchange: Exchange) -> None:
        """Write the maximum that was granted into the body, if limits allowed the request by it."""
        use, places, body = self.use, self._places, self._body
        if use is None or places is None or body is None or use.granted < 0 or exchange.outcome is None:
            return
        exchange.granted = use.granted
        written = places.written(use.granted)
        body.write(written)
        resize(self._scope, len(written))

    def let_go(self) -> None:
        """Forget what is held of the body; nothing if the application has read it."""
        if self._body is not None:
            self._body.let_go()


async def run_metered(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    exchange: Exchange,
    use: Use | None,
    now_ns: Callable[[], int],
) -> None:
    """Run the application for a request that was allowed, settle what it used, and free its slots.

    Args:
        app, scope, receive, send: as ASGI has them; `send` writes the limits' fields.
        exchange: what was decided.
        use: what the request takes; None where nothing is metered after all.
        now_ns: the limits' clock.
    """
    answer = None
    is_http = scope["type"] == "http"
    ending: Ending = "left"  # unless something else is seen
    exchange.begin()
    try:
        if use is not None and use.rules.shape is not None and exchange.outcome is not None:
            keep_readable(scope)
            answer = Answer(use, exchange.plan, exchange.outcome, send, now_ns)
            answer.exchange = exchange
            send = answer.send
        await app(scope, receive, send)
        ending = "returned"
    except Exception as error:
        if is_http and not has_left(error, exchange.status):
            ending = "failed"
            exchange.fail()
        if answer is None or not (answer.is_cut and is_about_the_cut(error)):
            raise
    finally:
        # No await in here: a cancellation cannot interrupt it.
        ended_ns = now_ns()
        try:
            if answer is not None:
                ending = ending if is_http else "connection"
                if answer.settle(exchange.reservation, exchange.settled_units, ended_ns, ending):
                    exchange.status = 500  # as good as: what else was reserved goes back, too
                elif exchange.status < 400:
                    exchange.door.limiter.runtime.count_answer(answer.template, answer.certainty)
        finally:
            exchange.release(ended_ns)


READABLE = frozenset({b"identity", b"gzip", b"x-gzip", b"deflate"})
"""The codings of answers that are read."""


def keep_readable(scope: Scope) -> None:
    """Take the codings that are not read out of what the client accepts: it chooses no way to be measured."""
    headers = scope["headers"]
    if not any(name == b"accept-encoding" for name, _ in headers):
        return
    scope["headers"] = [
        (name, readable(value) if name == b"accept-encoding" else value) for name, value in headers
    ]


def readable(accepted: bytes) -> bytes:
    """Return the part of an `Accept-Encoding` that names codings which are read; `identity` for none."""
    parts = [part.strip() for part in accepted.split(b",")]
    kept = [part for part in parts if part.partition(b";")[0].strip().lower() in READABLE]
    return b", ".join(kept) or b"identity"


def has_left(error: Exception, status: int) -> bool:
    """Return whether an application raised since its client is gone.

    Servers raise an OSError then (ASGI 2.4), of which Starlette makes a ClientDisconnect. The same before the
    response has begun is another connection's.
    """
    return status > 0 and (isinstance(error, OSError) or type(error).__name__ == "ClientDisconnect")


def told_by(scope: Scope, specs: Sequence[EstimateSpec]) -> Told:
    """Return the estimates that headers and states tell: whole numbers, and None for what is none."""
    told: Told = {}
    for spec in specs:
        if spec.kind == "header":
            name = spec.name.encode()
            values = [value for one, value in scope["headers"] if one == name]
            if values:
                # A header that is there twice tells two things; the larger counts.
                told[spec] = max(map(_number, values)) if all(map(bytes.isdigit, values)) else None
        elif spec.kind == "state":
            state = scope.get("state")
            found = state.get(spec.name) if isinstance(state, Mapping) else getattr(state, spec.name, None)
            if type(found) is int and found >= 0:
                told[spec] = found
    return told


def _number(digits: bytes) -> int:
    """Return a number, at most the largest that counts: a thousand digits are not worth reading."""
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= 10 else MOST_DECLARED
