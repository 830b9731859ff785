"""The callers refused most, read out of a table. See the stub for the contract, and `refusals.pxd`."""

from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.memory.atomic cimport LOW32, SECOND, Pair, load, load_pair
from ratelimit.core.memory.layout cimport COUNTERS, REFUSALS, Refusal
from ratelimit.core.memory.refusals cimport is_faded, lately, note_refusal
from ratelimit.core.memory.table cimport Table, relative

MOST_CALLERS = REFUSALS


def note_refused(Table table not None, uint64_t who, int counter, now_ns, uint32_t mark=0, /):
    table.check_open()
    if table.names_callers and 0 <= counter < COUNTERS:
        note_refusal(&table.arena, who, counter | <uint64_t>mark << 32, relative(table, now_ns), False)


def refusals_in(Table table not None, now_ns, /):
    cdef uint64_t i, counts, times, now_s, epoch_s
    cdef Refusal *place
    cdef Pair who
    cdef list found = []
    table.check_open()
    now_s = relative(table, now_ns) // SECOND
    epoch_s = table.arena.epoch_ns // SECOND
    for i in range(2 * REFUSALS):
        place = table.arena.refusals + i
        who = load_pair(&place.who)
        counts, times = load(&place.counts), load(&place.times)
        if 0 < who.word & LOW32 <= COUNTERS and counts & LOW32 and not is_faded(times, now_s):
            found.append((
                (who.word & LOW32) - 1, who.tag, counts & LOW32, min(counts >> 32, counts & LOW32),
                (epoch_s + (times & LOW32)) * SECOND, (epoch_s + (times >> 32)) * SECOND,
                i >= REFUSALS, who.word >> 32, lately(load(&place.minutes), now_s),
            ))
    return found
