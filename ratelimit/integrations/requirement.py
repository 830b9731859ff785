"""The limits that a route requires: limits of the policy by name, or one that is written in code.

Pure: rates are checked when the code is read, identities when the policy is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypedDict

from ratelimit.deciding.route_plan import MAX_COST
from ratelimit.errors import UsageError
from ratelimit.policy.schema.binder import bind
from ratelimit.policy.schema.model import Limit
from ratelimit.policy.schema.problem import Report, did_you_mean
from ratelimit.policy.schema.rate import RateSyntaxError, parse_rates

Amount = int | Mapping[str, int]
"""How much: in the unit of the limits that are asked for, or for each of several units."""
Cost = Amount | Callable[[Any], Amount | Awaitable[Amount]]
"""How much, or what says so of a request."""
Key = Callable[[Any], str | Awaitable[str | None] | None]
"""Says of a request which budget it takes from; None or "": the one of its address."""

ROUTE = "asked_route"
"""The identity that gives each route a budget of its own."""
KEY = "asked_key"
"""The identity that the application's own function says."""
_LONGEST_NAME = 64
_ELSEWHERE = {
    "key_func": 'here that is `per`: "ip", another identity of the policy, or a function of the request',
    "scope": "here that is `name`",
    "exempt_when": "let `cost` be a function that returns 0 then",
    "error_message": "the middleware's `responder` makes the answer",
    "deduct_when": '`request.scope["ratelimit"].settle(requests=0)` gives back what was taken',
    "methods": "limit the handler of that method",
}
"""Arguments of other libraries' `limit`, and what there is for them."""


@dataclass(frozen=True, eq=False)
class Wish:
    """The request of a route for limits; one object for each `limit(…)` and `limits(…)` in the code.

    Args:
        names: the limits of the policy.
        table: instead, a limit as the policy file would have it.
        cost: what the request takes; the limits' own `cost` and `estimate` when not given.
        key: the function that says `KEY`.
    """

    names: tuple[str, ...]
    table: Mapping[str, Any] | None = None
    cost: Cost | None = field(default=None, repr=False)
    key: Key | None = field(default=None, repr=False)

    async def params_of(self, request: object) -> dict[str, str]:
        """Return what is added to the path's parameters: a digest of the key, however long that is.

        Without a key the client's address stands in, as for any identity that is missing.

        Raises:
            UsageError: what the function returned is no text (code `limit-declared`).
        """
        if self.key is None:
            return {}
        found = self.key(request)
        if inspect.isawaitable(found):
            found = await found
        if found is not None and not isinstance(found, str):
            raise UsageError(
                f"the function in `per` must return text or None, not {type(found).__name__}",
                code="limit-declared",
            )
        return {KEY: digest_of(found)} if found else {}

    async def amount_for(self, request: object) -> Amount | None:
        """Return how much this request takes, None for the limits' own.

        What a callable returns may depend on what a client sent, so a number that is out of range is
        cut: below 0 it is 0, above 2**31 - 1 it is that.

        Raises:
            UsageError: what it returned is no number of units (code `cost-type`).
        """
        amount = self.cost
        if not callable(amount):
            return amount
        found = amount(request)
        if inspect.isawaitable(found):
            found = await found
        if isinstance(found, Mapping):
            return {unit: _cut(value) for unit, value in found.items()}
        return _cut(found)


def digest_of(text: str) -> str:
    """Return what stands for a text of any length; identities are hashed with the store's key as well."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _cut(amount: object) -> int:
    if type(amount) is not int:
        raise UsageError(f"a computed cost must be a whole number, not {amount!r}", code="cost-type")
    return min(max(amount, 0), MAX_COST)


def named(names: tuple[str, ...], cost: Cost | None, estimate: Cost | None) -> Wish:
    """Return the wish for limits of the policy."""
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError('name the limits: `limits("uploads")`', code="limit-declared")
    return Wish(tuple(dict.fromkeys(names)), None, _one_of(cost, estimate))


class Settings(TypedDict, total=False):
    """The keys of a limit in code beside its rate, in the words of the policy file."""

    per: str | Key | list[str | Key]
    """Identities of the policy, "ip" by default; `[]` for one budget of all callers. Or a function of the
    request that returns the text to count by, also beside identities; `None` is the client's address."""
    name: str
    """The name in fields and metrics. Routes that use one name share one budget;
    without a name each route has its own."""
    cost: Cost
    """What a request takes, 1 by default: a number, numbers by unit, or a function of the request."""
    estimate: Cost
    """The same for other units than requests: taken on arrival, corrected by `settle`."""
    burst: int
    algorithm: str
    unit: str
    concurrent: int
    mode: str


def declared(rate: str | None, settings: Settings) -> Wish:
    """Return the wish for a limit that is written in code: a rate as "10/minute", and what `Settings` has.

    Raises:
        UsageError: the rate is none, or what belongs together is not (code `limit-declared`).
    """
    given: dict[str, Any] = {key: value for key, value in settings.items() if value is not None}
    unknown = given.keys() - Settings.__annotations__.keys()
    if unknown:
        word = min(unknown)
        hint = _ELSEWHERE.get(word) or did_you_mean(word, Settings.__annotations__)
        hint = hint or f"There are {', '.join(Settings.__annotations__)}."
        raise UsageError(f"limit(): no argument is called {word!r}. {hint}", code="limit-declared")
    per, name = given.pop("per", "ip"), given.pop("name", None)
    cost = _one_of(given.pop("cost", None), given.pop("estimate", None))
    if rate is not None:
        _check_rate(rate)
        given = {"rate": rate, **given}
    elif "concurrent" not in given:
        raise UsageError('write a rate, `limit("10/minute")`, or `concurrent=5`', code="limit-declared")
    counted = [per] if isinstance(per, str) or callable(per) else list(per)
    keys = [each for each in counted if callable(each)]
    if len(keys) > 1:
        raise UsageError("`per` takes one function; let it return both texts", code="limit-declared")
    identities = [KEY if callable(each) else each for each in counted]
    words = [_name_of(each) if callable(each) else each for each in counted]
    called = _called(given, words) if name is None else name
    own = [] if name is not None else [ROUTE]
    table = {**given, "name": called, "per": [*identities, *own], "match": []}
    report = Report("a limit in code")
    bind(Limit, table, report)
    if report.problems:
        said = "; ".join(f"{problem.message}. {problem.hint}" for problem in report.problems)
        raise UsageError(f"limit(): {said}", code="limit-declared")
    return Wish((called,), table, cost, *keys)


def _check_rate(rate: object) -> None:
    if not isinstance(rate, str):
        what = "a function" if callable(rate) else repr(rate)
        raise UsageError(
            f'limit() wants a rate as text, `limit("10/minute")`, not {what}', code="limit-declared"
        )
    try:
        parse_rates(rate)
    except RateSyntaxError as error:
        named = f"; a limit of the policy is `limits({rate!r})`" if rate.isidentifier() else ""
        raise UsageError(f"limit({rate!r}): {error}{named}", code="limit-declared") from error


def is_rate(text: str) -> bool:
    """Return whether a text is a rate rather than a name."""
    try:
        parse_rates(text)
    except RateSyntaxError:
        return False
    return True


def _one_of(cost: Cost | None, estimate: Cost | None) -> Cost | None:
    for given in (cost, estimate):
        amounts = given.values() if isinstance(given, Mapping) else [given]
        for amount in amounts:
            if amount is not None and not callable(amount) and type(amount) is not int:
                raise UsageError(
                    f"a cost is a whole number or a function of the request, not {amount!r}",
                    code="limit-declared",
                )
    if cost is not None and estimate is not None:
        raise UsageError(
            "`cost` is what a request takes, `estimate` what it takes until `settle` says more: give one",
            code="limit-declared",
        )
    return estimate if cost is None else cost


def _name_of(key: Key) -> str:
    name = getattr(key, "__name__", "key")
    return name if name.isidentifier() and name.isascii() else "key"


def _called(table: Mapping[str, Any], per: list[str]) -> str:
    """Return what a limit without a name is called in fields and metrics: what it says."""
    words = [str(table["rate"])] if "rate" in table else [f"{table['concurrent']} at once"]
    words += [f"{key} {value}" for key, value in table.items() if key not in ("rate", "concurrent")]
    if per:
        words.append("per " + ", ".join(per))
    return " ".join(words)[:_LONGEST_NAME]
