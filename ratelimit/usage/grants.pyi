"""A request's own maximum in its body: where it stands, and the body with a lower one.

Theory of operation. A body that was found to be one well-formed object is walked once more, and nothing is
decoded but keys. Every byte that is no maximum stays as it is. A maximum is lowered wherever it stands, also if
its key is there twice, or in another case than its API writes it: which of them counts is up to the parser.
A maximum that is missing is inserted as the first key of its object. What stays ambiguous is not written: two
objects that would have it, or a value that is no whole number.
"""

from typing import final

@final
class Places:
    """Where a body has its maxima."""

    @property
    def least(self) -> int:
        """Output tokens that the request sets apart for thoughts: an answer needs more than these. -1 or 0: none."""
    @property
    def by(self) -> int:
        """Which fields say the maximum once it is written, a bit each: see `Declared.by`."""
    @property
    def can_write(self) -> bool:
        """True if the body has a maximum, or its API one that can be inserted."""
    def says(self) -> bool:
        """Return whether the body says any maximum."""
    def written(self, most: int) -> bytes:
        """Return the body with each maximum lowered to `most`, and inserted if it says none."""

def places_of(body: bytes, fields: int, path: str, stated: str | None) -> Places | None:
    """Return where a well-formed body has its maxima; None where that is ambiguous.

    Args:
        body: the whole of it, an object.
        fields: the maxima that its API has: see `fields_of`.
        path: of the request, which names the field to insert.
        stated: that field, as the policy states it; None: by the path.
    """
