"""Sliding windows in the table: what a decision does in most cases; see the module for the others."""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.entries cimport FROZEN, WIDE
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Check, Quota
from ratelimit.core.algorithms.setup cimport Charge, Look
from ratelimit.core.algorithms.windows cimport sliding_check

cdef void look_up(Arena *arena, uint64_t key, uint64_t tag, Look *look, uint64_t *past) noexcept nogil
cdef void check_wide(
    Arena *arena, const Quota *q, Charge *charge, Look *look, uint64_t now, bint commit, Check *check
) noexcept nogil
cdef void correct_sliding(
    Arena *arena, const Quota *q, Charge *charge, int64_t asked, uint64_t now, int64_t *moved
) noexcept nogil
cdef uint64_t take_sliding(
    Arena *arena, const Quota *q, uint64_t key, uint64_t tag, uint64_t most, uint64_t now
) noexcept nogil


cdef inline void check_sliding(
    Arena *arena, const Quota *q, Charge *charge, Look *look, uint64_t now, bint commit, Check *check
) noexcept nogil:
    """Ask whether a charge's cost fits; if it is to be charged, the word that is seen has room for it then."""
    charge.past = 0
    sliding_check(q, look.seen, 0, now, charge.cost, check)
    if (look.seen | check.next) & (WIDE | FROZEN):
        check_wide(arena, q, charge, look, now, commit, check)
