"""The end of an answer, and the error event of a stream without a budget left, as its client knows it."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

Ending = Literal["connection", "returned", "left", "failed"]
"""The way that an application ended: with a WebSocket, which may end at any time; it returned; it was
cancelled, or found its client gone; or it raised something else."""


class AnswerCut(OSError):
    """Raised to an application that goes on sending after its stream was cut.

    It is an OSError, as the ASGI specification has it for a client that is gone. So frameworks
    end what they do for this stream.
    """


def is_about_the_cut(error: BaseException) -> bool:
    """Return whether an exception is what an application makes of a stream that was cut."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return False
        if isinstance(seen, AnswerCut):
            return True
        if isinstance(seen, BaseExceptionGroup):
            return all(is_about_the_cut(one) for one in seen.exceptions)
        seen = seen.__cause__ or seen.__context__
    return False


Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
_POLICY_VIOLATION = 1008

MESSAGE = "The token budget of this account is used up; the answer was cut."

_OPENAI = {"message": MESSAGE, "type": "insufficient_quota", "param": None, "code": "rate_limit_exceeded"}
_ANTHROPIC = {"type": "error", "error": {"type": "rate_limit_error", "message": MESSAGE}}
_RESPONSES = {"type": "error", "code": "rate_limit_exceeded", "message": MESSAGE, "param": None}
_GEMINI = {"code": 429, "message": MESSAGE, "status": "RESOURCE_EXHAUSTED"}


_NUMBER = re.compile(rb'"sequence_number"\s{0,8}:\s{0,8}([0-9]{1,18})(?=[\s,}])')
_LONGEST_NUMBER = 64


def _event(document: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


_EVENTS = {
    "openai": _event({"error": _OPENAI}),
    "anthropic": _event(_ANTHROPIC, "error"),
    "gemini": _event({"error": _GEMINI}),
}


def error_event(dialect: str, number: int = 0) -> bytes:
    """Return the event for a reader's `dialect`; OpenAI's where none is known, which most clients read.

    Args:
        dialect: the form of the stream.
        number: which event of the stream it is, from 0, where the form numbers them ("responses").
    """
    if dialect == "responses":
        return _event({**_RESPONSES, "sequence_number": number}, "error")
    return _EVENTS.get(dialect, _EVENTS["openai"])


async def close_after(send: Send, message: Message, dialect: str) -> None:
    """Send the last message of a connection without a budget, say so, and close it."""
    await send(message)
    text = error_event(dialect).decode().partition("data: ")[2].strip()
    await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "token budget used up"})


class Numbering:
    """Follows the numbers of a stream's events ("responses"), in chunks that may end anywhere."""

    __slots__ = ("_tail", "next")

    def __init__(self) -> None:
        self._tail = b""
        self.next = 0
        """The number of an event after those seen."""

    def see(self, chunk: bytes) -> None:
        """Take in the next bytes that are sent."""
        seen = self._tail + chunk
        # In a text of the model the quotes are escaped, so that it is not found there.
        for found in _NUMBER.finditer(seen):
            self.next = int(found[1]) + 1
        self._tail = seen[-_LONGEST_NUMBER:]
