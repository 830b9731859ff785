"""What tells that memory of accounts before a back end was overwritten: values that no worker writes there.

Workers write while this looks. So nothing is held against two words that one of them writes one after the other.
All of it is noexcept: loads of words that are there.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport LOW32, Pair, load, load_pair
from ratelimit.core.memory.layout cimport COUNTERS, REFUSAL_SETS, REFUSAL_WAYS, Refusal
from ratelimit.core.memory.siphash cimport mix
from ratelimit.core.sharing.flight cimport CELLS, LEVELS, SHARE_ROWS, SHARES, Minute, ShareMemory, ShedMemory

cdef enum:
    REASON_BITS = 48        # of a reason: verdict, factor, part of lighter accounts
    MOST_CELL_BITS = 40     # of what an account was served or shed: it fades within seconds
    MOST_USE_BITS = 56      # of what was used in a minute
    NUMBER_BITS = 32        # of a minute's number
    MOST_RACES = 1 << 20    # principals that races took from a level and had not put there


cdef inline bint are_shed(ShedMemory *shed) noexcept:
    """Return whether each account that was shed is in its own set, counted as accounts are."""
    cdef uint64_t i, counts
    cdef Refusal *place
    cdef Pair who
    for i in range(REFUSAL_SETS * REFUSAL_WAYS):
        place = shed.places + i
        who, counts = load_pair(&place.who), load(&place.counts)
        if who.word == 0 and who.tag or who.word > COUNTERS << 2:
            return False
        if who.word and mix(who.tag + who.word - 1) & (REFUSAL_SETS - 1) != i // REFUSAL_WAYS:
            return False
        if counts >> 32 > counts & LOW32 or load(&place.reserved) or load(&shed.reasons[i]) >> REASON_BITS:
            return False
    return True


cdef inline bint are_shares(ShareMemory *shares) noexcept:
    """Return whether no cell of the sketch says more than accounts can be served or shed."""
    cdef int i
    for i in range(4):
        if load(&shares.line[i]):
            return False
    for i in range(6):
        if load(&shares.rest[i]):
            return False
    for i in range(SHARE_ROWS):
        if load(&shares.level[i]) >> MOST_CELL_BITS + 2:
            return False
    for i in range(SHARES):
        if (load(&shares.served[i]) | load(&shares.shed[i])) >> MOST_CELL_BITS:
            return False
        if (load(&shares.served_elsewhere[i]) | load(&shares.shed_elsewhere[i])) >> MOST_CELL_BITS + 1:
            return False
    return load(&shares.lacked) <= 1


cdef inline bint is_minute(Minute *minute, uint64_t parity) noexcept:
    """Return whether a sketch is of such a minute, and its cells say no more than a minute's use."""
    cdef uint64_t number = load(&minute.number), count
    cdef int row, i
    if number and (number - 1 & 1 != parity or number >> NUMBER_BITS):
        return False
    for i in range(LEVELS):
        count = load(&minute.levels[i])
        if count >> NUMBER_BITS and count + MOST_RACES >> NUMBER_BITS:
            return False
    for row in range(2):
        for i in range(CELLS):
            if load(&minute.cells[row][i]) >> MOST_USE_BITS:
                return False
    return True
