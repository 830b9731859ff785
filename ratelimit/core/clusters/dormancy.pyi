"""Accounts that were silent for long: dormant, and at last forgotten by their clusters."""

from ratelimit.core.clusters.cluster_index import ClusterIndex

def mark_dormant(cluster_index: ClusterIndex, start: int, stop: int, silent_s: int, /) -> None:
    """Let the principals in a range be dormant that were silent for `silent_s` seconds; not those ruled upon.

    A principal that is dormant is remembered and counted nowhere. Its next request wakes it.
    """

def expire_labels(cluster_index: ClusterIndex, start: int, stop: int, silent_s: int, /) -> None:
    """Take their clusters from the dormant principals in a range that were silent for `silent_s` seconds."""
