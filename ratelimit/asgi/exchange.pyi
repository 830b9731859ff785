"""One limited request, as the application finds it at `scope["ratelimit"]`:

decision = scope["ratelimit"].decision           # verdicts, remaining, …
scope["ratelimit"].settle(output_tokens=812)     # the real cost, once it is known
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import final

from starlette.types import Message, Receive, Send

from ratelimit.asgi.door import Door
from ratelimit.core.sharing.observer import Watch
from ratelimit.deciding.compiled import Asking, CompiledDecision
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import ClusterVerdict, Decision, Reason
from ratelimit.http.fields import HeaderWriter, Pair
from ratelimit.load.limit import LoadLimit
from ratelimit.stores.contract import Outcome
from ratelimit.usage.unsettled import Reservation

@final
class Exchange:
    """One limited request under way: what was decided, and what may still be said of it.

    It does not know the server's `send`. A scope holds its exchange, and a server's `send` often its
    scope, so each request would leave a cycle for the collector to find.

    Args:
        door: what is used of the door it came through.
        writer: writes headers, as the policy that decided asks for them.
        plan, outcome: what decided; None when it was not limits.
        now_ns: when it was decided.
        cross_origin: whether the request has an Origin header.
        outer: the exchange of another limiter around this one.
    """

    def __init__(
        self,
        door: Door,
        writer: HeaderWriter,
        plan: RoutePlan | None,
        outcome: Outcome | None,
        now_ns: int,
        cross_origin: bool,
        outer: Exchange | None,
    ) -> None: ...
    @classmethod
    def of(
        cls, door: Door, writer: HeaderWriter, decided: CompiledDecision, now_ns: int, cross_origin: bool, /
    ) -> Exchange:
        """Return the exchange of what the compiled decider decided."""
    actor: int | None
    """The identity that limits count the principal's cluster by, for the decision; None without one."""
    waited_ns: int
    """The time that it waited for room, in nanoseconds."""
    certainty: int
    """The certainty that it belongs there: 0, 1 for likely, 2 for certain."""
    @property
    def cluster(self) -> str | None:
        """The cluster the request's principal is in: see `Decision.cluster`."""
    @property
    def verdict(self) -> ClusterVerdict | None:
        """The certainty that it belongs there: see `Decision.verdict`."""
    @property
    def door(self) -> Door: ...
    @property
    def writer(self) -> HeaderWriter: ...
    @property
    def plan(self) -> RoutePlan | None: ...
    @property
    def outcome(self) -> Outcome | None: ...
    @property
    def now_ns(self) -> int: ...
    @property
    def cross_origin(self) -> bool: ...
    @property
    def outer(self) -> Exchange | None: ...
    @property
    def asked(self) -> list[Exchange] | None:
        """Limits that routes asked by name, in order; None without any."""
    granted: int | None
    """The maximum that was written into the request's body; None: none was."""
    @property
    def grant(self) -> int | None:
        """The output tokens that the request counts for in flight, until it ends: pass them on as its maximum.

        None where no limit bounds what is in flight.
        """
    @property
    def is_allowed(self) -> bool:
        """True if the request goes on to the application."""
    @property
    def decision(self) -> Decision:
        """The decision about this request."""
    @decision.setter
    def decision(self, made: Decision) -> None: ...
    def announced(self, headers: Iterable[Pair], /) -> list[Pair]:
        """Return a response's headers with what is to be said of the limits after them."""
    def ask(self, exchange: Exchange, /) -> None:
        """Take in what a route asked by name: its fields are sent, what is settled reaches it."""
    def count_late(self, reason: Reason, /) -> None:
        """Count the request as allowed when it is released, unless a route's limit refuses it before."""
    def begin(self) -> None:
        """Note what an allowed request was charged by estimate, until it is released; again does nothing."""
    def forget_estimates(self) -> None:
        """Forget that of a request that was refused after all, and of what its route asked."""
    @property
    def reservation(self) -> Reservation | None:
        """The charge by estimate; None without one, or once it has ended."""
    def decided(self) -> list[tuple[RoutePlan, Outcome]]:
        """Return plan and outcome of all that limits decided of this request, here and by name."""
    @property
    def is_in_flight(self) -> bool:
        """True while it counts as in flight before a back end."""
    def first_byte(self, now_ns: int, /) -> None:
        """Note that the answer begins, for doors that pass no messages; later ones are no first byte."""
    def enter(
        self, load: LoadLimit, payer: int, now_ns: int, ticket: int = -1, rank: int = 0, units: int = 1, /
    ) -> None:
        """Count the request as in flight, and as used by an account (0: by none), until it is released.

        One that was held is in flight already, and has a ticket.
        """
    def fail(self) -> None:
        """Note that the application raised: a response that has not begun will be a server's error."""
    def release(self, now_ns: int, /) -> None:
        """Free the slots of all that was decided, count the request and its estimates out; idempotent."""
    def asked_by(self, watch: Watch | None, row: Sequence[int], /) -> None:
        """Note the actor that a refused request of this row is of, so that it is told a wait of its own."""
    def refusal(self) -> tuple[int, bytes, int | None]:
        """Return status, body and wait in nanoseconds for a refused request: what the client is told.

        The wait of a limit per cluster is not: see `RoutePlan.told_wait_ns`.
        """
    def problem(self) -> tuple[int, bytes, tuple[Pair, ...]]:
        """Return status, body and fields of the answer to a refused request, as `refusal` has them."""
    def retry_fields(self, wait_ns: int | None, /) -> tuple[Pair, ...]:
        """Return the fields that say how long to wait: in milliseconds, too, if it was shed for want of room."""
    def settle(self, units: Mapping[str, int] | None = None, /, **more: int) -> None:
        """Report what was really used: see `Decision.settle`. Reaches every limiter around.

        Never raises: what cannot be charged (another unit, a number that is not whole) is said once in
        the log, and the estimate stays.
        """
    status: int
    """The response's, once it has begun; 0 before, and where nothing asks for it."""
    @property
    def degrade(self) -> tuple[str, ...]:
        """The limits for which less is to be given: see `Decision.degrade`."""
    @property
    def settled_units(self) -> frozenset[str]:
        """The costs that the application has settled by itself."""

@final
class Sending:
    """A `send` that forwards to the server's; a response's start gets the limits' headers."""

    def __init__(self, exchange: Exchange, send: Send) -> None: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def is_plain(self) -> bool:
        """True if a gate made it for a request that was allowed and holds nothing."""
    @property
    def is_refused(self) -> bool:
        """True if a gate made it for a request that was refused."""
    @property
    def receive(self) -> Receive:
        """The application's `receive`, where a gate made this for a WebSocket; its messages are limited."""
    @property
    def asking(self) -> Asking | None:
        """The question to a server about this request; None when it is decided."""
    @property
    def holds(self) -> bool:
        """True if its request has to be released: it is in flight, its estimates are, or its route asked limits."""
    def release(self, clock_ns: Callable[[], int], /) -> None:
        """Release the exchange of a plain request, now.

        Args:
            clock_ns: says when, where the exchange does not know it.
        """
    def send(self, message: Message, /) -> Awaitable[None]:
        """Send a message to the server.

        A plain function that returns the server's own awaitable: no frame of ours is on the
        stack while the server waits.
        """
