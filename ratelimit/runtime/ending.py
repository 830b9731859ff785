"""The end of a request, as hooks are told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Reason
from ratelimit.stores.contract import Outcome

End = Literal["finished", "hung up", "failed", "cancelled"]
"""The end of a request.

`finished`: the application returned, and so did it for a request that was refused. `hung up`: the client
left before the last byte. `failed`: the application raised. `cancelled`: the server cancelled it.
"""


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """One request when all is over. Instants are nanoseconds since 1970, None for what never came."""

    allowed: bool
    reason: Reason
    plan: RoutePlan | None
    outcome: Outcome | None
    """The charge; None where limits had no say."""
    begun_ns: int
    """The time when it was decided."""
    first_byte_ns: int | None
    """The time when the response began; of a WebSocket, when it was accepted."""
    last_byte_ns: int | None
    """The time when the last message of the response was sent."""
    ended_ns: int
    status: int | None
    """Of the response; None if none began, and for a WebSocket that was accepted."""
    how: End


class EndHook(Protocol):
    """Receives each decided request when it has ended, in whatever way."""

    def request_ended(self, request: RequestEnd) -> None:
        """Take note. Called once a request, on its event loop; must neither wait nor raise.

        What it raises is logged and the other hooks are called all the same.
        """
        ...
