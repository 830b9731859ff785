"""Declaration of `number.h`: what a Python integer is, as a C one."""

from libc.stdint cimport uint64_t

cdef enum:
    WHOLE = 0       # 0 to 2**64 - 1
    NEGATIVE = 1    # the value is the absolute one
    TOO_LARGE = 2
    NO_NUMBER = 3

cdef extern from "ratelimit/core/memory/number.h":
    int read_number "kin_number"(object number, uint64_t *value) noexcept
