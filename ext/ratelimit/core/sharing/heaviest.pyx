"""The heaviest of the last minute, of all workers of a host: see the stub for the contract.

Theory of operation. Memory that workers share has a count-min sketch for this minute and one for the
minute before. Beside each stands how many principals are on which level, a power of two. So
where a principal stands is known without knowing the others, in constant memory. What collides looks
heavier than it is; of two rows the smaller count is taken. A race loses a count, or clears a minute
twice: that moves the order in which requests are shed, and nothing else.
"""

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memset

from ratelimit.core.memory.atomic cimport cas, fetch_add, load
from ratelimit.core.sharing.flight cimport CELLS, LEVELS, Minute, instant
from ratelimit.core.sharing.inflight cimport InFlight

cdef uint64_t MINUTE_NS = 60_000_000_000
cdef uint64_t MOST_UNITS = 1 << 40


@cython.final
@cython.auto_pickle(False)
cdef class Heaviest:
    def __cinit__(self, InFlight flight not None):
        flight.check_open()
        self.flight = flight

    cdef Minute *minute(self, uint64_t number) noexcept:
        """Return a minute's sketch, cleared if it was of an earlier one."""
        cdef Minute *found = self.flight.minutes + (number & 1)
        cdef uint64_t was = load(&found.number)
        if was != number + 1 and cas(&found.number, was, number + 1):
            memset(found.levels, 0, sizeof(found.levels))
            memset(found.cells, 0, sizeof(found.cells))
        return found

    cdef void add(self, uint64_t principal, uint64_t units, uint64_t now) noexcept:
        """Count what a principal used; noexcept: additions to cells that are there."""
        cdef Minute *minute
        cdef uint64_t one, other, used
        if not self.flight.open or principal == 0 or units == 0:
            return
        units = units if units < MOST_UNITS else MOST_UNITS
        minute = self.minute(now // MINUTE_NS)
        one = fetch_add(&minute.cells[0][principal & (CELLS - 1)], units)
        other = fetch_add(&minute.cells[1][principal >> 32 & (CELLS - 1)], units)
        used = one if one < other else other
        if level(used) != level(used + units):
            if used:
                fetch_add(&minute.levels[level(used)], <uint64_t>0 - 1)
            fetch_add(&minute.levels[level(used + units)], 1)

    cdef double lighter(self, uint64_t principal, uint64_t now) noexcept:
        cdef uint64_t number = now // MINUTE_NS, used = 0, count, below = 0, total = 0
        cdef Minute *minute
        cdef int back, at, mine
        for back in range(2):
            minute = self.flight.minutes + ((number - back) & 1)
            if load(&minute.number) != number - back + 1:
                continue
            count = min(load(&minute.cells[0][principal & (CELLS - 1)]), load(&minute.cells[1][principal >> 32 & (CELLS - 1)]))
            used = count if count > used else used
        if used == 0:
            return 0.0
        mine = level(used)
        for back in range(2):
            minute = self.flight.minutes + ((number - back) & 1)
            if load(&minute.number) != number - back + 1:
                continue
            for at in range(LEVELS):
                count = load(&minute.levels[at])
                if count > MOST_UNITS:
                    continue  # a race took one too many, or the memory is damaged
                total += count
                below += count if at < mine else 0
        return <double>below / <double>total if total else 0.0

    def charge(self, uint64_t principal, units, now_ns, /):
        self.flight.check_open()
        self.add(principal, units, instant(now_ns))

    def share_lighter(self, uint64_t principal, now_ns, /):
        self.flight.check_open()
        return self.lighter(principal, instant(now_ns))

    def __reduce__(self):
        raise TypeError("what was used is in memory of this host and is not pickled")


cdef extern from *:
    """
    /* The bits of a number that is not 0. */
    #define KIN_BITS(number) (64 - __builtin_clzll(number))
    """
    int KIN_BITS(uint64_t number) noexcept nogil


cdef inline int level(uint64_t used) noexcept:
    cdef int bits = KIN_BITS(used) if used else 0
    return bits if bits < LEVELS - 1 else LEVELS - 1
