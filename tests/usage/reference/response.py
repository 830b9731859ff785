"""A `send` that lets a reader see an answer pass. Nothing is held back, and nothing changed.

With `on_refusal = ["cut"]`, what the answer has used so far is charged as it goes on. The chunk that
uses up the budget is the last. It is passed on up to the end of its last event, an error event in
the provider's form follows, and the response ends. Only server-sent events can be cut, since
only they have a form for it, and only where no length was promised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.types import Message, Send

from ratelimit.usage.ending import AnswerCut, Numbering, error_event
from ratelimit.usage.inflating import INFLATED, Inflating
from ratelimit.usage.reader import Reader
from ratelimit.usage.shapes import Form
from tests.usage.reference.report import UNKNOWN, Reading, at_least, message_reader, reader_of, reading_of
from tests.usage.reference.request import Declared


class WatchedSend:
    """A `send` with a reader beside it.

    Args:
        send: passes on.
        shape: the provider's, of the answer.
        declared: what the request says.
        has_room: None, or told the reader after each chunk, and returns whether the answer may go on.
    """

    __slots__ = (
        "_declared",
        "_has_room",
        "_inflating",
        "_is_over",
        "_numbering",
        "_send",
        "_shape",
        "_status",
        "is_complete",
        "is_cut",
        "is_hidden",
        "is_unreadable",
        "reader",
    )

    def __init__(
        self, send: Send, shape: Form, has_room: Callable[[Reader], bool] | None, declared: Declared
    ) -> None:
        self._send = send
        self._shape = shape
        self._declared = declared
        self._has_room = has_room
        self.reader: Reader | None = None
        self.is_complete = False
        """Whether the application sent its answer to the end."""
        self.is_cut = False
        self.is_hidden = False
        """Whether it is in a coding that is not read."""
        self.is_unreadable = False
        """Whether some of it passed that nothing is known of."""
        self._status = 0
        self._is_over = False
        self._numbering: Numbering | None = None
        self._inflating: Inflating | None = None

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message; returns the server's own awaitable.

        Raises:
            AnswerCut: the stream was cut before.
        """
        if self.is_cut:
            raise AnswerCut("the stream was cut: its budget is used up")
        kind = message["type"]
        if kind == "http.response.body":
            reader = self.reader
            if reader is not None:
                chunk = message.get("body", b"")
                if chunk:
                    self._read(reader, chunk if type(chunk) is bytes else bytes(chunk))
                if self._has_room is not None:
                    self._is_over = self._is_over or not self._has_room(reader)
                    if self._is_over:
                        return self._cut(message, reader)
                    self._number(reader, chunk)
            elif self._status < 400 and message.get("body"):
                self.is_unreadable = True
            if not message.get("more_body", False):
                self.is_complete = True
        elif kind == "http.response.start":
            self._begin(message)
        elif kind == "websocket.send":
            self._see_message(message)
        return self._send(message)

    @property
    def has_failed(self) -> bool:
        """Whether the answer is an error, or says that it failed."""
        return self._status >= 400 or (self.reader is not None and self.reader.has_error)

    @property
    def model(self) -> str | None:
        """The model that the answer says it is of."""
        return None if self.reader is None else self.reader.name

    def reading(self) -> Reading:
        """Return what the answer said it used."""
        if self.reader is None:
            return UNKNOWN
        reading = reading_of(self.reader, is_complete=self.is_complete)
        if self._inflating is not None and self._inflating.unread:
            return at_least(reading, self._inflating.unread)
        return reading

    def _read(self, reader: Reader, chunk: bytes) -> None:
        if self._inflating is None:
            reader.feed(chunk)
        else:
            self._inflating.feed(reader, chunk)

    def _begin(self, message: Message) -> None:
        content_type, encoding, has_length = b"", b"", False
        self._status = message["status"]
        for name, value in message.get("headers", ()):
            lower = name.lower()
            if lower == b"content-type":
                content_type = value
            elif lower == b"content-encoding":
                encoding = value.strip().lower()
            elif lower == b"content-length":
                has_length = True
        if encoding in INFLATED:
            self._inflating, self._has_room, encoding = Inflating(), None, b""
        self.is_hidden = encoding not in (b"", b"identity")
        self.reader = reader_of(self._shape, content_type, is_encoded=self.is_hidden)
        if self.reader is not None:
            said = self._declared
            self.reader.expect(said.choices, said.prompts, said.each, said.size, said.is_echo)
        if self._status >= 400 and self.reader is not None and self.reader.form != "json":
            self.reader = None  # the words of a refusal are no output of a model
        if has_length or self.reader is None or self.reader.form != "events":
            self._has_room = None

    def _see_message(self, message: Message) -> None:
        said: Any = message.get("text")
        if said is None:
            said = message.get("bytes")
        if said:
            if self.reader is None:
                self.reader = message_reader(self._shape)
            self.reader.message(said)

    def _cut(self, message: Message, reader: Reader) -> Awaitable[None]:
        if not message.get("more_body", False):
            self.is_complete = True  # it has ended by itself
        elif reader.boundary >= 0:
            self.is_cut = True
            last = bytes(message.get("body", b""))[: reader.boundary]
            self._number(reader, last)
            last += error_event(reader.dialect, 0 if self._numbering is None else self._numbering.next)
            message = {**message, "body": last, "more_body": False}
        else:  # in the middle of an event, of which the client is owed the rest
            self._number(reader, message.get("body", b""))
        return self._send(message)

    def _number(self, reader: Reader, chunk: bytes) -> None:
        """Follow the numbers of events, where an error event would need the next."""
        if reader.dialect == "responses":
            if self._numbering is None:
                self._numbering = Numbering()
            self._numbering.see(bytes(chunk))
