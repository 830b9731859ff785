"""The gate: the middleware's first question to the compiled decider."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, final

from starlette.types import Receive, Scope, Send

from ratelimit.asgi.begun import Begun
from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Sending
from ratelimit.asgi.messages import SocketDoor
from ratelimit.deciding.bound_policy import Matched
from ratelimit.deciding.compiled import CompiledDecider
from ratelimit.deciding.matched import ClassFacts
from ratelimit.http.fields import HeaderWriter
from ratelimit.load.limit import LoadLimit
from ratelimit.load.stage import ByValue
from ratelimit.policy.routing.target import Target
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
        sockets: what its WebSockets have in common.
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
        sockets: SocketDoor,
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
    def enter_socket(self, scope: Scope, receive: Receive, send: Send, now_ns: int, /) -> Sending | None:
        """Decide a WebSocket's handshake in the same way, and say how the application gets its messages."""

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
