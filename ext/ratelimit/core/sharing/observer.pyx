"""The observer, the part that correlation has in a request's way: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.sharing.assignments cimport Assignments
from ratelimit.core.memory.atomic cimport SECOND, load
from ratelimit.core.sharing.board cimport Board
from ratelimit.core.sharing.pairs cimport NOBODY
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.clusters.organisations cimport Organisations
from ratelimit.core.sharing.ring cimport Ring
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.clusters.sighting cimport PLACES, Columns, Sighting, enter_actor, stamp_actor
from ratelimit.core.clusters.records cimport NO_VERDICT, PAYMENT, identifier_key


@cython.final
cdef class Watch:
    def __cinit__(self, Board board not None, Columns columns not None, int at):
        if at < PLACES - 1:
            raise ValueError(f"an actor has {PLACES} places among the identities")
        self.ring = Ring(board, columns)
        self.assignments = Assignments(board, columns)
        self.columns = columns
        self.at = at
        self.highest = max(at, columns.highest)

    def declare(self, int origin_at, Organisations organisations=None):
        self.columns.declare(origin_at, organisations)
        self.highest = max(self.highest, self.columns.highest)

    def fill(self, list row not None, /):
        cdef uint64_t key, identity = 0
        cdef uint8_t verdict = NO_VERDICT
        if self.ring.board.open and self.columns.principal(row, &key):
            identity = self.assignments.find(key, &verdict)
            if identity == NOBODY:
                identity = self.owner(self.columns.payment_in(row), &verdict)
        enter_actor(row, self.at, verdict, identity)

    @property
    def tells_age(self):
        return self.columns.new_at >= 0

    def mark(self, list row not None, now_ns, /):
        return self.columns.mark(row, now_ns)

    def observe(self, row, bint refused, now_ns, int counted_at=-1, /):
        return self.ring.put(row, now_ns, counted_at >= 0 and not refused and row[counted_at] == -1)

    # The same over a bare array, for compiled callers, which vouch that it reaches to `highest`.
    # noexcept: nothing is looked at that could raise; a board that was closed knows no account.

    cdef uint64_t stamp(self, uint64_t *ids) noexcept:
        """Write the actor into an array; return the principal, 0 for none."""
        cdef uint64_t key = 0, identity = ABSENT_HASH
        cdef uint8_t verdict = NO_VERDICT
        if self.ring.board.open:
            key = principal_of(self.columns, ids)
            if key:
                identity = self.assignments.find(key, &verdict)
                if identity == NOBODY and self.columns.kinds_at[PAYMENT] >= 0:
                    identity = self.owner(ids[self.columns.kinds_at[PAYMENT]], &verdict)
        stamp_actor(ids, self.at, verdict, identity)
        return key

    cdef uint64_t owner(self, uint64_t payment, uint8_t *verdict) noexcept nogil:
        """Return the actor that a payment method is the own one of, `NOBODY` for none."""
        cdef uint64_t identity = NOBODY
        if payment != ABSENT_HASH and load(&self.ring.board.header.assigned):
            identity = self.assignments.find(identifier_key(payment, PAYMENT), verdict)
        if identity == NOBODY:
            verdict[0] = NO_VERDICT
            return NOBODY
        return identity

    cdef int mark_hashes(self, uint64_t *ids, object now_ns) except -1:
        """Mark an array of a new account."""
        self.columns.mark_hashes(ids, now_ns // 1_000_000_000)
        return 0

    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept:
        cdef Sighting seen
        cdef uint64_t now
        if not self.ring.board.open or read_number(now_ns, &now) != WHOLE:
            return
        if self.columns.take(ids, &seen):
            seen.free = counted_at >= 0 and not refused and ids[counted_at] == ABSENT_HASH
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
