from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.core.billing cimport Billing
from ratelimit.core.profile cimport Fit
from ratelimit.core.rulings cimport Ruling
from ratelimit.core.sighting cimport Sighting
from ratelimit.core.traits cimport Principal

cdef class Judge(Billing):
    cdef readonly uint64_t suspects_met    # newcomers who paid as several do, and joined no cluster

    cdef uint32_t note(self, Sighting *seen, int64_t time_s) noexcept nogil
    cdef void hear(self, uint64_t key, uint32_t before, uint32_t level) noexcept nogil
    cdef uint32_t best(self, Principal *p, Fit *fit) noexcept nogil
    cdef bint ruled(self, Ruling *ruling, Principal *p, Fit *fit, uint32_t *label) noexcept nogil
    cdef bint barred(self, Ruling *ruling, Principal *p, uint32_t label) noexcept nogil
    cdef void note_rival(self, Principal *p, uint32_t other, Fit *fit) noexcept nogil
    cdef void join(self, Principal *p, uint32_t label) noexcept nogil
    cdef void note_fit(self, Principal *p, uint32_t label, Fit *fit) noexcept nogil
