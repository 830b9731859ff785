"""The reserve that lower classes leave free for higher ones, in memory that workers share: see the stub."""

cimport cython
from libc.math cimport exp2
from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport cas, load, store
from ratelimit.core.sharing.flight cimport (
    LANES, MILLISECOND, MOST_TRIES, RANKS, SILENT_MS, FlightHeader, Lane, apart, instant,
)
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.core.sharing.reserved cimport LATE, LOST, MOST, ONE, raise_by, reserved

cdef uint64_t MOST_COUNT = 1 << 20        # more of one class in one lane is no worker's
cdef uint64_t FADES_NS = 1_000_000_000    # so often at most
cdef double HALF_NS = 300e9               # after so long without a request or a loss half of a word is left

RESERVE_RANKS = RANKS
MOST_FACTOR = MOST / ONE


@cython.final
@cython.auto_pickle(False)
cdef class Reserve:
    cdef InFlight flight

    def __cinit__(self, InFlight flight not None):
        flight.check_open()
        self.flight = flight

    cdef int sum(self, uint64_t now, uint64_t *found) except -1:
        """Count what is in flight by class, of all workers that live."""
        cdef uint64_t most = load(&self.flight.header.most_lanes), i, count
        cdef Lane *lane
        cdef int at
        for at in range(RANKS):
            found[at] = self.flight.ranks[at]
        for i in range(min(most, LANES)):
            lane = self.flight.lanes + i
            if (
                <int>i == self.flight.lane or load(&lane.pid) == 0 or load(&lane.in_flight) == 0
                or apart(now, load(&lane.beat_ns)) > <uint64_t>SILENT_MS * MILLISECOND
            ):
                continue
            for at in range(RANKS):
                count = load(&lane.ranks[at])
                if count <= MOST_COUNT:
                    found[at] += count
        return 0

    cdef int note(self, int rank, uint64_t now, int shift) except -1:
        cdef uint64_t counts[RANKS]
        cdef uint64_t last
        cdef int at
        if rank < 0 or rank >= RANKS - 1:
            return 0
        self.sum(now, counts)
        last = load(&self.flight.header.raised_ns[rank])
        if last <= now < last + load(&self.flight.header.target_ns):
            return 0  # it rose for what was let in before, too
        for at in range(rank + 1, RANKS):
            if counts[at]:
                store(&self.flight.header.raised_ns[rank], now)
                self.flight.look(now)
                store(&self.flight.header.lost_at, self.flight.sums.in_flight)
                raise_by(&self.flight.header.reserve[rank], shift)
                return 0
        return 0

    def lost(self, int rank, now_ns, /):
        self.flight.check_open()
        self.note(rank, instant(now_ns), LOST)

    def late(self, int rank, now_ns, /):
        self.flight.check_open()
        self.note(rank, instant(now_ns), LATE)

    def step(self, now_ns, /):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        cdef uint64_t now = instant(now_ns), last, seen, above = 0
        cdef uint64_t counts[RANKS]
        cdef double left
        cdef int at, _try
        self.sum(now, counts)
        for at in range(RANKS):
            above += counts[at]
            store(&header.above[at], above)
        last = load(&header.faded_ns)
        if last and last <= now < last + FADES_NS:
            return
        if not cas(&header.faded_ns, last, now) or last == 0 or last > now:
            return
        left = exp2(-<double>(now - last) / HALF_NS)
        for at in range(RANKS):
            for _try in range(MOST_TRIES):
                seen = load(&header.reserve[at])
                if seen == 0 or cas(&header.reserve[at], seen, <uint64_t>(left * <double>min(seen, MOST))):
                    break

    def share(self, int rank, double kept=0.0, /):
        self.flight.check_open()
        return reserved(self.flight.header, rank, kept)

    @property
    def factors(self):
        self.flight.check_open()
        return [<double>min(load(&self.flight.header.reserve[at]), MOST) / ONE for at in range(RANKS)]

    def __reduce__(self):
        raise TypeError("what is kept free is memory of this host and is not pickled")
