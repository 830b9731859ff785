"""The factory of the clustering service that a policy asks for."""

from __future__ import annotations

from collections.abc import Callable

from ratelimit.clustering.budgets import Budgets
from ratelimit.clustering.hosts.agent import Hosts
from ratelimit.clustering.service import ClusteringService
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import open_board


def service_of(
    policy: Policy,
    store: Store,
    *,
    correlates: bool,
    hosts: Hosts | None,
    budgets: Callable[[], Budgets],
    diagnose: Callable[[str], None],
) -> ClusteringService | None:
    """Return what correlates under a policy, its shared memory opened; None where it asks for nothing.

    Args:
        policy: what asks for it.
        store: where the limits' state lives; the clusters' lies beside it.
        correlates: whether this process is there to correlate for several hosts.
        hosts: how to take part where several hosts share a correlator; None where this one has its own.
        budgets: returns the limits per cluster that are in force.
        diagnose: told stable codes of what deserves a word to the operator.

    Raises:
        StoreError: the shared memory cannot be opened.
    """
    spec = policy.compiled.correlation
    if spec is None:
        return None
    principals = spec.settings.principals
    shared = open_board(policy, store, principals, is_shared=not correlates)
    return ClusteringService(spec, shared, store.hasher.key, budgets=budgets, diagnose=diagnose, hosts=hosts)
