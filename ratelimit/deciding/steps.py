"""Places in the decider for what is not part of every policy: a factor, a queue, the end of a request.

    lists → tier → cluster → required identities → FACTOR → limits → QUEUE → … → END

Each is a protocol of one method. A place where nothing stands costs one comparison, only on the
slow path. For the gate does not decide for a policy that has a factor or a queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Reason
from ratelimit.queueing.crowd import ANYWHERE
from ratelimit.queueing.fair_bound import Path
from ratelimit.stores.contract import Outcome

End = Literal["finished", "hung up", "failed", "cancelled"]
"""How a request ended.

`finished`: the application returned, and so did it for a request that was refused. `hung up`: the client
left before the last byte. `failed`: the application raised. `cancelled`: the server cancelled it.
"""


Leave = Callable[..., None]
"""Lets a request go that waits, since its client left. Or with `hall.FULL`, since its place is another's."""


class Closed(Exception):
    """A request waited, and its limiter was closed: it has charged nothing, and is refused."""


class Factor(Protocol):
    """Scales limits for the request at hand, as adaptive limits do."""

    def scale_plan(self, plan: RoutePlan, row: Sequence[int], now_ns: int) -> RoutePlan:
        """Return the plan to ask in place of `plan`; `plan` itself where nothing is scaled.

        Both share their counters where their rules have the same salts, which numbers are no part of.
        Must not wait. Called for peeks, too, so it counts nothing.

        Args:
            plan: what applies.
            row: the request's identities by position, its cluster among them.
            now_ns: when.
        """
        ...


class StepUp(Protocol):
    """Asks the application whether the caller of a refused request has passed a challenge."""

    async def passes(self, plan: RoutePlan, outcome: Outcome, row: Sequence[int]) -> bool:
        """Return whether it has."""
        ...

    def passes_now(self, plan: RoutePlan, outcome: Outcome, row: Sequence[int]) -> bool:
        """Return whether it has, without waiting."""
        ...


def _anywhere() -> Path:
    return ANYWHERE


class Visit:
    """One request while it may wait, and how long it did.

    Args:
        step_up: asks the application about a challenge; None: such limits refuse it.
        holder: returns the network and the address of its client; asked if it waits.
    """

    __slots__ = ("holder", "on_wait", "step_up", "waited_ns")

    def __init__(self, step_up: StepUp | None = None, holder: Callable[[], Path] = _anywhere) -> None:
        self.step_up = step_up
        self.holder = holder
        self.waited_ns = 0
        self.on_wait: Callable[[], None] | None = None
        """Called once, when the request begins to wait."""

    def watch(self, leave: Leave) -> None:
        """Call `leave` once if the client hangs up before `unwatch`. Here nothing is known of a client."""
        on_wait, self.on_wait = self.on_wait, None
        if on_wait is not None:
            on_wait()

    def unwatch(self) -> None:
        """Look no more whether the client hangs up. Must neither wait nor raise."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A request at the place where limits are asked, as a queue sees it."""

    plan: RoutePlan
    row: Sequence[int]
    """Its identities by position, its cluster among them."""
    rank: int
    """Its class; 0 is first."""
    visit: Visit
    ask: Callable[[int, bool], Awaitable[Outcome]]
    """Asks its limits at an instant, and charges what fits, or looks only."""

    @property
    def is_away(self) -> bool:
        """Whether a server is asked."""
        return self.plan.away is not None


class Queue(Protocol):
    """Lets a request that has no room wait for it, in place of a refusal."""

    def ask_in_turn(self, asking: Asking, now_ns: int) -> Awaitable[tuple[Outcome | None, int]]:
        """Ask a request's limits, and ask again when there may be room; return what they say, and when.

        None in place of an outcome: there is room, and others that wait come first. A request that waits
        has charged nothing, so one that is cancelled here leaves nothing behind. What limits raise is
        raised, and `Closed` to what waits when its limiter is closed.

        Args:
            asking: the request.
            now_ns: when it came.
        """
        ...

    def freed(self, plan: RoutePlan, outcome: Outcome) -> None:
        """Take note that what an outcome took was given back, in part or whole. From any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """One request when all is over. Instants are nanoseconds since 1970, None for what never came."""

    allowed: bool
    reason: Reason
    plan: RoutePlan | None
    outcome: Outcome | None
    """What was charged; None where limits had no say."""
    begun_ns: int
    """When it was decided."""
    first_byte_ns: int | None
    """When the response began; of a WebSocket, when it was accepted."""
    last_byte_ns: int | None
    """When the last message of the response was sent."""
    ended_ns: int
    status: int | None
    """Of the response; None if none began, and for a WebSocket that was accepted."""
    how: End


class EndHook(Protocol):
    """Told of each decided request when it has ended, however it ended."""

    def request_ended(self, request: Ended) -> None:
        """Take note. Called once a request, on its event loop; must neither wait nor raise.

        What it raises is logged and the other hooks are called all the same.
        """
        ...


@dataclass(frozen=True, slots=True)
class Steps:
    """What stands in the decider's places; a place with None or () is passed by."""

    factor: Factor | None = None
    queue: Queue | None = None
    """In place of the policy's own, for all limits. Only `adecide` waits: `decide` has no event loop to wait
    in, and a peek nothing to wait for."""
    ends: tuple[EndHook, ...] = ()

    @property
    def are_in_the_gate(self) -> bool:
        """Whether the compiled gate decides as the decider does with these."""
        return self.factor is None and self.queue is None


NO_STEPS = Steps()
