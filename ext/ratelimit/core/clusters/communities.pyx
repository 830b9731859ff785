"""Communities of payment methods that meet: a phase of a rebuild. See the stub for the contract.

Theory of operation. A company's new employee is at home behind an address that a proxy network rents out
as well. If one such visit joined the company's payment methods with a campaign's, the company would be
taken for a part of it. So a method is joined with those that it *mostly* meets. Each begins as a community
of its own. A community *mingles* if a good part of its visits is where others make as many, or nearly. It is
joined with the one that it meets most. Those go first of which that is the largest part. So what is dense is
whole, and mingles no more, before anything thin is joined. With a community that does not
mingle another is joined only if most of the others that it meets are of that.
At addresses first, then in networks.

Reads: edges, SUSPECT at methods and POOLED at places. Leaves: the forest of methods, and addresses below the
community that holds them. A community's label is its root. A `Seat` has a place's two leading labels with their
visits, and a label's vote (Boyer and Moore, 1981).

Turns move labels and nothing else. So a round finds out once, of each account, which of its edges lead to
places where payers meet; turns only follow these. Its payment method is the one that `Pools` joined it by.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport int32_t, uint16_t, uint32_t
from libc.string cimport memset

from ratelimit.core.clusters.evidence cimport principal_at
from ratelimit.core.clusters.forest cimport find_root, join_roots
from ratelimit.core.clusters.pools cimport Places, Pools
from ratelimit.core.clusters.records cimport (
    COARSE, EXTRA_AT, FINE, FINE_EDGES, INDEX_BITS, POOLED, SUSPECT, Identifier, Principal, kind_of, look_ahead,
    resolve, visits_of,
)
from ratelimit.core.memory.prefetch cimport prefetch

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    MOST_VISITS = 65535
    BESIDE = 4              # others are at a place with it that make one visit there to so many of its own
    AT_ADDRESSES = 4        # one visit of so many is where others hold, and a community is joined with them: at addresses
    IN_NETWORKS = 2         # and in networks: neighbours have these in common, too
    MIXED = 2654435761      # Knuth's multiplicative hash: which labels are left out in a turn
    CLOSED = 0xFFFFFFFF     # in `balance`: a community that does not mingle
    INDEX = (1 << INDEX_BITS) - 1
    FAR = 6                 # accounts ahead, of which addresses are asked for
    NEAR = 3                # and places
    ITS_EDGES = (1 << FINE_EDGES) - 1


cdef void vote_at(Seat *seat, uint32_t label, uint32_t count) noexcept nogil:
    """Count visits for a label at a place: the two leading labels stay (Misra and Gries, 1982)."""
    cdef Visits *visits = &seat.balance.visits
    cdef uint32_t least
    if seat.first == label and visits.mine:
        visits.mine = <uint16_t>min(<uint32_t>MOST_VISITS, visits.mine + count)
        return
    if seat.second == label and visits.others:
        visits.others = <uint16_t>min(<uint32_t>MOST_VISITS, visits.others + count)
        return
    least = min(count, min(<uint32_t>visits.mine, <uint32_t>visits.others))
    visits.mine -= <uint16_t>least
    visits.others -= <uint16_t>least
    count = min(count - least, <uint32_t>MOST_VISITS)
    if count == 0:
        return
    if visits.mine == 0:
        seat.first = label
        visits.mine = <uint16_t>count
    else:
        seat.second = label
        visits.others = <uint16_t>count


cdef uint32_t other_at(const Seat *seat, uint32_t label) noexcept nogil:
    """Return the leading label at a place beside one that was there, if it made a quarter of its visits; else 0."""
    cdef const Visits *visits = &seat.balance.visits
    cdef uint32_t mine = 0, others = 0, other = 0
    if visits.mine:
        if seat.first == label:
            mine = visits.mine
        else:
            others, other = visits.mine, seat.first
    if visits.others:
        if seat.second == label:
            mine = visits.others
        elif visits.others > others:
            others, other = visits.others, seat.second
    return other if others * BESIDE >= mine else 0


@cython.final
cdef class Communities:
    def __cinit__(self, Pools pools not None):
        self.pools = pools
        self.evidence = pools.evidence

    def __dealloc__(self):
        self.free()

    cdef void free(self) noexcept:
        PyMem_RawFree(self.seats)
        PyMem_RawFree(self.known)
        self.seats = NULL
        self.known = NULL

    def begin(self):
        """Take memory: a seat an identifier, in place of what the search takes of them; and a number a suspect."""
        self.free()
        self.pools.end_search()
        self.seats = <Seat *>PyMem_RawCalloc(self.pools.count + 1, sizeof(Seat))
        self.known = <uint32_t *>PyMem_RawCalloc(self.pools.suspect_count + 1, 4)
        if self.seats == NULL or self.known == NULL:
            self.free()
            raise MemoryError

    def end(self):
        """Give the memory back."""
        self.free()

    def begin_round(self, int kind):
        """Begin to look at one kind of place."""
        if kind != FINE and kind != COARSE:
            raise ValueError("a place is an address or a network")
        self.kind = kind
        self.pools.kind = kind

    def find_places(self, uint32_t start, uint32_t stop):
        """Find out which edges of the accounts in a range of those in question lead to places of a round's kind."""
        cdef uint32_t at, found
        cdef int i, j
        cdef Principal *p
        cdef Places places
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                if at + 2 < self.pools.suspect_count:
                    look_ahead(
                        self.evidence.identifiers, principal_at(self.evidence, self.pools.suspects[at + 2]), EXTRA_AT
                    )
                p = principal_at(self.evidence, self.pools.suspects[at])
                self.known[at] = 0
                if self.pools.token_of(p, SUSPECT) == 0:
                    continue  # its payment method was forgotten while this rebuild was under way
                self.pools.places_of(p, &places)
                found = places.all_visits << FINE_EDGES
                for i in range(FINE_EDGES):
                    if not self.pools.is_lately(p, i):
                        continue
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if self.kind == COARSE:
                        node = resolve(self.evidence.identifiers, node.parent)
                    for j in range(places.count):
                        if node == self.evidence.identifiers + places.at[j] and node.meta & POOLED:
                            found |= 1 << i
                self.known[at] = found

    cdef uint32_t label_at(self, uint32_t at) noexcept nogil:
        """Return the label of one of those in question; 0 for none."""
        cdef uint32_t method = self.pools.trees[self.pools.suspects[at]]
        return self.label_of(method) if method and self.known[at] else 0

    cdef void expect(self, uint32_t at) noexcept nogil:
        """Ask for what the next ones' places are counted in: turns spend their time waiting for memory."""
        cdef const Principal *p
        cdef uint32_t edges, place
        cdef int i
        if self.kind == COARSE and at + FAR < self.pools.suspect_count:
            # Networks are found by addresses.
            p = principal_at(self.evidence, self.pools.suspects[at + FAR])
            edges = self.known[at + FAR] & ITS_EDGES
            for i in range(FINE_EDGES):
                if edges >> i & 1:
                    prefetch(self.evidence.identifiers + ((p.edges[i].ref & INDEX) - 1))
        if at + NEAR >= self.pools.suspect_count:
            return
        p = principal_at(self.evidence, self.pools.suspects[at + NEAR])
        edges = self.known[at + NEAR] & ITS_EDGES
        for i in range(FINE_EDGES):
            if not edges >> i & 1:
                continue
            place = (p.edges[i].ref & INDEX) - 1
            if self.kind == COARSE and place < self.pools.count:
                place = (self.evidence.identifiers[place].parent & INDEX) - 1
            if place < self.pools.count:
                prefetch(self.seats + place)

    cdef void places_at(self, uint32_t at, Places *places) noexcept nogil:
        """Find the places where payers meet that one of those in question was at: each once."""
        cdef const Principal *p = principal_at(self.evidence, self.pools.suspects[at])
        cdef uint32_t edges = self.known[at] & ITS_EDGES, place
        cdef int i = -1, j
        places.count = 0
        places.all_visits = self.known[at] >> FINE_EDGES
        while edges:
            i += 1
            if not edges & 1:
                edges >>= 1
                continue
            edges >>= 1
            # Edges may be others than they were when the round began: then a visit is counted elsewhere.
            place = (p.edges[i].ref & INDEX) - 1
            if self.kind == COARSE and place < self.pools.count:
                place = (self.evidence.identifiers[place].parent & INDEX) - 1
            if place >= self.pools.count:
                continue
            j = 0
            if self.kind == COARSE:
                while j < places.count and places.at[j] != place:
                    j += 1
            else:
                j = places.count
            if j == places.count:
                places.at[j] = place
                places.visits[j] = 0
                places.count += 1
            places.visits[j] += visits_of(p.edges + i)

    cdef uint32_t label_of(self, uint32_t method) noexcept nogil:
        """Return the label of a method, both counted from 1: its own to begin with."""
        return self.pools.roots[method - 1] or method

    cdef bint is_method(self, uint32_t at) noexcept nogil:
        """Return whether an identifier is a payment method that meets others."""
        cdef Identifier *node = self.evidence.identifiers + at
        return node.meta & SUSPECT != 0 and kind_of(node) != FINE and kind_of(node) != COARSE

    def reset(self, uint32_t start, uint32_t stop):
        """Forget the votes in a range of identifiers, but for the payers at addresses before."""
        cdef uint32_t at
        cdef int i
        cdef Identifier *node
        cdef Identifier *method
        with nogil:
            stop = min(stop, self.pools.count)
            if start < stop:
                memset(self.seats + start, 0, (stop - start) * sizeof(Seat))
            for at in range(start, stop if self.kind == FINE else start):
                node = self.evidence.identifiers + at
                if kind_of(node) != FINE or not node.meta & POOLED:
                    continue
                for i in range(2):
                    method = resolve(self.evidence.identifiers, self.evidence.values[at].payers[i])
                    if method != NULL and self.is_method(<uint32_t>(method - self.evidence.identifiers)):
                        vote_at(
                            self.seats + at, self.label_of(<uint32_t>(method - self.evidence.identifiers) + 1), 1
                        )

    def vote(self, uint32_t start, uint32_t stop):
        """Let the accounts in a range of those in question vote for their labels where they were."""
        cdef uint32_t at, label
        cdef int i
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                self.expect(at)
                label = self.label_at(at)
                if label == 0:
                    continue
                self.places_at(at, &places)
                for i in range(places.count):
                    vote_at(self.seats + places.at[i], label, places.visits[i])

    def choose(self, uint32_t start, uint32_t stop, uint32_t turn):
        """Let the accounts in a range of those in question vote for the labels that their communities meet most.

        In each other turn for another half of the labels, lest many cancel each other out.
        """
        cdef uint32_t at, label, other, visits
        cdef Seat *seat
        cdef int i
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                self.expect(at)
                label = self.label_at(at)
                if label == 0:
                    continue
                self.places_at(at, &places)
                seat = self.seats + (label - 1)
                seat.balance.number -= <int32_t>places.all_visits
                for i in range(places.count):
                    other = other_at(self.seats + places.at[i], label)
                    if other == 0:
                        continue
                    visits = places.visits[i]
                    seat.balance.number += <int32_t>((AT_ADDRESSES if self.kind == FINE else IN_NETWORKS) * visits)
                    if turn & 1 and (other * <uint32_t>MIXED >> (8 + turn)) & 1:
                        continue
                    if seat.first == other:
                        seat.second += visits
                    elif seat.second >= visits:
                        seat.second -= visits
                    else:
                        seat.second = visits - seat.second
                        seat.first = other

    def close_separate(self, uint32_t start, uint32_t stop):
        """Close the communities in a range that are mostly by themselves; return how many others there are."""
        cdef uint32_t at, found = 0
        cdef Seat *seat
        with nogil:
            for at in range(start, min(stop, self.pools.count)):
                if not self.is_method(at) or self.label_of(at + 1) != at + 1:
                    continue
                seat = self.seats + at
                seat.second = 0
                if seat.balance.number < 0:
                    seat.first = 0
                    seat.balance.elsewhere = <uint32_t>CLOSED
                else:
                    seat.balance.elsewhere = 0
                    found += 1
        return found

    def verify(self, uint32_t start, uint32_t stop):
        """Count visits where others are, and where the chosen ones are: a vote alone finds only what has a half."""
        cdef uint32_t at, label, other
        cdef Seat *seat
        cdef int i
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                self.expect(at)
                label = self.label_at(at)
                if label == 0 or self.seats[label - 1].first == 0:
                    continue
                seat = self.seats + (label - 1)
                self.places_at(at, &places)
                for i in range(places.count):
                    other = other_at(self.seats + places.at[i], label)
                    if other:
                        seat.balance.elsewhere += places.visits[i]
                        if other == seat.first:
                            seat.second += places.visits[i]

    cdef double part_of(self, uint32_t at) noexcept nogil:
        """Return how much of where others are a community is with the one that it chose; 0 if they are not to be joined."""
        cdef const Seat *seat = self.seats + at
        cdef uint32_t other = seat.first if self.is_method(at) else 0
        cdef double part
        if other == 0 or seat.balance.elsewhere == 0:
            return 0.0
        part = seat.second / <double>seat.balance.elsewhere
        return part if part >= 0.5 or self.seats[other - 1].balance.elsewhere != <uint32_t>CLOSED else 0.0

    def largest(self, uint32_t start, uint32_t stop):
        """Return the largest such part in a range."""
        cdef uint32_t at
        cdef double found = 0.0
        with nogil:
            for at in range(start, min(stop, self.pools.count)):
                found = max(found, self.part_of(at))
        return found

    def join(self, uint32_t start, uint32_t stop, double least):
        """Join communities in a range with those that they chose, where that part is so large."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.pools.count)):
                if self.part_of(at) >= least:
                    join_roots(self.pools.roots, at + 1, self.seats[at].first)

    cdef uint32_t main_label(self, uint32_t at) noexcept nogil:
        """Return the label with most visits at a place; 0 for none."""
        cdef const Seat *seat = self.seats + at
        if seat.balance.visits.mine == 0 and seat.balance.visits.others == 0:
            return 0
        return seat.first if seat.balance.visits.mine >= seat.balance.visits.others else seat.second

    def flatten(self, uint32_t start, uint32_t stop):
        """Have the payment methods in a range lead to their roots at once."""
        cdef uint32_t at, root
        with nogil:
            for at in range(start, min(stop, self.pools.count)):
                if self.is_method(at):
                    root = find_root(self.pools.roots, at + 1)
                    self.pools.roots[at] = root if root != at + 1 else 0

    def attach_addresses(self, uint32_t start, uint32_t stop):
        """Put the addresses in a range below the communities that hold them."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.pools.count)):
                node = self.evidence.identifiers + at
                if kind_of(node) == FINE and node.meta & POOLED:
                    self.pools.roots[at] = self.main_label(at)

    def __reduce__(self):
        raise TypeError("communities are of this process and are not pickled")
