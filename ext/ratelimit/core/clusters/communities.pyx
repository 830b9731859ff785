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
community that holds them. A community's label is its root. `first` and `second` have a place's two
leading labels, `mine` and `others` their visits. Of a label `first` has the one it chose, by a vote (Boyer and
Moore, 1981). `second` has that vote's weight, and later visits where the chosen one is. `balance` has what
speaks for mingling, and later visits where any other is.
"""

cimport cython
from libc.stdint cimport int32_t, uint16_t, uint32_t

from ratelimit.core.clusters.evidence cimport principal_at
from ratelimit.core.clusters.forest cimport find_root, join_roots
from ratelimit.core.clusters.pools cimport Places, Pools
from ratelimit.core.clusters.records cimport (
    COARSE, FINE, POOLED, SUSPECT, Identifier, Principal, kind_of, resolve,
)
from ratelimit.core.memory.scratch cimport give_all_back, give_back, take_zeroed

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    MOST_VISITS = 65535
    BESIDE = 4              # others are at a place with it that make one visit there to so many of its own
    AT_ADDRESSES = 4        # one visit of so many is where others hold, and a community is joined with them: at addresses
    IN_NETWORKS = 2         # and in networks: neighbours have these in common, too
    MIXED = 2654435761      # Knuth's multiplicative hash: which labels are left out in a turn
    CLOSED = 0xFFFFFFFF     # in `balance`: a community that does not mingle


cdef void vote_at(Pools pools, Identifier *node, uint32_t at, uint32_t label, uint32_t visits) noexcept nogil:
    """Count visits for a label at a place: the two leading labels stay (Misra and Gries, 1982)."""
    cdef uint32_t least
    if pools.first[at] == label and node.mine:
        node.mine = <uint16_t>min(<uint32_t>MOST_VISITS, node.mine + visits)
        return
    if pools.second[at] == label and node.others:
        node.others = <uint16_t>min(<uint32_t>MOST_VISITS, node.others + visits)
        return
    least = min(visits, min(<uint32_t>node.mine, <uint32_t>node.others))
    node.mine -= <uint16_t>least
    node.others -= <uint16_t>least
    visits = min(visits - least, <uint32_t>MOST_VISITS)
    if visits == 0:
        return
    if node.mine == 0:
        pools.first[at] = label
        node.mine = <uint16_t>visits
    else:
        pools.second[at] = label
        node.others = <uint16_t>visits


@cython.final
cdef class Communities:
    def __cinit__(self, Pools pools not None):
        self.pools = pools
        self.evidence = pools.evidence

    def __dealloc__(self):
        give_all_back(&self.scratch)

    def begin(self):
        """Take memory: a number an identifier."""
        self.end()
        self.balance = <uint32_t *>take_zeroed(&self.scratch, self.pools.count + 1, 4)
        if self.balance == NULL:
            raise MemoryError

    def end(self):
        """Give the memory back."""
        self.balance = NULL
        give_all_back(&self.scratch)

    def give_back(self):
        """Give a part of the memory back, to be gone on with until there is none; return whether there is more."""
        self.balance = NULL
        return give_back(&self.scratch)

    def begin_round(self, int kind):
        """Begin to look at one kind of place."""
        if kind != FINE and kind != COARSE:
            raise ValueError("a place is an address or a network")
        self.kind = kind
        self.pools.kind = kind

    cdef uint32_t label_of(self, uint32_t method) noexcept nogil:
        """Return the label of a method, both counted from 1: its own to begin with."""
        return self.pools.roots[method - 1] or method

    cdef bint is_place(self, uint32_t at) noexcept nogil:
        """Return whether payers were found to meet at a place of the kind looked at."""
        return self.evidence.identifiers[at].meta & POOLED != 0

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
            for at in range(start, min(stop, self.pools.count)):
                node = self.evidence.identifiers + at
                self.pools.first[at] = self.pools.second[at] = self.balance[at] = 0
                node.mine = node.others = 0
                if self.kind != FINE or kind_of(node) != FINE or not node.meta & POOLED:
                    continue
                for i in range(2):
                    method = resolve(self.evidence.identifiers, self.evidence.values[at].payers[i])
                    if method != NULL and self.is_method(<uint32_t>(method - self.evidence.identifiers)):
                        vote_at(self.pools, node, at, self.label_of(<uint32_t>(method - self.evidence.identifiers) + 1), 1)

    cdef uint32_t other_at(self, uint32_t at, uint32_t label) noexcept nogil:
        """Return the leading label at a place beside one that was there, if it made a quarter of its visits; else 0."""
        cdef Identifier *node = self.evidence.identifiers + at
        cdef uint32_t mine = 0, others = 0, other = 0
        if node.mine:
            if self.pools.first[at] == label:
                mine = node.mine
            else:
                others, other = node.mine, self.pools.first[at]
        if node.others:
            if self.pools.second[at] == label:
                mine = node.others
            elif node.others > others:
                others, other = node.others, self.pools.second[at]
        return other if others * BESIDE >= mine else 0

    def vote(self, uint32_t start, uint32_t stop):
        """Let the accounts in a range of those in question vote for their labels where they were."""
        cdef uint32_t at, method, label
        cdef int i
        cdef Principal *p
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                self.pools.await_suspect(at)
                p = principal_at(self.evidence, self.pools.suspects[at])
                method = self.pools.token_of(p, SUSPECT)
                if method == 0:
                    continue  # its payment method was forgotten while this rebuild was under way
                label = self.label_of(method)
                self.pools.places_of(p, self.pools.suspects[at], &places)
                for i in range(places.count):
                    if self.is_place(places.at[i]):
                        vote_at(
                            self.pools, self.evidence.identifiers + places.at[i], places.at[i], label, places.visits[i]
                        )

    def choose(self, uint32_t start, uint32_t stop, uint32_t turn):
        """Let the accounts in a range of those in question vote for the labels that their communities meet most.

        In each other turn for another half of the labels, lest many cancel each other out.
        """
        cdef uint32_t at, label, other, visits
        cdef uint32_t *first = self.pools.first
        cdef uint32_t *weight = self.pools.second
        cdef int i
        cdef Principal *p
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                self.pools.await_suspect(at)
                p = principal_at(self.evidence, self.pools.suspects[at])
                label = self.pools.token_of(p, SUSPECT)
                if label == 0:
                    continue
                label = self.label_of(label)
                self.pools.places_of(p, self.pools.suspects[at], &places)
                self.balance[label - 1] -= places.all_visits
                for i in range(places.count):
                    other = self.other_at(places.at[i], label) if self.is_place(places.at[i]) else 0
                    if other == 0:
                        continue
                    visits = places.visits[i]
                    self.balance[label - 1] += (AT_ADDRESSES if self.kind == FINE else IN_NETWORKS) * visits
                    if turn & 1 and (other * <uint32_t>MIXED >> (8 + turn)) & 1:
                        continue
                    if first[label - 1] == other:
                        weight[label - 1] += visits
                    elif weight[label - 1] >= visits:
                        weight[label - 1] -= visits
                    else:
                        weight[label - 1] = visits - weight[label - 1]
                        first[label - 1] = other

    def close_separate(self, uint32_t start, uint32_t stop):
        """Close the communities in a range that are mostly by themselves; return how many others there are."""
        cdef uint32_t at, found = 0
        with nogil:
            for at in range(start, min(stop, self.pools.count)):
                if not self.is_method(at) or self.label_of(at + 1) != at + 1:
                    continue
                self.pools.second[at] = 0
                if <int32_t>self.balance[at] < 0:
                    self.pools.first[at] = 0
                    self.balance[at] = CLOSED
                else:
                    self.balance[at] = 0
                    found += 1
        return found

    def verify(self, uint32_t start, uint32_t stop):
        """Count visits where others are, and where the chosen ones are: a vote alone finds only what has a half."""
        cdef uint32_t at, label, other
        cdef uint32_t *there = self.pools.second
        cdef int i
        cdef Principal *p
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.pools.suspect_count)):
                self.pools.await_suspect(at)
                p = principal_at(self.evidence, self.pools.suspects[at])
                label = self.pools.token_of(p, SUSPECT)
                label = self.label_of(label) if label else 0
                if label == 0 or self.pools.first[label - 1] == 0:
                    continue
                self.pools.places_of(p, self.pools.suspects[at], &places)
                for i in range(places.count):
                    other = self.other_at(places.at[i], label) if self.is_place(places.at[i]) else 0
                    if other:
                        self.balance[label - 1] += places.visits[i]
                        if other == self.pools.first[label - 1]:
                            there[label - 1] += places.visits[i]

    cdef double part_of(self, uint32_t at) noexcept nogil:
        """Return how much of where others are a community is with the one that it chose; 0 if they are not to be joined."""
        cdef uint32_t other = self.pools.first[at] if self.is_method(at) else 0
        cdef double part
        if other == 0 or self.balance[at] == 0:
            return 0.0
        part = self.pools.second[at] / <double>self.balance[at]
        return part if part >= 0.5 or self.balance[other - 1] != CLOSED else 0.0

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
                    join_roots(self.pools.roots, at + 1, self.pools.first[at])

    cdef uint32_t main_label(self, uint32_t at) noexcept nogil:
        """Return the label with most visits at a place; 0 for none."""
        cdef Identifier *node = self.evidence.identifiers + at
        if node.mine == 0 and node.others == 0:
            return 0
        return self.pools.first[at] if node.mine >= node.others else self.pools.second[at]

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
