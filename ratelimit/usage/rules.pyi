"""The rules of one plan with costs that are estimated by words, or read from answers.

What a request takes is found for all rules in one call, over arrays of unit, price, bound and kind of estimate.
What its answer used is settled in another one, which learns from it as well.
"""

from collections.abc import Sequence
from typing import Any, Protocol, final, type_check_only

from ratelimit.usage.grants import Places
from ratelimit.usage.learned import Learned
from ratelimit.usage.prices import PriceList
from ratelimit.usage.request import Declared
from ratelimit.usage.shapes import Form

USD: str
"""The unit of limits in dollars; they count millionths."""

@type_check_only
class Outcome(Protocol):
    """The needed part of an outcome."""

    def state(self, index: int, /) -> int: ...
    def remaining(self, index: int, /) -> int: ...

@type_check_only
class Spec(Protocol):
    """The source of an estimate."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...

@type_check_only
class MeteredRule(Protocol):
    """The needed part of a rule; `metering` is None, or has what the policy says of it."""

    @property
    def index(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def estimate(self) -> int: ...
    @property
    def burst(self) -> int: ...
    @property
    def per(self) -> tuple[int, ...]: ...
    @property
    def metering(self) -> Any: ...
    @property
    def is_enforced(self) -> bool: ...
    @property
    def is_clustered(self) -> bool: ...
    @property
    def is_exposure(self) -> bool: ...

@final
class MeteredRules:
    """The work for a plan around the application's answer.

    Args:
        rules: the plan's; some have `metering`.
        most_cost: what one charge can carry.
        prices: what models cost, for rules in dollars.

    Raises:
        ValueError: there are more rules than a decision carries.
    """

    def __init__(self, rules: Sequence[MeteredRule], most_cost: int, prices: PriceList) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def estimated(self) -> tuple[int, ...]:
        """Positions of rules with an estimate to be found for each request."""
    @property
    def told(self) -> tuple[Any, ...]:
        """Estimates that requests tell, in a header or a state."""
    @property
    def shape(self) -> Form | None:
        """The provider of the answers that are read; `auto` where limits differ, None where none is read."""
    @property
    def has_cuts(self) -> bool:
        """True if some end a stream once it uses up their budget."""
    @property
    def has_models(self) -> bool:
        """True if some apply to requests for certain models only."""
    @property
    def has_exposure(self) -> bool:
        """True if some count what requests in flight may use."""
    @property
    def asks_body(self) -> bool:
        """True if the request's body is looked at before it is decided."""
    @property
    def has_grants(self) -> bool:
        """True if some lower the maximum in a request's body to what they have left."""
    @property
    def refuses_unknown(self) -> bool:
        """True if some that are enforced refuse a model without a price."""
    @property
    def grant_field(self) -> str | None:
        """The maximum that they insert where a body says none; None: by the path."""
    def of_model(self, model: str | None) -> tuple[int, ...]:
        """Return the policy's indices of the rules that apply to a request for a model.

        One that names no model, or has a body that could not be read, falls under all.
        """
    def fewest_costs(self) -> tuple[int, ...]:
        """Return what `least_costs` returns at the least."""
    def first_costs(self) -> tuple[int, ...]:
        """Return what each rule takes on arrival where nothing looks at the request."""

@final
class Use:
    """The costs and the use of one request, between its arrival and the end of its answer.

    Args:
        rules: of the plan that applies to it.
        learned: from what was used before.
        identities: the request's, without its actor.
        template: the route it matched.

    Raises:
        ValueError: there are more identities than a policy can have.
    """

    def __init__(
        self, rules: MeteredRules, learned: Learned, identities: Sequence[int], template: str
    ) -> None: ...
    @property
    def rules(self) -> MeteredRules: ...
    def costs(self, declared: Declared, told: dict[Any, int | None], now_ns: int, /) -> tuple[int, ...]:
        """Return what each rule takes on arrival: at most all that it can hold.

        A rule that counts what is in flight takes the most that the request may use: the maximum that it
        declares, or what the policy says that no answer is longer than. Without both, it is what 99 in 100
        answers of the route did not exceed, and 4,096 tokens at least.

        Args:
            declared: by the request's body.
            told: by headers and states; None by one that says something else than a whole number.
            now_ns: when.
        """
    def has_no_price(self) -> bool:
        """Return whether a rule that is enforced refuses the request, as its model has no price; after `costs`."""
    @property
    def granted(self) -> int:
        """The maximum of each of its answers, to be written into its body; -1: none was granted."""
    def lowered(
        self, places: Places, seen: Outcome | None, told: dict[Any, int | None], now_ns: int, /
    ) -> tuple[int, ...]:
        """Return what each rule takes once the request's maximum is lowered to what is left: see `granted`.

        A request gets half of what is left at most, and 1,024 tokens if there are so many: a quarter of a small
        budget. It is refused where there are fewer, unless it declares fewer.

        Args:
            places: where its body has its maxima.
            seen: what a peek of its plan showed; None: that is not known, and it asks for the least.
            told, now_ns: as for `costs`, which was called before.
        """
    def least_costs(self, told: dict[Any, int | None], now_ns: int, /) -> tuple[int, ...]:
        """Return the least that `costs` can return, whatever the body turns out to declare."""

def metered(rules: Sequence[MeteredRule], most_cost: int, prices: PriceList = ...) -> MeteredRules | None:
    """Return what is to be metered of these rules, None of nothing."""

def applies(rule: MeteredRule, model: str) -> bool:
    """Return whether a rule applies to requests for a model."""
