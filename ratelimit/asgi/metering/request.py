"""One request with limits that estimate by words or read the answer: from its body to its settlement.

    request = metering.request(scope, receive, bound, matched, identities)
    if not await request.is_there():    # the client is gone, and nothing is owed
        return
    … decide what `request.matched` with `request.costs()` …
    await request.run(app, scope, send, exchange)

Settling has three outcomes. What an answer says exactly replaces the estimate, up or down. What
was only seen in part is charged if it is more than the estimate, and refunds nothing. For a client
that hangs up early would else choose its own price. Of what tells nothing the estimate stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimit.asgi.ending import run_holding
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.metering.body import HeldBody, Holding
from ratelimit.asgi.metering.budget import Budget
from ratelimit.asgi.metering.response import AnswerCut, WatchedSend
from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.share import Share
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.metered import MeteredRules
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.limiter import Limiter
from ratelimit.policy.compile.metering import EstimateSpec
from ratelimit.stores.contract import ALLOWED, Outcome, correct
from ratelimit.usage.learned import Learned
from ratelimit.usage.request import MOST_DECLARED, Declared, model_in_path

_UNTOLD: Mapping[EstimateSpec, int | None] = {}
_BYTES_TO_SPARE = 32
"""How many times 3.5 bytes the longest tokens have: those of blanks."""


class Metering:
    """What the metered requests of one limiter have in common in this worker.

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
    ) -> MeteredRequest | None:
        """Return what is to be done around a request; None where its limits ask for nothing."""
        plan = matched.plan_for(identities)
        if plan is None or plan.metered is None:
            return None
        if share is None and plan.metered.asks_body:
            share = self.held.share(partial(holder_of, scope, bound))
        return MeteredRequest(self, plan.metered, scope, receive, bound, matched, identities, share)

    def least_costs(
        self, scope: Scope, route: str, identities: Sequence[int], now_ns: int, plan: RoutePlan
    ) -> Sequence[int]:
        """Return the least that each rule of a plan will take of a request with a body that was not read."""
        if plan.metered is None:
            return plan.costs
        told = _told(scope, plan.metered.told) if plan.metered.told else _UNTOLD
        return plan.metered.least_costs(self.learned, identities, route, told, now_ns)


class MeteredRequest:
    """One request.

    `matched` is what applies to it, once `is_there`: of its model, if limits look at that.
    """

    __slots__ = (
        "_body",
        "_bound",
        "_declared",
        "_identities",
        "_metering",
        "_rules",
        "_scope",
        "matched",
        "receive",
        "share",
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
    ) -> None:
        self.matched = matched
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
        self._declared = Declared()
        self._bound = bound
        self._identities = list(identities)

    @property
    def looks_early(self) -> bool:
        """Whether to look at limits before `is_there`, which waits for what the client sends.

        Of a server only for a body that costs more than one more question.
        """
        body = self._body
        return (
            body is not None
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
        named = self.matched.params.get("model")
        if named is not None:
            self._declared = replace(self._declared, model=model_in_path(named))
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
        told = _told(self._scope, rules.told) if rules.told else _UNTOLD
        now_ns, route = metering.limiter.now_ns(), self.matched.template
        return rules.costs(self._declared, metering.learned, self._identities, route, told, now_ns)

    def let_go(self) -> None:
        """Forget what is held of the body; nothing if the application has read it."""
        if self._body is not None:
            self._body.let_go()

    async def run(
        self, app: ASGIApp, scope: Scope, send: Send, exchange: Exchange, receive: Receive | None = None
    ) -> None:
        """Run the application for a request that was allowed, and settle what it used.

        `receive` is for a WebSocket: its messages are limited on their way.
        """
        receive = self.receive if receive is None else receive
        # The request ends after it is settled: `run_holding` is the outer one.
        app = partial(self._read, app, exchange)
        await run_holding(app, scope, receive, send, exchange, self._metering.limiter.clock)

    async def _read(
        self, app: ASGIApp, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the application, and settle by what its answer says."""
        outcome, rules, limiter = exchange.outcome, self._rules, self._metering.limiter
        if outcome is None or rules is None or rules.shape is None:
            await app(scope, receive, send)
            return
        budget = None
        if rules.cuts and exchange.plan is not None:
            budget = Budget(rules, exchange.plan, outcome, limiter, self._declared.model)
        watched = WatchedSend(send, rules.shape, None if budget is None else budget.has_room)
        try:
            await app(scope, receive, watched.send)
        except Exception as error:
            if not (watched.is_cut and _is_about_the_cut(error)):
                raise
        finally:
            # No await in here: a cancellation cannot interrupt it.
            self._settle(rules, outcome, watched, exchange)

    def _settle(
        self, rules: MeteredRules, outcome: Outcome, watched: WatchedSend, exchange: Exchange
    ) -> None:
        reading = watched.reading()
        if reading.certainty == "unknown":
            return
        is_exact, now_ns = reading.certainty == "exact", self._metering.limiter.now_ns()
        declared, route = self._declared, self.matched.template
        if declared.by and declared.output is not None:
            # What was counted by its bytes may be a few long tokens: only far more is beyond a maximum.
            output = reading.usage.output if is_exact else reading.usage.output // _BYTES_TO_SPARE
            caller = rules.caller(self._identities)
            self._metering.learned.heed(caller, route, declared.by, declared.output, output, now_ns)
        for at, amount in rules.amounts(reading.usage, self._declared.model, watched.model):
            if rules.unit(at) in exchange.settled_units or outcome.state(at) != ALLOWED:
                continue  # the application said it itself
            if is_exact or amount > outcome.cost(at):
                correct(outcome, at, amount, now_ns)
                if exchange.plan is not None and at in exchange.plan.stand_ins:
                    correct(outcome, exchange.plan.stand_ins[at], amount, now_ns)
            if exchange.reservation is not None and not is_exact and amount:
                exchange.reservation.seen = True
            if is_exact:
                if exchange.reservation is not None:
                    exchange.reservation.settled.add(rules.unit(at))
                account, of = rules.key(at, self._identities, self.matched.template, self._declared.model)
                self._metering.learned.learn(account, of, amount, now_ns)
        if exchange.plan is not None:
            exchange.plan.freed(outcome)


def _is_about_the_cut(error: BaseException) -> bool:
    """Return whether an exception is what an application makes of a stream that was cut."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return False
        if isinstance(seen, AnswerCut):
            return True
        if isinstance(seen, BaseExceptionGroup):
            return all(_is_about_the_cut(one) for one in seen.exceptions)
        seen = seen.__cause__ or seen.__context__
    return False


def _told(scope: Scope, specs: Sequence[EstimateSpec]) -> Mapping[EstimateSpec, int | None]:
    """Return the estimates that headers and states tell: whole numbers, and None for what is none."""
    told: dict[EstimateSpec, int | None] = {}
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
