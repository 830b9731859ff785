"""What the correlator sees of a request."""

from collections.abc import Sequence
from typing import final

@final
class Columns:
    """Where rows of identity hashes have what the correlator looks at.

    Args:
        principal: one to four positions that make a principal together.
        kinds: positions of address, network, payment, client, three further families and block;
            -1 for what there is not.
    """

    @property
    def highest(self) -> int:
        """The highest position looked at."""
    @property
    def has_payment(self) -> bool:
        """Whether there is a payment method to be seen."""
    def __init__(self, principal: Sequence[int], kinds: Sequence[int]) -> None: ...
    def key_of(self, row: Sequence[int], /) -> int | None:
        """Return the key of a row's principal, None when it has none."""
