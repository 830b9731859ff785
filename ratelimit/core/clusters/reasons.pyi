"""The facts about a principal, and what ties it to its cluster."""

from typing import Any

from ratelimit.core.clusters.cluster_index import ClusterIndex

def accounts_at(cluster_index: ClusterIndex, value: int, /) -> int:
    """Return about how many accounts that are not dormant were seen with a value, 0 for none.

    The value is a hash as rows have it, of an address, a network, a payment method or a further family.
    """

def reasons(cluster_index: ClusterIndex, key: int, /) -> dict[str, Any] | None:
    """Return what is known of a principal; None when it is not remembered.

    `label` and `verdict` (the one that counts) are 0 without a cluster. `requests` counts all that were
    seen, `rate` those a day of late. `created_s` is 0 where that is not known; `first_s` and `last_s` are
    seconds since the Unix epoch. `is_homed`, `is_new` and `is_old` are what the last rebuild found.

    `shared` has what it was lately seen with, each with `family`, `kind`, `hash`, how many `principals` use
    it, and whether it `is_clusters` and `is_home`. Each has in how many `hours` it was seen (127 at most),
    and `span_h` from the first to the last (255 at most). Each has `age_s` since then, and whether it is
    `infrastructure`.
    """
