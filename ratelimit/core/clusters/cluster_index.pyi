"""Assignments of accounts to clusters, their certainty, and the cost to each cluster's budget."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.clusters.evidence import Evidence
from ratelimit.core.clusters.overrides import Overrides
from ratelimit.core.clusters.sighting import Columns

YOUNG: int
"""The bit of what limits count one of a young cluster's budgets by."""
BUDGET: int
"""The bits there with its number."""

def cluster_of(identity: int, /) -> int:
    """Return the cluster whose budget limits count by an identity: of a cluster's own, the same."""

@final
class ClusterIndex:
    """Labels and verdicts on principals, and a record of each cluster.

    Between rebuilds a newcomer joins the cluster that its payment method and most of its exits belong
    to, with that cluster's verdict (`set_verdict`). An account that is at home anywhere or known to be
    old never does. In a rebuild (from `begin` to `end`) none does.

    A method that takes `start` and `stop` walks that range of positions; a range past the end is cut
    short. What order they come in is `rebuild`'s business. A verdict is 0 for none, 1 for likely, 2 for
    certain; a label is 1 to `most_clusters`, 0 for none.

    A member that is certain brings to its cluster what it was given while it was in none. That is 255
    requests at most, of which half is forgotten each day; nothing of an account older than the cluster by a day.

    Args:
        evidence: of the accounts.
        columns: where rows of identities have what it looks at.
        clusters: how many there may be at once, at most 4096.
        new_s: for so many seconds an account is new.
        records_s: so old must records be for an account that is first seen to be taken for new.
        young_s: for so many seconds a certain cluster is young, if all of its accounts were new.
        methods_a_budget: so many payment methods of a young cluster share one of its budgets.

    Raises:
        ValueError: `clusters` or `methods_a_budget` is out of range.
        MemoryError: there is no room.
        IndexError: by any method that is given a label there cannot be.
    """

    def __new__(
        cls,
        evidence: Evidence,
        columns: Columns,
        *,
        clusters: int,
        new_s: int,
        records_s: int,
        young_s: int = 0,
        methods_a_budget: int = 1,
    ) -> ClusterIndex: ...
    @property
    def evidence(self) -> Evidence: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def most_clusters(self) -> int: ...
    @property
    def labels(self) -> int:
        """The highest label that was ever in use."""
    @property
    def is_rebuilding(self) -> bool:
        """True if a rebuild is under way: newcomers then wait for its end."""
    @property
    def owing(self) -> bool:
        """True if clusters owe what members were given before they were recognised."""

    # Requests.

    def observe(self, row: Sequence[int], now_ns: int, /) -> None:
        """Take one request in that is to be decided now; its principal may join a cluster it now fits.

        A row without a principal leaves nothing. Time that steps back stands still.
        """
    def admit(self, row: Sequence[int], /) -> None:
        """Count a request of a row's principal that limits per cluster had no cluster for."""
    def cluster(self, row: Sequence[int], /) -> int:
        """Return what limits count this row's cluster by, -1 without one or where no verdict counts."""
    def fill(self, row: list[int], at: int, /) -> None:
        """Put a row's actor into the place `at` and the three before it: see `Watch.fill`."""

    # Clusters.

    def begin(self) -> None:
        """Stop assigning newcomers: a rebuild is under way."""
    def end(self) -> None:
        """Go on assigning newcomers."""
    def open_label(self) -> int:
        """Return an unused label for a new cluster, 0 when there is none left."""
    def close_label(self, label: int) -> None:
        """Give a label up; its principals keep it until `release` has walked over them."""
    def name(self, label: int, identity: int) -> None:
        """Set what limits count a cluster by. Limits know no member of a cluster without a name."""
    def set_verdict(self, label: int, verdict: int) -> None:
        """Set the verdict on newcomers that fit a cluster."""
    def become_certain(self, label: int, is_new: bool) -> None:
        """Note that a cluster is certain, and whether all of its accounts are new; only the first call counts."""
    def young_until_s(self, label: int) -> int:
        """Return until when a cluster is young, in seconds since the Unix epoch; 0 if it is not.

        One that the operator confirms is not. Where no limit asks for young clusters, none is.
        """
    def live(self) -> list[int]:
        """Return the labels in use."""
    def first_s(self, label: int) -> int:
        """Return when a cluster was opened, in seconds since the Unix epoch."""
    def size(self, label: int) -> int:
        """Return how many members a cluster has, as last counted; the dormant are members too."""
    def merge(self, start: int, stop: int, label: int, into: int) -> None:
        """Give one cluster's principals to another, and what it owes."""

    # Passes of a rebuild.

    def clear(self, start: int, stop: int) -> None:
        """Forget how many principals identifiers have, and the closed clusters they belonged to."""
    def gather(self, start: int, stop: int) -> None:
        """Count principals at their identifiers; drop edges too old."""
    def count(self, start: int, stop: int) -> None:
        """Count clusters' members among principals, the dormant too; a range from 0 begins anew."""
    def release(self, start: int, stop: int) -> None:
        """Take the labels of closed clusters from principals."""
    def release_identifiers(self, start: int, stop: int) -> None:
        """Take the labels of closed clusters from identifiers."""
    def drop_inferred(self, start: int, stop: int, label: int) -> None:
        """Take a cluster's label from all members that were not ruled into it.

        Raises:
            ValueError: nothing was ruled.
        """
    def collect(self, start: int, stop: int) -> None:
        """Have clusters charged with what their certain members were given before."""

    # What the operator says, and what was inferred.

    def set_overrides(self, overrides: Overrides | None) -> None:
        """Go by what the operator says of principals, None for nothing."""
    def knows(self, key: int) -> bool:
        """Return whether a principal is remembered."""
    def assign(self, key: int, label: int) -> bool:
        """Put a principal into a cluster for certain, 0 for none; return whether that is news."""
    def set_inferred(self, key: int, verdict: int) -> bool:
        """Set what is inferred of a principal; False if it is not remembered.

        Raises:
            ValueError: there is no such verdict.
        """
    def created_s(self, key: int) -> int:
        """Return when a principal's account was created, in seconds since 1970; 0 for not known.

        It is the earliest that was ever given, and never later than when it was given.
        """
    def label_of(self, key: int) -> int:
        """Return a principal's cluster, 0 for none or when it is not remembered."""
    def members(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Return (cluster, key, verdict as inferred) of the principals that belong to one."""
    def cluster_identity(self, key: int) -> int | None:
        """Return what limits count a principal's cluster by; None without one or where no verdict counts."""
    def budget_identity(self, key: int) -> int | None:
        """Return which of its young cluster's budgets a principal is counted by, None for none.

        A young cluster's payment methods are numbered in the order in which members come with them. Each
        `methods_a_budget` of them have one budget, and accounts without a method share the first.
        """
    def verdict_of(self, key: int) -> int:
        """Return the verdict that counts: what is inferred, unless the operator overrides it."""

    # What clusters owe.

    def debts(self) -> list[tuple[int, int]]:
        """Return what limits count clusters by, and requests to be charged to each; they are forgotten.

        Members of a young cluster owe to its budgets, if limits ask for these.
        """
    def inherit(self, other: ClusterIndex) -> None:
        """Owe what another index owes for the clusters that were copied from it, as far as there is room."""
