"""The correlator's memory: see the stub for the contract, `records.pxd` for the shapes.

In one file, since one sighting touches an account's record, its identifiers and both indexes.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from ratelimit.core.clusters.hash_index cimport (
    HashIndex, after, drop, home_of, move, open_index, position_in, put, slot_of, tag_of,
)
from ratelimit.core.clusters.testimony cimport TESTIMONY_S, WAYS, Testimony, keep_witness, witnesses_at
from ratelimit.core.clusters.records cimport (
    AT_HOME, BLOCK, CERTAIN, CLIENT, CLIENT_AT, COARSE, EDGES, EXTRA, EXTRA_AT, EXTRAS, FINE, FINE_EDGES, FREE,
    HOMED, INDEX_BITS, INFRASTRUCTURE, KINDS, MOST_DEGREE, MOST_VISITS, NEW, PAYMENT, PAYMENT_AT, POOLED, SUSPECT,
    TICK_S, TICKS_AN_HOUR, Edge, Identifier, Principal, Value, ages_of, exp2, free_of, generation_of, halves,
    hours_left, identifier_key, is_infrastructure, joined, kind_at, kind_of, note_created, ref_of, resolve,
)
from ratelimit.core.memory.prefetch cimport prefetch

cdef inline double chance(const Principal *p, uint32_t now_s) noexcept nogil:
    """Return a number from 0 to below 1, for rounding: the same way each time, little would never fade."""
    return (((p.key.low ^ now_s) * <uint32_t>0x9E3779B1) >> 16) / 65536.0


cdef enum:
    PROBED = 16             # how many places an eviction chooses from
    GENERATIONS = 1024
    CLUSTERED_BONUS_S = 30 * 86400   # a member is forgotten that much later than a stranger
    SHARED_BONUS_S = 3 * 86400       # and an identifier of several principals than one of one
    NO_PLACE = 0xFFFFFFFF
    EXITS_A_LINE = 48       # identifiers for each four exits that are remembered beyond their witnesses
    LINE = 64               # bytes that memory gives at once
    LONGEST_KEPT_S = 450 * 86400     # edges tell when they were seen for 65,536 ticks

MOST_IDENTIFIERS = (1 << INDEX_BITS) - 2
PRINCIPAL_BYTES = sizeof(Principal) - EXTRAS * sizeof(Edge)
EDGE_BYTES = sizeof(Edge)
IDENTIFIER_BYTES = sizeof(Identifier) + sizeof(Value)

# What part of the identifiers a family may fill: a header is free to change, an address is not.
SHARES = (0.70, 0.30, 0.30, 0.10, 0.10, 0.10, 0.10, 0.05)


cdef uint32_t find_principal(Evidence self, uint64_t key) noexcept nogil:
    """Return a principal's position, NO_PLACE when it is not known."""
    cdef const HashIndex *index = &self.principal_index
    cdef uint32_t at = home_of(index, key), tag = tag_of(index, key), slot, position
    while index.slots[at]:
        slot = index.slots[at]
        if slot >> index.bits == tag >> index.bits:
            position = position_in(index, slot)
            if joined(principal_at(self, position).key) == key:
                return position
        at = after(index, at)
    return NO_PLACE


cdef void await_identities(Evidence self, uint64_t principal, uint64_t address, bint is_next) noexcept nogil:
    """Ask for what a request that comes soon will look at: first where it is found, then what is there."""
    cdef const HashIndex *people = &self.principal_index
    cdef const HashIndex *places = &self.identifier_index
    cdef uint32_t *one = people.slots + home_of(people, principal)
    cdef uint32_t *other = places.slots + home_of(places, identifier_key(address, FINE))
    if not is_next:
        prefetch(one)
        prefetch(other)
        return
    # Of an empty slot, or one that leads to another, it is asked in vain.
    if one[0] and position_in(people, one[0]) < self.principal_count:
        prefetch(principal_at(self, position_in(people, one[0])))
        prefetch(<uint8_t *>principal_at(self, position_in(people, one[0])) + LINE)
    if other[0] and position_in(places, other[0]) < self.identifier_count:
        prefetch(self.identifiers + position_in(places, other[0]))
        prefetch(self.values + position_in(places, other[0]))


@cython.final
cdef class Evidence:
    def __cinit__(self):
        self.principals = NULL
        self.identifiers = NULL
        self.values = NULL
        self.testimonies = NULL
        self.principal_index.slots = NULL
        self.identifier_index.slots = NULL

    def __init__(self, *, uint32_t principals, uint32_t identifiers, int64_t now_s, kept_s, int extras=EXTRAS):
        cdef int kind
        if self.principals != NULL:
            raise ValueError("this evidence is in use already")
        if principals < 16 or identifiers < 64 or identifiers > MOST_IDENTIFIERS:
            raise ValueError(f"evidence keeps 16 principals and 64 to {MOST_IDENTIFIERS} identifiers at least")
        if len(kept_s) != KINDS:
            raise ValueError(f"one duration for each of {KINDS} kinds")
        if not all(TICK_S <= each <= LONGEST_KEPT_S for each in kept_s):
            raise ValueError(f"an edge is kept for {TICK_S} to {LONGEST_KEPT_S} seconds")
        if not 0 <= extras <= EXTRAS:
            raise ValueError(f"there are up to {EXTRAS} families besides")
        self.edges = EXTRA_AT + extras
        self.principal_bytes = sizeof(Principal) - (EDGES - self.edges) * sizeof(Edge)
        self.most_principals = principals
        self.most_identifiers = identifiers
        self.principals = <uint8_t *>PyMem_RawCalloc(principals, self.principal_bytes)
        self.identifiers = <Identifier *>PyMem_RawCalloc(identifiers, sizeof(Identifier))
        self.values = <Value *>PyMem_RawCalloc(identifiers, sizeof(Value))
        self.testimony_lines = max(<uint32_t>8, identifiers // EXITS_A_LINE)
        self.testimonies = <Testimony *>PyMem_RawCalloc(self.testimony_lines * WAYS, sizeof(Testimony))
        open_index(&self.principal_index, principals)
        open_index(&self.identifier_index, identifiers)
        if (
            self.principals == NULL or self.identifiers == NULL or self.values == NULL or self.testimonies == NULL
            or self.principal_index.slots == NULL or self.identifier_index.slots == NULL
        ):
            raise MemoryError
        # A day before the first event, so that an observation that comes late still has a time.
        self.epoch_s = now_s - 86400
        self.now_s = 86400
        for kind in range(KINDS):
            self.kind_limits[kind] = max(8, <uint32_t>(identifiers * <double>SHARES[kind]))
            self.kept_ticks[kind] = <uint32_t>(kept_s[kind] // TICK_S)

    def __dealloc__(self):
        PyMem_RawFree(self.principals)
        PyMem_RawFree(self.identifiers)
        PyMem_RawFree(self.values)
        PyMem_RawFree(self.testimonies)
        PyMem_RawFree(self.principal_index.slots)
        PyMem_RawFree(self.identifier_index.slots)

    @property
    def latest_s(self):
        return self.epoch_s + self.now_s

    @property
    def nbytes(self):
        return (
            <uint64_t>self.most_principals * self.principal_bytes + self.most_identifiers * IDENTIFIER_BYTES
            + 4 * (<uint64_t>self.principal_index.size + self.identifier_index.size)
            + <uint64_t>self.testimony_lines * WAYS * sizeof(Testimony)
        )

    def testified(self, uint64_t value, int kind, /):
        return witnesses_at(self.testimonies, self.testimony_lines, identifier_key(value, kind), self.now_s)

    cdef uint32_t clamp(self, int64_t time_s) noexcept nogil:
        """Return seconds since the epoch; time that steps back stands still."""
        cdef int64_t relative = time_s - self.epoch_s
        if relative > <int64_t>self.now_s:
            self.now_s = <uint32_t>min(relative, <int64_t>0xFFFFFFF0)
        return self.now_s

    # -- finding and making room ------------------------------------------------------------------

    cdef uint32_t principal(self, uint64_t key, uint32_t now_s) noexcept nogil:
        """Return a principal's position, awake, making one. Full: the longest silent of a few goes."""
        cdef uint32_t at = find_principal(self, key), first
        cdef Principal *p
        if at != NO_PLACE:
            return at if at < self.awake_count else self.wake(at, now_s)
        if self.principal_count < self.most_principals:
            at = self.principal_count
            self.principal_count += 1
        else:
            at = self.principal_to_evict()
            self.testify(principal_at(self, at), now_s)
            drop(&self.principal_index, joined(principal_at(self, at).key), at, self.principals, self.principal_bytes)
            self.principal_evictions += 1
        if at >= self.awake_count:
            # The first of the dormant makes room for it at the end of those awake.
            first = self.awake_count
            self.awake_count += 1
            if at != first:
                move(&self.principal_index, joined(principal_at(self, first).key), first, at)
                memcpy(principal_at(self, at), principal_at(self, first), self.principal_bytes)
                at = first
        p = principal_at(self, at)
        memset(p, 0, self.principal_bytes)
        p.key = halves(key)
        p.first_s = now_s
        p.last_s = now_s
        put(&self.principal_index, key, at)
        return at

    cdef void testify(self, const Principal *p, uint32_t now_s) noexcept nogil:
        """Leave at the exits of an account that is evicted that a witness was there, as far as it is one."""
        cdef Identifier *node
        cdef Identifier *method
        cdef Identifier *coarse
        cdef uint64_t key = joined(p.key)
        cdef int i, j
        if p.label or not p.traits & HOMED and ages_of(p, self.epoch_s, now_s, self.new_s, self.records_s) == NEW:
            return
        for i in range(PAYMENT_AT, self.edges):
            method = resolve(self.identifiers, p.edges[i].ref)
            if method != NULL and not CLIENT_AT <= i < EXTRA_AT and method.meta & (SUSPECT | POOLED):
                return  # it may be one of those against whom it would testify
        for i in range(FINE_EDGES):
            node = resolve(self.identifiers, p.edges[i].ref)
            if node == NULL or is_infrastructure(node) or p.edges[i].visits & AT_HOME:
                continue  # an account that lives in a place is no witness of it
            if <uint16_t>(now_s // TICK_S - p.edges[i].seen) >= TESTIMONY_S // TICK_S:
                continue
            if node.degree > 1:
                self.keep(node, key, now_s)
            coarse = resolve(self.identifiers, node.parent)
            for j in range(FINE_EDGES):
                method = resolve(self.identifiers, p.edges[j].ref) if p.edges[j].visits & AT_HOME else NULL
                if method != NULL and method.parent == node.parent:
                    coarse = NULL
            if coarse != NULL:
                self.keep(coarse, key, now_s)

    cdef void keep(self, const Identifier *place, uint64_t key, uint32_t now_s) noexcept nogil:
        keep_witness(
            self.testimonies, self.testimony_lines, joined(self.values[place - self.identifiers].key), key, now_s
        )

    cdef uint32_t witnesses(self, uint32_t at) noexcept nogil:
        """Return how many witnesses of a place were evicted of late, about."""
        if self.principal_evictions == 0:
            return 0
        return witnesses_at(self.testimonies, self.testimony_lines, joined(self.values[at].key), self.now_s)

    cdef void exchange(self, uint32_t one, uint32_t other) noexcept nogil:
        """Let two principals change places."""
        cdef Principal *p = principal_at(self, one)
        cdef Principal *q = principal_at(self, other)
        cdef Principal kept
        cdef HashIndex *index = &self.principal_index
        # Both before either is written: their tags may be the same.
        cdef uint32_t slot, slot_other
        if one == other:
            return
        slot = slot_of(index, joined(p.key), one)
        slot_other = slot_of(index, joined(q.key), other)
        index.slots[slot] = tag_of(index, joined(p.key)) | (other + 1)
        index.slots[slot_other] = tag_of(index, joined(q.key)) | (one + 1)
        memcpy(&kept, p, self.principal_bytes)
        memcpy(p, q, self.principal_bytes)
        memcpy(q, &kept, self.principal_bytes)

    cdef void rest(self, uint32_t at) noexcept nogil:
        """Let one that is awake be dormant, and the last of those awake take its place."""
        self.awake_count -= 1
        self.exchange(at, self.awake_count)

    cdef uint32_t wake(self, uint32_t at, uint32_t now_s) noexcept nogil:
        """Count one that was dormant again, without the edges that faded meanwhile; return its new position.

        No other principal that is awake moves: a rebuild may be under way.
        """
        cdef Principal *p
        cdef Edge *edge
        cdef Identifier *node
        cdef uint32_t fading
        cdef int i
        self.exchange(at, self.awake_count)
        at = self.awake_count
        self.awake_count += 1
        p = principal_at(self, at)
        for i in range(self.edges):
            edge = p.edges + i
            node = resolve(self.identifiers, edge.ref)
            # Its edges were whole when it was seen last; since then their ticks may have gone round.
            fading = <uint16_t>(p.last_s // TICK_S - edge.seen) + (now_s - p.last_s) // TICK_S
            if node == NULL or fading >= self.kept_ticks[kind_at(i)]:
                edge.ref = 0
            elif node.degree < MOST_DEGREE:
                node.degree += 1
        return at

    cdef uint32_t principal_to_evict(self) noexcept nogil:
        cdef uint32_t best = 0, _probed, at
        cdef uint64_t least = <uint64_t>-1, age
        for _probed in range(PROBED):
            at = self.principal_hand
            self.principal_hand = at + 1 if at + 1 < self.most_principals else 0
            age = principal_at(self, at).last_s
            if principal_at(self, at).label:
                age += CLUSTERED_BONUS_S
            if age < least:
                least = age
                best = at
        return best

    cdef uint32_t renewed(self, uint32_t at, int kind, uint32_t now_s) noexcept nogil:
        """Note that an identifier is seen; return its position."""
        cdef Value *value = self.values + at
        if now_s - value.last_s >= self.kept_ticks[kind] * TICK_S:
            value.payers[0] = value.payers[1] = 0
        value.last_s = now_s
        return at

    cdef uint32_t guessed(self, uint32_t ref, uint64_t key, int kind) noexcept nogil:
        """Return an identifier's position if that is where an edge leads, else NO_PLACE: it saves a search."""
        cdef Identifier *node = resolve(self.identifiers, ref)
        cdef uint32_t at
        if node == NULL:
            return NO_PLACE
        at = <uint32_t>(node - self.identifiers)
        return at if joined(self.values[at].key) == identifier_key(key, kind) else NO_PLACE

    cdef uint32_t find_identifier(self, uint64_t own) noexcept nogil:
        """Return the position of an identifier that is known, else NO_PLACE."""
        cdef HashIndex *index = &self.identifier_index
        cdef uint32_t at = home_of(index, own), tag = tag_of(index, own), position
        while index.slots[at]:
            if index.slots[at] >> index.bits == tag >> index.bits:
                position = position_in(index, index.slots[at])
                if joined(self.values[position].key) == own:
                    return position
            at = after(index, at)
        return NO_PLACE

    cdef uint32_t identifier(self, uint64_t key, int kind, uint32_t now_s) noexcept nogil:
        """Return an identifier's position, making one within its family's share."""
        cdef uint64_t own = identifier_key(key, kind)
        cdef HashIndex *index = &self.identifier_index
        cdef uint32_t at = self.find_identifier(own), generation
        cdef Identifier *found
        if at != NO_PLACE:
            return self.renewed(at, kind, now_s)
        if self.identifier_count < self.most_identifiers and self.kind_counts[kind] < self.kind_limits[kind]:
            at = self.identifier_count
            self.identifier_count += 1
        else:
            at = self.identifier_to_evict(kind)
            self.kind_counts[kind_of(self.identifiers + at)] -= 1
            drop(index, joined(self.values[at].key), at, <const uint8_t *>self.values, sizeof(Value))
            self.identifier_evictions += 1
        found = self.identifiers + at
        generation = (generation_of(found) + 1) % GENERATIONS
        memset(found, 0, sizeof(Identifier))
        found.meta = <uint16_t>((generation << 3) | <uint32_t>kind)
        self.values[at].key = halves(own)
        self.values[at].last_s = now_s
        self.values[at].payers[0] = self.values[at].payers[1] = 0
        self.kind_counts[kind] += 1
        put(index, own, at)
        return at

    cdef uint32_t identifier_to_evict(self, int kind) noexcept nogil:
        """Return the place to give up: within the family if that has had its share, else anywhere."""
        cdef bint within = self.kind_counts[kind] >= self.kind_limits[kind]
        cdef uint32_t best = NO_PLACE, probed = 0, walked = 0, at
        cdef uint64_t least = <uint64_t>-1, age
        cdef Identifier *found
        # A family over its share is common by definition, so a short walk finds some of it.
        while (probed < PROBED and walked < 64 * PROBED) or best == NO_PLACE:
            at = self.identifier_hand
            self.identifier_hand = at + 1 if at + 1 < self.identifier_count else 0
            walked += 1
            found = self.identifiers + at
            if within and kind_of(found) != kind:
                continue
            probed += 1
            age = self.values[at].last_s
            if found.degree > 1:
                age += SHARED_BONUS_S
            if age < least:
                least = age
                best = at
        return best

    # -- observing --------------------------------------------------------------------------------

    cdef bint touch(self, Principal *p, int first, int count, uint32_t ref, uint32_t now_s) noexcept nogil:
        """Note that a principal was seen with an identifier; True if that is new."""
        cdef uint16_t tick = <uint16_t>(now_s // TICK_S)
        cdef uint32_t hours
        cdef int i, worst = first
        cdef int64_t kept, least = 0x7FFFFFFF
        cdef Edge *edge
        cdef Identifier *identifier
        for i in range(first, first + count):
            edge = p.edges + i
            if edge.ref == ref:
                # Whole hours of the clock, so that no part of one is lost from visit to visit.
                hours = now_s // 3600 - (now_s // TICK_S - <uint16_t>(tick - edge.seen)) // TICKS_AN_HOUR
                if hours:
                    edge.visits += edge.visits & MOST_VISITS < MOST_VISITS
                    edge.span = <uint8_t>min(<uint32_t>255, edge.span + hours)
                    edge.seen = tick
                    self.returns += 1
                else:
                    edge.seen = tick
                return False
        for i in range(first, first + count):  # only now: to look at what edges lead to takes longer than all the above
            edge = p.edges + i
            if resolve(self.identifiers, edge.ref) == NULL:
                kept = -1
            else:
                # What was seen in twice as many hours is kept half a day longer: a home outlasts a day of roaming.
                kept = 65536 - <int64_t><uint16_t>(tick - edge.seen) + 72 * log2_of(edge.visits & MOST_VISITS)
            if kept < least:
                least = kept
                worst = i
        edge = p.edges + worst
        edge.ref = ref
        edge.seen = tick
        edge.visits = 1
        edge.span = 0
        identifier = resolve(self.identifiers, ref)
        if identifier.degree < MOST_DEGREE:
            identifier.degree += 1
        self.new_edges += 1
        self.informative_edges += p.verdict != CERTAIN
        return True

    cdef void note_payer(self, uint32_t at, uint32_t payer) noexcept nogil:
        """Remember with what an address was paid for last: accounts that roam forget it long before others come."""
        cdef Value *value = self.values + at
        if payer != value.payers[0] and payer != value.payers[1]:
            value.payers[1] = value.payers[0]
            value.payers[0] = payer

    cdef bint take(self, Sighting *seen, uint32_t now_s, uint32_t *at) noexcept nogil:
        """Note one decided request; True if the principal was seen with anything new, or after a long time."""
        cdef Principal *p
        cdef uint32_t position, fine = NO_PLACE, coarse = 0, i, awake = self.awake_count
        cdef bint fresh, is_new = False
        cdef double passed
        at[0] = self.principal(seen.principal, now_s)
        p = principal_at(self, at[0])
        fresh = self.awake_count > awake
        passed = exp2(-<double>(now_s - p.last_s) / 86400.0) if now_s > p.last_s else 1.0
        p.volume = <float>(p.volume * passed + 1.0)
        p.hours = (
            <uint32_t>(free_of(p) * passed + chance(p, now_s)) * FREE
            | hours_left(p.hours, p.last_s, now_s) | <uint32_t>1 << (now_s // 3600 % 24)
        )
        p.last_s = now_s
        p.requests += 1
        note_created(p, seen.created_s, self.epoch_s + now_s)
        if seen.kinds[FINE]:
            fine = self.find_identifier(identifier_key(seen.kinds[FINE], FINE))
        if seen.kinds[COARSE]:
            # An address lies in the network it lay in before, as a rule, and that in its block.
            position = NO_PLACE if fine == NO_PLACE else self.guessed(
                self.identifiers[fine].parent, seen.kinds[COARSE], COARSE
            )
            if position == NO_PLACE:
                position = self.identifier(seen.kinds[COARSE], COARSE, now_s)
                fine = NO_PLACE  # it may have made room
            self.renewed(position, COARSE, now_s)
            if seen.kinds[COARSE] & 1:
                self.identifiers[position].meta |= INFRASTRUCTURE  # a public list: nobody is at home in it
            coarse = ref_of(self.identifiers, position)
            if seen.kinds[BLOCK]:
                i = self.guessed(self.identifiers[position].parent, seen.kinds[BLOCK], BLOCK)
                if i == NO_PLACE:
                    i = self.identifier(seen.kinds[BLOCK], BLOCK, now_s)
                    fine = NO_PLACE
                self.renewed(i, BLOCK, now_s)
                self.identifiers[position].parent = ref_of(self.identifiers, i)
        if seen.kinds[FINE]:
            if fine == NO_PLACE:
                position = self.identifier(seen.kinds[FINE], FINE, now_s)
            else:
                position = self.renewed(fine, FINE, now_s)
            self.identifiers[position].parent = coarse
            if seen.kinds[FINE] & 1:
                self.identifiers[position].meta |= INFRASTRUCTURE
            is_new = self.touch(p, 0, FINE_EDGES, ref_of(self.identifiers, position), now_s)
            fresh |= is_new
        if seen.kinds[PAYMENT]:
            i = self.guessed(p.edges[PAYMENT_AT].ref, seen.kinds[PAYMENT], PAYMENT)
            if i == NO_PLACE:
                i = self.identifier(seen.kinds[PAYMENT], PAYMENT, now_s)
            self.renewed(i, PAYMENT, now_s)
            fresh |= self.touch(p, PAYMENT_AT, CLIENT_AT - PAYMENT_AT, ref_of(self.identifiers, i), now_s)
            if is_new and i != position:
                self.note_payer(position, ref_of(self.identifiers, i))
        if seen.kinds[CLIENT]:
            position = self.guessed(p.edges[CLIENT_AT].ref, seen.kinds[CLIENT], CLIENT)
            if position == NO_PLACE:
                position = self.identifier(seen.kinds[CLIENT], CLIENT, now_s)
            self.renewed(position, CLIENT, now_s)
            fresh |= self.touch(p, CLIENT_AT, EXTRA_AT - CLIENT_AT, ref_of(self.identifiers, position), now_s)
        for i in range(<uint32_t>(self.edges - EXTRA_AT)):
            if seen.kinds[EXTRA + i]:
                position = self.identifier(seen.kinds[EXTRA + i], EXTRA + i, now_s)
                fresh |= self.touch(p, EXTRA_AT + i, 1, ref_of(self.identifiers, position), now_s)
        return fresh


cdef inline int log2_of(uint32_t value) noexcept nogil:
    cdef int bits = 0
    while value > 1:
        value >>= 1
        bits += 1
    return bits
