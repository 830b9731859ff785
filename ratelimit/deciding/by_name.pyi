"""The common call of `Limiter.decide`: identities by name, limits in this host's memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.matched import Matched
from ratelimit.decision import Decision
from ratelimit.policy.routing.target import Target

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
        match: says what applies to a method and path; `requests` has what it said before.
        places: each name's position, kind and form. A name that is not there is left to Python.
        decider: reads the identities that were not given, and decides.
    """

    def __new__(
        cls,
        *,
        match: Callable[[str, str | Target], Matched],
        requests: Mapping[str, object],
        places: Mapping[str, tuple[int, int, int]],
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
