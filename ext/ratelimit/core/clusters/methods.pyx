"""Payment methods that are an actor's own: see the stub for the contract.

Theory of operation. An address has its last payers in two words. A payment method has in the second of these
words the cluster of its accounts and the number of certain members. `MIXED` says that there are other accounts.
The words are found anew after each rebuild, so that snapshots and hosts have nothing to carry.
"""

from libc.stdint cimport uint32_t

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.clusters.records cimport (
    CERTAIN, CLIENT_AT, PAYMENT, PAYMENT_AT, Identifier, Principal, Value, kind_of, resolve,
)

cdef extern from "ratelimit/core/threads/handover.h":
    pass


def forget(ClusterIndex cluster_index not None, uint32_t start, uint32_t stop, /):
    cdef uint32_t at
    cdef Evidence evidence = cluster_index.evidence
    with nogil:
        for at in range(start, min(stop, evidence.identifier_count)):
            if kind_of(evidence.identifiers + at) == PAYMENT:
                evidence.values[at].payers[1] = 0


def tally(ClusterIndex cluster_index not None, uint32_t start, uint32_t stop, /):
    cdef uint32_t at
    cdef int i
    cdef Principal *p
    cdef Identifier *node
    cdef Value *value
    cdef Evidence evidence = cluster_index.evidence
    with nogil:
        for at in range(start, min(stop, evidence.principal_count)):
            p = principal_at(evidence, at)
            for i in range(PAYMENT_AT, CLIENT_AT):
                node = resolve(evidence.identifiers, p.edges[i].ref)
                if node == NULL or kind_of(node) != PAYMENT:  # an edge so old that its generation came again
                    continue
                value = evidence.values + (node - evidence.identifiers)
                if value.payers[1] == MIXED:
                    continue
                if cluster_index.verdict(p) != CERTAIN or value.payers[1] and value.payers[1] >> 16 != p.label:
                    value.payers[1] = MIXED
                else:
                    value.payers[1] = <uint32_t>p.label << 16 | min(value.payers[1] + 1 & 0xFFFF, <uint32_t>MET)


cdef uint32_t mix(Evidence evidence, const Principal *p, uint32_t *found) noexcept nogil:
    """Note that a principal is no certain member; return how many of its payment methods were an actor's own.

    The positions of these go into `found`, which has room for two.
    """
    cdef Identifier *node
    cdef uint32_t at, count = 0
    cdef int i
    for i in range(PAYMENT_AT, CLIENT_AT):
        node = resolve(evidence.identifiers, p.edges[i].ref)
        if node == NULL or kind_of(node) != PAYMENT:  # an edge so old that its generation came again
            continue
        at = <uint32_t>(node - evidence.identifiers)
        if owner_of(evidence.values + at):
            found[count] = at
            count += 1
        evidence.values[at].payers[1] = MIXED
    return count
