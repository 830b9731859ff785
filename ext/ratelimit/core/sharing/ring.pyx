"""A bounded ring of sightings, from many producers to one consumer: see the stub for the contract.

Theory of operation (after Vyukov's bounded queue). A producer reserves a ticket by moving
`head`. The ticket names a cell, and the cell's sequence says which side's turn it is. Equal
to the ticket it is the producer's, one more the consumer's, and a whole ring more that of the
producer of the next round. Every step of either side is one atomic instruction, and after a kill
between any two the other side can go on:

- a producer that died before publishing leaves a cell that never comes; the consumer
  gives up on it after `PATIENCE_NS` by moving its sequence on. Whether producer or
  consumer was first is one compare-and-swap.
- such a producer may only have slept, and write into a cell that is another's by now.
  So each record carries a check over its words and its ticket. What does not agree with
  the ticket it is read for is dropped and counted, never believed. Two independent
  64-bit hashes of keyed hashes would have to meet for a mistake.
- a consumer that died after freeing a cell and before moving `tail` leaves a `tail` that
  lags: the next consumer sees that the cell is of a later round, and steps over it.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.core.sharing.assignments cimport Assignments
from ratelimit.core.memory.atomic cimport SECOND, cas, fetch_add, load, store
from ratelimit.core.sharing.board cimport Board, BoardHeader, Cell
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.clusters.sighting cimport Columns, Sighting
from ratelimit.core.clusters.records cimport KINDS

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef uint64_t PATIENCE_NS = SECOND // 2  # a worker may be kept from its processor; a dead one never comes

cdef enum:
    MOST_TRIES = 1024       # others were faster so often: there are fewer workers

RING_PATIENCE_NS = PATIENCE_NS


cdef inline uint64_t checked(const Cell *cell, uint64_t ticket) noexcept nogil:
    """Return the check of a record's words for one ticket."""
    cdef uint64_t h = ticket ^ <uint64_t>0x9E3779B97F4A7C15
    cdef int i
    h = (h ^ cell.principal) * <uint64_t>0xFF51AFD7ED558CCD
    h ^= h >> 32
    for i in range(KINDS):
        h = (h ^ cell.kinds[i]) * <uint64_t>0xC4CEB9FE1A85EC53
        h ^= h >> 29
    h = (h ^ cell.created) * <uint64_t>0xC4CEB9FE1A85EC53
    h ^= h >> 29
    h = (h ^ cell.when) * <uint64_t>0xFF51AFD7ED558CCD
    return h ^ (h >> 32)


@cython.final
cdef class Ring:
    def __init__(self, Board board not None, Columns columns not None):
        board.check_open()
        if self.board is not None:
            raise ValueError("a Ring is set up once")
        self.board = board
        self.columns = columns
        self.mask = board.cells_count - 1

    cdef int check_ready(self) except -1:
        if self.board is None:
            raise ValueError("this ring was never initialised")
        return self.board.check_open()

    def put(self, row, now_ns, bint free=False, /):
        cdef Sighting seen
        cdef uint64_t now
        # A board that is closed has no reader: no request fails for that.
        if self.board is None or not self.board.open or not self.columns.read(row, &seen):
            return False
        if read_number(now_ns, &now) != WHOLE:
            return False
        seen.free = free
        return self.push(&seen, now // SECOND)

    cdef bint push(self, Sighting *seen, uint64_t time_s) noexcept nogil:
        cdef BoardHeader *header = self.board.header
        cdef Cell *cell
        cdef Cell made
        cdef uint64_t ticket, sequence
        cdef int i, _try
        for _try in range(MOST_TRIES):
            ticket = load(&header.head)
            cell = self.board.cells + (ticket & self.mask)
            sequence = load(&cell.sequence)
            if sequence == ticket:
                if cas(&header.head, ticket, ticket + 1):
                    break
            elif load(&header.head) == ticket:
                # Full; or, if the sequence is ahead though the head has not moved, damaged.
                fetch_add(&header.dropped, 1)
                return False
        else:
            fetch_add(&header.dropped, 1)
            return False
        # The check is of what was seen, not of what is in the cell, where another may be writing.
        made.principal = seen.principal
        for i in range(KINDS):
            made.kinds[i] = seen.kinds[i]
        made.created = seen.created_s
        made.when = time_s << 1 | <uint64_t>(seen.free != 0)
        made.check = checked(&made, ticket)
        store(&cell.principal, made.principal)
        for i in range(KINDS):
            store(&cell.kinds[i], made.kinds[i])
        store(&cell.created, made.created)
        store(&cell.when, made.when)
        store(&cell.check, made.check)
        return cas(&cell.sequence, ticket, ticket + 1)

    def reserve(self):
        """Take a ticket and never publish: what a producer leaves that is killed there. For tests."""
        self.check_ready()
        cdef uint64_t ticket = load(&self.board.header.head)
        if load(&self.board.cells[ticket & self.mask].sequence) != ticket:
            raise ValueError("the ring is full")
        if not cas(&self.board.header.head, ticket, ticket + 1):
            raise ValueError("somebody else was faster")
        return ticket

    def drain(self, ClusterIndex cluster_index not None, most, now_ns, Assignments assignments=None, /):
        self.check_ready()
        cdef uint64_t limit = most, now = now_ns, time_s = 0, taken = 0
        cdef uint64_t most_passed = self.mask + 1
        cdef Sighting seen
        cdef int what
        if assignments is not None and assignments.board is not self.board:
            raise ValueError("the assignments are on another board")
        with nogil:
            while taken < limit:
                what = self.pop(&seen, &time_s, now)
                if what == NOTHING:
                    break
                if what == PASSED:
                    # A whole round without a sighting: the ring is damaged, or there will be more to take.
                    if most_passed == 0:
                        break
                    most_passed -= 1
                if what == TAKEN:
                    taken += 1
                    cluster_index.note(&seen, <int64_t>time_s)
                    if assignments is not None:
                        assignments.follow(cluster_index, seen.principal)
            if taken:
                fetch_add(&self.board.header.taken, taken)
        return taken

    cdef int pop(self, Sighting *seen, uint64_t *time_s, uint64_t now) noexcept nogil:
        cdef BoardHeader *header = self.board.header
        cdef uint64_t ticket = load(&header.tail), sequence
        cdef Cell *cell = self.board.cells + (ticket & self.mask)
        cdef Cell found
        cdef int i
        sequence = load(&cell.sequence)
        if sequence == ticket:
            return self.wait(cell, ticket, now)
        if <int64_t>(sequence - ticket) < 0:
            return NOTHING
        if sequence != ticket + 1:
            cas(&header.tail, ticket, ticket + 1)
            return PASSED
        found.principal = load(&cell.principal)
        for i in range(KINDS):
            found.kinds[i] = load(&cell.kinds[i])
        found.created = load(&cell.created)
        found.when = load(&cell.when)
        found.check = load(&cell.check)
        if not cas(&cell.sequence, ticket + 1, ticket + self.mask + 1):
            return PASSED
        cas(&header.tail, ticket, ticket + 1)
        if found.check != checked(&found, ticket):
            fetch_add(&header.torn, 1)
            return PASSED
        seen.principal = found.principal
        for i in range(KINDS):
            seen.kinds[i] = found.kinds[i]
        seen.created_s = <uint32_t>found.created
        seen.free = found.when & 1
        time_s[0] = found.when >> 1
        return TAKEN

    cdef int wait(self, Cell *cell, uint64_t ticket, uint64_t now) noexcept nogil:
        """Give a producer its time; what was reserved before that time began shares it."""
        cdef BoardHeader *header = self.board.header
        cdef uint64_t head = load(&header.head)
        if head == ticket:
            return NOTHING
        if ticket >= self.waits_until or now < self.waits_since:
            self.waits_since = now
            self.waits_until = head
            return NOTHING
        if now - self.waits_since < PATIENCE_NS:
            return NOTHING
        if cas(&cell.sequence, ticket, ticket + self.mask + 1):
            cas(&header.tail, ticket, ticket + 1)
            fetch_add(&header.abandoned, 1)
        return PASSED

    def __reduce__(self):
        raise TypeError("a Ring is memory of this host and is not pickled")
