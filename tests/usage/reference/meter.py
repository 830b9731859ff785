"""A limiter that meters in plain Python: what the middleware does, one request after another.

It decides by the product's own decider. Bodies, estimates, answers and settlements are the reference's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ratelimit import Limiter
from ratelimit.deciding.bound_policy import Matched
from ratelimit.deciding.route_plan import MAX_COST, RoutePlan
from ratelimit.identity.fact import live_context
from ratelimit.stores.contract import ALLOWED, Outcome, correct
from ratelimit.usage.ending import AnswerCut
from tests.usage.reference.budget import Budget
from tests.usage.reference.learned import Learned
from tests.usage.reference.report import Usage
from tests.usage.reference.request import MOST_DECLARED, Body, Declared, fields_of, model_in_path, unread
from tests.usage.reference.response import WatchedSend
from tests.usage.reference.rules import MeteredRules, metered, price_list
from tests.usage.reference.unsettled import Reservation, Unsettled

_BYTES_TO_SPARE = 32
App = Callable[..., Awaitable[None]]


class ReferenceMeter:
    """A limiter, and what it learned.

    Args:
        limiter: decides; nothing else may use it.
    """

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.learned = Learned()
        self.unsettled = Unsettled(limiter.runtime._count_settled)

    def _rules(self, plan: RoutePlan | None) -> MeteredRules | None:
        if plan is None:
            return None
        return metered(plan.rules, MAX_COST, price_list(self.limiter.policy.compiled.prices))

    async def request(
        self, scope: dict[str, Any], body: list[bytes] | None, app: App, sent: list[Any]
    ) -> tuple[int, ...] | None:
        """Answer one request; return what it took on arrival, None if it was refused.

        Args:
            scope: the request's.
            body: the pieces that it comes in, none if none is promised; None for one that is compressed.
            app: answers it.
            sent: takes what is sent.
        """
        limiter, runtime = self.limiter, self.limiter.runtime
        bound = limiter.current
        matched = bound.match(scope["method"], scope["path"])
        context = live_context(matched.params, scope["state"])
        row = bound.extractor.extract(scope["headers"], scope["client"][0], context)
        rules = self._rules(matched.plan_for(row))
        declared, costs = Declared(), None
        if rules is not None and rules.asks_body:
            if body is None:
                declared = unread()
            elif body:
                if matched.before_body is not None and self._refuses_early(scope, matched.before_body, row):
                    return None
                reading = Body(fields=fields_of(scope["path"]))
                is_whole = False
                for number, piece in enumerate(body, 1):
                    wants_more, is_whole = reading.feed(piece), number == len(body)
                    if not wants_more:
                        break
                declared = reading.declared(is_whole=is_whole)
        model = matched.params.get("model")
        if rules is not None and model is not None:
            declared = replace(declared, model=model_in_path(model))
        if rules is not None and rules.has_models:
            matched = bound.narrowed(matched, rules.of_model(declared.model))
            rules = self._rules(matched.plan)
        now_ns, account = limiter.now_ns(), list(row)
        if rules is not None:
            told = told_by(scope, rules)
            costs = rules.costs(declared, self.learned, account, matched.template, told, now_ns)
            if rules.lacks_price(row, declared.model):
                return None
        allowed, _, plan, outcome = await runtime.adecide(bound, matched, row, now_ns, costs)
        if not allowed:
            return None
        if plan is None or outcome is None:
            with suppress(OSError):
                await app(scope, None, _sending(sent))
            return ()
        taken = tuple(outcome.cost(at) for at in range(len(plan.rules)))
        reservation = self.unsettled.begin(plan, outcome)
        watched = budget = None
        if rules is not None and rules.shape is not None:
            if rules.cuts:
                budget = Budget(rules, plan, outcome, limiter, declared.model)
            has_room = None if budget is None else budget.has_room
            watched = WatchedSend(_sending(sent), rules.shape, has_room, declared)
        try:
            await app(scope, None, _sending(sent) if watched is None else watched.send)
        except AnswerCut:
            assert watched is not None
            assert watched.is_cut
        except OSError:
            pass  # the client is gone
        is_nothing = False
        if watched is not None and rules is not None:
            is_nothing = self._settle(rules, plan, outcome, reservation, watched, declared, account, matched)
        self._end(plan, outcome, reservation, sent, is_nothing=is_nothing)
        return taken

    def _refuses_early(self, scope: dict[str, Any], early: Matched, row: list[int]) -> bool:
        limiter, now_ns = self.limiter, self.limiter.now_ns()

        def least(plan: RoutePlan) -> tuple[int, ...]:
            rules = self._rules(plan)
            if rules is None:
                return tuple(plan.costs)
            return rules.least_costs(self.learned, row, early.template, told_by(scope, rules), now_ns)

        return limiter.runtime.early(limiter.current, early, list(row), now_ns, least) is not None

    def _settle(
        self,
        rules: MeteredRules,
        plan: RoutePlan,
        outcome: Outcome,
        reservation: Reservation,
        watched: WatchedSend,
        declared: Declared,
        row: list[int],
        matched: Matched,
    ) -> bool:
        """Settle an answer; return whether nothing was produced."""
        reading = watched.reading()
        is_broken = False
        if not watched.is_cut:
            is_broken = watched.has_failed or not watched.is_complete
            is_left = is_broken and not watched.has_failed
            by_habit = is_left and self.learned.leaves_by_habit(rules.caller(row))
            self.learned.ended(rules.caller(row), is_left)
            if by_habit or watched.is_unreadable or watched.is_hidden:
                is_broken = False
        if reading.certainty == "unknown":
            for at in rules.read if is_broken else ():
                if outcome.state(at) == ALLOWED:
                    correct(outcome, at, 0, self.limiter.now_ns())
            return is_broken
        is_exact, now_ns = reading.certainty == "exact", self.limiter.now_ns()
        if declared.by and declared.output is not None:
            output = reading.usage.output if is_exact else reading.usage.output // _BYTES_TO_SPARE
            told = rules.caller(row), matched.template, declared.by, declared.output
            self.learned.heed(*told, output, now_ns)
        is_broken = is_broken and not is_exact
        whole = dict(rules.amounts(with_prompt(reading.usage, declared), declared.model, watched.model))
        for at, amount in rules.amounts(reading.usage, declared.model, watched.model):
            if outcome.state(at) != ALLOWED:
                continue
            if is_broken:
                amount = max(amount, min(whole[at], outcome.cost(at)))
            elif watched.is_hidden:
                worst = rules.worst(at, row, matched.template, declared, self.learned)
                amount = min(max(amount, worst, outcome.cost(at)), MAX_COST)
            is_sure = is_exact or (rules.unit(at) == "output_tokens" and reading.is_output_sure)
            if is_sure or is_broken or amount > outcome.cost(at):
                correct(outcome, at, amount, now_ns)
            if not is_exact and amount:
                reservation.seen = True
            if is_sure:
                reservation.settled.add(rules.unit(at))
                account, of = rules.key(at, row, matched.template, declared)
                self.learned.learn(account, of, amount, now_ns)
        return False

    def _end(
        self,
        plan: RoutePlan,
        outcome: Outcome,
        reservation: Reservation,
        sent: list[Any],
        *,
        is_nothing: bool,
    ) -> None:
        now_ns = self.limiter.now_ns()
        outcome.release(now_ns)
        for at, rule in enumerate(plan.rules):
            if rule.is_exposure:
                correct(outcome, at, 0, now_ns)
        status = next((one["status"] for one in sent if one["type"] == "http.response.start"), 0)
        if (is_nothing or status >= 400) and reservation.give_back((), now_ns):
            self.unsettled.forget(reservation)
        else:
            self.unsettled.end(reservation)


def with_prompt(usage: Usage, declared: Declared) -> Usage:
    """Return what was seen, and the whole prompt by its length where nothing was said of it."""
    if usage.fresh_input or usage.cache_write or usage.cache_read:
        return usage
    return replace(usage, fresh_input=declared.size * 2 // 7)


def told_by(scope: dict[str, Any], rules: MeteredRules) -> Mapping[Any, int | None]:
    """Return the estimates that a header or a state tells."""
    told: dict[Any, int | None] = {}
    for spec in rules.told:
        if spec.kind == "header":
            values = [value for name, value in scope["headers"] if name == spec.name.encode()]
            if values:
                are_numbers = all(map(bytes.isdigit, values))
                told[spec] = min(max(map(int, values)), MOST_DECLARED) if are_numbers else None
        elif type(found := scope["state"].get(spec.name)) is int and found >= 0:
            told[spec] = found
    return told


def _sending(sent: list[Any]) -> Callable[[Any], Awaitable[None]]:
    async def send(message: Any) -> None:
        sent.append(message)

    return send
