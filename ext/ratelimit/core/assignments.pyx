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
from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.atomic cimport Pair, fetch_add, load, store
from ratelimit.core.board cimport Board
from ratelimit.core.judge cimport Judge
from ratelimit.core.sighting cimport Columns
from ratelimit.core.traits cimport Principal

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


@cython.final
cdef class Assignments:
    def __init__(self, Board board not None, Columns columns not None):
        board.check_open()
        if self.board is not None:
            raise ValueError("Assignments are set up once")
        self.board = board
        self.columns = columns
        self.slots = board.header.slots

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
                p = judge.evidence.principals + at
                if p.label == 0 or judge.within_floor(p):
                    continue
                if not self.insert(half, p.key, judge.identity(p), &self.built):
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
        if self.building:
            # It may have been filled before this principal joined.
            self.insert(self.board.halves[(generation + 1) & 1], key, identity, &self.built)

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
