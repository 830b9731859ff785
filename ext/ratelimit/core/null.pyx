"""What chance alone would group: see the stub for the contract.

Theory of operation. A permutation test (Fisher, 1935): who pays with what is dealt out
anew among the principals outside clusters, and so is who roams. How many use each payment
method, who was seen where, and how many roam, all stay as they are; only that the same
people do both is undone. What the search for seeds still finds is chance.

Nothing here writes to the evidence: edges are read, and everything else is a copy.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.evidence cimport Evidence, principal_at
from ratelimit.core.forest cimport find_root, join_roots
from ratelimit.core.traits cimport (
    CLIENT_AT, FINE_EDGES, MOST_DEGREE, PAYMENT_AT, Identifier, Principal, is_infrastructure, resolve,
)

cdef enum:
    SLOTS = CLIENT_AT - PAYMENT_AT
    LEAST_REQUESTS = 3      # as in the search for roamers


@cython.final
cdef class Null:
    cdef Evidence evidence
    cdef uint64_t state
    cdef uint32_t count         # principals that are looked at: those there were at the beginning
    cdef uint32_t dealt_count
    cdef readonly uint32_t outside
    cdef uint32_t numbered      # payment methods that are seeds
    cdef uint8_t *roams         # by principal
    # Three blocks of memory that are one thing after the other.
    cdef uint32_t *payments     # by principal and slot: the payment method dealt to it
    cdef uint32_t *seeds        # then by principal: what it is joined by, a number; 0 for who is not marked
    cdef uint32_t *roots        # and by seed: forest
    cdef uint32_t *dealt        # places in `payments` that are dealt out
    cdef uint32_t *outsiders    # and principals outside clusters
    cdef uint32_t *tops         # then by identifier: a payment method's number, and then a seed first met there
    cdef uint32_t *members      # then by root
    cdef uint8_t *counted       # and by seed: whether it was counted among a root's methods
    cdef uint16_t *marked       # by identifier: how many of the marked were seen there
    cdef uint16_t *methods      # then by root, saturating
    cdef size_t places          # in the second block
    cdef size_t nodes           # in the third

    def __cinit__(self, Evidence evidence not None, uint64_t seed):
        cdef size_t principals = evidence.most_principals, identifiers = evidence.most_identifiers
        self.evidence = evidence
        self.state = seed
        self.count = evidence.awake_count
        self.places = max(identifiers, principals * (SLOTS + 1))
        self.nodes = max(identifiers, principals)
        self.roams = <uint8_t *>PyMem_RawCalloc(principals, 1)
        self.payments = <uint32_t *>PyMem_RawCalloc(principals * SLOTS, 4)
        self.tops = <uint32_t *>PyMem_RawCalloc(self.places, 4)
        self.marked = <uint16_t *>PyMem_RawCalloc(self.nodes, 2)
        if self.roams == NULL or self.payments == NULL or self.tops == NULL or self.marked == NULL:
            raise MemoryError
        # A principal's seed is written where nobody's payment method is any more: it is walked from the first.
        self.seeds = self.payments
        self.roots = self.payments + principals
        self.dealt = self.tops
        self.outsiders = self.tops + principals * SLOTS
        self.members = self.tops
        self.counted = <uint8_t *>(self.tops + principals)
        self.methods = self.marked

    def __dealloc__(self):
        PyMem_RawFree(self.roams)
        PyMem_RawFree(self.payments)
        PyMem_RawFree(self.tops)
        PyMem_RawFree(self.marked)

    cdef uint64_t draw(self, uint64_t below) noexcept nogil:
        """Return a number from 0 to below - 1 (SplitMix64; Steele, Lea and Flood, 2014)."""
        cdef uint64_t z
        self.state += <uint64_t>0x9E3779B97F4A7C15
        z = self.state
        z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
        z ^= z >> 31
        # The high half by multiplication: the bias is below 2**-40 for what is drawn here.
        return ((z >> 32) * below) >> 32

    def gather(self, uint32_t start, uint32_t stop):
        cdef uint32_t at, place
        cdef Principal *p
        cdef int i
        with nogil:
            for at in range(start, min(stop, self.count)):
                p = principal_at(self.evidence, at)
                if p.label:
                    continue
                self.outsiders[self.outside] = at
                self.outside += 1
                self.roams[at] = p.roaming >= 2 and p.requests >= LEAST_REQUESTS and p.moves >= 0.5 * p.volume
                for i in range(SLOTS):
                    if resolve(self.evidence.identifiers, p.edges[PAYMENT_AT + i].ref) != NULL:
                        place = at * SLOTS + i
                        self.payments[place] = p.edges[PAYMENT_AT + i].ref
                        self.dealt[self.dealt_count] = place
                        self.dealt_count += 1

    def deal(self, uint32_t start, uint32_t stop):
        """Swap each of a range with one that has not had its turn (Fisher and Yates)."""
        cdef uint32_t at, other, one, two
        cdef uint8_t roams
        with nogil:
            for at in range(start, min(stop, self.dealt_count)):
                other = at + <uint32_t>self.draw(self.dealt_count - at)
                one, two = self.dealt[at], self.dealt[other]
                self.payments[one], self.payments[two] = self.payments[two], self.payments[one]
            for at in range(start, min(stop, self.outside)):
                other = at + <uint32_t>self.draw(self.outside - at)
                one, two = self.outsiders[at], self.outsiders[other]
                roams = self.roams[one]
                self.roams[one] = self.roams[two]
                self.roams[two] = roams

    @property
    def dealt_places(self):
        return max(self.dealt_count, self.outside)

    cdef uint32_t number_of(self, uint32_t place) noexcept nogil:
        """Return the number of a payment method among those that are seeds, counting from 1."""
        if self.tops[place] == 0:
            self.numbered += 1
            self.tops[place] = self.numbered
        return self.tops[place]

    cdef uint32_t place_of(self, Identifier *node) noexcept nogil:
        return <uint32_t>(node - self.evidence.identifiers)

    cdef void mark(self, Principal *p, bint networks) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t coarse = 0
        cdef int i
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            if self.marked[self.place_of(node)] < MOST_DEGREE:
                self.marked[self.place_of(node)] += 1
            if networks and node.parent != coarse:
                coarse = node.parent
                node = resolve(self.evidence.identifiers, coarse)
                if node != NULL and self.marked[self.place_of(node)] < MOST_DEGREE:
                    self.marked[self.place_of(node)] += 1

    def suspect(self, uint32_t start, uint32_t stop, uint32_t least):
        cdef uint32_t at, seed, found = 0
        cdef Identifier *node
        cdef Identifier *payment
        cdef int i
        # All of it, here and below: there may be more identifiers with the next slice.
        if start == 0:
            memset(self.marked, 0, self.nodes * 2)
            memset(self.tops, 0, self.places * 4)
        with nogil:
            for at in range(start, min(stop, self.count)):
                payment = NULL
                for i in range(SLOTS):
                    node = resolve(self.evidence.identifiers, self.payments[at * SLOTS + i])
                    if node != NULL and self.outside_of(node) >= least:
                        payment = node
                seed = self.number_of(self.place_of(payment)) if payment != NULL else 0
                self.seeds[at] = seed
                if seed:
                    found += 1
                    self.mark(principal_at(self.evidence, at), True)
        return found

    def roamers(self, uint32_t start, uint32_t stop):
        cdef uint32_t at
        if start == 0:
            memset(self.marked, 0, self.nodes * 2)
        with nogil:
            for at in range(start, min(stop, self.count)):
                self.seeds[at] = at + 1 if self.roams[at] else 0
                if self.seeds[at]:
                    self.mark(principal_at(self.evidence, at), False)

    def remark(self, uint32_t start, uint32_t stop):
        cdef uint32_t at
        if start == 0:
            memset(self.marked, 0, self.nodes * 2)
        with nogil:
            for at in range(start, min(stop, self.count)):
                if self.seeds[at]:
                    self.mark(principal_at(self.evidence, at), False)

    def prune(self, uint32_t start, uint32_t stop, double share, int least):
        cdef uint32_t at, left = 0
        with nogil:
            for at in range(start, min(stop, self.count)):
                if self.seeds[at]:
                    if self.meetings_of(principal_at(self.evidence, at), share) < least:
                        self.seeds[at] = 0
                    else:
                        left += 1
        return left

    cdef int meetings_of(self, Principal *p, double share) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t networks[FINE_EDGES]
        cdef int i, j, count = 0
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or not self.meets(node, share, 2):
                continue
            for j in range(count):
                if networks[j] == node.parent:
                    break
            else:
                networks[count] = node.parent
                count += 1
        return count

    cdef uint32_t outside_of(self, Identifier *node) noexcept nogil:
        """Return how many principals outside clusters were seen here."""
        cdef uint32_t members = <uint32_t>node.count1 + node.count2
        return node.degree - members if node.degree > members else 0

    cdef bint meets(self, Identifier *node, double share, uint32_t least) noexcept nogil:
        cdef uint32_t found = self.marked[self.place_of(node)]
        return not is_infrastructure(node) and found >= least and found >= share * self.outside_of(node)

    def unite(self, uint32_t start, uint32_t stop, double share, bint networks):
        cdef uint32_t at
        cdef Principal *p
        cdef Identifier *node
        cdef int i
        if start == 0:
            memset(self.tops, 0, self.places * 4)
            memset(self.roots, 0, <size_t>self.evidence.most_principals * 4)
        with nogil:
            for at in range(start, min(stop, self.count)):
                if self.seeds[at] == 0:
                    continue
                p = principal_at(self.evidence, at)
                for i in range(FINE_EDGES):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node == NULL or is_infrastructure(node):
                        continue
                    if self.meets(node, share, 2):
                        self.join(node, self.seeds[at])
                    node = resolve(self.evidence.identifiers, node.parent)
                    if networks and node != NULL and self.meets(node, max(share, 0.5), 4):
                        self.join(node, self.seeds[at])

    cdef void join(self, Identifier *node, uint32_t seed) noexcept nogil:
        cdef uint32_t *top = self.tops + self.place_of(node)
        if top[0] == 0:
            top[0] = seed
        else:
            join_roots(self.roots, top[0], seed)

    def tally(self, uint32_t start, uint32_t stop):
        cdef uint32_t at, seed, root
        if start == 0:
            memset(self.members, 0, <size_t>self.evidence.most_principals * 4)
            memset(self.counted, 0, self.evidence.most_principals)
            memset(self.methods, 0, <size_t>self.evidence.most_principals * 2)
        with nogil:
            for at in range(start, min(stop, self.count)):
                seed = self.seeds[at]
                if seed:
                    root = find_root(self.roots, seed)
                    self.members[root - 1] += 1
                    if not self.counted[seed - 1]:
                        self.counted[seed - 1] = True
                        if self.methods[root - 1] < MOST_DEGREE:
                            self.methods[root - 1] += 1

    def total(self, uint32_t start, uint32_t stop, uint32_t members, uint32_t methods):
        cdef uint32_t at, root, found = 0
        with nogil:
            for at in range(start, min(stop, self.count)):
                if self.seeds[at]:
                    root = find_root(self.roots, self.seeds[at])
                    found += self.members[root - 1] >= members and self.methods[root - 1] >= methods
        return found

    def __reduce__(self):
        raise TypeError("a Null is scratch memory and is not pickled")
