"""Whole columns of recorded requests at once: hashing and deciding without an object for each.

A column is an `array("Q")`: for each record the 64-bit hash of one identity, all ones for ABSENT.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ratelimit.core.clusters.cluster_index import ClusterIndex
from ratelimit.core.clusters.sighting import Columns
from ratelimit.core.decision.engine import Outcome, Plan
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.scanner import Scanner

def hash_column(
    hasher: Hasher, kind: int, values: list[Any], longest: int, other: Callable[[Any], int], /
) -> tuple[array[int], int]:
    """Return the column of some values, and how many are absent: None is.

    `other` hashes what is not plain ASCII text of 1 to `longest` characters.
    """

def address_column(
    hasher: Hasher, kind: int, v4: int, v6: int, values: list[Any], other: Callable[[Any], int], /
) -> tuple[array[int], int]:
    """Return the column of some addresses' networks, and how many are absent: None is.

    `other` hashes what does not spell an address.
    """

def blank_column(scanner: Scanner, position: int, peers: list[Any], /) -> array[int] | None:
    """Return what stands at a position for each peer with headers that say nothing; None if one is to be refused."""

def seconds_column(values: list[Any], other: Callable[[Any], int], /) -> array[int]:
    """Return the column of when accounts were created: seconds since 1970, and None is absent.

    `other` reads what is no whole number of such seconds.
    """

def absent_column(size: int, /) -> array[int]:
    """Return a column in which nothing stands yet."""

def amount_column(values: list[int | None], /) -> array[int]:
    """Return the column of what records took: costs, and None is absent."""

def said(column: array[int], /) -> list[int]:
    """Return the places where something stands in a column."""

def mark_new(told: Columns, columns: list[array[int]], times_ns: list[int], /) -> None:
    """Mark the records of new accounts, as `Columns.mark` does rows."""

def fill_absent(column: array[int], otherwise: array[int], /) -> int:
    """Put `otherwise` in every absent place of a column; return how many are absent still."""

def decide_batch(
    kinds: list[tuple[Plan | None, Sequence[int], tuple[int, ...], Any]],
    columns: list[array[int]],
    times_ns: list[int],
    taken: list[array[int]] | None = None,
    cluster_index: ClusterIndex | None = None,
    cluster_at: int = -1,
    start: int = 0,
    stop: int = -1,
    would: list[int] | None = None,
    /,
) -> tuple[list[tuple[int, Outcome]], int]:
    """Decide records one after another; return the refused ones by index, and how many no plan applies to.

    A record's kind is a plan, its costs, where `taken` has what records took of each cost (-1: nowhere), and
    whatever else the caller keeps there. Each is charged as by `Plan.decide` with its column's hashes, at its
    own time. Where a column of `taken` is absent, the kind's cost counts. Slots are free again at once: a
    record does not say how long it held them.

    With a `cluster_index`, each record is seen by it before it is decided. Its actor is put into column `cluster_at`
    and the two before (see `Watch`). To `would` are added those admitted of likely members that
    limits for the certain had no room for. Only records from `start` to before `stop` (-1: the end) are decided.
    """
