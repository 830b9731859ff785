"""Assignments of accounts to clusters, for every worker to look up: see the stub for the contract.

Theory of operation. Two halves; the lowest bit of a generation says which one is in force. Each is an open-
addressing table of entries, and one of the identities that entries name. An entry is one word: 48 bits of a
principal's key, one for its verdict, and the place of its cluster's identity. (Keys are keyed
hashes: of 2.8 thousand million strangers one is taken for one of 100,000 members.) A rebuild fills the other
half and then moves the generation on, which is one store. A reader that finds the generation moved while it
looked looks again: the half it was in may be being refilled. That suffices without a lock, because stores here
release and loads acquire. A reader of a refilled word sees the generation that went before it.

Between rebuilds, entries are only added or changed, each by one store, and identities only added, each before
the first entry that names it. Nothing is ever half-written: a writer killed while it fills leaves the half in
force untouched. One that was replaced in the midst of filling asks before each store whether its term still is.

In one file, since a reader's order of loads is right only beside the writer's order of stores.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair, cas, fetch_add, load, store
from ratelimit.core.sharing.board cimport Board, MOST_PROBES, NOWHERE, PLACE, PLACE_BITS, home_of, scale
from ratelimit.core.clusters.evidence cimport Evidence, find_principal, principal_at
from ratelimit.core.clusters.cluster_index cimport NOBODY as UNSEEN, ClusterIndex
from ratelimit.core.sharing.pairs cimport NOBODY, PAIR, got, marked, put, tag_of, verdict_in
from ratelimit.core.clusters.sighting cimport Columns
from ratelimit.core.clusters.records cimport CERTAIN, LIKELY, NO_VERDICT, PAYMENT, Principal, joined, kind_of, whole_of
from ratelimit.core.clusters.methods cimport mix, owner_of

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    ONLY_LIKELY = 0x8000    # the verdict; without it: certain

PAIR_BYTES = PAIR


cdef int whole(bytes pairs) except -1:
    if len(pairs) % PAIR:
        raise ValueError(f"{len(pairs)} bytes are no whole number of pairs")
    return 0


@cython.final
cdef class Assignments:
    def __init__(self, Board board not None, Columns columns not None):
        board.check_open()
        if self.board is not None:
            raise ValueError("Assignments are set up once")
        self.board = board
        self.columns = columns
        self.slots = board.slots
        self.rooms = board.rooms

    def __dealloc__(self):
        PyMem_RawFree(self.changes)

    cdef int check_ready(self) except -1:
        if self.board is None:
            raise ValueError("these assignments were never initialised")
        return self.board.check_open()

    # -- reading ----------------------------------------------------------------------------------

    def cluster(self, row, /):
        cdef uint64_t key, identity
        cdef uint8_t verdict
        if self.board is None or not self.board.open or not self.columns.principal(row, &key):
            return -1
        identity = self.find(key, &verdict)
        return -1 if identity == NOBODY else whole_of(identity, verdict)

    def of_key(self, key, /):
        cdef uint8_t verdict
        self.check_ready()
        cdef uint64_t identity = self.find(key, &verdict)
        return -1 if identity == NOBODY else identity

    def verdict(self, key, /):
        cdef uint8_t verdict
        self.check_ready()
        self.find(key, &verdict)
        return verdict

    cdef uint64_t find(self, uint64_t key, uint8_t *verdict) noexcept nogil:
        """Return a principal's cluster, `NOBODY` for none, and say how sure it is that it belongs there."""
        cdef uint64_t generation, found
        while True:
            generation = load(&self.board.header.generation)
            found = self.find_in(<int>(generation & 1), key, verdict)
            if load(&self.board.header.generation) == generation:
                return found

    cdef uint64_t find_in(self, int half, uint64_t key, uint8_t *verdict) noexcept nogil:
        """Look into one half."""
        cdef const uint64_t *entries = self.board.halves[half]
        cdef uint64_t at = home_of(key, self.slots), tag = tag_of(key), entry
        cdef int _probe
        for _probe in range(MOST_PROBES):
            entry = load(entries + at)
            if entry >> PLACE_BITS == tag and entry:
                return self.identity_in(half, entry, verdict)
            if entry == 0:
                break
            at += 1
            if at == self.slots:
                at = 0
        verdict[0] = NO_VERDICT
        return NOBODY

    cdef uint64_t identity_in(self, int half, uint64_t entry, uint8_t *verdict) noexcept nogil:
        """Return what an entry says."""
        cdef uint64_t place = (entry & PLACE) - 1
        # Of an empty slot as well: there is no place so high.
        if place >= self.rooms:
            verdict[0] = NO_VERDICT
            return NOBODY
        verdict[0] = LIKELY if entry & ONLY_LIKELY else CERTAIN
        return load(self.board.identities[half] + place)

    # -- writing: one process, as long as its term lasts ------------------------------------------

    def write(self, term, /):
        self.check_ready()
        self.term = term
        self.building = False

    cdef bint writes(self) noexcept nogil:
        return self.term != 0 and load(&self.board.header.term) == self.term

    @property
    def is_writer(self):
        return self.board is not None and self.board.open and self.writes()

    cdef int in_force(self) noexcept nogil:
        return <int>(load(&self.board.header.generation) & 1)

    def begin(self):
        self.check_ready()
        return self.empty()

    cdef bint empty(self) noexcept nogil:
        cdef int half = 1 - self.in_force()
        cdef uint64_t i
        self.building = False
        for i in range(self.slots):
            if not self.writes():
                return False
            store(self.board.halves[half] + i, 0)
        for i in range(self.rooms):
            if not self.writes():
                return False
            store(self.board.identities[half] + i, NOBODY)
        self.built = 0
        self.building = True
        return True

    def fill(self, ClusterIndex cluster_index not None, uint32_t start, uint32_t stop, /):
        self.check_ready()
        cdef uint32_t at
        cdef int half = 1 - self.in_force()
        cdef Principal *p
        cdef uint64_t identity
        cdef uint8_t verdict
        if not self.building or not self.writes():
            return False
        with nogil:
            for at in range(start, min(stop, cluster_index.evidence.principal_count)):
                p = principal_at(cluster_index.evidence, at)
                verdict = cluster_index.actor_at(at, &identity)
                if verdict == NO_VERDICT:
                    continue
                if not self.insert(half, joined(p.key), identity, verdict, &self.built):
                    fetch_add(&self.board.header.overflowed, 1)
        return True

    def fill_methods(self, ClusterIndex cluster_index not None, uint32_t start, uint32_t stop, /):
        self.check_ready()
        cdef uint32_t at
        cdef int half = 1 - self.in_force()
        cdef Evidence evidence = cluster_index.evidence
        cdef uint64_t identity
        if not self.building or not self.writes():
            return False
        with nogil:
            for at in range(start, min(stop, evidence.identifier_count)):
                if kind_of(evidence.identifiers + at) != PAYMENT:
                    continue
                if owner_of(evidence.values + at) == 0:
                    continue
                identity = cluster_index.identity_of(owner_of(evidence.values + at), evidence.values + at)
                if self.insert(half, joined(evidence.values[at].key), identity, CERTAIN, &self.built):
                    continue
                fetch_add(&self.board.header.overflowed, 1)
        return True

    def stage(self, key, identity, uint8_t verdict=CERTAIN, /):
        self.check_ready()
        if key == 0 or not self.building or not self.writes():
            return False
        return self.insert(1 - self.in_force(), key, identity, verdict, &self.built)

    def commit(self):
        self.check_ready()
        return self.put_in_force()

    cdef bint put_in_force(self) noexcept nogil:
        if not self.building or not self.writes():
            self.building = False
            return False
        self.building = False
        if self.changes != NULL:
            self.compare(self.in_force(), 1 - self.in_force())
        store(&self.board.header.assigned, self.built)
        store(&self.board.header.generation, load(&self.board.header.generation) + 1)
        return True

    def assign(self, key, identity, uint8_t verdict=CERTAIN, /):
        self.check_ready()
        if key == 0 or not self.writes():
            return False
        if not self.set(key, NOBODY if identity == -1 else identity, verdict):
            fetch_add(&self.board.header.overflowed, 1)
        return True

    cdef bint set(self, uint64_t key, uint64_t identity, uint8_t verdict) noexcept nogil:
        """Enter one principal at once; False if there is no room."""
        cdef int half = self.in_force()
        cdef uint64_t count = load(&self.board.header.assigned)
        cdef bint fits = self.insert(half, key, identity, verdict, &count)
        store(&self.board.header.assigned, count)
        self.record_change(key, identity, verdict)
        if self.building:
            # It may have been filled before this principal joined.
            self.insert(1 - half, key, identity, verdict, &self.built)
        return fits

    # -- to and from other hosts -------------------------------------------------------------------

    def record(self, room, /):
        self.check_ready()
        cdef uint32_t places = room
        if places == 0:
            raise ValueError("changes need room to be recorded")
        PyMem_RawFree(self.changes)
        self.changes = <Pair *>PyMem_RawCalloc(places, sizeof(Pair))
        if self.changes == NULL:
            raise MemoryError("no room for changes")
        self.changes_room = places
        self.changed = 0
        self.overrun = False

    cdef void record_change(self, uint64_t key, uint64_t identity, uint8_t verdict) noexcept nogil:
        if self.changes == NULL:
            return
        if self.changed == self.changes_room:
            self.overrun = True
            return
        self.changes[self.changed].tag = marked(key, verdict if identity != NOBODY else NO_VERDICT)
        self.changes[self.changed].word = identity
        self.changed += 1

    cdef void compare(self, int before, int after) noexcept nogil:
        """Record what is other in one half than in another."""
        cdef uint64_t i, entry, identity
        cdef uint8_t verdict, former
        for i in range(self.slots):
            entry = self.board.halves[after][i]
            if entry:
                identity = self.identity_in(after, entry, &verdict)
                if self.find_in(before, entry >> PLACE_BITS, &former) != identity or former != verdict:
                    self.record_change(entry >> PLACE_BITS, identity, verdict)
        for i in range(self.slots):
            entry = self.board.halves[before][i]
            if entry & PLACE != NOWHERE and entry and self.find_in(after, entry >> PLACE_BITS, &former) == NOBODY:
                self.record_change(entry >> PLACE_BITS, NOBODY, NO_VERDICT)

    def take_changes(self):
        self.check_ready()
        cdef uint32_t i
        cdef bytes pairs = PyBytes_FromStringAndSize(NULL, self.changed * PAIR)
        cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(pairs)
        for i in range(self.changed):
            put(at + i * PAIR, self.changes[i].tag, self.changes[i].word)
        self.changed = 0
        self.overrun = False
        return pairs

    def export(self):
        self.check_ready()
        cdef int half = self.in_force()
        cdef const uint64_t *entries = self.board.halves[half]
        cdef uint64_t i, identity, count = 0
        cdef uint8_t verdict
        for i in range(self.slots):
            count += self.identity_in(half, entries[i], &verdict) != NOBODY
        cdef bytes pairs = PyBytes_FromStringAndSize(NULL, count * PAIR)
        cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(pairs)
        for i in range(self.slots):
            identity = self.identity_in(half, entries[i], &verdict)
            if identity != NOBODY:
                put(at, marked(entries[i] >> PLACE_BITS, verdict), identity)
                at += PAIR
        return pairs

    def enter(self, bytes pairs not None, /):
        self.check_ready()
        whole(pairs)
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(pairs)
        cdef Py_ssize_t i, count = len(pairs) // PAIR, gone = 0
        cdef Pair pair
        cdef uint64_t key, identity
        cdef uint8_t verdict, former
        cdef bint has_made_room = False
        if not self.writes():
            return 0
        with nogil:
            for i in range(count):
                pair = got(at + i * PAIR)
                key, verdict = tag_of(pair.tag), verdict_in(&pair)
                identity = pair.word if verdict else NOBODY
                # An account in no cluster that has no entry needs none.
                if key == 0 or (verdict == NO_VERDICT and self.find(key, &former) == NOBODY):
                    continue
                gone += verdict == NO_VERDICT
                if self.set(key, identity, verdict):
                    continue
                # Identities of clusters that are no more take room as well.
                if has_made_room or not self.repack() or not self.set(key, identity, verdict):
                    fetch_add(&self.board.header.overflowed, 1)
                has_made_room = True
        return gone

    def stage_all(self, bytes pairs not None, /):
        self.check_ready()
        whole(pairs)
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(pairs)
        cdef Py_ssize_t i, count = len(pairs) // PAIR
        cdef Pair pair
        cdef uint8_t verdict
        cdef int half = 1 - self.in_force()
        if not self.building or not self.writes():
            return False
        with nogil:
            for i in range(count):
                pair = got(at + i * PAIR)
                verdict = verdict_in(&pair)
                if tag_of(pair.tag) and verdict and not self.insert(half, tag_of(pair.tag), pair.word, verdict, &self.built):
                    fetch_add(&self.board.header.overflowed, 1)
        return True

    def compact(self):
        self.check_ready()
        return self.repack()

    cdef bint repack(self) noexcept nogil:
        cdef int half = self.in_force()
        cdef uint64_t i, identity
        cdef uint8_t verdict
        if self.building or not self.empty():
            return False
        for i in range(self.slots):
            identity = self.identity_in(half, self.board.halves[half][i], &verdict)
            if identity != NOBODY:
                self.insert(1 - half, self.board.halves[half][i] >> PLACE_BITS, identity, verdict, &self.built)
        return self.put_in_force()

    cdef bint insert(self, int half, uint64_t key, uint64_t identity, uint8_t verdict, uint64_t *count) noexcept nogil:
        cdef uint64_t *entries = self.board.halves[half]
        cdef uint64_t at = home_of(key, self.slots), tag = tag_of(key), entry, place
        cdef int _probe
        for _probe in range(MOST_PROBES):
            entry = load(entries + at)
            if entry == 0 or entry >> PLACE_BITS == tag:
                # A slot always stays free: a reader's walk ends.
                if entry == 0 and count[0] + 1 >= self.slots:
                    return False
                place = self.place_of(half, identity if verdict else NOBODY)
                if place == 0:
                    return False
                if verdict == LIKELY:
                    place |= ONLY_LIKELY
                # A writer that was replaced leaves the table alone; it is not for want of room.
                if self.writes():
                    store(entries + at, tag << PLACE_BITS | place)
                    count[0] += entry == 0
                return True
            at += 1
            if at == self.slots:
                at = 0
        return False

    cdef uint64_t place_of(self, int half, uint64_t identity) noexcept nogil:
        """Return what entries have for an identity, entering it if it is new; 0 if there is no room."""
        cdef uint64_t *identities = self.board.identities[half]
        cdef uint64_t at = scale(identity * <uint64_t>0x9E3779B97F4A7C15, self.rooms)
        cdef int _probe
        if identity == NOBODY:
            return NOWHERE
        for _probe in range(MOST_PROBES):
            if load(identities + at) == NOBODY and self.writes():
                cas(identities + at, NOBODY, identity)
            if load(identities + at) == identity:
                return at + 1
            at += 1
            if at == self.rooms:
                at = 0
        return 0

    cdef void follow(self, ClusterIndex cluster_index, uint64_t key) noexcept nogil:
        """Pass on what a principal counts as after it was seen, unless a rebuild is still weighing it."""
        cdef uint64_t identity
        cdef uint8_t verdict, former
        cdef uint32_t at = find_principal(cluster_index.evidence, key), i
        cdef uint32_t[2] mixed
        if at == UNSEEN or cluster_index.is_rebuilding or cluster_index.labels == 0 or not self.writes():
            return
        verdict = cluster_index.actor_at(at, &identity)
        if verdict != CERTAIN:
            for i in range(mix(cluster_index.evidence, principal_at(cluster_index.evidence, at), mixed)):
                self.set(joined(cluster_index.evidence.values[mixed[i]].key), NOBODY, NO_VERDICT)
        if verdict == NO_VERDICT:
            identity = NOBODY  # an account in no cluster that has no entry needs none
        if (self.find(key, &former) != identity or former != verdict) and not self.set(key, identity, verdict):
            fetch_add(&self.board.header.overflowed, 1)

    def __reduce__(self):
        raise TypeError("Assignments are memory of this host and are not pickled")
