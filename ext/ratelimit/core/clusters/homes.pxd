from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.records cimport Edge, Identifier, Principal
from ratelimit.core.memory.scratch cimport Scratch

cdef class Homes:
    cdef readonly Evidence evidence
    cdef uint32_t home_h
    cdef uint32_t home_new_h
    cdef uint32_t young_s
    cdef uint32_t new_s
    cdef uint32_t settled_s
    cdef uint32_t records_s
    cdef bint is_paid
    # By identifier, those there were at the beginning.
    cdef uint32_t count
    cdef uint32_t *payer    # of an address the payer with most visits; of a block its payer, or SEVERAL
    cdef uint32_t *votes    # of an address its visits; of a block addresses where an account pays by itself
    cdef uint32_t *total    # of an address all visits, and LONE; of a block its addresses
    cdef uint64_t *witnesses    # a set of payers and networks: who said that people live there
    cdef size_t witness_mask
    cdef Scratch scratch    # all of these

    cdef void free(self) noexcept
    cdef void forget(self) noexcept
    cdef Identifier *place(self, Edge *edge) noexcept nogil
    cdef uint32_t payer_of(self, Principal *p, uint32_t at, bint *lone) noexcept nogil
    cdef uint8_t age(self, Principal *p) noexcept nogil
    cdef Identifier *block_of(self, Identifier *node) noexcept nogil
    cdef bint is_home(self, Identifier *node, uint32_t payer) noexcept nogil
    cdef bint counts_as_witness(self, Principal *p, uint32_t payer, Identifier *node) noexcept nogil
    cdef bint is_public(self, Identifier *node) noexcept nogil
    cdef bint is_residential(self, Identifier *node) noexcept nogil
