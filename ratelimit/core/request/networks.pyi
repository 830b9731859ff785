"""Numbers of networks, looked up by address in one binary search."""

from collections.abc import Collection
from typing import final

@final
class Networks:
    """Knows for each address a number; 0 where nothing was declared.

    A number has fields, masks of its bits. For an address that was carried in an IPv6 address, a field that
    says nothing is taken from that one: ranges may name either.

    Args:
        steps: width, first address and number of each run of addresses, which ends where the next one begins.
        fields: the masks.

    Raises:
        ValueError: an address has another width than 32 and 128 bits; or there are more than four fields.
    """

    def __new__(cls, steps: Collection[tuple[int, int, int]], *, fields: Collection[int]) -> Networks: ...
    def number(self, width: int, octets: bytes, written: bytes | None = None, /) -> int:
        """Return the number of an address; `written` is the one that it was carried in.

        Raises:
            ValueError: the octets are not as many as the width says.
        """
