"""The layout of the memory of conduct: a header, entries in buckets of four, and ramps.

Change anything here and `CONDUCT_LAYOUT` must change too.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    CONDUCT_LAYOUT = 4
    CONDUCT_HEADER_BYTES = 4096
    BUCKETS = 4096          # a power of two
    BUCKET_SIZE = 4
    RAMP_BUCKETS = 16384    # a power of two
    RECORD_WORDS = 8
    RAMP_WORDS = 2

cdef struct ConductHeader:
    uint64_t magic
    uint64_t version
    uint64_t total_bytes
    uint64_t fingerprint[2]
    uint8_t boot[64]

cdef struct Record:         # every word of it, and of a ramp, is kept sealed: see `conduct.pyx`
    uint64_t key            # 0: free
    uint64_t word           # of `ratelimit.conduct.model.strikes`
    uint64_t cluster        # in which the account was seen last, 0 for none
    uint64_t began_ns       # of the round of refusals
    uint64_t counts         # refused << 32 | most in one second
    uint64_t second_ns
    uint64_t early          # refusals in that second << 32 | calls that came early
    uint64_t waits          # seconds of the round << 32 | of the round before

cdef struct Ramp:
    uint64_t key            # 0: free
    uint64_t word           # of `ratelimit.conduct.model.ramp`


cdef class ConductMemory:
    cdef Py_buffer buffer
    cdef object memory
    cdef ConductHeader *header
    cdef Record *records
    cdef Ramp *ramps
    cdef uint64_t fingerprint[2]
    cdef uint8_t boot[64]
    cdef readonly bint open

    cdef int check_open(self) except -1
    cdef str wrong(self)
    cdef int attach(self, bytes boot_id, bytes fingerprint) except -1
    cdef Record *find(self, uint64_t key) noexcept
    cdef Record *make(self, uint64_t key) noexcept
    cdef bint is_marked(self, uint64_t key) noexcept
    cdef Ramp *find_ramp(self, uint64_t key) noexcept
    cdef Ramp *make_ramp(self, uint64_t key, uint64_t now_ns) noexcept
    cdef uint64_t held_ns(self, uint64_t key, uint64_t now_ns, uint64_t usual) noexcept
    cdef void note_use(self, uint64_t key, uint64_t now_ns) noexcept
