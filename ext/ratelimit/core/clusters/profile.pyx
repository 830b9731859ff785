"""A cluster as a whole, for those who look at it: see the stub for the contract.

Identifiers keep no list of their principals, so each answer is one walk over all principals, without the interpreter's lock.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.cluster_index cimport MOST_LABELS, NOBODY, ClusterIndex
from ratelimit.core.clusters.evidence cimport Evidence, find_principal, principal_at
from ratelimit.core.clusters.records cimport (
    AT_HOME, BLOCK, CLIENT_AT, COARSE, EXTRA, EXTRA_AT, FINE, MOST_DEGREE, NEW, PAYMENT, PAYMENT_AT, Identifier, Principal,
    identifier_key, is_infrastructure, joined, kind_of, rate_of, resolve, value_of,
)

from heapq import heappush, heapreplace

cdef enum:
    MOST_FORMS = 10        # identifiers that one value may be
    OF_PAYER = 1           # an address of accounts that pay by a method,
    OF_BOTH = 2            # and of accounts that pay by another one


def takings(ClusterIndex cluster_index not None, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint64_t *requests = <uint64_t *>PyMem_RawCalloc(MOST_LABELS + 1, sizeof(uint64_t))
    cdef double *rates = <double *>PyMem_RawCalloc(MOST_LABELS + 1, sizeof(double))
    cdef uint32_t at
    cdef Principal *p
    try:
        if requests == NULL or rates == NULL:
            raise MemoryError
        with nogil:
            for at in range(e.principal_count):
                p = principal_at(e, at)
                if 0 < p.label <= MOST_LABELS:
                    requests[p.label] += p.requests
                    rates[p.label] += rate_of(p, e.now_s)
        return {at: (requests[at], rates[at]) for at in range(1, MOST_LABELS + 1) if requests[at]}
    finally:
        PyMem_RawFree(requests)
        PyMem_RawFree(rates)


def members_of(ClusterIndex cluster_index not None, uint32_t label, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t at
    cdef Principal *p
    cdef list found = []
    for at in range(e.principal_count):
        p = principal_at(e, at)
        if p.label == label and label:
            found.append((
                joined(p.key), cluster_index.verdict(p), p.requests, p.first_s + e.epoch_s, p.last_s + e.epoch_s,
            ))
    return found


def shared_by(ClusterIndex cluster_index not None, uint32_t label, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t *counts = <uint32_t *>PyMem_RawCalloc(e.most_identifiers, sizeof(uint32_t))
    cdef uint32_t *homes = <uint32_t *>PyMem_RawCalloc(e.most_identifiers, sizeof(uint32_t))
    cdef uint32_t at, place
    cdef Principal *p
    cdef Identifier *node
    cdef int i
    cdef list found = []
    try:
        if counts == NULL or homes == NULL:
            raise MemoryError
        with nogil:
            for at in range(e.principal_count):
                p = principal_at(e, at)
                if p.label != label or label == 0:
                    continue
                for i in range(e.edges):
                    node = resolve(e.identifiers, p.edges[i].ref)
                    if node != NULL:
                        place = <uint32_t>(node - e.identifiers)
                        counts[place] += 1
                        homes[place] += i < PAYMENT_AT and p.edges[i].visits & AT_HOME != 0
        for place in range(e.most_identifiers):
            if counts[place]:
                node = e.identifiers + place
                found.append((
                    kind_of(node), value_of(joined(e.values[place].key), kind_of(node)), counts[place],
                    max(counts[place], <uint32_t>node.degree), node.degree >= MOST_DEGREE, is_clusters(e, node, label),
                    homes[place], bool(is_infrastructure(node)),
                ))
        return found
    finally:
        PyMem_RawFree(counts)
        PyMem_RawFree(homes)


def neighbours_of(ClusterIndex cluster_index not None, uint32_t label, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t at
    cdef uint16_t payments, exits
    cdef Principal *p
    cdef Identifier *node
    cdef int i
    cdef list found = []
    for at in range(e.principal_count):
        p = principal_at(e, at)
        if p.label == label or label == 0:
            continue
        payments = exits = 0
        for i in range(e.edges):
            if CLIENT_AT <= i < EXTRA_AT:  # a program is no tie between accounts
                continue
            node = resolve(e.identifiers, p.edges[i].ref)
            if node != NULL and node.label == label:
                if i < PAYMENT_AT:
                    exits += 1
                else:
                    payments += 1
        if payments or exits:
            found.append((joined(p.key), payments, exits, p.label, p.requests))
    return found


def payers_beside(ClusterIndex cluster_index not None, uint64_t payment, Py_ssize_t most, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t paid = e.find_identifier(identifier_key(payment, PAYMENT))
    cdef uint8_t *exits = <uint8_t *>PyMem_RawCalloc(e.most_identifiers, 1)
    cdef uint32_t at
    cdef Principal *p
    cdef Identifier *node
    cdef int i
    cdef list found = [], shared
    try:
        if exits == NULL:
            raise MemoryError
        with nogil:
            for at in range(e.principal_count if paid != NOBODY else 0):
                p = principal_at(e, at)
                if not pays_by(e, p, paid, False):
                    continue
                for i in range(PAYMENT_AT):
                    node = resolve(e.identifiers, p.edges[i].ref)
                    if node != NULL and kind_of(node) == FINE and not is_infrastructure(node):
                        exits[node - e.identifiers] = OF_PAYER
            # A method of a hundred thousand accounts is rarely met by others: those alone are told of.
            for at in range(e.principal_count if paid != NOBODY else 0):
                p = principal_at(e, at)
                if not pays_by(e, p, paid, True):
                    continue
                for i in range(PAYMENT_AT):
                    node = resolve(e.identifiers, p.edges[i].ref)
                    if node != NULL and exits[node - e.identifiers]:
                        exits[node - e.identifiers] = OF_BOTH
        for at in range(e.principal_count if paid != NOBODY else 0):
            if len(found) >= most:
                break
            p = principal_at(e, at)
            if not is_met(e, p, exits):
                continue
            shared = []
            for i in range(PAYMENT_AT):
                node = resolve(e.identifiers, p.edges[i].ref)
                if node != NULL and exits[node - e.identifiers] == OF_BOTH:
                    shared.append(value_of(joined(e.values[node - e.identifiers].key), FINE))
            for i in range(PAYMENT_AT, CLIENT_AT):
                node = resolve(e.identifiers, p.edges[i].ref)
                if node != NULL and kind_of(node) == PAYMENT:
                    found.append((
                        value_of(joined(e.values[node - e.identifiers].key), PAYMENT), joined(p.key), shared,
                        p.traits & NEW != 0,
                    ))
        return found
    finally:
        PyMem_RawFree(exits)


cdef bint is_met(Evidence e, Principal *p, const uint8_t *exits) noexcept nogil:
    """Return whether a principal was at an address where accounts of both methods were."""
    cdef Identifier *node
    cdef int i
    for i in range(PAYMENT_AT):
        node = resolve(e.identifiers, p.edges[i].ref)
        if node != NULL and exits[node - e.identifiers] == OF_BOTH:
            return True
    return False


cdef bint pays_by(Evidence e, Principal *p, uint32_t paid, bint another) noexcept nogil:
    """Return whether a principal pays by a method, or by another one than that."""
    cdef Identifier *node
    cdef int i
    for i in range(PAYMENT_AT, CLIENT_AT):
        node = resolve(e.identifiers, p.edges[i].ref)
        if node != NULL and kind_of(node) == PAYMENT and (<uint32_t>(node - e.identifiers) == paid) != another:
            return True
    return False


cdef bint is_clusters(Evidence e, Identifier *node, uint32_t label) noexcept:
    """Return whether an identifier is a cluster's, by itself or by its network."""
    cdef Identifier *coarse
    if node.label == label:
        return True
    if kind_of(node) != FINE:
        return False
    coarse = resolve(e.identifiers, node.parent)
    return coarse != NULL and coarse.label == label


def seen_with(ClusterIndex cluster_index not None, uint64_t value, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t wanted[MOST_FORMS]
    cdef int forms = forms_of(e, value, wanted)
    cdef uint32_t at
    cdef Principal *p
    cdef list found = []
    for at in range(e.principal_count if forms else 0):
        p = principal_at(e, at)
        if is_seen_with(e, p, wanted, forms):
            found.append(told_of(cluster_index, p))
    return found


def most_seen_with(ClusterIndex cluster_index not None, uint64_t value, Py_ssize_t most, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t wanted[MOST_FORMS]
    cdef int forms = forms_of(e, value, wanted)
    cdef uint32_t *labels = <uint32_t *>PyMem_RawCalloc(MOST_LABELS + 1, sizeof(uint32_t))
    cdef uint32_t at, count = 0
    cdef uint64_t least = 0
    cdef Principal *p
    cdef list busiest = []
    try:
        if labels == NULL:
            raise MemoryError
        for at in range(e.principal_count if forms else 0):
            p = principal_at(e, at)
            if not is_seen_with(e, p, wanted, forms):
                continue
            count += 1
            if p.label <= MOST_LABELS:
                labels[p.label] += 1
            if len(busiest) < most:
                heappush(busiest, (p.requests, at))
                least = busiest[0][0]
            elif p.requests > least and most > 0:
                heapreplace(busiest, (p.requests, at))
                least = busiest[0][0]
        return (
            count, {label: labels[label] for label in range(1, MOST_LABELS + 1) if labels[label]},
            [told_of(cluster_index, principal_at(e, at)) for _, at in sorted(busiest, reverse=True)],
        )
    finally:
        PyMem_RawFree(labels)


cdef tuple told_of(ClusterIndex cluster_index, Principal *p):
    return (
        joined(p.key), cluster_index.verdict(p), p.label, p.requests, p.last_s + cluster_index.evidence.epoch_s,
    )


cdef bint is_seen_with(Evidence e, Principal *p, const uint32_t *wanted, int forms) noexcept nogil:
    """Return whether a principal was lately seen with one of some identifiers: by itself, its network or its block."""
    cdef Identifier *node
    cdef int i
    # A payment method is beside no address: most walks look at few edges.
    for i in range(PAYMENT_AT if are_beside_addresses(e, wanted, forms) else 0, e.edges):
        node = resolve(e.identifiers, p.edges[i].ref)
        while node != NULL:
            if is_one(<uint32_t>(node - e.identifiers), wanted, forms):
                return True
            node = resolve(e.identifiers, node.parent) if i < PAYMENT_AT else NULL
    return False


cdef bint are_beside_addresses(Evidence e, const uint32_t *wanted, int forms) noexcept nogil:
    """Return whether none of some identifiers is an address, a network or a block."""
    cdef int i
    for i in range(forms):
        if kind_of(e.identifiers + wanted[i]) in (FINE, COARSE, BLOCK):
            return False
    return True


def around(ClusterIndex cluster_index not None, uint64_t value, /):
    cdef Evidence e = cluster_index.evidence
    cdef uint32_t wanted[MOST_FORMS]
    cdef uint32_t at = find_principal(e, value)
    cdef Principal *p
    cdef int i
    cdef list found = []
    if at == NOBODY:
        for i in range(forms_of(e, value, wanted)):
            add_parents(e, e.identifiers + wanted[i], 0, found)
    else:
        p = principal_at(e, at)
        for i in range(PAYMENT_AT):
            add_parents(e, resolve(e.identifiers, p.edges[i].ref), p.edges[i].seen, found)
    return [(kind, hashed) for _seen, kind, hashed in sorted(found, reverse=True)]


cdef int add_parents(Evidence e, Identifier *node, uint16_t seen, list found) except -1:
    """Append when an address was seen, and the network and the block that it is in."""
    if node == NULL or kind_of(node) not in (FINE, COARSE):
        return 0
    node = resolve(e.identifiers, node.parent)
    while node != NULL:
        found.append((seen, kind_of(node), value_of(joined(e.values[node - e.identifiers].key), kind_of(node))))
        node = resolve(e.identifiers, node.parent)
    return 0


cdef int forms_of(Evidence e, uint64_t value, uint32_t *wanted) noexcept:
    """Find the identifiers that a value may be; return how many, `MOST_FORMS` at most."""
    cdef int kind, forms = 0
    cdef uint32_t at
    cdef uint64_t bit
    for kind in (FINE, COARSE, PAYMENT, BLOCK, EXTRA, EXTRA + 1, EXTRA + 2):
        # Of an address and its network, the lowest bit is what is declared of it.
        for bit in range(2 if kind in (FINE, COARSE, BLOCK) else 1):
            at = e.find_identifier(identifier_key(value ^ bit, kind))
            if at != NOBODY:
                wanted[forms] = at
                forms += 1
    return forms


cdef bint is_one(uint32_t place, const uint32_t *wanted, int forms) noexcept nogil:
    cdef int i
    for i in range(forms):
        if wanted[i] == place:
            return True
    return False
