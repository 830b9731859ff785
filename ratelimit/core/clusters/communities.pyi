"""Communities of payment methods that meet: a phase of a rebuild."""

from typing import final

from ratelimit.core.clusters.evidence import Evidence
from ratelimit.core.clusters.pools import Pools

@final
class Communities:
    """Joins the payment methods that `Pools` has proven into groups of those that mostly meet each other.

    That two met somewhere joins them not: an account of one may have been there by chance. The passes are
    called between `begin` and `end`, after `Pools.restore_suspects`, `list_suspects` and `join` of networks:

    1. `begin_round` at addresses;
    2. a few turns: `reset` over identifiers, `vote` and `choose` over suspects, `close_separate` over identifiers,
       `verify` over suspects, `largest`, `join` and `flatten` over identifiers; until none mingles;
    3. the same with networks;
    4. `begin_round` at addresses again; `reset`, `vote`, `attach_addresses` over identifiers.

    Suspects are positions up to the pools' `suspect_count`.

    Args:
        pools: what meets; its search has not ended, and its memory is used.
    """

    def __new__(cls, pools: Pools) -> Communities: ...
    @property
    def evidence(self) -> Evidence:
        """The pools'."""
    def begin(self) -> None:
        """Take memory: four bytes an identifier.

        Raises:
            MemoryError: there is no room.
        """
    def begin_round(self, kind: int) -> None:
        """Begin to look at one kind of place: 0 for addresses, 1 for networks.

        Raises:
            ValueError: there is no such kind of place.
        """
    def reset(self, start: int, stop: int) -> None:
        """Identifiers: forget all votes."""
    def vote(self, start: int, stop: int) -> None:
        """Suspects: vote for their communities at the places where they were."""
    def choose(self, start: int, stop: int, turn: int) -> None:
        """Suspects: vote for the labels that their communities meet most.

        In odd turns half of the labels are left out, in each another half. Turns are 0 to 11.
        """
    def close_separate(self, start: int, stop: int) -> int:
        """Identifiers: close communities that are mostly by themselves; return how many others there are."""
    def verify(self, start: int, stop: int) -> None:
        """Suspects: count visits where others are, and where those are that were chosen."""
    def largest(self, start: int, stop: int) -> float:
        """Identifiers: return the largest part of where others are that is with the one that was chosen."""
    def join(self, start: int, stop: int, least: float) -> None:
        """Identifiers: join communities with those that they chose, where that part is so large."""
    def flatten(self, start: int, stop: int) -> None:
        """Identifiers: have methods lead to their roots at once."""
    def attach_addresses(self, start: int, stop: int) -> None:
        """Identifiers: put addresses below the communities that hold them."""
    def give_back(self) -> bool:
        """Give a part of the memory back, so that it is no long slice; return whether there is more."""
    def end(self) -> None:
        """Give the memory back; may be called at any time."""
