"""The common way of an HTTP request, in and out."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, Self, final

from starlette.types import Message, Scope, Send

from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.headers import HeaderWriter, Pair
from ratelimit.core.engine import Outcome
from ratelimit.core.table import Table
from ratelimit.core.watch import Watch
from ratelimit.generation import Matched
from ratelimit.identity.extract import Extractor
from ratelimit.limiter import Limiter
from ratelimit.route_plan import RoutePlan

SAMPLE: int
"""One decision in so many is timed."""
REFUSED: int
"""What stands for an identity that the policy insists on: a gate turns such requests away."""

class _Mounted(Protocol):
    """What is needed of a middleware."""

    limiter: Limiter

class Passage:
    """What was decided of one request. To be subclassed; made by a gate without `__init__`.

    It does not know the server's `send`: a scope holds its passage, and a server's `send`
    often its scope, so that each request would leave a cycle for the collector to find.

    Args:
        mounted: the middleware it came through.
        writer: writes headers, as the policy that decided asks for them.
        plan, outcome: what decided; None when it was not limits.
        now_ns: when it was decided.
        cross_origin: whether the request has an Origin header.
        outer: the passage of another limiter around this one.
    """

    def __init__(
        self,
        mounted: _Mounted,
        writer: HeaderWriter,
        plan: RoutePlan | None,
        outcome: Outcome | None,
        now_ns: int,
        cross_origin: bool,
        outer: Self | None,
    ) -> None: ...
    @property
    def mounted(self) -> _Mounted: ...
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
    def outer(self) -> Self | None: ...
    def announced(self, headers: Iterable[Pair], /) -> list[Pair]:
        """Return a response's headers with what is to be said of the limits after them."""
    def written(self, headers: Iterable[Pair], /) -> list[Pair]:
        """Return the same, where more than the two standard fields is to be said: subclasses say how."""

@final
class Sending:
    """A `send` that forwards to the server's; a response's start gets the limits' headers."""

    def __init__(self, exchange: Exchange, send: Send) -> None: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def is_plain(self) -> bool:
        """Whether a gate made it for a request that was allowed and holds nothing."""
    def send(self, message: Message, /) -> Awaitable[None]:
        """Send a message to the server.

        A plain function that returns the server's own awaitable: no frame of ours is on the
        stack while the server waits.
        """

@final
class Gate:
    """Lets in requests of the common kind under one policy: no lists, no tiers, no resolvers.

    Args:
        mounted, writer: for the passages it makes.
        exchange_type: what it makes: a subclass of Passage, made without calling `__init__`.
        match: says what applies to a method and path; `requests` has what it said before.
        extractor: of identities.
        table: counts a decision in `row`, in the first of `columns` if it was a refusal.
        sample: called with the time a request came, after every 64th decision.
        watch: knows clusters, and is told what was decided; None when nothing is correlated.
    """

    def __init__(
        self,
        mounted: _Mounted,
        writer: HeaderWriter,
        exchange_type: type[Exchange],
        *,
        match: Callable[[str, str], Matched],
        requests: dict[str, dict[str, Matched]],
        extractor: Extractor,
        table: Table,
        row: int,
        columns: tuple[int, int],
        sample: Callable[[int], None],
        watch: Watch | None = None,
    ) -> None: ...
    def enter(self, scope: Scope, send: Send, now_ns: int, /) -> Sending | None:
        """Decide a request, charge and count it, and leave its passage at `scope["ratelimit"]`.

        None when it is not of the common kind: then nothing was charged and nothing counted.
        """
