"""The layout of the allowance's memory: header | changes | payers | pairs | what payers paid.

A region is buckets of sixteen records (`record.pxd`). Change anything here or there and `RECORDS_LAYOUT` must change too.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t

from ratelimit.allowance.record cimport REGIONS, Record
from ratelimit.core.memory.atomic cimport Pair

cdef enum:
    RECORDS_LAYOUT = 2
    RECORDS_HEADER_BYTES = 4096
    CHANGES = 4096          # a power of two
    BUCKET = 16
    LEAST_BUCKETS = 8192    # they tell 13 bits of a key, which a record leaves out
    MOST_FOUND = 4          # records of payers that need not be looked for again

cpdef enum Standing:
    ELSEWHERE = 1           # the account is not established with its payer, which is
    UNSETTLED_COUNTS = 2    # the records are younger than 30 days, the account is older, or of unknown age

cdef struct RecordsHeader:
    uint64_t magic
    uint64_t version
    uint64_t total_bytes
    uint64_t buckets[REGIONS]
    uint64_t fingerprint[2]
    uint64_t since          # the day that the records begin with, sealed; 0: none yet
    uint64_t own            # the first day of the limiter itself, sealed; 0: none yet
    uint64_t used[REGIONS]
    uint64_t evicted        # of records that were not established, or silent for 70 days
    uint64_t displaced      # of established ones
    uint64_t refused        # keys that found no room
    uint64_t imported       # payers
    uint64_t head           # next ticket of a change

cdef struct Found:          # a payer's record, as it was when it was looked for
    uint64_t key
    Pair *at                # NULL: none
    Pair seen
    Record record


cdef class Records:
    cdef Py_buffer buffer
    cdef object memory
    cdef RecordsHeader *header
    cdef uint64_t *changes
    cdef Pair *regions[REGIONS]
    cdef uint64_t buckets[REGIONS]  # as this process asked for, never read from the mapping again
    cdef uint64_t fingerprint[2]
    cdef uint64_t looked_at
    cdef uint64_t day               # of what was seen last: a hint
    cdef Found found[MOST_FOUND]    # what a request asks for when it comes, it asks for again when it is charged
    cdef int next_found
    cdef readonly bint open

    cdef int attach(self, bytes fingerprint) except -1
    cdef int check_open(self) except -1
    cdef str wrong(self)
    cdef uint64_t damaged(self, uint64_t start, uint64_t stop) noexcept nogil
    cdef void begin(self, uint64_t day) noexcept nogil
    cdef Pair *find(self, uint64_t region, uint64_t key, Pair *seen, Record *record) noexcept nogil
    cdef Pair *find_payer(self, uint64_t key, Pair *seen, Record *record) noexcept nogil
    cdef void look_ahead(
        self, uint64_t payer, uint64_t account, uint64_t place, int64_t created_s, bint is_paid
    ) noexcept nogil
    cdef void await_payer(self, uint64_t payer) noexcept nogil
    cdef void fetch(self, uint64_t region, uint64_t key) noexcept nogil
    cdef Record amend(self, uint64_t region, uint64_t key, Record other, uint64_t day, int told) noexcept nogil
    cdef bint add(self, uint64_t region, uint64_t key, Record record, uint64_t day, int told) noexcept nogil
    cdef bint is_news(self, Record record, uint64_t day, int told) noexcept nogil
    cdef void tell(self, uint64_t region, uint64_t key) noexcept nogil
    cdef bint knows(self, uint64_t pair) noexcept nogil
    cdef bint founded(self, uint64_t pair, uint64_t first) noexcept nogil
    cdef bint is_infant(self, uint64_t day) noexcept nogil
    cdef bint is_old(self, int64_t created_s, uint64_t day) noexcept nogil
    cpdef int see(self, uint64_t payer, uint64_t account, uint64_t place, int64_t created_s, int64_t now_s) noexcept nogil
    cpdef void see_paid(self, uint64_t payer, int64_t paid_micros, int flags, int64_t now_s) noexcept nogil
    cpdef uint64_t settled(self, uint64_t payer, int64_t now_s) noexcept nogil
    cpdef void note(self, uint64_t payer, double used, int64_t now_s) noexcept nogil
    cpdef double best(self, uint64_t payer, int64_t now_s) noexcept nogil
    cpdef void import_day(self, uint64_t payer, int64_t day, double used, int64_t now_s) noexcept nogil
