"""The layout of the memory of requests in flight, and of what was shed for them.

    header | lanes of the workers | places of each lane | ring of answers | accounts that were shed | use of two minutes | shares

Change anything here and `FLIGHT_LAYOUT` must change too. Workers of an old and a new release may
meet on one file, and must refuse each other.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from ratelimit.core.memory.atomic cimport cas, load, store
from ratelimit.core.memory.layout cimport REFUSAL_SETS, REFUSAL_WAYS, Refusal

cdef extern from *:
    const uint64_t MAGIC "0x4847494C464E494Bull"  # "KINFLIGH", little-endian

cdef enum:
    FLIGHT_LAYOUT = 16
    FLIGHT_HEADER_BYTES = 4096
    LANES = 64              # workers with numbers of their own
    PLACES = 512            # of each, requests without a first byte that are seen with their age
    ANSWERS = 1024          # a power of two: what a worker that takes the steps over can look back on
    WORDS = 128             # of a controller's state
    CELLS = 2048            # of each row of a sketch: a power of two
    LEVELS = 42             # of use, powers of two
    SHARE_ROWS = 2          # an account is over its share if it is in each of them
    SHARE_CELLS = 128       # of each: a power of two
    SHARES = 256            # of all rows
    RANKS = 8               # classes that are told apart; those beyond count as the last of them
    SILENT_MS = 6_000       # three heartbeats of the middleware's
    FRESH_MS = 5_000        # a report is believed for so long
    HOSTS_MS = 1_000        # what other hosts have in flight is believed for so long
    MILLISECOND = 1_000_000
    MOST_TRIES = 64         # of a compare-and-swap

cdef struct FlightHeader:
    uint64_t magic
    uint64_t version
    uint64_t total_bytes
    uint64_t fingerprint[2]
    uint8_t boot[64]
    uint64_t line0[3]
    # What requests look at: written with each step.
    uint64_t most_lanes         # lanes that were ever used
    uint64_t in_flight_bound
    uint64_t free_bound         # without a first byte, while places are free
    uint64_t full_bound         # and from so many answers on that are under way
    uint64_t full_from
    uint64_t places             # 0: not known
    uint64_t cap_at_ns          # the newest report of saturation, 0 for none
    uint64_t cap                # what may be in flight by it
    uint64_t patience_ns        # standing still this long leaves one that may wait, half of it two; 0: no rule
    uint64_t beside             # of those without a first byte so many are worked on; 0: not known, or none
    # What other hosts before the same back end have: written with each exchange.
    uint64_t heard_ns           # when the others were heard last; 0: never, or there are none
    uint64_t elsewhere          # in flight there
    uint64_t elsewhere_waits    # of these, without a first byte
    uint64_t lease              # so many without a first byte this host may have until the next exchange
    uint64_t lent               # while so many wait in all, each host may have one more
    double part                 # of what is known together that is this host's, while the others are not heard
    uint64_t follows_ns         # until then another host steers
    uint64_t entered_elsewhere  # how many were let through there, as far as was heard
    uint64_t line1[6]
    uint64_t reserve[RANKS]     # what lower classes leave free for each class, see `reserved`; 0: as they do by themselves
    uint64_t raised_ns[RANKS]   # when each of these rose last
    uint64_t above[RANKS]       # in flight of each class and those above it, as of the last step
    uint64_t lost_at            # what was in flight when one was lost last: where places are not known, so many are full
    # What requests write.
    uint64_t turned_away
    uint64_t most_in_flight
    uint64_t most_unanswered
    uint64_t head               # of the ring: the next answer
    uint64_t moved_ns           # when a first byte came last, or the first one began to wait
    uint64_t entered_ns         # when a request was let through last
    uint64_t entered            # how many were
    uint64_t refused            # how many found no room
    uint64_t earned             # work that went on and is made up for by none that is long: so much of a long one may
    uint64_t long_units         # of the one with most work that waits for its first byte; 0: none
    uint64_t long_ns            # since when it does
    uint64_t line2[1]
    # What a step writes.
    uint64_t leader             # microseconds of the last step << 8 | lane of its worker + 1
    uint64_t tail               # answers before it were told to the controller
    uint64_t kind               # of the controller that left its words; 0: none yet
    uint64_t stale              # reports that no other followed in time
    double pressure
    uint64_t target_ns
    uint64_t faded_ns           # when reserves faded last
    double unit                 # work of a request in the middle, 0: not known
    double words[WORDS]

cdef struct Lane:
    uint64_t pid                # 0: free
    uint64_t start
    uint64_t beat_ns
    uint64_t in_flight
    uint64_t unanswered
    uint64_t most_places        # places that were ever used
    uint64_t held               # in the gateway: not in flight
    uint64_t held_over          # of these, over the share of their account
    uint64_t ranks[RANKS]       # in flight, by class

cdef struct Place:
    uint64_t since_ns           # 0: free
    uint64_t queue              # requests without a first byte then, itself included

cdef struct Seen:
    uint64_t sequence           # its number + 1 once it is whole
    uint64_t admitted_ns
    uint64_t seen_ns
    uint64_t counts             # in flight << 32 | without a first byte
    uint64_t failed

cdef struct ShedMemory:         # see `shed`
    Refusal places[REFUSAL_SETS * REFUSAL_WAYS]
    uint64_t reasons[REFUSAL_SETS * REFUSAL_WAYS]

cdef struct Minute:
    uint64_t number             # since 1970, + 1
    uint64_t levels[LEVELS]     # principals on each
    uint64_t cells[2][CELLS]

cdef struct ShareMemory:        # see `shares`
    uint64_t stepped_ns
    uint64_t heard_ns           # when other hosts were heard last
    uint64_t lacked             # 1: since the last step a request within its share found no room
    uint64_t lacked_ns          # when that was so last
    uint64_t line[4]
    uint64_t level[SHARE_ROWS]  # what a cell may have been served; 0: room is not scarce
    uint64_t rest[6]
    uint64_t served[SHARES]
    uint64_t shed[SHARES]
    uint64_t served_elsewhere[SHARES]
    uint64_t shed_elsewhere[SHARES]

cdef struct Sums:               # of all lanes, and of them this worker's
    uint64_t in_flight
    uint64_t unanswered
    uint64_t held
    uint64_t together           # in flight before the back end: of all hosts, as far as is known
    uint64_t together_wait      # of these, without a first byte
    bint is_shared              # whether other hosts were heard lately
    uint64_t own_in_flight
    uint64_t own_unanswered
    uint64_t own_held
    uint64_t held_over
    uint64_t own_held_over

cdef struct Ticket:
    uint64_t since_ns
    uint32_t in_flight
    uint32_t unanswered
    uint32_t generation
    int32_t place               # -1: none
    uint32_t next_free
    uint8_t state
    uint8_t rank
    uint16_t units              # counted until its first byte


cdef inline bint is_of(FlightHeader *header, uint64_t total, uint64_t *fingerprint, uint8_t *boot) noexcept:
    """Return whether the words that can be told to be wrong are right; noexcept: compares words."""
    return (
        load(&header.magic) == MAGIC and header.version == FLIGHT_LAYOUT and header.total_bytes == total
        and memcmp(header.fingerprint, fingerprint, 16) == 0 and memcmp(header.boot, boot, 64) == 0
    )


cdef inline void set_up(FlightHeader *header, uint64_t total, uint64_t *fingerprint, uint8_t *boot) noexcept:
    """Format memory that is empty; noexcept: plain stores."""
    header.version = FLIGHT_LAYOUT
    header.total_bytes = total
    memcpy(header.fingerprint, fingerprint, 16)
    memcpy(header.boot, boot, 64)
    store(&header.magic, MAGIC)  # last: what sees it sees the rest


cdef inline uint64_t apart(uint64_t one, uint64_t other) noexcept:
    return one - other if one > other else other - one


cdef inline uint64_t instant(object now_ns) except? 0xFFFFFFFFFFFFFFFF:
    cdef int64_t now = now_ns
    return <uint64_t>now if now > 0 else 0


cdef inline void repeat(Lane *lanes, int lane, Sums *sums, uint64_t now) noexcept:
    """Write a worker's own counts into its lane, if it has one; noexcept: plain stores."""
    if lane >= 0:
        store(&lanes[lane].in_flight, sums.own_in_flight)
        store(&lanes[lane].unanswered, sums.own_unanswered)
        store(&lanes[lane].held, sums.own_held)
        store(&lanes[lane].held_over, sums.own_held_over)
        store(&lanes[lane].beat_ns, now)


cdef inline void repeat_ranks(Lane *lanes, int lane, uint64_t *ranks) noexcept:
    """Write a worker's own counts by class into its lane, if it has one; noexcept: plain stores."""
    cdef int at
    if lane >= 0:
        for at in range(RANKS):
            store(&lanes[lane].ranks[at], ranks[at])


cdef inline void raise_to(uint64_t *at, uint64_t value) noexcept:
    """Raise a word to a value; noexcept: after some lost races another worker has raised it as far."""
    cdef uint64_t seen = load(at)
    cdef int _try
    for _try in range(MOST_TRIES):
        if seen >= value or cas(at, seen, value):
            return
        seen = load(at)


cdef inline void put_together(FlightHeader *header, Sums *sums, uint64_t now) noexcept:
    """Find what all hosts before the back end have in flight; noexcept: arithmetic that is bounded.

    It is what they said last. While they are not heard, this host has its part of all, as it had then.
    """
    cdef uint64_t heard = load(&header.heard_ns)
    cdef double part
    sums.is_shared = heard != 0 and apart(now, heard) <= <uint64_t>HOSTS_MS * MILLISECOND
    if sums.is_shared:
        sums.together_wait = sums.unanswered + (load(&header.elsewhere_waits) & 0xFFFFFF)
        sums.together = max(sums.in_flight + (load(&header.elsewhere) & 0xFFFFFF), sums.together_wait)
        return
    sums.together, sums.together_wait, part = sums.in_flight, sums.unanswered, header.part
    if part > 1e-3 and part < 1.0:
        sums.together = <uint64_t>(<double>sums.together / part + 0.5)
        sums.together_wait = <uint64_t>(<double>sums.together_wait / part + 0.5)
