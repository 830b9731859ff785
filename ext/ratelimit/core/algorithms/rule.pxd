from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.memory.quota cimport Quota

cdef class Rule:
    cdef Quota quota_c
    cdef readonly str name
    cdef readonly str algorithm
    cdef readonly object quota
    cdef readonly object period_ns
    cdef readonly object burst
    cdef readonly object debt
    cdef readonly object salt
    cdef readonly bint shadow
    cdef readonly object enforced_ppm
    cdef readonly tuple calendar
    cdef readonly uint32_t mark
    cdef uint64_t *starts  # the calendar; the quota points at it
    cdef Rule whole        # the rule that this is a share of, and reads the calendar of; else None

    cdef int keep_calendar(self, calendar) except -1

cdef int refuse_range(str message) except -1
