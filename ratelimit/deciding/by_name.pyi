"""The common call of `Limiter.decide`: identities by name, limits in this host's memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, final

from typing_extensions import disjoint_base

from ratelimit.clock import Clock
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.matched import Matched
from ratelimit.decision import Decision
from ratelimit.identity.extract import Headers
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event

ADDRESS: int
"""The form of an identity that is the client's address."""
TEXT: int
"""The form of a header's value: blanks around it are no part of it."""
RAW: int
"""The form of a value that is hashed as it is given."""

@final
class NamedGate:
    """Decides requests that are given by names, under one policy.

    Args:
        bound: the policy.
        runs_out: whether it decides only until calendar windows are listed anew.
        match: says what applies to a method and path; `requests` has what it said before.
        units: what a caller may name costs by.
        places: each name's position, kind and form. A name that is not there is left to Python.
        created_at: the position of when the account was created, -1 for none.
        decider: reads the identities that were not given, and decides.
    """

    def __new__(
        cls,
        bound: object,
        *,
        runs_out: bool,
        match: Callable[[str, str | Target], Matched],
        requests: Mapping[str, object],
        units: Collection[str],
        places: Mapping[str, tuple[int, int, int]],
        created_at: int,
        decider: CompiledDecider,
    ) -> NamedGate: ...
    def decide(
        self,
        method: str,
        path: str | Target,
        names: Mapping[str, str | bytes] | None,
        client: str | None,
        headers: Mapping[str, str] | Sequence[tuple[bytes, bytes]],
        state: Mapping[str, Any] | None,
        costs: Mapping[str, int] | None,
        now_ns: int,
        created: float | str | None = None,
        /,
    ) -> Decision | None:
        """Decide, charge and count a request.

        None when it takes Python: then nothing was charged and nothing counted.
        """
    def identities(
        self,
        names: Mapping[str, str | bytes] | None,
        client: str | None,
        params: Mapping[str, str] | None = None,
        /,
    ) -> list[int] | None:
        """Return a request's identities by position, None when it takes more than names to tell them."""

@disjoint_base
class DecidesByName:
    """The common case of `Limiter.decide`: what a limiter inherits."""

    def _decide_under(self, source: object, clock: Clock, /, *, enters: bool = True) -> None:
        """Take what says which policy is in force (`current`, `generation_at`), and the clock.

        `enters`: whether the end of a request is told, so that limits that follow the load count it.
        """
    def decide(
        self,
        *,
        method: str = "GET",
        path: str | Target = "/",
        identities: Mapping[str, str | bytes] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Mapping[str, str] | Headers = (),
        state: Mapping[str, Any] | None = None,
        event: Event = "request",
        created: float | str | None = None,
        now_ns: int | None = None,
    ) -> Decision:
        """Decide one request, and charge it if it is allowed.

        Under `[adaptive]` it is in flight then, until `Decision.release` or the end of a `with` block.
        This cannot wait: limits with `wait` refuse at once. `adecide` waits.

        Args:
            method, path: what limits are matched with, the path as it is written and decoded.
            identities: values by the policy's names. An identity that is neither here nor found
                in what follows is missing, and its `missing` rule applies.
            costs: units known on arrival, by name; the policy's `cost` and `estimate` otherwise.
            client: the peer's address.
            headers: a mapping, or raw pairs with names in lower case.
            state: what `state:` identities are read from.
            event: "request", or for WebSockets "connect" and "message".
            created: when the account was created, in seconds since 1970, in place of what
                `[correlation] created` names.
            now_ns: nanoseconds since the epoch; the clock's time when not given.

        Raises:
            UsageError: an identity or unit the policy does not have, or a cost that is no
                integer from 0 to 2**31 - 1. Nothing was charged.
        """
