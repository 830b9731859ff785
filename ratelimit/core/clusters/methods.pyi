"""Payment methods that are an actor's own.

All accounts that were seen to pay with such a method are certain members of one actor, three at least. So an
account that was never seen before belongs to that actor at its first request. This ends at once with an
account on the method that is no certain member.
"""

from ratelimit.core.clusters.cluster_index import ClusterIndex

def forget(cluster_index: ClusterIndex, start: int, stop: int, /) -> None:
    """Forget the owners of the payment methods among a range of identifiers."""

def tally(cluster_index: ClusterIndex, start: int, stop: int, /) -> None:
    """Count the principals in a range at the payment methods they use."""
