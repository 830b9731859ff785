"""The usage that an answer reported, in units that do not overlap.

Theory of operation. A reader has numbers by the provider's own convention. Here they become four
units that add up (fresh input, cache writes, cache reads, output), and one of three outcomes:

- `exact`: the answer is complete and said what it used;
- `at_least`: it said so on the way, or only its text was seen, at 3.5 bytes a token and a token an event;
- `unknown`: nothing was seen that tells.

What may be words of the model is never exact, as a caller may have asked for them. Such is an answer with
headers that promise no documents, and one with text as it is among them. Nor is usage exact that text
follows, that is less than what passed through, or that has tokens which the form does not know.

Receipts add up: see `reader`. Each has its own certainty, and all of them have to be exact.
"""

from collections.abc import Mapping
from typing import Literal, final

from ratelimit.usage.reader import Reader
from ratelimit.usage.shapes import Form

_Certainty = Literal["exact", "at_least", "unknown"]

UNITS: tuple[str, ...]
"""What limits can count: four that do not overlap, all input, and everything."""
OF_OUTPUT: frozenset[str]
"""Units that an answer goes on adding to."""

@final
class Usage:
    """The use of one answer, in tokens.

    Some are shares of others: `cache_write_1h` of `cache_write`, sounds and pictures of `fresh_input`, `cache_read`
    and `output`. Searches and pictures of the answer are counted by the piece.
    """

    def __init__(
        self,
        fresh_input: int = ...,
        cache_write: int = ...,
        cache_read: int = ...,
        output: int = ...,
        cache_write_1h: int = ...,
        audio_input: int = ...,
        audio_cache_read: int = ...,
        audio_output: int = ...,
        image_input: int = ...,
        image_output: int = ...,
        searches: int = ...,
        images: int = ...,
    ) -> None: ...
    @property
    def fresh_input(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def cache_write_1h(self) -> int: ...
    @property
    def audio_input(self) -> int: ...
    @property
    def audio_cache_read(self) -> int: ...
    @property
    def audio_output(self) -> int: ...
    @property
    def image_input(self) -> int: ...
    @property
    def image_output(self) -> int: ...
    @property
    def searches(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers, in the order of the arguments."""
    @property
    def units(self) -> Mapping[str, int]:
        """The numbers by the names that limits know."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class UsageReading:
    """The amount used, and its certainty. `has_input`: the input was said, and is not 0 for want of knowing.

    Raises:
        ValueError: the certainty is none.
    """

    def __init__(self, certainty: _Certainty, usage: Usage, has_input: bool = ...) -> None: ...
    @property
    def certainty(self) -> _Certainty: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def has_input(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

UNKNOWN: UsageReading

def reader_of(shape: Form, content_type: bytes = b"", *, is_encoded: bool = False) -> Reader | None:
    """Return a reader for an answer; None for one in which nothing could ever be read.

    Args:
        shape: the form of the answer.
        content_type: the header's value; where it does not decide, the first byte does.
        is_encoded: whether the body is compressed.
    """

def message_reader(shape: Form) -> Reader:
    """Return a reader for the messages of a WebSocket."""

def seen_output(reader: Reader) -> int:
    """Return the output tokens that an answer under way has had at least."""

def usage_so_far(reader: Reader) -> Usage:
    """Return what an answer under way has used at least."""

def reading_of(reader: Reader, *, is_complete: bool, unread: int = 0) -> UsageReading:
    """Return what an answer said, once it has ended.

    Args:
        reader: what watched it.
        is_complete: whether the application ended it, and no fault or hang-up did.
        unread: bytes of it that could not be read.
    """
