"""The observer, the part that correlation has in a request's way: see the stub for the contract."""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.sharing.assignments cimport Assignments
from ratelimit.core.memory.atomic cimport SECOND, load
from ratelimit.core.sharing.board cimport Board
from ratelimit.core.sharing.pairs cimport NOBODY
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.clusters.recogniser cimport Recogniser
from ratelimit.core.sharing.ring cimport Ring
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.clusters.sighting cimport YOUNG_BEFORE, Columns, Sighting, enter_actor, stamp_actor
from ratelimit.core.clusters.records cimport NO_VERDICT, PAYMENT, identifier_key


@cython.final
@cython.auto_pickle(False)
cdef class Watch(Recogniser):
    def __cinit__(self, Board board not None, Columns columns not None, int at):
        self.set_up(columns, at)
        self.ring = Ring(board, columns)
        self.assignments = Assignments(board, columns)

    def fill(self, list row not None, /):
        cdef uint64_t key, identity = 0
        cdef uint8_t verdict = NO_VERDICT
        if self.ring.board.open and self.columns.principal(row, &key):
            identity = self.assignments.find(key, &verdict)
            if identity == NOBODY:
                identity = self.owner(self.columns.payment_in(row), &verdict)
        enter_actor(row, self.at, verdict, identity, self.columns.tells_young)

    def observe(self, row, bint refused, now_ns, int counted_at=-1, /):
        cdef bint is_free = counted_at >= 0 and row[counted_at] == -1 and row[self.at - YOUNG_BEFORE] == -1
        return self.ring.put(row, now_ns, is_free and not refused)

    # noexcept: a board that was closed knows no account.

    cdef uint64_t stamp(self, uint64_t *ids) noexcept:
        cdef uint64_t key = 0, identity = ABSENT_HASH
        cdef uint8_t verdict = NO_VERDICT
        if self.ring.board.open:
            key = self.principal_in(ids)
            if key:
                identity = self.assignments.find(key, &verdict)
                if identity == NOBODY and self.columns.kinds_at[PAYMENT] >= 0:
                    identity = self.owner(ids[self.columns.kinds_at[PAYMENT]], &verdict)
        stamp_actor(ids, self.at, verdict, identity, self.columns.tells_young)
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

    cdef void note(self, uint64_t *ids, bint refused, object now_ns, int counted_at) noexcept:
        cdef Sighting seen
        cdef uint64_t now
        if not self.ring.board.open or read_number(now_ns, &now) != WHOLE:
            return
        if self.columns.take(ids, &seen):
            seen.free = not refused and self.is_free(ids, counted_at)
            self.ring.push(&seen, now // SECOND)
