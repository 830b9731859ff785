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
    """The parts that all WebSockets of one middleware share.

    Args:
        limiter: its policy is asked.
        resolving: the limiter's resolvers.
        placement: where the application is mounted, as far as that is known; a handshake's path is read by it.
        ended: takes a message that `LimitedSocket.passes` refuses or does not decide (None); returns the one to hand on.
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
        door: the parts that it shares with other WebSockets.
    """

    take: Receive
    """Called for each message. The awaitable of a coroutine function costs least."""
    target: str | Target | None
    """The handshake's target; None until a message came."""

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
        """The part of that policy that applies to messages."""
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
