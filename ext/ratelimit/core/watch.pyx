"""What a request's way has to do with correlation: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.assignments cimport Assignments
from ratelimit.core.atomic cimport SECOND
from ratelimit.core.board cimport Board
from ratelimit.core.number cimport WHOLE, read_number
from ratelimit.core.organisations cimport Organisations
from ratelimit.core.ring cimport Ring
from ratelimit.core.setup cimport ABSENT_HASH
from ratelimit.core.sighting cimport Columns, Sighting


@cython.final
cdef class Watch:
    def __init__(self, Board board not None, Columns columns not None, int at):
        if self.ring is not None:
            raise ValueError("a Watch is set up once")
        if at < 0:
            raise ValueError("a cluster has a position among the identities")
        self.ring = Ring(board, columns)
        self.assignments = Assignments(board, columns)
        self.columns = columns
        self.at = at
        self.highest = max(at, columns.highest)

    def declare(self, int origin_at, Organisations organisations=None):
        self.columns.declare(origin_at, organisations)
        self.highest = max(self.highest, self.columns.highest)

    def fill(self, list row not None, /):
        if self.ring is None:
            raise ValueError("this watch was never initialised")
        row[self.at] = self.assignments.cluster(row)

    def observe(self, row, bint refused, now_ns, /):
        if self.ring is None:
            raise ValueError("this watch was never initialised")
        return self.ring.put(row, refused, now_ns)

    # The same over a bare array, for compiled callers, who vouch that it reaches to `highest`.
    # noexcept: nothing is looked at that could raise; a board that was closed knows nobody.

    cdef void stamp(self, uint64_t *ids) noexcept:
        cdef uint64_t key
        ids[self.at] = ABSENT_HASH
        if self.ring.board.open:
            key = principal_of(self.columns, ids)
            if key:
                ids[self.at] = self.assignments.find(key)  # nobody is all ones there as well

    cdef void note(self, uint64_t *ids, bint refused, object now_ns) noexcept:
        cdef Sighting seen
        cdef uint64_t now
        if not self.ring.board.open or read_number(now_ns, &now) != WHOLE:
            return
        if self.columns.take(ids, &seen):
            seen.refused = refused
            self.ring.push(&seen, now // SECOND)

    def __reduce__(self):
        raise TypeError("a Watch is memory of this host and is not pickled")


cdef inline uint64_t principal_of(Columns columns, uint64_t *ids) noexcept:
    """Return what `Columns.principal` makes of a row; a test holds the two equal."""
    cdef uint64_t key = 0
    cdef int i
    for i in range(columns.principal_parts):
        if ids[columns.principal_at[i]] == ABSENT_HASH:
            return 0
        key = (key * <uint64_t>0x9E3779B97F4A7C15) ^ ids[columns.principal_at[i]]
    return key
