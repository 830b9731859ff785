from libc.stdint cimport uint32_t

from ratelimit.core.dormancy cimport Dormancy
from ratelimit.core.profile cimport Profile
from ratelimit.core.traits cimport Identifier, Principal

cdef class Census(Dormancy):
    cdef void look(self, uint32_t at) noexcept nogil
    cdef void relabel(self, Principal *p, uint32_t label) noexcept nogil
    cdef void gather_one(self, Principal *p) noexcept nogil
    cdef void vote_one(self, Principal *p) noexcept nogil
    cdef void tally_one(self, Principal *p) noexcept nogil
    cdef void count_client(self, Profile *c, uint32_t ref) noexcept nogil
    cdef void share_one(self, Principal *p) noexcept nogil
