"""A `send` that reads an answer as it passes. Nothing is held back, and nothing changed.

With `on_refusal = ["cut"]`, what the answer has used so far is charged as it goes on. The chunk that
uses up the budget is the last. It is passed on up to the end of its last event, an error event in
the provider's form follows, and the response ends. Only server-sent events can be cut, since
only they have a form for it, and only where no length was promised. A WebSocket is charged whenever a
response of it is done. It is closed after the one that uses up the budget.

In this host's memory the charge is corrected as the answer goes on, so that streams at the same
time see each other's. A server is not asked in between. There an answer may use what remained
when it was admitted, and what the limit has given back since.

Settling has four outcomes. What an answer says exactly replaces the estimate, up or down. An answer
that breaks off is charged what was seen of it, a token for 3.5 bytes of text or for an event, and one
that produced nothing costs nothing. An account with clients that leave as a habit would so choose its
own price: it pays the estimate at least. So does a whole answer that does not say what was used.
"""

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Literal, final

from ratelimit.usage.ending import Ending
from ratelimit.usage.rules import Use
from ratelimit.usage.unsettled import Reservation

ENDINGS: dict[str, int]

_Certainty = Literal["exact", "at_least", "unknown"]

_Message = MutableMapping[str, Any]
_Send = Callable[[_Message], Awaitable[None]]

@final
class Answer:
    """One answer on its way, of a request that was allowed.

    Args:
        use: what the request takes, by rules that read answers.
        plan, outcome: what decided.
        send: passes on.
        now_ns: the limits' clock.
    """

    def __new__(cls, use: Use, plan: Any, outcome: Any, send: _Send, now_ns: Callable[[], int]) -> Answer: ...
    @property
    def use(self) -> Use: ...
    @property
    def template(self) -> str:
        """The route of the request."""
    @property
    def certainty(self) -> _Certainty:
        """The certainty of what was used, once it is settled."""
    exchange: Any
    """Has the units that the application reports by itself; None where it cannot."""
    @property
    def is_cut(self) -> bool:
        """True if the stream was ended, as its budget was used up."""
    def send(self, message: _Message, /) -> Awaitable[None]:
        """Send a message; returns the server's own awaitable.

        Raises:
            AnswerCut: the stream was cut before.
        """
    def settle(
        self,
        reservation: Reservation | None,
        reported: Collection[str] | None,
        now_ns: int,
        ending: Ending = "returned",
        /,
    ) -> bool:
        """Settle by what the answer said, now that it is over, and learn from it.

        Returns:
            Whether nothing was produced, and estimates are to be given back.

        Args:
            reservation: of the request's estimates; None without any.
            reported: units that the application has settled by itself.
            now_ns: when.
            ending: how.
        """
