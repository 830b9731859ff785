from libc.stdint cimport int64_t, uint8_t

cdef enum:
    BIN_COUNT = 96
    WHOLE_ACCOUNT = 1 << 20     # what an account weighs; whole, so that taking a part away leaves nothing behind

cdef int64_t bounds[BIN_COUNT]  # the largest amount of each bin

cdef int bin_of(int64_t amount) noexcept nogil


cdef class Histogram:
    cdef uint8_t counts[BIN_COUNT]
    cdef int most
    cdef readonly int total

    cdef void put(self, int64_t amount) noexcept
    cdef int64_t at(self, int percent) noexcept


cdef class Part:
    cdef uint8_t counts[BIN_COUNT]
    cdef int total


cdef class Shares:
    cdef dict accounts          # the parts, the account that was seen last behind all others
    cdef int64_t weights_of[BIN_COUNT]
    cdef int64_t whole          # their sum

    cdef int put(self, object account, int64_t amount) except -1
    cdef int64_t at(self, int percent) noexcept
    cdef void weigh(self, Part part, int sign) noexcept
