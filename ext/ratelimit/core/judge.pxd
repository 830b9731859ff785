from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.evidence cimport Evidence
from ratelimit.core.profile cimport Background, Fit, Profile
from ratelimit.core.rulings cimport Ruling, Rulings
from ratelimit.core.sighting cimport Columns, Sighting
from ratelimit.core.traits cimport Identifier, Principal

cdef struct Settings:
    double network_cap      # all networks together
    double network_each     # one independent network
    double payment_cap
    double client_cap
    double behaviour_cap
    double unlike           # behaviour this far from the members' keeps a principal out
    double extra_cap
    double prior_cap
    double join             # total at which a principal joins
    double stay             # and below which it leaves
    double paid             # or this, for one whose payment method is the cluster's
    double share            # part of those at a place that makes it a meeting place
    double infrastructure   # what an address of declared infrastructure counts for
    double sharing          # principals on one payment method that make it worth a look

cdef class Judge:
    cdef readonly Evidence evidence
    cdef Settings settings
    cdef Profile *profiles
    cdef readonly uint32_t most_clusters
    cdef readonly uint32_t labels       # highest label in use
    cdef Background background
    cdef readonly bint judging
    cdef uint64_t *identities           # by label: what limits count the cluster by
    cdef uint32_t *parts                # by label: how many budgets it has, one at full confidence
    cdef readonly Columns columns
    cdef Rulings rulings                # what the operator says; None for nothing
    # Scratch of a rebuild.
    cdef uint16_t *suspects             # by identifier: suspicious principals there
    cdef uint32_t *roots                # by identifier: forest of payment methods
    cdef uint32_t *tops                 # by identifier: the payment method that leads there, or a seed first met
    cdef uint32_t *held                 # by payment method: edges << 16 | edges to meetings
    cdef uint16_t *leads                # by identifier: LEAD, MIXED and COUNTED
    cdef float *agreed                  # by payment method: its principals' scores by client

    cdef void fit(self, Principal *p, uint32_t label, Fit *fit) noexcept nogil
    cdef bint fits(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil
    cdef bint accepts(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil
    cdef bint ruled(self, Ruling *ruling, Principal *p, Fit *fit, uint32_t *label) noexcept nogil
    cdef bint barred(self, Ruling *ruling, Principal *p, uint32_t label) noexcept nogil
    cdef uint32_t best(self, Principal *p, Fit *fit) noexcept nogil
    cdef bint cluster_of(self, uint64_t key, uint64_t *identity) noexcept nogil
    cdef void turned_away(self, uint32_t at) noexcept nogil
    cdef uint32_t note(self, Sighting *seen, int64_t time_s) noexcept nogil
    cdef bint within_floor(self, Principal *p) noexcept nogil
    cdef uint64_t identity(self, Principal *p) noexcept nogil
    cdef void join(self, Principal *p, uint32_t label) noexcept nogil
    cdef void free_scratch(self) noexcept
    cdef double rarity(self, Identifier *node, uint32_t label, double own, Profile *c, Background *b) noexcept nogil
    cdef double exclusive(
        self, Principal *p, int first, int end, int kind, uint32_t label, double own, double size, double others, double cap, Profile *c, double *owned
    ) noexcept nogil
    cdef double client_fit(self, Principal *p, uint32_t label, double own, Profile *c, Background *b) noexcept nogil
    cdef void relabel(self, Principal *p, uint32_t label) noexcept nogil
    cdef void vote_one(self, Principal *p) noexcept nogil
    cdef void gather_one(self, Principal *p) noexcept nogil
    cdef void tally_one(self, Principal *p) noexcept nogil
    cdef void share_one(self, Principal *p) noexcept nogil
    cdef void count_client(self, Profile *c, uint32_t ref) noexcept nogil
    cdef void note_fit(self, Principal *p, uint32_t label, Fit *fit) noexcept nogil
    cdef void bridge_one(self, Principal *p) noexcept nogil
    cdef void support_one(self, Principal *p) noexcept nogil
    cdef bint supported(self, Identifier *payment, uint32_t label, Profile *c) noexcept nogil
    cdef uint32_t payment_of(self, Principal *p) noexcept nogil
    cdef bint is_home(self, Identifier *node, uint32_t payment) noexcept nogil
    cdef void weigh(self, Identifier *node, uint32_t payment) noexcept nogil
    cdef bint is_meeting(self, Identifier *node, uint32_t label, int least) noexcept nogil
    cdef double unmet(self, Principal *p, Profile *c, double outside) noexcept nogil
    cdef void note_rival(self, uint32_t own, uint32_t other, Fit *fit) noexcept nogil
    cdef size_t suspects_bytes(self) noexcept nogil
    cdef void mark_addresses(self, Principal *p) noexcept nogil
    cdef int meetings_of(self, Principal *p, double share) noexcept nogil
    cdef size_t used(self) noexcept nogil
    cdef size_t forest_bytes(self) noexcept nogil
    cdef void mark(self, Identifier *node) noexcept nogil
    cdef void meet(self, Principal *p, Identifier *node, double share, int least) noexcept nogil
