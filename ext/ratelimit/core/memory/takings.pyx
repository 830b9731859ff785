"""The callers that took most, read out of a table. See the stub for the contract, and `takings.pxd`."""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport Pair, load, load_pair
from ratelimit.core.memory.layout cimport COUNTERS, TAKINGS
from ratelimit.core.memory.table cimport Table
from ratelimit.core.memory.takings cimport COUNTER_BITS

MOST_TAKERS = TAKINGS


def takings_in(Table table not None, hour, /):
    cdef uint64_t i, counter, units, wanted = hour
    cdef Pair who
    cdef list found = []
    table.check_open()
    for i in range(TAKINGS):
        who = load_pair(&table.arena.takings[(wanted & 1) * TAKINGS + i].who)
        counter = who.word & ((1 << COUNTER_BITS) - 1)
        if 0 < counter <= COUNTERS and who.word >> COUNTER_BITS == wanted:
            units = load(&table.arena.takings[(wanted & 1) * TAKINGS + i].units)
            if 0 < units < <uint64_t>1 << 63:  # two corrections at once may go below 0
                found.append((counter - 1, who.tag, units))
    return found
