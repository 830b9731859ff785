"""The explanation of a principal's cluster: by family and hash, never by raw value.

For the operator alone. Nothing of it goes to a refused client, which would learn from it
which shared identifier gave it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ratelimit.correlation.classification import Verdict

Family = Literal["network", "payment", "client", "extra"]
Override = Literal["exempt", "together", "apart", "confirm", "clear"]


@dataclass(frozen=True, slots=True)
class Shared:
    """One thing a principal was lately seen with."""

    family: Family
    kind: int
    """0 address, 1 network, 2 payment, 3 client, 4 to 6 further families."""
    hash: int
    """As requests' identities have it; of an address the lowest bit says infrastructure."""
    principals: int
    """All principals seen with it."""
    is_clusters: bool
    """True if it is an exit or a payment method of the principal's cluster; without one, of any."""
    is_home: bool
    """True if the principal is at home there."""
    hours: int
    """Hours in which it was seen there; 127 may be more."""
    span_h: int
    """Hours from the first time to the last; 255 may be more."""
    last_ns: int
    is_infrastructure: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """One principal, and what binds it to its cluster."""

    principal: int
    cluster: int | None
    """The identity that limits count its cluster by; None when it is in none."""
    verdict: Verdict
    """The verdict on the principal by itself."""
    actor: Verdict
    """The verdict on its cluster as a whole."""
    why: str
    """The kind of the cluster, in a word; empty without one."""
    words: str
    """The findings about the cluster as a whole, in sentences; empty without one."""
    young_until_ns: int | None
    """Until when its cluster is young; None without one, or if it is not."""
    members: int
    since_ns: int | None
    """Since when both the cluster and the principal were there; None without a cluster."""
    first_ns: int
    last_ns: int
    created_ns: int | None
    """The time when the account was created; None where that is not known."""
    age: Literal["new", "old", "unknown"]
    is_homed: bool
    """True if it is at home somewhere."""
    requests: int
    shared: tuple[Shared, ...]
    """The identifiers that it was lately seen with, by family."""
    override: Override | None
    """The operator's override of it, if any."""
