"""Who belongs to which cluster, for every worker to look up: see the stub for the contract.

Theory of operation. Two halves, each an open-addressing table of (principal key, cluster
identity); the lowest bit of a generation says which one is in force. A rebuild fills the
other half and then moves the generation on, which is one store. A reader that finds the
generation moved while it looked looks again: the half it was in may be being refilled.
That suffices without a lock, because stores here release and loads acquire: who sees a
word of the refilling sees the generation that went before it.

Between rebuilds, entries are only added, and the key is stored after the identity, so a
reader sees a whole entry or none. Nothing is ever half-written: a writer killed while it
fills leaves the half in force untouched.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.atomic cimport Pair, fetch_add, load, store
from ratelimit.core.board cimport Board
from ratelimit.core.evidence cimport principal_at
from ratelimit.core.judge cimport Judge
from ratelimit.core.sighting cimport Columns
from ratelimit.core.traits cimport Principal, joined

cdef extern from *:
    """
    /* Spreads keys over any number of slots: the high word of a product. */
    static inline uint64_t kin_scale(uint64_t key, uint64_t slots)
    {
        return (uint64_t)(((unsigned __int128)key * slots) >> 64);
    }
    """
    uint64_t scale "kin_scale"(uint64_t key, uint64_t slots) noexcept nogil

cdef enum:
    MOST_PROBES = 256       # at four fifths full hardly one entry in a million lies so far from home

cdef uint64_t NOBODY = 0xFFFFFFFFFFFFFFFF

cdef enum:
    PAIR = 16

PAIR_BYTES = PAIR


cdef inline void put(uint8_t *at, uint64_t key, uint64_t identity) noexcept nogil:
    """Write a pair, little-endian whatever the host is."""
    cdef int i
    for i in range(8):
        at[i] = <uint8_t>(key >> 8 * i)
        at[8 + i] = <uint8_t>(identity >> 8 * i)


cdef inline Pair got(const uint8_t *at) noexcept nogil:
    cdef Pair pair
    cdef int i
    pair.tag = pair.word = 0
    for i in range(8):
        pair.tag |= <uint64_t>at[i] << 8 * i
        pair.word |= <uint64_t>at[8 + i] << 8 * i
    return pair


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
        self.slots = board.header.slots

    def __dealloc__(self):
        PyMem_RawFree(self.changes)

    cdef int check_ready(self) except -1:
        if self.board is None:
            raise ValueError("these assignments were never initialised")
        return self.board.check_open()

    # -- reading ----------------------------------------------------------------------------------

    def cluster(self, row, /):
        cdef uint64_t key, identity
        if self.board is None or not self.board.open or not self.columns.principal(row, &key):
            return -1
        identity = self.find(key)
        return -1 if identity == NOBODY else identity

    def of_key(self, key, /):
        self.check_ready()
        cdef uint64_t identity = self.find(key)
        return -1 if identity == NOBODY else identity

    cdef uint64_t find(self, uint64_t key) noexcept nogil:
        cdef uint64_t generation, at, tag, found
        cdef Pair *half
        cdef int _probe
        while True:
            generation = load(&self.board.header.generation)
            half = self.board.halves[generation & 1]
            at = scale(key, self.slots)
            found = NOBODY
            for _probe in range(MOST_PROBES):
                tag = load(&half[at].tag)
                if tag == key:
                    found = load(&half[at].word)
                    break
                if tag == 0:
                    break
                at += 1
                if at == self.slots:
                    at = 0
            if load(&self.board.header.generation) == generation:
                return found

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

    def begin(self):
        self.check_ready()
        cdef uint64_t i
        cdef Pair *half
        if not self.writes():
            return False
        half = self.board.halves[(load(&self.board.header.generation) + 1) & 1]
        with nogil:
            for i in range(self.slots):
                store(&half[i].tag, 0)
                store(&half[i].word, NOBODY)
        self.built = 0
        self.building = True
        return True

    def fill(self, Judge judge not None, uint32_t start, uint32_t stop, /):
        self.check_ready()
        cdef uint32_t at
        cdef Pair *half
        cdef Principal *p
        if judge.evidence is None:
            raise ValueError("this judge was never initialised")
        if not self.building or not self.writes():
            return False
        half = self.board.halves[(load(&self.board.header.generation) + 1) & 1]
        with nogil:
            for at in range(start, min(stop, judge.evidence.principal_count)):
                p = principal_at(judge.evidence, at)
                if p.label == 0 or judge.within_floor(p):
                    continue
                if not self.insert(half, joined(p.key), judge.identity(p), &self.built):
                    fetch_add(&self.board.header.overflowed, 1)
        return True

    def stage(self, key, identity, /):
        self.check_ready()
        if key == 0 or not self.building or not self.writes():
            return False
        return self.insert(
            self.board.halves[(load(&self.board.header.generation) + 1) & 1], key, identity, &self.built
        )

    def commit(self):
        self.check_ready()
        if not self.building or not self.writes():
            self.building = False
            return False
        self.building = False
        if self.changes != NULL:
            self.compare(
                self.board.halves[load(&self.board.header.generation) & 1],
                self.board.halves[(load(&self.board.header.generation) + 1) & 1],
            )
        store(&self.board.header.assigned, self.built)
        store(&self.board.header.generation, load(&self.board.header.generation) + 1)
        return True

    def assign(self, key, identity, /):
        self.check_ready()
        if key == 0 or not self.writes():
            return False
        self.set(key, NOBODY if identity == -1 else identity)
        return True

    cdef void set(self, uint64_t key, uint64_t identity) noexcept nogil:
        cdef uint64_t generation = load(&self.board.header.generation), count
        count = load(&self.board.header.assigned)
        if not self.insert(self.board.halves[generation & 1], key, identity, &count):
            fetch_add(&self.board.header.overflowed, 1)
        store(&self.board.header.assigned, count)
        self.record_change(key, identity)
        if self.building:
            # It may have been filled before this principal joined.
            self.insert(self.board.halves[(generation + 1) & 1], key, identity, &self.built)

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

    cdef void record_change(self, uint64_t key, uint64_t identity) noexcept nogil:
        if self.changes == NULL:
            return
        if self.changed == self.changes_room:
            self.overrun = True
            return
        self.changes[self.changed].tag = key
        self.changes[self.changed].word = identity
        self.changed += 1

    cdef void compare(self, const Pair *before, const Pair *after) noexcept nogil:
        """Record what is other in one half than in another."""
        cdef uint64_t i
        for i in range(self.slots):
            if after[i].tag and self.find_in(before, after[i].tag) != after[i].word:
                self.record_change(after[i].tag, after[i].word)
        for i in range(self.slots):
            if before[i].tag and before[i].word != NOBODY and self.find_in(after, before[i].tag) == NOBODY:
                self.record_change(before[i].tag, NOBODY)

    cdef uint64_t find_in(self, const Pair *half, uint64_t key) noexcept nogil:
        """Look into one half, which nobody else writes meanwhile."""
        cdef uint64_t at = scale(key, self.slots)
        cdef int _probe
        for _probe in range(MOST_PROBES):
            if half[at].tag == key:
                return half[at].word
            if half[at].tag == 0:
                break
            at += 1
            if at == self.slots:
                at = 0
        return NOBODY

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
        cdef Pair *half = self.board.halves[load(&self.board.header.generation) & 1]
        cdef uint64_t i, count = 0
        for i in range(self.slots):
            count += half[i].tag != 0 and half[i].word != NOBODY
        cdef bytes pairs = PyBytes_FromStringAndSize(NULL, count * PAIR)
        cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(pairs)
        for i in range(self.slots):
            if half[i].tag != 0 and half[i].word != NOBODY:
                put(at, half[i].tag, half[i].word)
                at += PAIR
        return pairs

    def enter(self, bytes pairs not None, /):
        self.check_ready()
        whole(pairs)
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(pairs)
        cdef Py_ssize_t i, count = len(pairs) // PAIR, gone = 0
        cdef Pair pair
        if not self.writes():
            return 0
        with nogil:
            for i in range(count):
                pair = got(at + i * PAIR)
                # Who is nobody and has no entry needs none.
                if pair.tag and (pair.word != NOBODY or self.find(pair.tag) != NOBODY):
                    gone += pair.word == NOBODY
                    self.set(pair.tag, pair.word)
        return gone

    def stage_all(self, bytes pairs not None, /):
        self.check_ready()
        whole(pairs)
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(pairs)
        cdef Py_ssize_t i, count = len(pairs) // PAIR
        cdef Pair pair
        cdef Pair *half
        if not self.building or not self.writes():
            return False
        half = self.board.halves[(load(&self.board.header.generation) + 1) & 1]
        with nogil:
            for i in range(count):
                pair = got(at + i * PAIR)
                if pair.tag and not self.insert(half, pair.tag, pair.word, &self.built):
                    fetch_add(&self.board.header.overflowed, 1)
        return True

    def compact(self):
        self.check_ready()
        cdef const Pair *from_half
        cdef Pair *half
        cdef uint64_t i
        if self.building or not self.begin():
            return False
        from_half = self.board.halves[load(&self.board.header.generation) & 1]
        half = self.board.halves[(load(&self.board.header.generation) + 1) & 1]
        with nogil:
            for i in range(self.slots):
                if from_half[i].tag and from_half[i].word != NOBODY:
                    self.insert(half, from_half[i].tag, from_half[i].word, &self.built)
        return self.commit()

    cdef bint insert(self, Pair *half, uint64_t key, uint64_t identity, uint64_t *count) noexcept nogil:
        cdef uint64_t at = scale(key, self.slots), tag
        cdef int _probe
        for _probe in range(MOST_PROBES):
            tag = load(&half[at].tag)
            if tag == key:
                store(&half[at].word, identity)
                return True
            # A slot always stays free: a reader's walk ends.
            if tag == 0:
                if count[0] + 1 >= self.slots:
                    return False
                store(&half[at].word, identity)
                store(&half[at].tag, key)
                count[0] += 1
                return True
            at += 1
            if at == self.slots:
                at = 0
        return False

    cdef void follow(self, Judge judge, uint64_t key) noexcept nogil:
        """Pass on what a principal counts as after it was seen, unless a rebuild is still weighing it."""
        cdef uint64_t identity
        if judge.judging or judge.labels == 0 or not self.writes():
            return
        if not judge.cluster_of(key, &identity):
            identity = NOBODY
        # Who is nobody and has no entry needs none.
        if self.find(key) != identity:
            self.set(key, identity)

    def __reduce__(self):
        raise TypeError("Assignments are memory of this host and are not pickled")
