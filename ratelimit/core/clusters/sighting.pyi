"""A sighting: the part of a request that the correlator sees."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.clusters.organisations import Organisations

MOST_PUBLIC_LISTS: int

@final
class Columns:
    """The positions in rows of identity hashes that the correlator looks at.

    Args:
        principal: one to four positions that make a principal together.
        kinds: positions of address, network, payment, client, three further families and block;
            -1 for what there is not.
        created_at: where it stands when the account was created, in seconds since 1970; -1 for nowhere.
            What is no such number of 32 bits counts as not known.
        costly: which of the further families, from 0, cost an attacker as payment methods do.
        named: whether only accounts count of which the application says anything: when they were created,
            or what costly they have. Does nothing where there is no position for either.

    Raises:
        ValueError: a position is missing or negative, or there is no such family.
    """

    @property
    def highest(self) -> int:
        """The highest position looked at."""
    @property
    def has_payment(self) -> bool:
        """True if there is a payment method to be seen."""
    @property
    def extras(self) -> int:
        """The number of the three further families in use, up to the last one."""
    def __init__(
        self,
        principal: Sequence[int],
        kinds: Sequence[int],
        created_at: int = -1,
        costly: Sequence[int] = (),
        *,
        named: bool = False,
    ) -> None: ...
    @property
    def created_at(self) -> int: ...
    @property
    def costly(self) -> tuple[int, ...]: ...
    def declare(self, origin_at: int, organisations: Organisations | None = None) -> None:
        """Say where rows have the declared network a request came from, and what organisations there are.

        At `origin_at` (-1: nowhere) stands 1 for infrastructure, plus twice the number of the public list
        that has the address, plus sixteen times that of the organisation that has the network. Without a
        declaration this costs a comparison.
        """
    tells_young: bool
    """Whether a limit counts young clusters by budgets of their own: rows of their members name these then."""
    def key_of(self, row: Sequence[int], /) -> int | None:
        """Return the key of a row's principal, None when it has none."""
