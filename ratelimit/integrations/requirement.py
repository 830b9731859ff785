"""The limits that a route requires: limits of the policy by name, or one that is written in code.

Pure: rates are checked when the code is read, identities when the policy is known.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, TypedDict, get_args, get_type_hints
from uuid import UUID

from ratelimit.deciding.route_plan import MAX_COST
from ratelimit.environment.spelling import did_you_mean
from ratelimit.errors import UsageError
from ratelimit.policy.compile.expansion import check_algorithm
from ratelimit.policy.schema.binder import bind
from ratelimit.policy.schema.model import Limit
from ratelimit.policy.schema.problem import Report
from ratelimit.policy.schema.rate import RateSyntaxError, parse_rates
from ratelimit.runtime.limits_in_code import KEY, ROUTE

Amount = int | Mapping[str, int]
"""How much: in the unit of the limits that are asked for, or for each of several units."""
Cost = Amount | Callable[[Any], Amount | Awaitable[Amount]]
"""How much, or what says so of a request."""
Key = Callable[[Any], str | Awaitable[str | None] | None]
"""Says of a request which budget it takes from; None or "": the one of its address."""

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


_TEXTS = (str, bytes, int, UUID)
"""The types that a value to count by may have; a `bool` tells nobody apart."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency of the framework, which runs before the limit and returns what to count by.

    Args:
        call: what the framework calls.
        marker: how a parameter asks the framework for it.
    """

    call: Callable[..., Any]
    marker: Any

    @property
    def __name__(self) -> str:
        """The dependency's own name."""
        return getattr(self.call, "__name__", type(self.call).__name__)

    def check(self) -> None:
        """Look at what it says that it returns.

        Raises:
            UsageError: that can be no identity (code `limit-declared`).
        """
        try:
            returned = get_type_hints(self.call).get("return", Any)
        except Exception:  # names that only a type checker knows
            return
        for kind in get_args(returned) or (returned,):
            is_known = isinstance(kind, type) and kind is not Any
            if is_known and (kind is bool or not issubclass(kind, (*_TEXTS, type(None)))):
                raise UsageError(self._words(kind), code="limit-declared")

    def text_of(self, value: object) -> str | None:
        """Return what it returned as text; None where it returned nothing, which the address stands in for.

        Raises:
            UsageError: it is no identity (code `limit-declared`).
        """
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        if isinstance(value, (int, UUID)) and not isinstance(value, bool):
            return str(value)
        raise UsageError(self._words(type(value)), code="limit-declared")

    def _words(self, kind: type) -> str:
        return (
            f"the dependency `{self.__name__}` in `per` returns {kind.__name__}, and limits count by text, a "
            "whole number or a UUID. Write one that returns a part of it: `def user_id(user: "
            f"Annotated[{kind.__name__}, Depends({self.__name__})]) -> str: return user.id`, and "
            "`per=Depends(user_id)`"
        )


@dataclass(frozen=True, eq=False)
class Wish:
    """The request of a route for limits; one object for each `limit(…)` and `limits(…)` in the code.

    Args:
        names: the limits of the policy.
        table: instead, a limit as the policy file would have it.
        cost: what the request takes; the limits' own `cost` when not given.
        key: the function that says `KEY`.
    """

    names: tuple[str, ...]
    table: Mapping[str, Any] | None = None
    cost: Cost | None = field(default=None, repr=False)
    key: Key | Dependency | None = field(default=None, repr=False)

    async def params_of(self, request: object, subject: object = None) -> dict[str, str]:
        """Return what is added to the path's parameters: a digest of the key, however long that is.

        Without a key the client's address stands in, as for any identity that is missing.

        Args:
            request: what a function is given.
            subject: what the framework's dependency returned, if the key is one.

        Raises:
            UsageError: what the function returned is no text (code `limit-declared`).
        """
        if self.key is None:
            return {}
        if isinstance(self.key, Dependency):
            text = self.key.text_of(subject)
            return {KEY: digest_of(text)} if text else {}
        found = self.key(request)
        return params_by(await found if inspect.isawaitable(found) else found)

    async def amount_for(self, request: object) -> Amount | None:
        """Return how much this request takes, None for the limits' own.

        Raises:
            UsageError: what a function returned is no number of units (code `cost-type`).
        """
        amount = self.cost
        if not callable(amount):
            return amount
        found = amount(request)
        return amount_by(await found if inspect.isawaitable(found) else found)


def amount_by(found: object) -> Amount:
    """Return how much a request takes by what the function in `cost` returned.

    That may depend on what a client sent, so a number that is out of range is cut: below 0 it is 0, above
    2**31 - 1 it is that.

    Raises:
        UsageError: that is no number of units (code `cost-type`).
    """
    if isinstance(found, Mapping):
        return {unit: _cut(value) for unit, value in found.items()}
    return _cut(found)


def params_by(key: object) -> dict[str, str]:
    """Return what is added to the path's parameters for what the function in `per` returned.

    Raises:
        UsageError: that is no text (code `limit-declared`).
    """
    if key is not None and not isinstance(key, str):
        raise UsageError(
            f"the function in `per` must return text or None, not {type(key).__name__}",
            code="limit-declared",
        )
    return {KEY: digest_of(key)} if key else {}


def digest_of(text: str) -> str:
    """Return what stands for a text of any length; identities are hashed with the store's key as well."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _cut(amount: object) -> int:
    if type(amount) is not int:
        raise UsageError(f"a computed cost must be a whole number, not {amount!r}", code="cost-type")
    return min(max(amount, 0), MAX_COST)


def named(names: tuple[str, ...], cost: Cost | None) -> Wish:
    """Return the wish for limits of the policy."""
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError('name the limits: `limits("uploads")`', code="limit-declared")
    return Wish(tuple(dict.fromkeys(names)), None, _checked(cost))


class Settings(TypedDict, total=False):
    """The keys of a limit in code beside its rate, in the words of the policy file."""

    per: str | Key | Any | list[str | Key | Any]
    """Identities of the policy, "ip" by default; `[]` for one budget of all callers. Or a function of the
    request that returns the text to count by, also beside identities; `None` is the client's address.
    In FastAPI also a dependency, `Depends(current_user_id)`: it runs before the limit asks."""
    name: str
    """The name in fields and metrics. Routes that use one name share one budget;
    without a name each route has its own."""
    cost: Cost
    """What a request takes, 1 by default: a number, numbers by unit, or a function of the request.
    Of other units than requests it is taken on arrival, and corrected by `settle`."""
    burst: float
    algorithm: str
    unit: str
    concurrent: int
    mode: Literal["enforce", "shadow"]


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
    cost = _checked(given.pop("cost", None))
    if rate is not None:
        _check_rate(rate)
        given = {"rate": rate, **given}
    elif "concurrent" not in given:
        raise UsageError('write a rate, `limit("10/minute")`, or `concurrent=5`', code="limit-declared")
    counted = list(per) if isinstance(per, (list, tuple)) else [per]
    for each in counted:
        if not (isinstance(each, (str, Dependency)) or callable(each)):
            raise UsageError(
                f"`per` is the name of an identity or a function of the request, not {type(each).__name__}; "
                "`Depends` belongs to the `limit` of ratelimit.integrations.fastapi",
                code="limit-declared",
            )
    keys = [each for each in counted if not isinstance(each, str)]
    if len(keys) > 1:
        raise UsageError("`per` takes one function; let it return both texts", code="limit-declared")
    identities = [each if isinstance(each, str) else KEY for each in counted]
    words = [each if isinstance(each, str) else _name_of(each) for each in counted]
    called = _called(given, words) if name is None else name
    own = [] if name is not None else [ROUTE]
    table = {**given, "name": called, "per": [*identities, *own], "match": []}
    report = Report("a limit in code")
    check_algorithm(bind(Limit, table, report), (), report)
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


def _checked(cost: Cost | None) -> Cost | None:
    amounts = cost.values() if isinstance(cost, Mapping) else [cost]
    for amount in amounts:
        if amount is not None and not callable(amount) and type(amount) is not int:
            raise UsageError(
                f"a cost is a whole number or a function of the request, not {amount!r}",
                code="limit-declared",
            )
    return cost


def _name_of(key: Key | Dependency) -> str:
    name = getattr(key, "__name__", "key")
    return name if name.isidentifier() and name.isascii() else "key"


def _called(table: Mapping[str, Any], per: list[str]) -> str:
    """Return what a limit without a name is called in fields and metrics: what it says."""
    words = [str(table["rate"])] if "rate" in table else [f"{table['concurrent']} at once"]
    words += [f"{key} {value}" for key, value in table.items() if key not in ("rate", "concurrent")]
    if per:
        words.append("per " + ", ".join(per))
    return " ".join(words)[:_LONGEST_NAME]
