"""Homes of accounts: a phase of a rebuild. See the stub for the contract.

Theory of operation. A home is an address to which an account comes back a day later, for a quarter
of its visits. For chance deals an exit twice, too. The account and those that pay with it make half of
the visits there. The block is people's. The first two are kept at the edge. The third is a majority,
found in two walks by a vote (Boyer and Moore, 1981). The last counts, by block, the addresses that
are used by accounts that pay by themselves.
A visit is an account at an address in an hour. A home stays one while its account mostly is there.
Others that come later, as by a proxy in a customer's device, do not take it away.
Witnesses that people live in a block have to cost something. A payer counts once in each network of
the block, however many accounts it has there. An account without a payer counts once it is old.

Reads: edges, degrees of payment methods, ages. Leaves: AT_HOME at edges, HOMED and ages in `traits`.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.records cimport (
    AT_HOME, BLOCK, CLIENT_AT, COARSE, FINE, FINE_EDGES, HOMED, MOST_DEGREE, OLD, PAYMENT_AT, SEEN, SETTLED, TICK_S, Edge,
    Identifier, Principal, ages_of, is_infrastructure, kind_of, look_ahead, resolve, visits_of,
)
from ratelimit.core.memory.scratch cimport give_all_back, give_back, take_zeroed

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    BY_ITSELF = 0x80000000  # a payer that is one principal without a payment method
    SEVERAL = 0xFFFFFFFF    # several payers were seen in a block
    LONE = 0x80000000       # in `total`: an account here pays by itself
    LIVED = 4               # at its home an account makes one visit of so many; chance deals an exit twice
    RESIDENTIAL = 30        # addresses of a block for each payer at home in one of its networks, at most, to be residential
    HOMES = 2               # for each account there is room for so many witnesses
    PROBES = 64
    FEW_UNITS = 4           # addresses of a block that one payer may have to itself


@cython.final
cdef class Homes:
    def __cinit__(self, Evidence evidence not None, *, uint32_t home_s, uint32_t home_new_s, uint32_t young_s, uint32_t new_s,
                  uint32_t settled_s, uint32_t records_s, bint is_paid=False):
        self.evidence = evidence
        self.home_h = home_s // 3600
        self.home_new_h = home_new_s // 3600
        self.young_s = young_s
        self.new_s = new_s
        self.settled_s = settled_s
        self.records_s = records_s
        self.is_paid = is_paid

    def __dealloc__(self):
        self.free()

    cdef void free(self) noexcept:
        self.forget()
        give_all_back(&self.scratch)

    def begin(self):
        """Take memory: three numbers an identifier, and two to four an account that is awake."""
        cdef size_t count = self.evidence.identifier_count + 1, places = 1024
        self.free()
        while places <= HOMES * <size_t>self.evidence.awake_count:
            places *= 2
        self.witnesses = <uint64_t *>take_zeroed(&self.scratch, places, 8)
        self.witness_mask = places - 1
        self.payer = <uint32_t *>take_zeroed(&self.scratch, count, 4)
        self.votes = <uint32_t *>take_zeroed(&self.scratch, count, 4)
        self.total = <uint32_t *>take_zeroed(&self.scratch, count, 4)
        if self.payer == NULL or self.votes == NULL or self.total == NULL or self.witnesses == NULL:
            self.free()
            raise MemoryError
        self.count = self.evidence.identifier_count

    cdef void forget(self) noexcept:
        self.payer = self.votes = self.total = NULL
        self.witnesses = NULL
        self.count = 0

    def give_back(self):
        """Give a part of the memory back, to be gone on with until there is none; return whether there is more."""
        self.forget()
        return give_back(&self.scratch)

    def end(self):
        """Give the memory back."""
        self.free()

    cdef inline Identifier *place(self, Edge *edge) noexcept nogil:
        """Return an address that says where an account lives, NULL where an edge leads to none."""
        cdef Identifier *node = resolve(self.evidence.identifiers, edge.ref)
        if node == NULL or node - self.evidence.identifiers >= self.count or is_infrastructure(node):
            return NULL
        return node

    cdef uint32_t payer_of(self, Principal *p, uint32_t at, bint *lone) noexcept nogil:
        """Return what stands for all that pay with a principal, never 0; and whether it is alone in that."""
        cdef Identifier *node
        cdef uint32_t chosen = BY_ITSELF | (at + 1)
        cdef uint16_t age, least = 0xFFFF
        cdef int i
        lone[0] = True
        for i in range(PAYMENT_AT, CLIENT_AT):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            lone[0] &= node.degree < 2
            age = <uint16_t>(self.evidence.now_s // TICK_S - p.edges[i].seen)
            if age < least:
                least = age
                chosen = <uint32_t>(node - self.evidence.identifiers) + 1
        return chosen

    def vote(self, uint32_t start, uint32_t stop):
        """Let the principals in a range vote for the payer with most visits at their addresses; and tell their ages."""
        cdef uint32_t at, payer, i, visits
        cdef bint lone = False
        cdef Principal *p
        cdef Identifier *node
        cdef size_t place
        with nogil:
            for at in range(start, min(stop, self.evidence.awake_count)):
                if at + 2 < self.evidence.awake_count:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), CLIENT_AT)
                p = principal_at(self.evidence, at)
                p.traits = self.age(p)
                payer = self.payer_of(p, at, &lone)
                for i in range(FINE_EDGES):
                    node = self.place(p.edges + i)
                    if node == NULL:
                        continue
                    place = node - self.evidence.identifiers
                    visits = visits_of(p.edges + i)
                    self.total[place] = (self.total[place] + visits) | (LONE if lone else 0)
                    if self.payer[place] == payer:
                        self.votes[place] += visits
                    elif self.votes[place] >= visits:
                        self.votes[place] -= visits
                    else:
                        self.votes[place] = visits - self.votes[place]
                        self.payer[place] = payer

    cdef uint8_t age(self, Principal *p) noexcept nogil:
        """Return what a principal's age says of it."""
        cdef uint8_t traits = ages_of(p, self.evidence.epoch_s, self.evidence.now_s, self.new_s, self.records_s)
        # There for so long: of an older account, since it was first seen here.
        if self.evidence.now_s - p.first_s >= self.settled_s:
            traits |= <uint8_t>SETTLED
        return traits

    def reset_votes(self, uint32_t start, uint32_t stop):
        """Forget how the votes went in a range of identifiers, but for the winners."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.count)):
                self.votes[at] = 0

    def count_visits(self, uint32_t start, uint32_t stop):
        """Count the winners' visits, and see which others pay in each block."""
        cdef uint32_t at, payer, i
        cdef bint lone = False
        cdef Principal *p
        cdef Identifier *node
        cdef Identifier *block
        cdef size_t place, of_block
        with nogil:
            for at in range(start, min(stop, self.evidence.awake_count)):
                if at + 2 < self.evidence.awake_count:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), CLIENT_AT)
                p = principal_at(self.evidence, at)
                payer = self.payer_of(p, at, &lone)
                for i in range(FINE_EDGES):
                    node = self.place(p.edges + i)
                    if node == NULL:
                        continue
                    place = node - self.evidence.identifiers
                    if self.payer[place] == payer:
                        self.votes[place] += visits_of(p.edges + i)
                    block = self.block_of(node)
                    if block != NULL:
                        of_block = block - self.evidence.identifiers
                        if self.payer[of_block] == 0:
                            self.payer[of_block] = payer
                        elif self.payer[of_block] != payer:
                            self.payer[of_block] = SEVERAL

    cdef Identifier *block_of(self, Identifier *node) noexcept nogil:
        """Return an address's block, or its network where the policy names no block; NULL without either."""
        cdef Identifier *coarse = resolve(self.evidence.identifiers, node.parent)
        cdef Identifier *block
        if coarse == NULL or coarse - self.evidence.identifiers >= self.count:
            return NULL
        block = resolve(self.evidence.identifiers, coarse.parent)
        if block == NULL or block - self.evidence.identifiers >= self.count:
            return coarse
        return block

    def count_addresses(self, uint32_t start, uint32_t stop):
        """Count, by block, its addresses and those where an account pays by itself."""
        cdef uint32_t at
        cdef Identifier *block
        cdef size_t of_block
        with nogil:
            for at in range(start, min(stop, self.count)):
                if kind_of(self.evidence.identifiers + at) != FINE or self.total[at] == 0:
                    continue
                block = self.block_of(self.evidence.identifiers + at)
                if block != NULL:
                    of_block = block - self.evidence.identifiers
                    self.total[of_block] += 1
                    self.votes[of_block] += self.total[at] & LONE != 0

    def find_homes(self, uint32_t start, uint32_t stop):
        """Say of the principals in a range whether they are at home anywhere, and where."""
        cdef uint32_t at, payer, i, hours, everywhere
        cdef bint lone = False, was_home
        cdef Principal *p
        cdef Identifier *node
        cdef Identifier *block
        with nogil:
            for at in range(start, min(stop, self.evidence.awake_count)):
                if at + 2 < self.evidence.awake_count:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), CLIENT_AT)
                p = principal_at(self.evidence, at)
                payer = self.payer_of(p, at, &lone)
                # Of an account that was seen for a day and a half a home is one day after the other.
                hours = self.home_h if self.evidence.now_s - p.first_s > self.young_s else self.home_new_h
                if self.evidence.now_s - p.first_s >= 3600 * hours:
                    p.traits |= SEEN
                everywhere = 0
                for i in range(FINE_EDGES):
                    if self.place(p.edges + i) != NULL:
                        everywhere += visits_of(p.edges + i)
                for i in range(FINE_EDGES):
                    was_home = p.edges[i].visits & AT_HOME
                    p.edges[i].visits &= ~AT_HOME
                    node = self.place(p.edges + i)
                    if node == NULL or p.edges[i].span < hours or LIVED * <uint32_t>visits_of(p.edges + i) < everywhere:
                        continue
                    # An account that was at home before others came, and mostly is there still, was there first.
                    was_home = was_home and 2 * <uint32_t>visits_of(p.edges + i) >= everywhere and not self.is_public(node)
                    if was_home or self.is_home(node, payer):
                        p.edges[i].visits |= AT_HOME
                        p.traits |= HOMED
                        # Some hours on a kept exit are a home to a newcomer. They do not show that people live there.
                        block = self.block_of(node) if p.edges[i].span >= self.home_h else NULL
                        if block != NULL and block.degree < MOST_DEGREE and self.counts_as_witness(p, payer, node):
                            block.degree += 1

    cdef bint counts_as_witness(self, Principal *p, uint32_t payer, Identifier *node) noexcept nogil:
        """Return whether an account at home at an address says that people live there, and no other of its payer's did so."""
        cdef uint64_t word = <uint64_t>payer << 32 | node.parent
        cdef size_t at, _probed
        if self.is_paid and payer & BY_ITSELF and not p.traits & OLD:
            return False
        at = (word * <uint64_t>0x9E3779B97F4A7C15) >> 32 & self.witness_mask
        for _probed in range(PROBES):
            if self.witnesses[at] == word:
                return False
            if self.witnesses[at] == 0:
                self.witnesses[at] = word
                return True
            at = (at + 1) & self.witness_mask
        return False

    def classify_blocks(self, uint32_t start, uint32_t stop):
        """Leave of the accounts at home in a range's blocks only whether there are enough for people to live there."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.count)):
                node = self.evidence.identifiers + at
                if kind_of(node) == COARSE or kind_of(node) == BLOCK:
                    node.degree = RESIDENTIAL * <uint32_t>node.degree >= self.total[at] > 0

    cdef bint is_home(self, Identifier *node, uint32_t payer) noexcept nogil:
        """Return whether the accounts that pay so make half of the visits at an address, in a block that is people's."""
        cdef size_t place = node - self.evidence.identifiers
        if self.payer[place] != payer or 2 * <uint64_t>self.votes[place] < self.total[place] & ~<uint32_t>LONE:
            return False
        return self.is_residential(node)

    cdef bint is_public(self, Identifier *node) noexcept nogil:
        """Return whether an address is in the public list of a cloud, a relay or runners."""
        cdef Identifier *coarse = resolve(self.evidence.identifiers, node.parent)
        return coarse != NULL and is_infrastructure(coarse)

    cdef bint is_residential(self, Identifier *node) noexcept nogil:
        """Return whether an account pays by itself at half of a block's addresses, or one payer has its few to itself."""
        cdef Identifier *block = self.block_of(node)
        cdef size_t at
        if block == NULL:
            return True
        if self.is_public(node):
            return False
        at = block - self.evidence.identifiers
        if 2 * <uint64_t>self.votes[at] >= self.total[at]:
            return True
        return self.payer[at] != SEVERAL and self.total[at] <= FEW_UNITS
