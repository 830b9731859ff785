"""The rules of one plan with costs that are estimated by words, or read from answers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.usage.compile import EstimateSpec
from ratelimit.usage.pricing import USD, PriceSpec
from ratelimit.usage.shapes import Form, one_of
from tests.usage.reference.learned import FIRST, Learned
from tests.usage.reference.prices import Price, PriceList, plain_name
from tests.usage.reference.report import OF_OUTPUT, Usage
from tests.usage.reference.request import Declared

_TEXT_TOKENS, _TEXT_BYTES = 2, 7
"""Tokens in so many bytes of a request, about."""

Key = tuple[Hashable, Hashable]
"""An account and a route, as `Learned` takes them."""


class MeteredRules:
    """What is to be done for a plan around the application's answer.

    Args:
        rules: the plan's; some have `metering`.
        most_cost: what one charge can carry.
        prices: what models cost, for rules in dollars.
    """

    __slots__ = (
        "_caller",
        "_in_full",
        "_most",
        "_prices",
        "_rules",
        "asks_body",
        "beside",
        "cuts",
        "estimated",
        "has_models",
        "read",
        "shape",
        "told",
    )

    def __init__(self, rules: Sequence[LimitRule], most_cost: int, prices: PriceList) -> None:
        self._rules = rules
        self._caller = next((rule.per for rule in rules if rule.per and not rule.is_clustered), ())
        self._most = most_cost
        self._prices = prices
        self.beside = {
            at: next(other for other in range(at) if rules[other].index == rule.index - 1)
            for at, rule in enumerate(rules)
            if rule.is_exposure
        }
        """Rules that count what is in flight, and those that they stand beside."""
        specs = [
            (at, rule.metering)
            for at, rule in enumerate(rules)
            if rule.metering is not None and not rule.is_exposure
        ]
        self._in_full = [at for at, spec in specs if spec.exposure == 1]
        self.estimated: tuple[tuple[int, EstimateSpec], ...] = tuple(
            (at, spec.estimate) for at, spec in specs if spec.estimate is not None
        )
        """Rules with an estimate to be found for each request."""
        self.told = tuple(spec for _, spec in self.estimated if spec.kind in ("header", "state"))
        """Estimates that requests tell."""
        self.read = tuple(at for at, spec in specs if spec.usage is not None)
        """Rules that are settled by what the answer says."""
        self.cuts = tuple(
            at for at, spec in specs if spec.cuts and rules[at].is_enforced and rules[at].unit in OF_OUTPUT
        )
        """Rules that end a stream once it uses up their budget."""
        shapes = [spec.usage for _, spec in specs if spec.usage is not None]
        self.shape: Form | None = one_of(list(dict.fromkeys(shapes)))
        """The provider of the answers that are read; `auto` where limits differ."""
        words = any(spec.kind in ("declared", "learned") for _, spec in self.estimated)
        self.has_models = any(spec.models for _, spec in specs)
        """Whether some apply to requests for certain models only."""
        pays = any(rules[at].unit == USD for at, _ in specs)
        self.asks_body = words or self.has_models or pays or bool(self.beside or self._in_full)
        """Whether the request's body is looked at before it is decided."""

    def of_model(self, model: str | None) -> tuple[int, ...]:
        """Return the policy's indices of the rules that apply to a request for a model.

        One that names no model, or has a body that could not be read, falls under all.
        """
        return tuple(rule.index for rule in self._rules if model is None or _applies(rule, model))

    def costs(
        self,
        declared: Declared,
        learned: Learned,
        identities: Sequence[int],
        route: str,
        told: Mapping[EstimateSpec, int | None],
        now_ns: int,
    ) -> tuple[int, ...]:
        """Return what each rule takes on arrival: at most all that it can hold.

        Args:
            declared: by the request's body.
            learned: from what was used before.
            identities: of the request.
            route: the template it matched.
            told: by headers and states; None by one that says something else than a whole number.
        """
        costs = [rule.estimate for rule in self._rules]
        said, is_trusted = declared, True
        if declared.by and not learned.is_heeded(self.caller(identities), route, declared.by, now_ns):
            declared, is_trusted = replace(declared, output=None), False
        for at, spec in self.estimated:
            rule = self._rules[at]
            found = told.get(spec, rule.estimate)
            if found is None or spec.kind in ("declared", "learned"):
                most, first = self._declared(at, declared)
                account, of = self.key(at, identities, route, declared)
                if spec.kind == "declared" and most is not None:
                    found = learned.reserved(of, most, first, rule.burst)
                else:
                    found = learned.estimate(account, of, most, now_ns, first, rule.burst)
                    if at in self.beside.values():
                        found = min(found, max(1, min(rule.burst, self._most) // 16))
            costs[at] = max(0, min(found, rule.burst, self._most))
        for at, of in [*self.beside.items(), *zip(self._in_full, self._in_full, strict=True)]:
            key = self.key(of, identities, route, said)[1]
            worst = max(self._worst(of, said, learned, key, is_trusted=is_trusted), costs[of])
            costs[at] = min(worst, self._rules[at].burst, self._most)
        for at, rule in enumerate(self._rules):
            # One that is not enforced shows what it would refuse: more than it ever holds.
            if self._refuses(rule, declared.model) and not rule.is_enforced and rule.burst < self._most:
                costs[at] = rule.burst + 1
        return tuple(costs)

    def least_costs(
        self,
        learned: Learned,
        identities: Sequence[int],
        route: str,
        told: Mapping[EstimateSpec, int | None],
        now_ns: int,
    ) -> tuple[int, ...]:
        """Return the least that `costs` can return, whatever the body turns out to declare."""
        costs = [rule.estimate for rule in self._rules]
        for at, spec in self.estimated:
            rule = self._rules[at]
            found = told.get(spec, rule.estimate)
            if found is None or spec.kind in ("declared", "learned"):
                found = 0 if rule.unit == USD and self._has_free(rule) else 1
            costs[at] = max(0, min(found, rule.burst, self._most))
        return tuple(costs)

    def fewest_costs(self) -> tuple[int, ...]:
        """Return what `least_costs` returns at the least."""
        costs = [rule.estimate for rule in self._rules]
        for at, spec in self.estimated:
            rule = self._rules[at]
            is_known = spec.kind in ("declared", "learned") and not (
                rule.unit == USD and self._has_free(rule)
            )
            costs[at] = min(1, rule.burst) if is_known else 0
        return tuple(costs)

    def _has_free(self, rule: LimitRule) -> bool:
        """Return whether some model costs nothing: a request for it has room in a budget that is used up."""
        spec = rule.metering
        unknown = None if spec is None else spec.unknown_price
        return self._prices.has_free or (unknown is not None and as_price(unknown).is_free)

    def first_costs(self) -> tuple[int, ...]:
        """Return what each rule takes on arrival where nothing looks at the request."""
        costs = [rule.estimate for rule in self._rules]
        for at, spec in self.estimated:
            if spec.kind in ("declared", "learned"):
                first = self._declared(at, Declared())[1]
                costs[at] = min(FIRST if first is None else first, self._rules[at].burst, self._most)
        for at, of in [*self.beside.items(), *zip(self._in_full, self._in_full, strict=True)]:
            spec = self._rules[of].metering
            longest = 4 * FIRST if spec is None or spec.most is None else spec.most
            worst = max(self._worth(of, longest, Declared()), costs[of])
            costs[at] = min(worst, self._rules[at].burst, self._most)
        return tuple(costs)

    def key(self, at: int, identities: Sequence[int], route: str, declared: Declared) -> Key:
        """Return what a rule's estimates are learned by: its account, and its unit on the route.

        And by the API and the model: what one answers says nothing of another.
        """
        rule = self._rules[at]
        key = rule.name, route, declared.fields, declared.model
        return tuple(identities[position] for position in rule.per), key

    def worst(
        self, at: int, identities: Sequence[int], route: str, declared: Declared, learned: Learned
    ) -> int:
        """Return the most that an answer may have used that could not be read."""
        key = self.key(at, identities, route, declared)[1]
        return self._worst(at, declared, learned, key, is_trusted=True)

    def _worst(
        self, at: int, declared: Declared, learned: Learned, key: Hashable, *, is_trusted: bool
    ) -> int:
        """Return the most that a request may use."""
        spec = self._rules[at].metering
        longest = None if spec is None else spec.most
        output = declared.output
        if longest is not None:
            output = longest if output is None or not is_trusted else min(output, longest)
        found = 0 if output is None else self._worth(at, output, declared)
        if output is None or (not is_trusted and longest is None):
            found = max(found, learned.reach(key, self._worth(at, 4 * FIRST, declared)))
        return found

    def _worth(self, at: int, output: int, declared: Declared) -> int:
        """Return so many tokens in a rule's unit."""
        of_input = declared.size * _TEXT_TOKENS // _TEXT_BYTES
        unit = self.unit(at)
        if unit == USD:
            answers = declared.choices * max(1, declared.prompts)
            return self._price(at, declared.model).worst_micro(of_input, output, answers)
        return output + of_input if unit == "total_tokens" else output

    def caller(self, identities: Sequence[int]) -> Hashable:
        """Return the account that a declared maximum is held against: what limits count by first."""
        return tuple(identities[position] for position in self._caller)

    def unit(self, at: int) -> str:
        """Return what a rule counts."""
        return self._rules[at].unit

    def amounts(self, usage: Usage, *models: str | None) -> list[tuple[int, int]]:
        """Return rules with what they are to be charged for an answer of a model, by its likely names."""
        units = usage.units
        found = []
        for at in self.read:
            unit = self.unit(at)
            if unit in units:
                amount = units[unit]
            else:
                priced = [model for model in models if self._prices.find(model) is not None]
                amount = max(self._cost(at, usage, model) for model in priced or [None])
            found.append((at, min(amount, self._most)))
        return found

    def _declared(self, at: int, declared: Declared) -> tuple[int | None, int | None]:
        """Return the most of a rule's unit that a request declares, and what is taken if nothing is known."""
        of_input = declared.size * _TEXT_TOKENS // _TEXT_BYTES
        unit = self.unit(at)
        if unit == "output_tokens":
            return declared.output, None
        if unit == "total_tokens":
            return None if declared.output is None else declared.output + of_input, None
        if unit in ("input_tokens", "fresh_input_tokens"):
            return of_input or None, None
        if unit == USD:
            first = self._cost(at, Usage(of_input, output=FIRST), declared.model)
            if declared.output is None:
                return None, first
            return self._cost(at, Usage(of_input, output=declared.output), declared.model), first
        return None, None

    def _cost(self, at: int, usage: Usage, *models: str | None) -> int:
        """Return what an answer costs in micro-dollars."""
        return self._price(at, *models).cost_micro(usage)

    def _price(self, at: int, *models: str | None) -> Price:
        price = self._prices.find(*models)
        if price is not None:
            return price
        spec = self._rules[at].metering
        unknown = None if spec is None else spec.unknown_price
        return self._prices.dearest if unknown is None else as_price(unknown)

    def lacks_price(self, identities: Sequence[int], model: str | None) -> bool:
        """Return whether a rule that applies refuses a request, as its model has no price."""
        return any(
            rule.is_enforced and self._refuses(rule, model) and all(identities[at] >= 0 for at in rule.per)
            for rule in self._rules
        )

    def _refuses(self, rule: LimitRule, model: str | None) -> bool:
        spec = rule.metering
        if spec is None or rule.is_exposure:
            return False
        return spec.refuses_unknown and self._prices.find(model) is None


def _applies(rule: LimitRule, model: str) -> bool:
    patterns = () if rule.metering is None else rule.metering.models
    return not patterns or any(_is_like(model, pattern) for pattern in patterns)


@lru_cache(maxsize=4096)
def _is_like(model: str, pattern: str) -> bool:
    """Return whether a model's name is of a pattern, in time that grows with both and no faster.

    Case and blanks around it take no part: there are servers that do not look at them.
    """
    name = plain_name(model)
    first, *rest = plain_name(pattern).split("*")
    if not rest:
        return name == first
    *midst, last = rest
    if not name.startswith(first) or len(name) < len(first) + len(last) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in midst:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def as_price(spec: PriceSpec) -> Price:
    """Return a price as the policy has it."""
    return Price(spec.rates, spec.fees, spec.bands, spec.tiers)


def price_list(prices: Mapping[str, PriceSpec]) -> PriceList:
    """Return the policy's prices."""
    return PriceList({model: as_price(spec) for model, spec in prices.items()})


NO_PRICES = PriceList({})


def metered(rules: Sequence[LimitRule], most_cost: int, prices: PriceList = NO_PRICES) -> MeteredRules | None:
    """Return what is to be metered of these rules, None of nothing."""
    if all(rule.metering is None for rule in rules):
        return None
    return MeteredRules(rules, most_cost, prices)
