"""The facts about a principal, and what ties it to its cluster: see the stub for the contract."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport find_principal, principal_at
from ratelimit.core.clusters.cluster_index cimport NOBODY, ClusterIndex
from ratelimit.core.clusters.records cimport (
    AT_HOME, BLOCK, CLIENT_AT, COARSE, EXTRA, EXTRA_AT, FINE, HOMED, NEW, OLD, PAYMENT, PAYMENT_AT, TICK_S, Identifier, Principal,
    identifier_key, is_infrastructure, joined, kind_at, kind_of, rate_of, resolve, value_of, visits_of,
)


cdef str family_at(int slot):
    if slot < PAYMENT_AT:
        return "network"
    if slot < CLIENT_AT:
        return "payment"
    return "client" if slot < EXTRA_AT else "extra"


cdef inline bint is_of(const Identifier *node, const Principal *p) noexcept nogil:
    """Return whether an identifier belongs to a principal's cluster; for a principal in none, to any."""
    return node.label != 0 and (p.label == 0 or node.label == p.label)


def accounts_at(ClusterIndex cluster_index not None, uint64_t value, /):
    cdef int kind
    cdef uint32_t at, most = 0
    cdef uint64_t bit
    for kind in (FINE, COARSE, PAYMENT, BLOCK, EXTRA, EXTRA + 1, EXTRA + 2):
        # Of an address and its network, the lowest bit is what is declared of it.
        for bit in range(2 if kind in (FINE, COARSE, BLOCK) else 1):
            at = cluster_index.evidence.find_identifier(identifier_key(value ^ bit, kind))
            if at != NOBODY:
                most = max(most, <uint32_t>cluster_index.evidence.identifiers[at].degree)
    return most


def reasons(ClusterIndex cluster_index not None, uint64_t key, /):
    cdef uint32_t at = find_principal(cluster_index.evidence, key), now = cluster_index.evidence.now_s
    cdef Principal *p
    cdef Identifier *node
    cdef Identifier *coarse
    cdef int i
    cdef bint is_clusters
    cdef int64_t epoch = cluster_index.evidence.epoch_s
    if at == NOBODY:
        return None
    p = principal_at(cluster_index.evidence, at)
    shared = []
    for i in range(cluster_index.evidence.edges):
        node = resolve(cluster_index.evidence.identifiers, p.edges[i].ref)
        if node == NULL:
            continue
        is_clusters = is_of(node, p)
        if i < PAYMENT_AT and not is_clusters:
            coarse = resolve(cluster_index.evidence.identifiers, node.parent)
            is_clusters = coarse != NULL and is_of(coarse, p)
        shared.append({
            "family": family_at(i),
            "kind": kind_at(i),
            "hash": value_of(joined(cluster_index.evidence.values[node - cluster_index.evidence.identifiers].key), kind_of(node)),
            "principals": node.degree,
            "is_clusters": bool(is_clusters),
            "is_home": i < PAYMENT_AT and p.edges[i].visits & AT_HOME != 0,
            "hours": visits_of(p.edges + i),
            "span_h": p.edges[i].span,
            "age_s": (now // TICK_S - p.edges[i].seen) % 65536 * TICK_S,
            "infrastructure": bool(is_infrastructure(node)),
        })
    return {
        "label": p.label,
        "verdict": cluster_index.verdict(p),
        "requests": p.requests,
        "rate": rate_of(p, now),
        "created_s": p.created_s,
        "is_homed": p.traits & HOMED != 0,
        "is_new": p.traits & NEW != 0,
        "is_old": p.traits & OLD != 0,
        "first_s": p.first_s + epoch,
        "last_s": p.last_s + epoch,
        "shared": shared,
    }
