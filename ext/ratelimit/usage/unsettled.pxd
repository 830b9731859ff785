from libc.stdint cimport int64_t, uint32_t

from ratelimit.core.algorithms.setup cimport MOST_RULES


cdef class Estimated:
    cdef readonly tuple positions
    cdef int at[MOST_RULES]
    cdef int count
    cdef list names             # of the limits, by rule
    cdef dict units             # by unit: a bit for each rule that counts it


cdef class Reservation:
    cdef readonly object plan
    cdef readonly object outcome
    cdef Estimated estimated
    cdef int64_t estimates[MOST_RULES]  # what was charged on arrival, by rule
    cdef uint32_t charged               # a bit for each rule that was charged an estimate
    cdef uint32_t settled               # and for each with a unit that was settled, whatever came of it
    cdef readonly bint is_settled       # any unit was
    cdef public bint seen               # an answer was seen to use something, without its whole usage

    cdef int settle_unit(self, object unit) except -1


cdef class Unsettled:
    cdef object observe
    cdef set open
