"""The gate: the middleware's first question to the compiled decider."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Self, final

from starlette.types import Message, Receive, Scope, Send
from typing_extensions import disjoint_base

from ratelimit.asgi.begun import Begun
from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Sending
from ratelimit.asgi.resolving import Resolving
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.matched import ClassFacts
from ratelimit.http.fields import HeaderWriter
from ratelimit.limiter import Limiter
from ratelimit.load.limit import LoadLimit
from ratelimit.load.stage import ByValue
from ratelimit.policy.routing.target import Placement, Target
from ratelimit.policy.schema.model import Event
from ratelimit.usage.learned import Learned
from ratelimit.usage.rules import Use

SAMPLE: int
"""One decision in so many is timed."""

@final
class Gate:
    """Lets in requests that the compiled decider decides, under one policy.

    Args:
        door, writer: for the exchanges it makes.
        match: says what applies to a method and target; `requests` has what it said before.
        connect: says what applies to a handshake; `connects` has what it said before of paths that say all by
            themselves, None where none does.
        decider: of the policy.
        sample: called with the time a request came, after every 64th decision of limits.
        target: what a scope asks for, where its path is not as it was sent, or below a root path.
        has_ends: whether something is told of each request's end, so that no sending is plain.
        loads: the limits that follow the load, by position; what has no room by its own is turned away.
        learned: estimates of metered requests; None: those are turned away.
        told: returns the estimates that a scope tells.
        narrowed: returns what applies to a request for a model, by its rules.
    """

    def __init__(
        self,
        door: Door,
        writer: HeaderWriter,
        *,
        match: Callable[[str, str | Target], Matched],
        requests: dict[str, dict[str | Target, Matched]],
        connect: Callable[[str, str | Target, Event], Matched],
        connects: dict[str | Target, Matched] | None,
        decider: CompiledDecider,
        sample: Callable[[int], None],
        target: Callable[[Scope], str | Target],
        has_ends: bool = False,
        loads: Sequence[LoadLimit | ByValue] = (),
        learned: Learned | None = None,
        told: Callable[[Scope, tuple[Any, ...]], dict[Any, int | None]] | None = None,
        narrowed: Callable[[Matched, tuple[int, ...]], Matched] | None = None,
        classes: ClassFacts | None = None,
    ) -> None: ...
    def enter(self, scope: Scope, send: Send, now_ns: int, /) -> Sending | Metered | None:
        """Decide a request, charge and count it, and leave its exchange at `scope["ratelimit"]`.

        A `Metered` when its body or answer is to be looked at: it decides. None when it takes Python. Then
        nothing was charged and nothing counted. A server that keeps the limits is asked; then the reply of the
        sending's `asking` is to be awaited, and `conclude` to be called.
        """
    def conclude(self, scope: Scope, sending: Sending, /) -> None:
        """Take what a server decided of a request, count it, and leave its exchange at `scope["ratelimit"]`.

        Args:
            sending: what `enter` returned; the reply of its `asking` is here.
        """
    def enter_socket(self, scope: Scope, send: Send, now_ns: int, /) -> Sending | None:
        """Decide a WebSocket's handshake in the same way."""

@final
class Metered:
    """A request with limits that look at its body or its answer, before it is decided."""

    @property
    def is_plain(self) -> Literal[False]: ...
    def decide(self, receive: Receive, now_ns: int, /) -> bool:
        """Look at the limits that can be asked early, take the body, and decide; return whether that was done.

        Done, `sending` has the exchange. Else the slow path does, by `begun` and `has_looked`: nothing was
        charged and nothing counted. It is the slow path's to refuse early, to let a request wait, and to read a
        body that is not whole in the first message.
        """
    @property
    def use(self) -> Use: ...
    @property
    def sending(self) -> Sending: ...
    @property
    def begun(self) -> Begun | None:
        """The first call of `receive`; None: it was not called."""
    @property
    def written(self) -> bytes | None:
        """The body with the maximum that was granted; None: it stays as it came."""
    @property
    def has_looked(self) -> bool:
        """True if the limits that can be asked early have let it go on."""

@final
class SocketDoor:
    """What all WebSockets of one middleware have in common.

    Args:
        limiter: its policy is asked.
        resolving: the limiter's resolvers.
        placement: what is known of the application, to read a handshake's path by.
    """

    def __new__(cls, limiter: Limiter, resolving: Resolving, placement: Placement, /) -> Self: ...
    @property
    def limiter(self) -> Limiter: ...
    @property
    def resolving(self) -> Resolving: ...
    @property
    def placement(self) -> Placement: ...

@disjoint_base
class SocketGate:
    """Lets in the messages of one WebSocket that one compiled call decides.

    Args:
        take, send: the server's `receive` and `send`.
        scope: the handshake's.
        door: what this has in common with other WebSockets.
    """

    is_closed: bool
    """True if a message was refused: there is no other."""
    target: str | Target | None
    """What the handshake asked for; None as long as no message came."""

    def __new__(cls, take: Receive, send: Send, scope: Scope, door: SocketDoor, /) -> Self: ...
    @property
    def take(self) -> Receive: ...
    @property
    def send(self) -> Send: ...
    @property
    def scope(self) -> Scope: ...
    @property
    def door(self) -> SocketDoor: ...
    @property
    def bound(self) -> BoundPolicy | None:
        """The policy that messages were decided by last; None before the first."""
    @property
    def matched(self) -> Matched:
        """What of it applies to them."""
    @property
    def row(self) -> list[int] | None:
        """Their identities; None where no limit asks for them."""
    def know(self, bound: BoundPolicy, matched: Matched, row: list[int] | None, /) -> None:
        """Decide messages by this policy from now on.

        Raises:
            ValueError: identities are missing, or are not those of the policy.
        """
    def passes(self, message: Message, /) -> bool | None:
        """Return whether a message may pass, charged and counted; anything else than a message may.

        None where it takes Python: another policy is in force than this knows, or limits have to wait. Then
        nothing was charged and nothing counted.
        """
