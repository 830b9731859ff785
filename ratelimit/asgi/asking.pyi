"""The limits that routes ask for, decided in one compiled call once they are known."""

from collections.abc import Callable, Collection, Mapping, MutableMapping
from typing import Any, Protocol, final

from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.matched import Matched

class _Asked(Protocol):
    @property
    def generation(self) -> BoundPolicy | None: ...

@final
class Question:
    """The limits that one route asks for, the same for each of its requests.

    Args:
        door: what its requests come in by.
        under: the policy in force.
        asked: what routes may ask of the limiter; `generation` has the decider.
        matched: what is asked.
        names: of the limits, to see which the middleware has charged.
        costs: what is taken, by unit; None for the limits' own.
        needs: fields of the state without which Python has to say what is wrong.
    """

    def __new__(
        cls,
        door: Door,
        under: BoundPolicy,
        asked: _Asked,
        matched: Matched,
        *,
        names: Collection[str],
        costs: Mapping[str, int] | None = None,
        needs: Collection[str] = (),
    ) -> Question: ...

@final
class Questions:
    """The questions of one limit, one for each route that asks it.

    Args:
        give_back: gives back what limits of a request took that is refused after all, given its exchange and the time.
    """

    def __new__(cls, give_back: Callable[[Exchange, int], None]) -> Questions: ...
    def __len__(self) -> int: ...
    def ask(self, scope: MutableMapping[str, Any], /) -> Exchange | None:
        """Decide and charge what the route of a scope asks for.

        None where it takes Python: the first request, one under a new policy, one that the compiled decider
        leaves. Then nothing was charged.
        """
    def learn(self, scope: dict[str, Any], question: Question, /) -> None:
        """Ask this for the route of a scope from now on."""
