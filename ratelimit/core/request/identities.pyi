"""All identities of one request in one pass: its headers, its peer, and what the application left in its state."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, final

from ratelimit.core.request.scanner import Scanner
from ratelimit.facts.numbers import NumberForm

FORMS: dict[str, int]
"""The number of each form of number."""

class _Reader(Protocol):
    """Notices a field that is set too late: see `identity.source.StateReader`."""

    @property
    def is_noting(self) -> bool: ...
    def settle(self) -> None: ...

@final
class StateField:
    """An identity that a field of the application's state has.

    Args:
        position: of the identity.
        kind: that its value is hashed with.
        name: of the field.
        reader: told once that a request had a value; asked in Python until then.
        follows: whether it is looked at only where the field before it has nothing.
    """

    def __init__(
        self, position: int, kind: int, name: str, reader: _Reader, *, follows: bool = False
    ) -> None: ...
    @property
    def position(self) -> int: ...
    @property
    def follows(self) -> bool: ...

@final
class PathField:
    """An identity that a parameter of the path has.

    Args:
        position: of the identity.
        kind: that its value is hashed with.
        name: of the parameter.
    """

    def __init__(self, position: int, kind: int, name: str) -> None: ...
    @property
    def position(self) -> int: ...

@final
class NumberField:
    """A number that a field of the application's state has, or a header.

    Args:
        position: where it goes.
        of: reads a value that is neither a plain number nor the plain text of one.
        form: of the number.
        name: of the state's field.
        header: in lower case.
    """

    def __init__(
        self,
        position: int,
        of: Callable[[object], int],
        form: NumberForm,
        *,
        name: str | None = None,
        header: bytes | None = None,
    ) -> None: ...
    @property
    def position(self) -> int: ...

@final
class IdentityReader:
    """Fills the places of an identity list, as `identity.extract.Extractor.extract` does.

    Args:
        scanner: reads headers and peer.
        fields: identities from the application's state.
        paths: identities from the path's parameters.
        is_partial: whether some identity is also read elsewhere: from a cookie, or an answer. Then nothing
            with headers or a state is read here.
        template_of: what stands in the places of a client whose headers say nothing, given peer and
            headers: for proxies and for networks that are listed. None: the peer speaks for itself.
        numbers: what a request says as a number.
        lists: position, hash and list (1 deny, 2 allow) of each listed value.
    """

    def __new__(
        cls,
        scanner: Scanner,
        *,
        fields: Sequence[StateField] = (),
        paths: Sequence[PathField] = (),
        is_partial: bool = False,
        template_of: Callable[[str | None, Sequence[tuple[bytes, bytes]]], list[int]] | None = None,
        numbers: Sequence[NumberField] = (),
        lists: Collection[tuple[int, int, int]] = (),
    ) -> IdentityReader: ...
    @property
    def scanner(self) -> Scanner: ...
    @property
    def reads_state(self) -> bool: ...
    def identities(
        self,
        headers: Sequence[tuple[bytes, bytes]],
        peer: str | None,
        state: Mapping[str, object] | None,
        params: Mapping[str, str] | None = None,
        /,
    ) -> list[int] | None:
        """Return the identities, None where a value takes Python to read; then nothing was noted."""
