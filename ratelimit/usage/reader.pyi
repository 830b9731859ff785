"""A reader that watches an answer pass and remembers what it reports of itself."""

from typing import final

from ratelimit.usage.paths import Paths

FORMS: dict[str, int]
"""The way that documents may follow each other: "" to be told from the first byte, else see `Reader`."""

@final
class Receipt:
    """The usage of one response that is settled."""

    @property
    def cost(self) -> int:
        """Nano-dollars, as the provider has it; -1 where it does not."""
    @property
    def is_exact(self) -> bool: ...

@final
class Reader:
    """One answer, or one request's body, fed in pieces of any size.

    It keeps less than 5 kB whatever comes, and none of what it is fed. Text is counted as it passes.
    All else is taken over once the document it stands in is whole; a document that is malformed
    or cut short says nothing. Nothing that is fed raises.

    The usage of one response is *said*, and later words of it take the place of earlier ones. Responses that
    follow each other are settled one by one, as receipts.

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
    def expect(
        self, choices: int = 1, prompts: int = 0, output: int = -1, input: int = 0, is_echo: bool = False
    ) -> None:
        """Take what the request asked for, against which the answer is held.

        Args:
            choices: how many of each prompt.
            prompts: how many there are; 0: they are not counted.
            output: the most tokens of one choice; -1: no maximum is declared.
            input: bytes of the request.
            is_echo: whether the answer repeats the prompt.
        """
    def foretell(self, slot: int, value: int) -> None:
        """Take a number that a header has, which counts where the answer does not say it."""
    def end(self) -> None:
        """Say that it has come to its end, as a mark of it does."""
    def feed_eof(self) -> None:
        """Say that no more comes: an event without its empty line counts if its document is whole."""
    def value(self, slot: int, /) -> int | None:
        """Return the last number that a whole document had there, of the response under way; None without any."""
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
    def tier(self) -> str | None:
        """The service tier of the response under way, in lower case; None: it says none."""
    @property
    def ends_whole(self) -> bool:
        """True if the last document of a body in JSON is whole."""
    @property
    def is_named(self) -> bool:
        """True if the response under way has a name of its own."""
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
    def has_end(self) -> bool:
        """True if a mark of the end was there."""
    @property
    def is_connection(self) -> bool:
        """True if it is a connection's, on which one response follows another."""
    @property
    def open_text(self) -> int:
        """Bytes of text of the response under way."""
    @property
    def open_spoken(self) -> int:
        """Documents with text of the response under way."""
    @property
    def is_mute(self) -> bool:
        """True if no response is under way that is not settled."""
    @property
    def has_begun(self) -> bool:
        """True if a response is under way, whatever it said."""
    @property
    def parts(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """Shares of the usage under way: fresh input, cache reads and writes, those for an hour, output."""
    @property
    def receipt_count(self) -> int:
        """Responses that are settled."""
    @property
    def settled_usage(self) -> tuple[int, int, int, int, int]:
        """The use of all of these, as `Usage.numbers` has it."""
    @property
    def has_doubt(self) -> bool:
        """True if the usage of one of them is not certain."""
    @property
    def is_strange(self) -> bool:
        """True if the usage under way has tokens that the table does not know."""
    @property
    def is_output_sure(self) -> bool:
        """True if its output is exact, whether or not its input was said; once `reading_of` was asked."""
    @property
    def finished_count(self) -> int:
        """Choices that are finished,"""
    @property
    def length_count(self) -> int:
        """and those by their maximum."""
    @property
    def most_choices(self) -> int:
        """The most choices that one document finished."""
    @property
    def added(self) -> int:
        """Usages of further choices that were added."""
    @property
    def asked_choices(self) -> int:
        """What was expected: see `expect`."""
    @property
    def asked_prompts(self) -> int: ...
    @property
    def asked_output(self) -> int: ...
    @property
    def asked_input(self) -> int: ...
    @property
    def is_echo(self) -> bool: ...
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
        """Numbers that were none: negative ones, too large ones, and strings that are no number."""
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
