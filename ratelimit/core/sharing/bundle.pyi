"""Sightings counted together, on their way to another host."""

from typing import final

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.sharing.assignments import Assignments
from ratelimit.core.sharing.ring import Ring

BUNDLE_RECORD_BYTES: int
"""The most that one record takes when it is packed."""

def sightings_in(records: bytes, /) -> int:
    """Return how many sightings packed records stand for.

    Raises:
        ValueError: they are cut short or make no sense.
    """

def unpack(
    records: bytes, cluster_index: ClusterIndex, latest_s: int, assignments: Assignments | None = None, /
) -> int:
    """Let a cluster index note what was packed, each sighting as often as it was seen; return how many it did.

    A principal that joins a cluster thereby is entered into `assignments`, if they are given.

    Args:
        records: from `Bundle.pack`; all or, if it raises, none are noted.
        latest_s: seconds since the epoch; what is said to have been seen later counts as seen then.

    Raises:
        ValueError: as `sightings_in`.
    """

@final
class Bundle:
    """Counts equal sightings of a moment together: same principal, same identifiers, same second.

    Args:
        room: different ones it holds at once, at most 32768.
    """

    def __init__(self, room: int) -> None: ...
    @property
    def room(self) -> int: ...
    @property
    def held(self) -> int:
        """Records there are."""
    @property
    def sightings(self) -> int:
        """Sightings they stand for."""
    @property
    def is_full(self) -> bool: ...
    def drain(self, ring: Ring, most: int, now_ns: int, /) -> int:
        """Take up to `most` sightings from a ring, as far as there is room; return how many."""
    def pack(self) -> bytes:
        """Return the records and hold none any more. Nothing but keyed hashes, counts and times is in them."""
