"""A reader that watches an answer pass and remembers what it reports of itself."""

from typing import final

from ratelimit.usage.paths import Paths

FORMS: dict[str, int]
"""The way that documents may follow each other: "" to be told from the first byte, else see `Reader`."""

@final
class Reader:
    """One answer, or one request's body, fed in pieces of any size.

    It keeps less than 3 kB whatever comes, and none of what it is fed. Text is counted as it passes.
    All else is taken over once the document it stands in is whole; a document that is malformed
    or cut short says nothing. Nothing that is fed raises.

    Args:
        paths: what to look for.
        form: `events` (server-sent), `json` (one document, or several one after another), `frames`
            (the AWS event stream encoding), `opaque` (compressed: bytes are counted and not read).
    """

    def __init__(self, paths: Paths, form: str = "") -> None: ...
    def feed(self, chunk: bytes, /) -> None:
        """Take the next bytes."""
    def message(self, message: str | bytes, /) -> None:
        """Take a WebSocket message, which is a document of its own or nothing."""
    def feed_eof(self) -> None:
        """Say that no more comes: an event without its empty line counts if its document is whole."""
    def value(self, slot: int, /) -> int | None:
        """Return the last number that a whole document had there, at most 2**40; None without any.

        Of the responses of one connection (`response.done`), the sum.
        """
    @property
    def values(self) -> tuple[int | None, ...]:
        """All of them."""
    @property
    def says_usage(self) -> bool:
        """True if there is any number yet."""
    @property
    def name(self) -> str | None:
        """The string that was kept, its first 128 bytes; of several the last."""
    @property
    def form(self) -> str:
        """The way that documents follow each other, as told from the first byte; `opaque` once that cannot be read."""
    @property
    def text(self) -> int:
        """Bytes of text so far, in UTF-8; of what is opaque, all bytes."""
    @property
    def spoken(self) -> int:
        """Documents with text so far: a token each at least."""
    @property
    def late_text(self) -> int:
        """Bytes of text after the last document with usage."""
    @property
    def is_guessed(self) -> bool:
        """True if the form had to be told from the first byte."""
    @property
    def has_raw(self) -> bool:
        """True if some events, or messages, were no documents but text as it is."""
    @property
    def has_error(self) -> bool:
        """True if a document said that the answer failed."""
    @property
    def has_many(self) -> bool:
        """True if it is a connection's, on which one response follows another."""
    @property
    def open_text(self) -> int:
        """Those that came after the last response of a connection that is done."""
    @property
    def is_ended(self) -> bool:
        """True if a mark of the end was there, or a document that is the whole answer."""
    @property
    def is_finished(self) -> bool:
        """True if the answer said that it is complete, and with it or later what was used."""
    @property
    def events(self) -> int:
        """Whole documents so far."""
    @property
    def malformed(self) -> int:
        """Documents that were none."""
    @property
    def ignored(self) -> int:
        """Numbers that were none: negative, or with a fraction or an exponent."""
    @property
    def odd(self) -> int:
        """Values that were no whole number from 0, nor null, where the largest of such numbers counts."""
    @property
    def names(self) -> int:
        """Strings that were there to be kept as the name; one that is longer than is kept counts as several."""
    @property
    def dialect(self) -> str:
        """The provider of the events: `openai`, `responses`, `anthropic`, `gemini`; "" if unknown."""
    @property
    def boundary(self) -> int:
        """The end of the last event in the last piece; -1 if none ended."""
