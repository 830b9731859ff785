"""A correlator's memory as bytes, piece by piece, and back: see the stub for the contract.

The caller vouches for the bytes: they are written over C structures. Only what would lead
outside of the arrays is checked again here. A smaller policy may have less room
than the memory that was saved; or other families, so that principals have more
edges or fewer.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.hash_index cimport put
from ratelimit.core.clusters.cluster_index cimport MOST_LABELS, Cluster, ClusterIndex
from ratelimit.core.clusters.testimony cimport WAYS, Testimony
from ratelimit.core.clusters.records cimport (
    CERTAIN, EXTRAS, INDEX_BITS, KINDS, LIKELY, PAYMENT, Edge, Identifier, Principal, Value, joined, kind_of,
)

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef extern from *:
    """
    #ifndef KIN_SHAPES
    #define KIN_SHAPES 0
    #endif
    """
    const uint64_t KIN_SHAPES

# Changes with every structure that is saved: setup.py makes it from their declarations.
IMAGE_SHAPES = KIN_SHAPES
REGIONS = ("principals", "identifiers", "values", "clusters", "testimonies")


cdef struct Region:
    uint8_t *at
    uint64_t size           # of one item
    uint64_t count          # items in use
    uint64_t room


@cython.final
cdef class Image:
    cdef readonly ClusterIndex cluster_index

    def __cinit__(self, ClusterIndex cluster_index not None):
        self.cluster_index = cluster_index

    cdef Region region(self, int number) except *:
        cdef Region region
        cdef ClusterIndex cluster_index = self.cluster_index
        cdef Evidence evidence = cluster_index.evidence
        region.count = cluster_index.labels + 1
        region.room = cluster_index.most_clusters + 1
        if number == 0:
            region.at, region.size = <uint8_t *>evidence.principals, evidence.principal_bytes
            region.count, region.room = evidence.principal_count, evidence.most_principals
        elif number == 1:
            region.at, region.size = <uint8_t *>evidence.identifiers, sizeof(Identifier)
            region.count, region.room = evidence.identifier_count, evidence.most_identifiers
        elif number == 2:
            region.at, region.size = <uint8_t *>evidence.values, sizeof(Value)
            region.count, region.room = evidence.identifier_count, evidence.most_identifiers
        elif number == 3:
            region.at, region.size = <uint8_t *>cluster_index.clusters, sizeof(Cluster)
        elif number == 4:
            region.at, region.size = <uint8_t *>evidence.testimonies, sizeof(Testimony)
            region.room = <uint64_t>evidence.testimony_lines * WAYS
            region.count = region.room if evidence.principal_evictions else 0
        else:
            raise IndexError(f"an image has {len(REGIONS)} regions")
        return region

    def shape(self, int number, /):
        cdef Region region = self.region(number)
        return region.size, region.count

    def read_items(self, int number, uint64_t start, uint64_t stop, /):
        cdef Region region = self.region(number)
        if start > stop or stop > region.count:
            raise IndexError(f"{REGIONS[number]} has {region.count} items")
        return PyBytes_FromStringAndSize(<char *>region.at + start * region.size, (stop - start) * region.size)

    def fits(self, int number, size, /):
        cdef Region region = self.region(number)
        if size == region.size:
            return True
        # With other families there are other edges, which come last.
        return number == 0 and any(size == sizeof(Principal) - absent * sizeof(Edge) for absent in range(EXTRAS + 1))

    def write_items(self, int number, uint64_t start, uint64_t size, bytes items not None, /):
        cdef Region region = self.region(number)
        cdef uint64_t i, count
        cdef const char *source = items
        if not self.fits(number, size) or len(items) % size:
            raise ValueError(f"{len(items)} bytes are no whole number of {REGIONS[number]}")
        count = len(items) // size
        for i in range(min(count, region.room - start) if start < region.room else 0):
            # A smaller room: what does not fit is forgotten.
            memcpy(region.at + (start + i) * region.size, source + i * size, min(size, region.size))

    def numbers(self):
        cdef Evidence e = self.cluster_index.evidence
        return {
            "principals": e.principal_count,
            "awake": e.awake_count,
            "identifiers": e.identifier_count,
            "labels": self.cluster_index.labels,
            "epoch_s": e.epoch_s,
            "now_s": e.now_s,
            "new_edges": e.new_edges,
            "informative_edges": e.informative_edges,
            "returns": e.returns,
            "principal_evictions": e.principal_evictions,
            "identifier_evictions": e.identifier_evictions,
        }

    def finish(self, numbers, /):
        cdef Evidence e = self.cluster_index.evidence
        cdef ClusterIndex cluster_index = self.cluster_index
        cdef uint32_t label
        if e.principal_count or e.identifier_count:
            raise ValueError("evidence is restored before anything is observed")
        e.epoch_s = numbers["epoch_s"]
        e.now_s = numbers["now_s"]
        e.new_edges = numbers["new_edges"]
        e.informative_edges = numbers.get("informative_edges", e.new_edges)
        e.returns = numbers["returns"]
        e.principal_evictions = numbers["principal_evictions"]
        e.identifier_evictions = numbers["identifier_evictions"]
        e.principal_count = min(<uint32_t>numbers["principals"], e.most_principals)
        e.awake_count = min(<uint32_t>numbers.get("awake", e.principal_count), e.principal_count)
        e.identifier_count = min(<uint32_t>numbers["identifiers"], e.most_identifiers)
        cluster_index.labels = min(<uint32_t>numbers["labels"], cluster_index.most_clusters)
        memset(e.kind_counts, 0, KINDS * 4)
        # Debts go another way (`ClusterIndex.inherit`), or were charged since by a worker that is no more.
        for label in range(cluster_index.labels + 1):
            cluster_index.clusters[label].owed = 0

    def mend_identifiers(self, uint32_t start, uint32_t stop, /):
        with nogil:
            mend_identifiers(self.cluster_index.evidence, start, stop)

    def mend_principals(self, uint32_t start, uint32_t stop, /):
        with nogil:
            mend_principals(self.cluster_index.evidence, self.cluster_index, start, stop)

    def __reduce__(self):
        raise TypeError("an Image is of memory of this process and is not pickled")


@cython.final
cdef class Tally:
    cdef readonly ClusterIndex cluster_index
    cdef uint64_t members[CERTAIN + 1]
    cdef uint8_t most[MOST_LABELS + 1]  # the highest verdict of each label's members

    def __cinit__(self, ClusterIndex cluster_index not None):
        self.cluster_index = cluster_index
        memset(self.members, 0, sizeof(self.members))
        memset(self.most, 0, sizeof(self.most))

    def count(self, uint32_t start, uint32_t stop, /):
        cdef uint32_t at
        cdef uint8_t verdict
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.cluster_index.evidence.principal_count)):
                p = principal_at(self.cluster_index.evidence, at)
                if p.label:
                    verdict = self.cluster_index.verdict(p)
                    self.members[verdict] += 1
                    self.most[p.label] = max(self.most[p.label], verdict)

    def found(self):
        cdef uint32_t label
        cdef uint64_t clusters[CERTAIN + 1]
        memset(clusters, 0, sizeof(clusters))
        for label in range(1, MOST_LABELS + 1):
            clusters[self.most[label]] += 1
        return {
            name: (clusters[verdict], self.members[verdict])
            for verdict, name in ((LIKELY, "likely"), (CERTAIN, "certain"))
        }

    def __reduce__(self):
        raise TypeError("a Tally is of memory of this process and is not pickled")


cdef inline uint32_t within(uint32_t ref, uint32_t count) noexcept nogil:
    """Return an edge's reference, 0 if it leads past the identifiers there are."""
    return ref if (ref & ((1 << INDEX_BITS) - 1)) <= count else 0


cdef void mend_identifiers(Evidence e, uint32_t start, uint32_t stop) noexcept nogil:
    cdef uint32_t at
    cdef Identifier *found
    for at in range(start, min(stop, e.identifier_count)):
        found = e.identifiers + at
        found.parent = within(found.parent, e.identifier_count)
        if kind_of(found) != PAYMENT:  # there they lead nowhere: see `methods`
            e.values[at].payers[0] = within(e.values[at].payers[0], e.identifier_count)
            e.values[at].payers[1] = within(e.values[at].payers[1], e.identifier_count)
        e.kind_counts[kind_of(found)] += 1
        put(&e.identifier_index, joined(e.values[at].key), at)


cdef void mend_principals(Evidence e, ClusterIndex cluster_index, uint32_t start, uint32_t stop) noexcept nogil:
    cdef uint32_t at
    cdef int i
    cdef Principal *p
    for at in range(start, min(stop, e.principal_count)):
        p = principal_at(e, at)
        for i in range(e.edges):
            p.edges[i].ref = within(p.edges[i].ref, e.identifier_count)
        p.verdict = min(p.verdict, <uint8_t>CERTAIN)
        if p.label > cluster_index.labels or not cluster_index.clusters[p.label].live:
            p.label = 0
            p.verdict = 0
        put(&e.principal_index, joined(p.key), at)
