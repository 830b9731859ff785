from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.algorithms.setup cimport MOST_RULES
from ratelimit.core.clusters.recogniser cimport Recogniser
from ratelimit.core.decision.engine cimport Outcome, Plan
from ratelimit.core.decision.schedule cimport Pace
from ratelimit.core.memory.table cimport Table
from ratelimit.core.redis.lease cimport LeasedRules
from ratelimit.core.redis.remote cimport RemoteRules
from ratelimit.core.request.identities cimport IdentityReader
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.deciding.matched cimport Matched
from ratelimit.deciding.picker cimport Picker

cdef enum:
    NOT_HERE = 0            # Python has to decide, and nothing was charged
    BY_LIMITS = 1
    UNLIMITED = 2
    BY_ALLOW_LIST = 3
    BY_DENY_LIST = 4
    BY_IDENTITY = 5
    REASONS = 6

cdef enum:
    FROM_GATE = 0           # who asks: the middleware's gate
    BY_NAME = 1             # `Limiter.decide`, which has to know what its caller was told by
    BY_ROW = 2              # Python, with identities that it found
    BY_DOOR = 3             # the middleware's slow path, likewise
    BY_ROUTE = 4            # a route: the middleware has counted the request, or will
    BY_ROUTE_FIRST = 5      # the same of a request that no limit decided before: the correlator has not seen it


cdef class PlanParts:
    cdef object plan
    cdef object here                    # decides rows; None: decided elsewhere
    cdef object costs
    cdef tuple stages                   # what requests of the plan pass before its limits
    cdef tuple labels
    cdef object policy_pair
    cdef bint conceals
    cdef bint holds_slots
    cdef bint exposes          # some rule counts what is in flight
    cdef bint reserves         # some rule takes an estimate, to be settled
    cdef object metered         # finds estimates, or reads answers; None: nothing is to be done
    cdef bint tells_shadows             # what would have waited in shadow is counted
    cdef Picker picker                  # picks another plan in place of this one; None: this is asked
    cdef tuple notes                    # are told of what limits decided; empty: nothing is
    cdef object other                   # returns the plan for requests that some limits alone refuse; None: none
    cdef PlanParts instead              # that plan, taken apart; None: not asked for yet
    cdef uint64_t yields                # a bit for each of these limits
    cdef bint looks_first               # a refusal is not the last word: a stage may have another
    cdef int counted_at                 # position of the identity that a limit per cluster counts by; -1: there is none
    cdef uint64_t required              # a bit for each position where a missing value refuses the request
    cdef Plan core                      # None: nothing compiled decides it
    cdef LeasedRules leased             # None: nothing is leased
    cdef object away                    # asks the server that keeps these limits
    cdef RemoteRules remote             # and how: None where Python has to
    cdef uint64_t amounts[MOST_RULES]   # the costs again
    cdef int unit_at[MOST_RULES]        # which unit of the policy each rule counts, 0 for requests
    cdef int highest_unit
    cdef uint64_t least[MOST_RULES]     # the least that each rule takes, whatever the request turns out to be


cdef class TierParts:
    cdef object pick
    cdef int at[4]                      # positions of the plans' identities
    cdef list known                     # the number of each plan that is known there, from 1
    cdef int count
    cdef list parts                     # by the numbers together; None: not asked for yet


# What was decided of one request. Also what a decision by names asks for more.
cdef class CompiledDecision:
    cdef readonly object plan
    cdef readonly object outcome        # None: limits had no say
    cdef PlanParts part
    cdef int reason                     # an index of `DECIDED`
    cdef readonly bint allowed
    cdef readonly object actor          # what limits count the actor by; None without one
    cdef readonly uint8_t verdict       # that it belongs there
    cdef readonly uint64_t principal
    cdef uint64_t payer                 # the account that use of the back end is counted by, 0 for none
    cdef object made                    # the charge, once it is asked for
    cdef object flight                  # what a decision by names has in flight, None for nothing
    cdef object clock
    cdef object watch
    cdef object row                     # of a refusal, where actors are known: what its wait is told by
    cdef object now_ns

    cdef object charge(self)


# A request whose limits are asked of a server: what was read of it, until the reply is here.
cdef class Asking:
    cdef uint64_t ids[MOST_POSITIONS]
    cdef int size
    cdef CompiledDecision decided
    cdef readonly object now_ns
    cdef readonly Outcome outcome   # None: it was not asked yet
    cdef readonly object reply

    cdef int check_made(self) except -1


cdef class CompiledDecider:
    cdef readonly IdentityReader reader
    cdef readonly int size              # of an identity list
    cdef object extract
    cdef object context_of
    cdef readonly bint has_lists
    cdef object denials
    cdef int listed_at
    cdef readonly int origin_at
    cdef Table table
    cdef uint64_t cells[REASONS][2][2]  # counter and column, by reason and whether it is allowed
    cdef readonly Recogniser watch      # None: nothing is correlated
    cdef readonly int payer_at
    cdef tuple guards                   # stages' parts: each may leave a request to Python
    cdef Pace pace
    cdef object keep_up
    cdef object clock
    cdef dict parts
    cdef dict tiers
    cdef public bint counts_late        # what the middleware lets through is counted when routes have been asked

    cdef bint read(
        self, object headers, object peer, object state, Matched matched, uint64_t *ids, uint64_t *refused
    ) except -1
    cdef int read_row(self, object row, uint64_t *ids, uint64_t *refused) except -1
    cdef CompiledDecision decide(
        self, Matched matched, uint64_t *ids, uint64_t refused, object now_ns, object costs, int asker,
        const uint64_t *found=*, const uint64_t *by_unit=*, int units=*,
    )
    cdef PlanParts picked(self, Matched matched, uint64_t *ids, object now_ns, bint *is_unlimited)
    cdef PlanParts matched_part(self, Matched matched, uint64_t *ids, bint *is_unlimited)
    cdef PlanParts other_way(self, PlanParts part, Outcome outcome)
    cdef bint passes_early(self, Matched matched, uint64_t *ids, uint64_t refused, object now_ns) except -1
    cdef int conclude(self, CompiledDecision decided, object outcome, uint64_t *ids, object now_ns, int asker) except -1
    cdef CompiledDecision without_limits(self, int reason, uint64_t *ids, object now_ns, int asker)
    cdef bint is_stopped(self, const uint64_t *ids, uint64_t payer, uint8_t verdict, uint64_t now_ns) noexcept
    cdef bint has_room(self, PlanParts part, uint64_t *ids, uint64_t *taken, object now_ns) except -1
    cdef PlanParts part_of(self, object plan)
    cdef PlanParts new_part(self, object plan)
    cdef TierParts new_tiers(self, object pick)
    cdef int write_actor(self, list row, uint64_t *ids) except -1
    cdef int ended(self, int reason, bint allowed, object now_ns, int asker) except -1
