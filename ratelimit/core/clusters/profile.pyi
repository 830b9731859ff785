"""A cluster as a whole: what its members took, what they share, and who else is seen there.

No rebuild may be under way.
"""

from collections.abc import Mapping, Sequence

from ratelimit.core.clusters.cluster_index import ClusterIndex

def takings(cluster_index: ClusterIndex, /) -> Mapping[int, tuple[int, float]]:
    """Return by cluster the requests of its members since each was first seen, and those a day of late."""

def members_of(cluster_index: ClusterIndex, label: int, /) -> Sequence[tuple[int, int, int, int, int]]:
    """Return of each member of a cluster its key, verdict, requests, and when it was first and last seen.

    The times are seconds since the Unix epoch. Accounts that the operator exempts since the last rebuild are
    among them.
    """

def shared_by(
    cluster_index: ClusterIndex, label: int, /
) -> Sequence[tuple[int, int, int, int, bool, bool, int, bool]]:
    """Return the identifiers that members of a cluster were lately seen with, in no order.

    Each has its kind and hash, the number of members, and the number of all principals seen with it; then
    whether that is the most that is counted. The last are whether it is an exit or a payment method of the
    cluster's, how many members are at home there, and whether it is declared infrastructure.
    """

def neighbours_of(cluster_index: ClusterIndex, label: int, /) -> Sequence[tuple[int, int, int, int, int]]:
    """Return the principals outside of a cluster that were seen with identifiers of the cluster's, in no order.

    Each has its key, how many payment methods and further families it has in common, how many exits, the
    cluster that it is in (0 for none), and its requests.
    """

def payers_beside(
    cluster_index: ClusterIndex, payment: int, most: int, /
) -> Sequence[tuple[int, int, Sequence[int], bool]]:
    """Return who was lately at an address where accounts of a payment method were, and of another one.

    They are in no order. Each has a payment method, an account that pays by it, the addresses that accounts of
    both methods have in common, and whether the account is new. Accounts of the method asked about are among
    them; declared infrastructure is no address in common. After so many the walk ends: then there may be more.
    """

def seen_with(cluster_index: ClusterIndex, value: int, /) -> Sequence[tuple[int, int, int, int, int]]:
    """Return the principals that were lately seen with a value, in no order.

    The value is a hash as rows have it, of an address, a network or block of addresses, a payment method or a
    further family. Each principal has its key, verdict, cluster (0 for none), requests, and when it was last
    seen, in seconds since the Unix epoch.
    """

def most_seen_with(
    cluster_index: ClusterIndex, value: int, most: int, /
) -> tuple[int, Mapping[int, int], Sequence[tuple[int, int, int, int, int]]]:
    """Return how many principals were lately seen with a value, how many of these by cluster, and the busiest.

    The value is as in `seen_with`, and so is what is told of each. These are `most` at most, the busiest first;
    of some that made as many requests, which they are is not said.
    """

def around(cluster_index: ClusterIndex, value: int, /) -> Sequence[tuple[int, int]]:
    """Return the networks and blocks of an address, or of all addresses of a principal, the latest first.

    Each has its kind and its hash, and may be there several times. The value is a principal's key, or the hash
    of an address as rows have it. One that is not remembered has none.
    """
