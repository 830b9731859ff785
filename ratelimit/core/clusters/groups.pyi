"""Statistics of groups as a whole, and the accounts that belong to them: a phase of a rebuild."""

from collections.abc import Sequence
from typing import Any, final

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.evidence import Evidence
from ratelimit.core.clusters.pools import Pools

@final
class Groups:
    """Numbers what `Pools` has joined, counts what each is like, and labels its members.

    The passes are called in the order below, each over all its positions, between `begin` and `end`.
    Principals are those awake. At most 4096 groups are looked at; those found first.

    Args:
        cluster_index: gets the labels.
        pools: what meets; closed, and not ended.
        fleet: accounts on one payment method that are a group by themselves, if nowhere at home.
        hub: accounts of groups that mostly are at one address, for it to be no home of a newcomer's.
    """

    def __new__(cls, cluster_index: ClusterIndex, pools: Pools, *, fleet: int, hub: int) -> Groups: ...
    @property
    def evidence(self) -> Evidence:
        """The cluster index's."""
    @property
    def count(self) -> int:
        """Groups; they are numbered from 1."""
    @property
    def left_out(self) -> int:
        """Groups beyond the most that are looked at."""
    def begin(self) -> None:
        """Take memory: twelve bytes an identifier, two a principal that is awake, half a megabyte besides.

        Raises:
            MemoryError: there is no room.
        """
    def count_members(self, start: int, stop: int) -> None:
        """Principals: count the members of each group."""
    def number_groups(self, start: int, stop: int, least: int) -> None:
        """Principals: number groups of so many members, and let them vote for the group of each address."""
    def reset_votes(self, start: int, stop: int) -> None:
        """Identifiers: forget how the votes went, not what won them; count groups' payment methods."""
    def tally(self, start: int, stop: int) -> None:
        """Principals: count them for their groups, and at their addresses."""
    def count_addresses(self, start: int, stop: int) -> None:
        """Identifiers: add addresses to the groups that won them, if accounts of theirs meet there."""
    def count_networks(self, start: int, stop: int) -> None:
        """Identifiers: add networks to the groups that won them, by how much more is theirs than others'."""
    def statistics(self, group: int) -> Any:
        """Return what a group is like: see `correlation.classification.Statistics`.

        Raises:
            IndexError: there is no such group.
        """
    def assign_members(self, start: int, stop: int, labels: Sequence[int], verdicts: Sequence[int]) -> int:
        """Principals: put them where their groups are, or out of clusters; return how many belong to one.

        A member at home, or elsewhere for more than half of its visits, belongs to none. One that is not
        new itself, or pays as accounts do that are not, is likely at most. So is one that only lives in a
        network where the group is as well. So is one that mostly is at one address where people live, unless
        it is a hub.

        Args:
            labels: by group, from 1: its cluster, 0 for none; the first counts for nothing.
            verdicts: by group: the verdict on members that fit.

        Raises:
            ValueError: there are more groups or fewer.
        """
    def label_identifiers(self, start: int, stop: int, labels: Sequence[int]) -> None:
        """Identifiers: say which clusters' exits and payment methods they are; newcomers are known by them.

        Raises:
            ValueError: there are more groups or fewer.
        """
    def prune_networks(self, start: int, stop: int, share: float) -> None:
        """Identifiers: let go of networks of which less than this part is one cluster's."""
    def give_back(self) -> bool:
        """Give a part of the memory back, so that it is no long slice; return whether there is more."""
    def end(self) -> None:
        """Give the memory back; may be called at any time."""
