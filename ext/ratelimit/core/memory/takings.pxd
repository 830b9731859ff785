"""The callers that took most of each limit, hour by hour, in a bounded part of the table.

Theory of operation. Space-Saving in sets (Metwally et al., 2005), as in `refusals`: a caller's hash picks a
set of eight places, and a new caller takes the place with the least weight and goes on from it. Weight is
what was taken in shares of the limit, so callers of a limit of dollars and of one of requests compete as
equals. Units begin anew with each caller: they are never another's, and so never too many.

Hours are those of the clock, in UTC. Even and odd ones have places of their own: the hour that has ended is
there to be read for one more. A correction belongs to the hour of its request.

Any worker may write at any time. Two that write at once may miscount by a request; nothing else depends on it.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport SECOND, Pair, cas_pair, fetch_add, load, load_pair, store
from ratelimit.core.memory.layout cimport TAKING_SETS, TAKING_WAYS, TAKINGS, Arena, Taking
from ratelimit.core.memory.siphash cimport mix

cdef enum:
    HOUR_S = 3600
    COUNTER_BITS = 16
    WHOLE = 65536          # the weight of a whole limit


cdef inline uint64_t hour_of(const Arena *arena, uint64_t now) noexcept nogil:
    """Return the number of an hour, since 1970, of a time since the table's epoch."""
    return (arena.epoch_ns + now) // (HOUR_S * SECOND)


cdef inline Taking *set_of(Arena *arena, uint64_t who, uint64_t counter, uint64_t hour) noexcept nogil:
    return arena.takings + (hour & 1) * TAKINGS + (mix(who + counter) & (TAKING_SETS - 1)) * TAKING_WAYS


cdef inline void note_taken(
    Arena *arena, uint64_t who, uint64_t counter, uint64_t units, uint64_t limit, uint64_t now
) noexcept nogil:
    """Count units that a caller took; `limit` is what the limit holds in all."""
    # noexcept, nogil: reads and writes inside one set, which is the process' own arithmetic.
    cdef uint64_t hour = hour_of(arena, now)
    cdef uint64_t name = counter + 1 | hour << COUNTER_BITS
    cdef uint64_t weight = 1 + <uint64_t>(<double>units * WHOLE / <double>(limit + 1))
    cdef Taking *places = set_of(arena, who, counter, hour)
    cdef Taking *least = places
    cdef Pair seen, taken
    cdef uint64_t i, heavy, lightest = <uint64_t>-1
    taken.tag = taken.word = 0
    for i in range(TAKING_WAYS):
        seen = load_pair(&places[i].who)
        if seen.tag == who and seen.word == name:
            fetch_add(&places[i].units, units)
            fetch_add(&places[i].weight, weight)
            return
        heavy = load(&places[i].weight) if seen.word >> COUNTER_BITS == hour else 0
        if heavy < lightest:
            lightest, least, taken = heavy, places + i, seen
    if cas_pair(&least.who, taken.tag, taken.word, who, name):
        store(&least.units, units)
        store(&least.weight, lightest + weight)


cdef inline void note_corrected(
    Arena *arena, uint64_t who, uint64_t counter, int64_t moved, uint64_t limit, uint64_t now
) noexcept nogil:
    """Count what a settlement moved; what was given back by a caller without a place is left."""
    cdef uint64_t i, hour, name, units
    cdef Taking *places
    cdef Pair seen
    if moved > 0:
        note_taken(arena, who, counter, <uint64_t>moved, limit, now)
        return
    hour = hour_of(arena, now)
    name = counter + 1 | hour << COUNTER_BITS
    places = set_of(arena, who, counter, hour)
    for i in range(TAKING_WAYS):
        seen = load_pair(&places[i].who)
        if seen.tag == who and seen.word == name:
            units = load(&places[i].units)
            fetch_add(&places[i].units, <uint64_t>-min(units, <uint64_t>-moved))
            return
