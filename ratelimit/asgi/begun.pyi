"""The first message of a request, taken without switching tasks if it is there."""

from collections.abc import Generator
from typing import Any, final

from starlette.types import Message, Scope

SMALL: int
"""Bytes of a body that costs no more than a question to a server."""

def promise_of(scope: Scope, /) -> tuple[bool, bool, bool]:
    """Return whether the headers promise a body, one that is compressed, and one of few bytes."""

@final
class Begun:
    """The first call of a server's `receive`, made up to where it would wait.

    Await it for the message if that is not there: then the call goes on as if it had been awaited from the
    beginning. In the task that began it, and once.
    """

    @property
    def is_there(self) -> bool:
        """True if the call has ended: `message` is what it brought."""
    @property
    def message(self) -> Message: ...
    def __await__(self) -> Generator[Any, Any, Message]: ...
    def __iter__(self) -> Begun: ...
    def __next__(self) -> Any: ...
    def send(self, value: Any, /) -> Any: ...
    def throw(self, *error: Any) -> Any: ...
    def close(self) -> None: ...
