"""Recognition, the part that correlation has in a request's way: see the stub for the contract."""

cimport cython
from cpython cimport array
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.clusters.cluster_index cimport NOBODY, ClusterIndex
from ratelimit.core.clusters.organisations cimport Organisations
from ratelimit.core.clusters.records cimport NO_VERDICT
from ratelimit.core.clusters.sighting cimport PLACES, YOUNG_BEFORE, Columns, Sighting, enter_actor, stamp_actor
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS

cdef enum:
    NANOSECONDS = 1_000_000_000


@cython.auto_pickle(False)
cdef class Recogniser:
    def __cinit__(self, *_):
        if type(self) is Recogniser:
            raise TypeError("this is what kinds of recognition have in common")

    cdef int set_up(self, Columns columns, int at) except -1:
        """Take note of where rows have what; each kind does so in `__cinit__`."""
        if at < PLACES - 1:
            raise ValueError(f"an actor has {PLACES} places among the identities")
        self.columns = columns
        self.at = at
        self.highest = max(at, columns.highest)
        return 0

    def declare(self, int origin_at, Organisations organisations=None):
        self.columns.declare(origin_at, organisations)
        self.highest = max(self.highest, self.columns.highest)

    def fill(self, list row not None, /):
        enter_actor(row, self.at, NO_VERDICT, 0, False)

    def observe(self, row, bint refused, now_ns, int counted_at=-1, /):
        return False

    # The same over a bare array, for compiled callers, which vouch that it reaches to `highest`.
    # noexcept: nothing is looked at that could raise.

    cdef uint64_t stamp(self, uint64_t *ids) noexcept:
        """Write the actor into an array; return the principal, 0 for none."""
        stamp_actor(ids, self.at, NO_VERDICT, 0, False)
        return self.principal_in(ids)

    cdef uint64_t enter(self, uint64_t *ids, object now_ns) noexcept:
        """Do the same for a request that limits are about to decide."""
        return self.stamp(ids)

    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept:
        """Take note of what limits decided."""

    cdef bint is_free(self, const uint64_t *ids, int counted_at) noexcept:
        """Return whether no limit per cluster counted a request that such limits apply to."""
        return counted_at >= 0 and ids[counted_at] == ABSENT_HASH and ids[self.at - YOUNG_BEFORE] == ABSENT_HASH

    cdef uint64_t principal_in(self, const uint64_t *ids) noexcept:
        """Return what `Columns.principal` makes of a row; a test holds the two equal."""
        cdef uint64_t key = 0
        cdef int i
        for i in range(self.columns.principal_parts):
            if ids[self.columns.principal_at[i]] == ABSENT_HASH:
                return 0
            key = (key * <uint64_t>0x9E3779B97F4A7C15) ^ ids[self.columns.principal_at[i]]
        return key

    def __reduce__(self):
        raise TypeError("what recognises actors is memory of this host and is not pickled")


@cython.final
@cython.auto_pickle(False)
cdef class AtOnce(Recogniser):
    def __cinit__(self, ClusterIndex index not None, int at):
        self.set_up(index.columns, at)
        self.index = index
        self.place = NOBODY

    def fill(self, list row not None, /):
        self.index.fill(row, self.at)

    def enter_row(self, list row not None, now_ns, /):
        if not self.is_entered:
            self.index.observe(row, now_ns)
            self.is_entered = True
        self.index.fill(row, self.at)

    def take_columns(self, list columns not None, list times_ns not None, Py_ssize_t start, Py_ssize_t stop, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef array.array column
        cdef Py_ssize_t i
        cdef int j, width = <int>len(columns)
        if not self.highest < width <= MOST_POSITIONS or not 0 <= start <= stop <= len(times_ns):
            raise ValueError("the correlator's columns, and the range, are among those given")
        for column in columns:
            if column.ob_descr.typecode != c"Q" or len(column) != len(times_ns):
                raise ValueError("columns are of 64-bit numbers, and of one length")
        for i in range(start, stop):
            for j in range(width):
                ids[j] = (<array.array>columns[j]).data.as_ulonglongs[i]
            self.is_entered = False
            self.enter(ids, times_ns[i])
            for j in range(self.at - PLACES + 1, self.at + 1):
                (<array.array>columns[j]).data.as_ulonglongs[i] = ids[j]

    def observe(self, row, bint refused, now_ns, int counted_at=-1, /):
        if counted_at >= 0 and not refused and row[counted_at] == -1 and row[self.at - YOUNG_BEFORE] == -1:
            self.index.admit(row)
        return True

    cdef uint64_t stamp(self, uint64_t *ids) noexcept:
        cdef uint64_t key = self.principal_in(ids), identity = 0
        cdef uint8_t verdict = self.index.actor_of(key, &identity) if key else NO_VERDICT
        stamp_actor(ids, self.at, verdict, identity, self.columns.tells_young)
        return key

    cdef uint64_t enter(self, uint64_t *ids, object now_ns) noexcept:
        cdef Sighting seen
        cdef uint64_t now, identity = 0
        cdef uint8_t verdict = NO_VERDICT
        if self.is_entered or read_number(now_ns, &now) != WHOLE:
            return self.stamp(ids)
        self.is_entered = True
        self.place = NOBODY
        if not self.index.columns.take(ids, &seen):
            return self.stamp(ids)
        # Seen before it is decided: a newcomer joins its cluster with its first request.
        self.place = self.index.note(&seen, now // NANOSECONDS)
        verdict = self.index.actor_at(self.place, &identity)
        stamp_actor(ids, self.at, verdict, identity, self.columns.tells_young)
        return seen.principal

    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept:
        if self.place != NOBODY and not refused and self.is_free(ids, counted_at):
            self.index.admit_at(self.place)
