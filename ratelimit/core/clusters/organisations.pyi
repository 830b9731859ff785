"""Declared organisations: what their members share is no evidence between them."""

from collections.abc import Iterable, Sequence
from typing import final

MOST_ORGANISATIONS: int

def member_payment(principal: int, payment: int, /) -> int:
    """Return the payment method of its own that a member is seen with in place of its organisation's."""

@final
class Organisations:
    """The declared organisations: their members, and the values that these share.

    A member is an account that is listed. Where none is, it is one that pays with a method of the
    organisation. Where there are none of these either, it is one that comes from its networks. Before a
    member's sightings become evidence, its organisation's networks are taken out of them. A payment
    method they share becomes one of the member's own: that it pays still counts.
    Any other account seen with it is seen with it as with anything.

    Args:
        organisations: keys of principals, hashes of payment methods and hashes of networks, for each.
            A row names any other network by its number, from 1.

    Raises:
        ValueError: there are more than MOST_ORGANISATIONS.
    """

    def __init__(self, organisations: Iterable[Sequence[Iterable[int]]], /) -> None: ...
    @property
    def count(self) -> int: ...
