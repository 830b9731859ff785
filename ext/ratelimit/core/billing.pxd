from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.admission cimport Admission
from ratelimit.core.fitting cimport NOBODY
from ratelimit.core.traits cimport Principal

cdef class Billing(Admission):
    cdef readonly bint owing               # whether there are debts

    cdef void turned_away(self, uint32_t at) noexcept nogil
    cdef void let_in(self, uint32_t at) noexcept nogil
    cdef uint8_t actor_of(self, uint64_t key, uint64_t *identity) noexcept nogil
    cdef uint8_t verdict(self, Principal *p) noexcept nogil
    cdef bint within_floor(self, Principal *p) noexcept nogil
    cdef uint64_t identity(self, Principal *p) noexcept nogil
    cdef uint32_t position_of(self, object row) except? NOBODY
    cdef void owe(self, Principal *p) noexcept nogil
