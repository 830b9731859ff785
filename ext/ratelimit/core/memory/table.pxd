from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.atomic cimport fetch_add, store
from ratelimit.core.memory.layout cimport COLUMNS, COUNTERS, SHAPES, Arena, Identity
from ratelimit.core.memory.number cimport NEGATIVE, NO_NUMBER, TOO_LARGE, WHOLE, read_number

cdef extern from *:
    # Window numbers and ends are kept in 29 bits of seconds; leave room for one window of a year.
    const uint64_t MAX_RELATIVE "((((uint64_t)1 << 29) - 400u * 86400u) * 1000000000u)"

cdef class Table:
    cdef Arena arena
    cdef Identity identity   # as it was when this process attached
    cdef uint64_t key[2]     # of hashes; the memory has its mark
    cdef uint64_t names[COUNTERS]  # what this process has entered or found in counters and shapes
    cdef uint64_t shapes[SHAPES]
    cdef object memory     # keeps the buffer's owner alive
    cdef Py_buffer buffer
    cdef bint open
    cdef readonly bint fresh
    cdef int seat_number   # -1 until joined
    cdef bint seat_shared
    cdef uint64_t seat_pid   # the process that took it, and when that began
    cdef uint64_t seat_start
    cdef uint64_t *counters  # this seat's cells; NULL until joined
    cdef bint names_callers  # whether it is noted who takes most, and who is refused: once joined, as long as somebody may ask

    cdef int make(self, object now_ns, bytes boot_id, object anchor_ns, uint64_t pages) except -1
    cdef int attach(self, object now_ns, bytes boot_id, object anchor_ns, uint64_t pages) except -1
    cdef int take_key(self, bytes key) except -1
    cdef bint has_mark(self) noexcept
    cdef int recognise(self, const uint8_t *base) except -1
    cdef str wrong(self)
    cdef bint has_seat(self) noexcept
    cdef object sit(self, uint64_t i, uint64_t since, uint64_t now)
    cdef void take_seat(self, int seat, bint shared) noexcept
    cdef uint64_t shape_of(self, uint64_t period_s) except? 0xFFFFFFFFFFFFFFFF
    cdef void beat(self, uint64_t now) noexcept nogil
    cdef int check_open(self) except -1


cdef inline uint64_t relative(Table table, object now_ns) except? 0xFFFFFFFFFFFFFFFF:
    """Return ns since the epoch, clamped to what words can hold."""
    cdef uint64_t now, epoch = table.arena.epoch_ns
    cdef int kind = read_number(now_ns, &now)
    if kind == NO_NUMBER:
        raise TypeError(f"time is an integer of nanoseconds, not {type(now_ns).__name__}")
    if kind == NEGATIVE or (kind == WHOLE and now <= epoch):
        return 0
    if kind == TOO_LARGE or now - epoch > MAX_RELATIVE:
        return MAX_RELATIVE
    return now - epoch


cdef inline void bump(Table table, uint64_t counter, uint64_t column, uint64_t amount) noexcept:
    """Add to one counter of this process; a process that has not joined counts nothing."""
    cdef uint64_t *cell
    if table.counters == NULL:
        return
    cell = table.counters + counter * COLUMNS + column
    if table.seat_shared:
        fetch_add(cell, amount)
    else:
        store(cell, cell[0] + amount)  # one writer, under the GIL: no locked instruction needed
