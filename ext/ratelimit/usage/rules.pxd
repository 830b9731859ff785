from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.algorithms.setup cimport MOST_KEYS, MOST_RULES
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.usage.grants cimport Places
from ratelimit.usage.learned cimport Learned
from ratelimit.usage.event cimport Part
from ratelimit.usage.prices cimport Price, PriceList, Used
from ratelimit.usage.reader cimport Reader
from ratelimit.usage.request cimport Declared
from ratelimit.usage.unsettled cimport Reservation

cdef struct Meter:
    # One rule, as costs are found for it.
    int unit            # an index of `UNITS`, or one of those in rules.pyx
    int kind            # where its estimate comes from
    int64_t estimate    # what the policy has for it
    int64_t most        # what it can hold, or one charge can carry
    int64_t burst       # what it can hold
    int account         # which of the accounts it counts by
    bint is_read        # it is settled by what the answer says
    bint cuts           # it ends a stream once that uses up its budget
    bint refuses_unknown
    bint is_enforced    # it refuses, whatever the key
    bint has_free       # some model costs nothing
    int of              # of a rule that counts what is in flight: the one that it stands beside; else -1
    int64_t guess       # the most that a guess is charged on arrival
    int64_t longest     # output tokens that no answer is longer than; -1: not known
    bint is_in_full     # what it may use is charged on arrival
    bint grants         # a request's own maximum is lowered to what it has left


cdef class MeteredRules:
    cdef Meter meters[MOST_RULES]
    cdef readonly int count
    cdef tuple rules
    cdef list names             # of the limits, by rule
    cdef list units
    cdef list specs             # of estimates; None for a number
    cdef list unknown           # prices of models without one; None: as the dearest
    cdef list pers              # positions of the accounts that rules count by; the caller's last
    cdef PriceList prices
    cdef int64_t most
    cdef readonly tuple told
    cdef readonly tuple estimated
    cdef readonly object shape
    cdef bint pays     # some rules count dollars
    cdef readonly bint has_cuts
    cdef readonly bint has_models
    cdef readonly bint has_exposure
    cdef readonly bint asks_body
    cdef readonly bint has_grants
    cdef readonly bint refuses_unknown
    cdef readonly str grant_field
    cdef bint counts_output     # all that cut count output alone

    cdef int beside(self, int at) except -2
    cdef Price price_for(self, int at, Price price)
    cdef int64_t cost(self, int at, const Used *used, Price price, str claimed, str answered) except -1
    cdef int64_t longest_answer(self, int at) except -1


cdef class Use:
    cdef readonly MeteredRules rules
    cdef readonly int64_t granted   # the maximum of each of its answers; -1: none was granted
    cdef Learned learned
    cdef uint64_t ids[MOST_POSITIONS]
    cdef uint64_t refused
    cdef int size
    cdef str template
    cdef Declared declared
    cdef Price price            # of the model that is asked for; None without one
    cdef bint is_priced         # it was looked up
    cdef list accounts          # what rules count by, where it was asked for
    cdef list routes            # what rules learn by, likewise
    cdef int64_t paid[MOST_RULES]       # micro-dollars for responses that are settled

    cdef int check_made(self) except -1
    cdef int take_ids(self, uint64_t *ids, uint64_t refused, int size) noexcept
    cdef int declare(self, Declared declared) except -1
    cdef object account(self, int which)
    cdef object route(self, int at)
    cdef Price asked_price(self)
    cdef bint lacks_price(self) except -1
    cdef bint is_counted(self, int at) except -1
    cdef int64_t answers(self) noexcept
    cdef int64_t worth(self, int at, int64_t output, int64_t of_input) except -1
    cdef int64_t worst(self, int at, int64_t charged, bint is_trusted) except -1
    cdef int64_t fits(self, int at, int64_t amount, int64_t of_input) except -1
    cdef int lower(self, Places places, object seen) except -1
    cdef int fill(self, uint64_t *costs, uint64_t now, dict told) except -1
    cdef int fill_least(self, uint64_t *costs, uint64_t now, dict told) except -1
    cdef int amounts(self, Reader reader, const Used *used, bint is_exact, int64_t *found) except -1
    cdef int take_receipts(self, Reader reader) except -1
    cdef int64_t open_dollars(self, int at, Reader reader, const Used *used, bint is_exact) except -1
    cdef int64_t dollars(
        self, int at, const Used *used, bytes model, str tier, int64_t said, bint is_exact, const Part *parts,
        int part_count,
    ) except -1
    cdef int64_t dearer(self, int at, const Used *used, bytes model, str tier) except -1
    cdef int settle(
        self, object plan, object outcome, Reservation reservation, object reported, int certainty, const Used *used,
        Reader reader, bint is_broken, bint is_hidden, object now_ns
    ) except -1
    cdef int settle_nothing(self, object plan, object outcome, object reported, object now_ns) except -1
    cdef bint ended(self, bint is_left) except -1
