from libc.stdint cimport uint64_t

from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS


cdef class Picker:
    cdef object picked(self, uint64_t *ids, object now_ns)
    cdef int charged(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1
    cdef int refused(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1
    cdef void look_ahead(self, uint64_t **columns, Py_ssize_t row) noexcept nogil


cdef inline int fill(list row, uint64_t *ids) except -1:
    """Fill an array with identities as Python lists them; behind them stands nothing."""
    cdef uint64_t number
    cdef int at, size = <int>len(row)
    if size > MOST_POSITIONS:
        raise ValueError(f"there are at most {MOST_POSITIONS} identities")
    for at in range(MOST_POSITIONS):
        ids[at] = ABSENT_HASH
        if at < size and read_number(row[at], &number) == WHOLE:
            ids[at] = number
    return 0
