from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.usage.histogram cimport Histogram, Shares

cdef enum:
    UNSAID = -1     # in place of an amount that is not known


cdef class Past:
    cdef Histogram amounts
    cdef uint64_t seen_ns


cdef class Route:
    cdef Shares amounts
    cdef int64_t largest
    cdef uint64_t total


cdef class Endings:
    cdef uint32_t left          # a bit for each of the last answers, the latest lowest: the client left before its end
    cdef int count


cdef class Votes:
    cdef dict by_account
    cdef int longer


cdef class Learned:
    cdef Py_ssize_t most
    cdef int64_t first
    cdef dict accounts      # by account and route; the one that was seen last behind all others
    cdef dict routes
    cdef dict exceeded      # by account, route and fields: when an answer was last longer than declared
    cdef dict endings       # by account: how its last answers ended, a bit each
    cdef dict votes         # by route and fields: the last accounts, and whether the last answer of each was longer

    cdef int take(self, object account, object route, int64_t amount, uint64_t now) except -1
    cdef int vote(self, object account, object route, int by, int64_t declared, int64_t output, uint64_t now) except -1
    cdef bint trusts(self, object account, object route, int by, uint64_t now) except -1
    cdef int end(self, object account, bint is_left) except -1
    cdef bint leaves(self, object account) except -1
    cdef int64_t expected(
        self, object account, object route, int64_t declared, uint64_t now, int64_t first, int64_t most
    ) except -1
    cdef int64_t furthest(self, object route, int64_t least) except -1
    cdef int64_t counted(self, Route usual, int64_t declared, int64_t first, int64_t most) noexcept
    cdef int64_t held(self, object route, int64_t declared, int64_t first, int64_t most) except -1
