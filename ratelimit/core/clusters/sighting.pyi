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
    @property
    def new_at(self) -> int:
        """The position of the mark in rows of new accounts; -1: nothing asks for it."""
    def tell_new(self, new_at: int, new_s: int, sponsor_at: int = -1) -> None:
        """Say where rows of new accounts are to have a mark (-1: nowhere), and for how long accounts are new.

        At the position after that, new accounts have a mark that nobody pays for: they have no payment
        method, and nothing stands at `sponsor_at` (-1: nowhere).
        """
    tells_young: bool
    """Whether a limit counts young clusters by budgets of their own: rows of their members name these then."""
    def mark(self, row: list[int], now_ns: int, /) -> bool:
        """Mark a row if it is of a new account; return whether it is.

        An account is new for `new_s` after it was created. One of which that is not known, and one of a
        declared organisation, is not. One that nobody pays for has the second mark, too.
        """
    def key_of(self, row: Sequence[int], /) -> int | None:
        """Return the key of a row's principal, None when it has none."""
