from libc.stdint cimport uint64_t

cdef class Matched:
    cdef readonly str template
    cdef readonly object params
    cdef readonly object plan        # None: `pick` picks it, or nothing applies
    cdef readonly object pick       # None: no customer's plan has a say
    cdef readonly tuple resolvers
    cdef readonly Matched before_resolvers
    cdef readonly Matched before_body
    cdef readonly bint is_crowded
    cdef readonly bint is_limited
    cdef readonly bint may_wait
    cdef readonly bint is_metered
    cdef readonly object classes
    cdef readonly int wait_rank
    cdef readonly int group
    cdef readonly int rank
    cdef object part                # of the compiled decider: the plan, taken apart; None: not asked for yet


cdef class ClassFacts:
    cdef list when                  # by group and class: positions of a row, and the hashes it may have there

    cdef int rank_of(self, Matched matched, uint64_t *ids, row) except -2
