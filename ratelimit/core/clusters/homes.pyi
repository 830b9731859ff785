"""Homes of accounts: a phase of a rebuild."""

from typing import final

from ratelimit.core.clusters.evidence import Evidence

@final
class Homes:
    """Says of accounts whether they come back to an address that is theirs, and how old they are.

    An account is at home at an address that it comes back to after `home_s`, and where it makes a quarter
    of its visits. It and the accounts that pay with it make half of the visits there, in a block of people.
    In such a block, accounts that pay by themselves are at half of the addresses, or one payer has its few
    addresses to itself. A visit is an account at an address in an hour. No address that is declared as
    infrastructure is a home.

    The passes are called in the order below, each over all its positions, between `begin` and `end`.
    Those that were not there at `begin` are left out. Principals are those awake.

    Args:
        evidence: has the principals.
        home_s: seconds from the first visit to the last; whole hours of them count.
        home_new_s: the same of an account that was first seen less than `young_s` ago.
        young_s: see `home_new_s`.
        new_s: how long an account is new after it was created.
        settled_s: how long it has to be there for `SETTLED`.
        records_s: an account that does not say when it was created is as old as its first request,
            if that was so long after the evidence began; before, its age is not known.
        is_paid: whether payment methods are known, so that only accounts with one, and old ones, say that
            people live in a block.
    """

    def __new__(
        cls,
        evidence: Evidence,
        *,
        home_s: int,
        home_new_s: int,
        young_s: int,
        new_s: int,
        settled_s: int,
        records_s: int,
        is_paid: bool = False,
    ) -> Homes: ...
    @property
    def evidence(self) -> Evidence: ...
    def begin(self) -> None:
        """Take memory: twelve bytes an identifier, and 16 to 32 an account that is awake.

        Raises:
            MemoryError: there is no room.
        """
    def vote(self, start: int, stop: int) -> None:
        """Principals: let them vote for the payer of most visits at each address; tell their ages."""
    def reset_votes(self, start: int, stop: int) -> None:
        """Identifiers: forget how the votes went, not what won them."""
    def count_visits(self, start: int, stop: int) -> None:
        """Principals: count the visits of the payers that won, and find the other payers of each block."""
    def count_addresses(self, start: int, stop: int) -> None:
        """Identifiers: count by block its addresses, and those with accounts that pay by themselves."""
    def find_homes(self, start: int, stop: int) -> None:
        """Principals: say whether they are at home anywhere, and where."""
    def classify_blocks(self, start: int, stop: int) -> None:
        """Identifiers: say of blocks whether people live there, a payer in a network for thirty addresses; in `degree`."""
    def give_back(self) -> bool:
        """Give a part of the memory back, so that it is no long slice; return whether there is more."""
    def end(self) -> None:
        """Give the memory back; may be called at any time."""
