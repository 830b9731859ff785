from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.evidence cimport Evidence
from ratelimit.core.profile cimport Background, Fit, Profile
from ratelimit.core.rulings cimport Rulings
from ratelimit.core.sighting cimport Columns
from ratelimit.core.traits cimport Edge, Identifier, Principal

cdef struct Settings:
    double network_cap      # all networks together
    double network_each     # one independent network
    double payment_cap
    double client_cap
    double behaviour_cap
    double length_cap
    double insistence_cap
    double unlike           # behaviour this far from the members' keeps a principal out
    double extra_cap
    double prior_cap
    double join             # total at which a principal joins
    double stay             # and below which it leaves
    double paid             # or this, for one whose payment method is the cluster's
    double share            # part of those at a place that makes it a meeting place
    double infrastructure   # what an address of declared infrastructure counts for
    double support          # what meetings, clients and behaviour must say together for a payment method
    double sharing          # principals on one payment method that make it worth a look

cdef struct Heard:          # what those who have a payment method say of it together
    uint32_t held           # edges << 16 | edges to meetings
    float agreed            # scores, by client and behaviour

cdef enum:
    CANDIDATES = 4
    NOWHERE = -1000
    LEAD = 0x3FFF          # of a place's leads: by how many members its first payment method leads
    MIXED = 0x4000          # members who pay otherwise were seen there as well
    COUNTED = 0x8000
    NOBODY = 0xFFFFFFFF
    YOUNG = 10              # requests
    OWNED = 2               # seven in eight
    ACTIVE_S = 43200        # who was seen in the last half day has a rate
    SETTLED_S = 86400       # a principal so much older than a cluster is not easily drawn in
    MOST_LABELS = 4096

cdef class Fitting:
    cdef readonly Evidence evidence
    cdef Settings settings
    cdef Profile *profiles
    cdef readonly uint32_t most_clusters
    cdef readonly uint32_t labels       # highest label in use
    cdef Background background
    cdef readonly bint judging
    cdef uint64_t *identities           # by label: what limits count the cluster by
    cdef uint32_t *parts                # by label: how many budgets it has, one at full confidence
    cdef uint32_t *owed                 # by label: requests its members were given before they were its own
    cdef uint32_t *turns                # by label: the part of its budget that is charged next
    cdef readonly Columns columns
    cdef Rulings rulings                # what the operator says; None for nothing
    # Scratch of a rebuild: three blocks of memory, first for looking for seeds, then for counting
    # and assigning. Counting begins with emptying them. Seeds and payment methods have numbers from
    # 1: there are no more that matter than principals. A payment method's is in `tops`.
    cdef uint16_t *suspects             # by identifier: suspicious principals there; by root: principals
    cdef uint32_t *tops                 # by identifier: a seed first met there, then the payment method that leads
    cdef uint32_t *seeds                # by principal: what it is joined by, 0 for who is not marked
    cdef uint32_t *roots                # behind `seeds`. By seed: forest
    cdef uint16_t *leads                # where `suspects` were. By identifier: LEAD, MIXED and COUNTED
    cdef Heard *heard                   # where `seeds` and `roots` were. By payment method
    cdef uint8_t *near                  # by principal: whether any cluster was near the last time
    cdef readonly uint32_t numbered     # payment methods that have a number

    cdef int take_scratch(self) except -1
    cdef void free_scratch(self) noexcept
    cdef size_t used(self) noexcept nogil
    cdef size_t nodes(self) noexcept nogil
    cdef uint32_t number_of(self, uint64_t place) noexcept nogil
    cdef void begin_counting(self) noexcept nogil
    cdef void fit(self, Principal *p, uint32_t label, Fit *fit) noexcept nogil
    cdef void behave(self, Principal *p, uint32_t label, double own, Fit *fit) noexcept nogil
    cdef void mind(self, Principal *p, Profile *c, double own, Fit *fit) noexcept nogil
    cdef double rarity(self, Identifier *node, uint32_t label, double own, Profile *c, Background *b) noexcept nogil
    cdef double exclusive(
        self, Principal *p, int first, int end, int kind, uint32_t label, double own, double size, double others,
        double cap, Profile *c, double *owned
    ) noexcept nogil
    cdef double unmet(self, Principal *p, Profile *c, double outside) noexcept nogil
    cdef double client_fit(self, Principal *p, uint32_t label, double own, Profile *c, Background *b) noexcept nogil
    cdef bint has_client_of(self, Principal *p, uint32_t label) noexcept nogil
    cdef uint32_t payment_of(self, Principal *p) noexcept nogil
    cdef bint is_home(self, Identifier *node, uint32_t payment) noexcept nogil
    cdef bint supported(self, Identifier *payment, uint32_t label, Profile *c) noexcept nogil


cdef inline bint is_valid(Fitting self, Edge *edge, int kind) noexcept nogil:
    # Six half-lives: below two per cent of its weight.
    cdef uint32_t ticks = <uint16_t>(self.evidence.now_s // 600 - edge.seen)
    return ticks < 6 * self.evidence.half_ticks[kind]
