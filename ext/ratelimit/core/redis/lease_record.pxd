"""A lease as it is kept: units of one key that were taken in advance, and how fast they are used."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from ratelimit.core.memory.atomic cimport LOW32, SECOND
from ratelimit.core.memory.entries cimport COUNTS, PAIRS, WIDE
from ratelimit.core.algorithms.gcra cimport gcra_arrival, gcra_live
from ratelimit.core.memory.quota cimport NEVER, Quota
from ratelimit.core.algorithms.settlement cimport corrected_by
from ratelimit.core.algorithms.setup cimport Charge
from ratelimit.core.memory.siphash cimport mix
from ratelimit.core.algorithms.windows cimport low_bits

cdef enum:
    MEMORY_S = 4     # what was measured so long ago counts half
    QUIET_GAPS = 10  # requests that come at random are as far apart once in e^10
    QUIET_MOST = 3   # times the usual are waited for at most

cdef struct Lease:
    uint64_t key          # digest of the counter; 0: free
    uint64_t left         # units taken in advance and not used
    uint64_t granted      # what the last renewal made of it
    uint64_t deadline     # ns since the table's epoch, of this host's clock: then `left` is worth nothing
    uint64_t word         # the store's word at the last answer
    uint64_t past         # and of a wide word the past
    uint64_t mark         # the window that `left` is of; until when a bucket's is known to the store, in its words
    uint64_t phase        # when its windows begin, as the store is told
    uint64_t recheck_at   # refusals are answered here until then
    uint64_t retry_at     # what they say
    uint64_t refused_cost
    uint64_t since        # when the current measurement began
    uint64_t uses         # units since then
    uint64_t used_at      # when some were taken last
    uint64_t term         # how long what is held was to last, in ns
    double rate           # units a second
    int owner             # the rule that asks for more: index of rules and rule
    bint due              # it is about to be asked


cdef inline void begin(Lease *lease, uint64_t key, uint64_t now) noexcept:
    """Make a place a key's that nothing is known of."""
    memset(lease, 0, sizeof(Lease))
    lease.key = key
    lease.since = lease.used_at = now


cdef inline uint64_t wish(const Lease *lease, uint64_t horizon, uint64_t longest, double worthwhile) noexcept:
    """Return how many units a lease is to have: what is used within `horizon`, or some fewer within `longest`."""
    cdef double use = lease.rate * horizon / SECOND
    if use < worthwhile:
        use = min(worthwhile, lease.rate * longest / SECOND)
    return <uint64_t>max(use, 1)


cdef inline bint is_less(const Quota *q, const Quota *than) noexcept:
    """Return whether a limit allows less than another of its kind: what was taken of that is too much for it."""
    return q.units < than.units or q.burst < than.burst or q.interval > than.interval


cdef inline uint64_t quiet_of(const Lease *lease, uint64_t quiet) noexcept:
    """Return after what time without a use a lease is idle: longer where uses are usually far apart."""
    cdef double gaps = QUIET_GAPS / lease.rate * SECOND if lease.rate > 0 else 0
    return <uint64_t>min(max(gaps, <double>quiet), <double>QUIET_MOST * quiet)


cdef inline void measure(Lease *lease, uint64_t now) noexcept:
    """End a measurement of at least a second and begin the next."""
    cdef double seconds = (now - lease.since) / 1e9
    cdef double rate = lease.uses / seconds
    # Requests that come at random are seldom as many in a second as in the next.
    lease.rate = rate if lease.rate == 0 else (lease.rate * MEMORY_S + rate * seconds) / (MEMORY_S + seconds)
    lease.since = now
    lease.uses = 0


cdef inline void refuse(Lease *lease, uint64_t cost, int64_t retry, uint64_t now, uint64_t recheck) noexcept:
    """Have what costs as much be refused for `recheck`, or until the retry time if that is sooner."""
    lease.retry_at = 0
    if retry != NEVER:
        lease.retry_at = now + <uint64_t>retry
        recheck = min(recheck, <uint64_t>retry)
    lease.recheck_at = now + recheck
    lease.refused_cost = cost


cdef inline bint is_binding(const Quota *q, uint64_t key) noexcept:
    """Return whether a refusal of this key is one: not in a shadow, nor outside of the share that is enforced."""
    return not q.shadow and (mix(key) & LOW32) < q.enforced


cdef inline uint64_t without(const Quota *q, uint64_t word, uint64_t left, uint64_t now) noexcept:
    """Return the store's word as if the units that are left had not been charged yet."""
    cdef uint64_t counted = low_bits(word, q.bits >> 1 if q.kind >= PAIRS and not word & WIDE else q.bits)
    if q.kind < COUNTS:
        word = gcra_arrival(q, word, now)
        return word - left * q.interval if left <= q.burst and word > left * q.interval else 0
    return word - (left if left < counted else counted)


cdef inline bint take_more(Lease *lease, Charge *charge, const Quota *q, int64_t more, uint64_t there) noexcept:
    """Charge a settled request more units of a lease, or give some back to it; False if the store has to.

    Args:
        there: the store's time.
    """
    cdef uint64_t arrival
    if more > 0:
        if lease.left < <uint64_t>more:
            return False
        lease.left -= <uint64_t>more
        lease.uses += <uint64_t>more
        if q.kind < COUNTS:
            arrival = gcra_arrival(q, without(q, lease.word, lease.left, there), there)
            charge.live = gcra_live(q, arrival, there, charge.mark, charge.live)
            charge.mark = arrival
    elif more < 0:
        if q.kind < COUNTS:
            return False  # the store would not know of these units: see bucket.lua
        lease.left += <uint64_t>-more
    corrected_by(charge, more, more)
    charge.settled = charge.aim
    return True
