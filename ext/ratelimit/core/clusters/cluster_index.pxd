from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence
from ratelimit.core.clusters.overrides cimport Override, Overrides
from ratelimit.core.clusters.sighting cimport Columns, Sighting
from ratelimit.core.clusters.records cimport Principal, Value

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    NOBODY = 0xFFFFFFFF
    MOST_LABELS = 4096
    OLDER_S = 86400         # what a principal asked for that is so much older than its cluster was its own affair

cdef struct Cluster:
    uint64_t identity       # what limits count it by
    uint32_t first_s        # when it was opened
    uint32_t members        # those dormant too, as the last rebuild counted them
    uint32_t owed           # requests its members were given before they were its own
    uint32_t certain_s      # when it became certain for the first time; 0: it never was
    uint32_t slots          # payment methods that have a number among the budgets of its first days
    uint8_t live
    uint8_t was_new         # whether all of its accounts were new then
    uint8_t verdict         # of those newcomers that fit

cdef struct Debt:
    uint64_t identity       # one of a young cluster's budgets
    uint32_t owed

cdef enum:
    MOST_DEBTS = 1024       # of young clusters; they are charged each second, and what finds no room is waived

cdef class ClusterIndex:
    cdef readonly Evidence evidence
    cdef readonly Columns columns
    cdef readonly uint32_t most_clusters
    cdef readonly uint32_t labels           # highest label in use
    cdef readonly bint is_rebuilding        # whether a rebuild is under way
    cdef readonly bint owing
    cdef uint32_t new_s
    cdef uint32_t records_s
    cdef uint32_t young_s
    cdef uint32_t methods_a_budget
    cdef Debt debts_of_young[MOST_DEBTS]
    cdef uint32_t debt_count
    cdef Cluster *clusters                  # by label
    cdef Overrides overrides                # what the operator says; None for nothing

    cdef uint32_t note(self, Sighting *seen, int64_t time_s) noexcept nogil
    cdef uint32_t match_cluster(self, Principal *p, uint8_t *verdict) noexcept nogil
    cdef uint32_t valid_label(self, uint32_t label) noexcept nogil
    cdef int check(self, uint32_t label) except -1
    cdef bint find_override(self, Principal *p, uint32_t *label, uint8_t *verdict) noexcept nogil
    cdef bint is_excluded(self, Override *override, Principal *p, uint32_t label) noexcept nogil
    cdef void assign_at(self, Principal *p, uint32_t label, uint8_t verdict) noexcept nogil
    cdef uint8_t actor_of(self, uint64_t key, uint64_t *identity) noexcept nogil
    cdef uint8_t actor_at(self, uint32_t at, uint64_t *identity) noexcept nogil
    cdef bint is_young(self, uint32_t label) noexcept nogil
    cdef uint64_t identity_of(self, uint32_t label, Value *method) noexcept nogil
    cdef Value *method_of(self, const Principal *p) noexcept nogil
    cdef void note_debt(self, uint64_t identity, uint32_t owed) noexcept nogil
    cdef uint8_t verdict(self, Principal *p) noexcept nogil
    cdef void owe(self, Principal *p) noexcept nogil
    cdef void admit_at(self, uint32_t at) noexcept nogil
