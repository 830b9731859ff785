"""The declarations of a request's body: the most it may use, and the model.

Theory of operation. A body is looked at as it comes, once, and nothing of it is kept. What is malformed, too
large or not there whole counts as the largest maximum of all, for any model. So does a maximum that is no whole
number, since an application may still take it for one. A body that is no JSON declares nothing. A key that
is there twice counts by its largest number, and no model is named where two are. For which of them the
application takes is not known here.
"""

from typing import final

MOST_BODY: int
"""Bytes of a body that are looked at, and held until the request is decided."""
MOST_DECLARED: int
LONGEST_MODEL: int
"""Characters of a model's name that are read."""

@final
class Declared:
    """The facts that a request states about itself; nothing of it is to be believed, only to be reserved.

    Args:
        output: the most output tokens, of all choices together; None: none is declared.
        model: None: none is named.
        is_stream: whether the answer is asked for as a stream.
        size: bytes of the body, as far as they were looked at.
        by: which fields said the output, a bit each; no part of what makes two equal.
    """

    def __init__(
        self,
        output: int | None = ...,
        model: str | None = ...,
        is_stream: bool = ...,
        size: int = ...,
        by: int = ...,
        tier: str | None = ...,
    ) -> None: ...
    @property
    def output(self) -> int | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def is_stream(self) -> bool: ...
    @property
    def size(self) -> int: ...
    @property
    def by(self) -> int: ...
    @property
    def tier(self) -> str | None:
        """The service tier that it asks for, in lower case; None: it names none."""
    @property
    def is_object(self) -> bool:
        """True if the body is one whole object, well-formed."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def model_in_path(segment: str) -> str | None:
    """Return the model that a segment of a path names: Gemini puts a verb behind. None if it is too long."""

def named(declared: Declared, segment: str) -> Declared:
    """Return what was declared, of the model that a segment of the path names."""

def fields_of(path: str) -> int:
    """Return which maxima a request for a path can declare, a bit each; all where no API is known."""

@final
class Body:
    """A request's body on its way to the application.

    Args:
        most: bytes that are looked at.
        fields: which maxima its API has, see `fields_of`.
    """

    def __init__(self, most: int = ..., fields: int = ...) -> None: ...
    @property
    def size(self) -> int: ...
    def feed(self, chunk: bytes, /) -> bool:
        """Take the next bytes; return whether more would be looked at."""
    def declared(self, *, is_whole: bool) -> Declared:
        """Return what the body said; without its end, that cannot be known."""

MAXIMA: dict[tuple[str, ...], int]
"""The maxima that bodies declare, by path: the bit of each in `Declared.by`."""

def missing_in(path: str, fields: int, stated: str | None) -> tuple[str, ...] | None:
    """Return the maximum to insert in a body that says none; None where no API is known by its path.

    Args:
        path: of the request.
        fields: the maxima that its API has, see `fields_of`.
        stated: what the policy states, which counts if the API has it; None: nothing.
    """

def unread(size: int = 0) -> Declared:
    """Return what a body counts as that says something, though not to us."""
