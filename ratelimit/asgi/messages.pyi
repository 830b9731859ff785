"""The messages of WebSockets, each decided in one compiled call."""

from collections.abc import Callable, Coroutine
from typing import Any, Self, final

from starlette.types import Message, Receive, Scope, Send

from ratelimit.asgi.resolving import Resolving
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.target import Placement, Target

@final
class SocketDoor:
    """What all WebSockets of one middleware have in common.

    Args:
        limiter: its policy is asked.
        resolving: the limiter's resolvers.
        placement: what is known of the application, to read a handshake's path by.
        ended: returns what to hand on, of a message that `LimitedSocket.passes` does not decide (None) or refuses.
    """

    def __new__(
        cls,
        limiter: Limiter,
        resolving: Resolving,
        placement: Placement,
        ended: Callable[[LimitedSocket, Message, bool | None], Coroutine[Any, Any, Message]],
        /,
    ) -> Self: ...
    @property
    def limiter(self) -> Limiter: ...
    @property
    def resolving(self) -> Resolving: ...
    @property
    def placement(self) -> Placement: ...

@final
class LimitedSocket:
    """The messages of one WebSocket, each charged as it arrives.

    Most are decided in one compiled call. The first of them finds out what that needs to know, and does so
    again when another policy is in force.

    Args:
        take, send: the server's `receive` and `send`.
        scope: the handshake's.
        door: what this has in common with other WebSockets.
    """

    take: Receive
    """Called for each message. The awaitable of a coroutine function costs least."""
    target: str | Target | None
    """What the handshake asked for; None as long as no message came."""

    def __init__(self, take: Receive, send: Send, scope: Scope, door: SocketDoor, /) -> None: ...
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
    @property
    def send(self) -> Send: ...
    def receive(self) -> NextMessage:
        """Return the next message, as the server's `receive` does."""
    def know(self, bound: BoundPolicy, matched: Matched, row: list[int] | None, /) -> None:
        """Decide messages by this policy from now on.

        Raises:
            ValueError: identities are missing, or are not those of the policy.
        """
    def passes(self, message: Message) -> bool | None:
        """Return whether a message may pass, charged and counted; anything else than a message may.

        None where it takes Python: another policy is in force than this knows, or limits have to wait. Then
        nothing was charged and nothing counted.
        """

@final
class NextMessage(Coroutine[Any, None, Message]):
    """The next message of a WebSocket, to be awaited once.

    It calls `LimitedSocket.take` and decides what that returns. A message that is not let through by one
    compiled call goes through the door's `ended`.
    """

    def __await__(self) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def send(self, value: None, /) -> Any: ...
    def throw(self, *error: Any) -> Any: ...
    def close(self) -> None: ...
