"""The halves of a connection and of a server's client that every decision passes.

The classes made of them do the rest: `connection.ServerConnection` and `node.ServerClient`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

from typing_extensions import disjoint_base

from ratelimit.stores.redis.transport.batch import Call

_Replies = list[Any]

@disjoint_base
class QuestionLink:
    """A connection's question, and its answer where that is one string.

    What is made of it has `read_replies(data)`: it reads replies that are no one string, or not here yet.

    Args:
        greeting: what the connection begins with, asked before anything else.
        count: how many replies that has.
        done: called with the replies, or with why there are none.
    """

    done: Callable[[_Replies | BaseException], None] | None
    """The caller that waits for replies; None for no one."""
    wanted: int
    greeting: bytes
    """What it began with; empty once that is answered."""
    rest: bytes
    """The part of a reply that is here."""
    replies: _Replies
    transport: Any

    def __new__(
        cls, greeting: bytes, count: int, done: Callable[[_Replies | BaseException], None], /
    ) -> Self: ...
    @property
    def buffer(self) -> memoryview:
        """Where what comes is written."""
    @property
    def is_open(self) -> bool:
        """True if something can be asked."""
    def ask(self, commands: bytes, count: int, done: Callable[[_Replies | BaseException], None], /) -> None:
        """Send commands, and have `done` called when each has its reply; not from within this call."""
    def get_buffer(self, size: int, /) -> memoryview:
        """Return where what comes is to be written."""
    def buffer_updated(self, count: int, /) -> None:
        """Tell the caller a reply that is one whole string; have `read_replies` read anything else."""

@disjoint_base
class ScriptPoster:
    """What posts calls of the script to one server, one at a time.

    What is made of it has `read_refusal(posted, replies, done)`: it reads what is no answer of a call.

    Args:
        head: the command and the script, framed: what a call begins with, behind the number of its words.
    """

    link: Any
    """The connection; None without one."""

    def __init__(self, head: bytes, /) -> None: ...
    @property
    def is_open(self) -> bool:
        """True if there is a connection."""
    def post(self, calls: Sequence[Call], done: Callable[[Sequence[bytes | BaseException]], None], /) -> None:
        """Run the script, and call `done` with its answer."""
    def answered(self, replies: _Replies | BaseException, /) -> None:
        """Hand on an answer; have `read_refusal` read anything else."""
