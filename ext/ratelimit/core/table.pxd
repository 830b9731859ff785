from libc.stdint cimport uint64_t

from ratelimit.core.atomic cimport fetch_add, store
from ratelimit.core.layout cimport COLUMNS, Arena

cdef class Table:
    cdef Arena arena
    cdef object memory     # keeps the buffer's owner alive
    cdef Py_buffer buffer
    cdef bint open
    cdef readonly bint fresh
    cdef int seat_number   # -1 until joined
    cdef bint seat_shared
    cdef uint64_t *counters  # this seat's cells; NULL until joined

    cdef int attach(self, object now_ns, bytes boot_id, object anchor_ns, bytes key, uint64_t pages) except -1
    cdef object sit(self, uint64_t i, uint64_t since, uint64_t now)
    cdef uint64_t relative(self, object now_ns) except? 0xFFFFFFFFFFFFFFFF
    cdef int take_seat(self, int seat, bint shared) except -1
    cdef uint64_t shape_of(self, uint64_t period_s) except? 0xFFFFFFFFFFFFFFFF
    cdef void beat(self, uint64_t now) noexcept nogil
    cdef int check_open(self) except -1


cdef inline void bump(Table table, uint64_t row, uint64_t column, uint64_t amount) noexcept:
    """Add to one counter of this process; a process that has not joined counts nothing."""
    cdef uint64_t *cell
    if table.counters == NULL:
        return
    cell = table.counters + row * COLUMNS + column
    if table.seat_shared:
        fetch_add(cell, amount)
    else:
        store(cell, cell[0] + amount)  # one writer, under the GIL: no locked instruction needed
