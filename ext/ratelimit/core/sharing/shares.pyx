"""The shares of accounts in what goes on, of all workers of a host and of the hosts beside it: see the stub.

Theory of operation. Where requests are shed, what goes on is filled up evenly: no account gets more than a
level, and who asks for less gets all of it (max-min). What each was served and what of it was shed in the last
seconds says where the level is. Memory is constant: each row of a sketch has 128 cells, in which accounts are
together by their hash, and an account is over its share only if its cells of both rows are (stochastic fair
blue, Feng 2001). So one that shares a cell with a heavy account is judged by its other cell. Cells add up over
hosts, so hosts tell each other cells and no accounts.

A step takes the level. A race loses a count, which fades with the rest.
"""

cimport cython
from libc.math cimport exp, exp2, log2
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.atomic cimport cas, fetch_add, load, store
from ratelimit.core.sharing.flight cimport HOSTS_MS, MILLISECOND, SHARE_CELLS, SHARE_ROWS, SHARES, ShareMemory, apart, instant
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.core.sharing.share_cells cimport UNIT, count, over_share

cdef double FADES_NS = 8e9              # after so long a third of what was counted is left
cdef double EASED_NS = 1e9              # and of what was shed, once this long all within their share found room
cdef double MORE = 1.25                 # so much more than goes on is within the shares: the room decides on the rest
cdef uint64_t STEP_NS = 100_000_000
cdef uint64_t MOST = 1 << 40
cdef double FINEST = 16.0               # cells are told from a sixteenth of a unit on, in eighths of an octave
cdef double OCTAVE = 8.0

SAID_BYTES = 2 * SHARES


@cython.final
@cython.auto_pickle(False)
cdef class Shares:
    cdef InFlight flight

    def __cinit__(self, InFlight flight not None):
        flight.check_open()
        self.flight = flight

    def served(self, uint64_t account, uint64_t units=1, /):
        self.flight.check_open()
        count(self.flight.shares.served, account, units)

    def shed(self, uint64_t account, uint64_t units=1, bint is_over=False, /):
        self.flight.check_open()
        count(self.flight.shares.shed, account, units)
        if not is_over:
            store(&self.flight.shares.lacked, 1)

    def lack(self):
        self.flight.check_open()
        store(&self.flight.shares.lacked, 1)

    def is_over(self, uint64_t account, uint64_t units=1, /):
        return self.flight.open and over_share(self.flight.shares, account, units)

    @property
    def are_scarce(self):
        return self.flight.open and load(&self.flight.shares.level[0]) != 0

    def step(self, now_ns, /):
        self.flight.check_open()
        cdef ShareMemory *shares = self.flight.shares
        cdef uint64_t now = instant(now_ns), last = load(&shares.stepped_ns)
        cdef int row
        cdef double passed_ns
        if last and apart(now, last) < STEP_NS or not cas(&shares.stepped_ns, last, now):
            return
        if apart(now, load(&shares.heard_ns)) > <uint64_t>HOSTS_MS * MILLISECOND:
            clear(shares.served_elsewhere)
            clear(shares.shed_elsewhere)
        if load(&shares.lacked):
            store(&shares.lacked, 0)
            store(&shares.lacked_ns, now)
        passed_ns = <double>apart(now, last) if last else FADES_NS
        fade(shares.served, exp(-passed_ns / FADES_NS))
        fade(shares.shed, exp(-passed_ns / (FADES_NS if apart(now, load(&shares.lacked_ns)) <= <uint64_t>EASED_NS else EASED_NS)))
        for row in range(SHARE_ROWS):
            store(&shares.level[row], level(shares, row))

    def said(self):
        self.flight.check_open()
        cdef ShareMemory *shares = self.flight.shares
        cdef bytearray told
        cdef int at
        if not load(&shares.level[0]):
            return b""
        told = bytearray(2 * SHARES)
        for at in range(SHARES):
            told[2 * at], told[2 * at + 1] = short(load(&shares.served[at])), short(load(&shares.shed[at]))
        return bytes(told)

    def heard(self, said, now_ns, /):
        self.flight.check_open()
        cdef ShareMemory *shares = self.flight.shares
        cdef uint64_t sums[2 * SHARES]
        cdef const uint8_t[:] one
        cdef int at
        for at in range(2 * SHARES):
            sums[at] = 0
        for each in said:
            if len(each) == 2 * SHARES:
                one = each
                for at in range(2 * SHARES):
                    sums[at] += long_of(one[at])
        for at in range(SHARES):
            store(&shares.served_elsewhere[at], min(sums[2 * at], MOST))
            store(&shares.shed_elsewhere[at], min(sums[2 * at + 1], MOST))
        store(&shares.heard_ns, instant(now_ns))

    def __reduce__(self):
        raise TypeError("what accounts were served is in memory of this host and is not pickled")


cdef void clear(uint64_t *cells) noexcept:
    cdef int at
    for at in range(SHARES):
        store(&cells[at], 0)


cdef void fade(uint64_t *cells, double left) noexcept:
    """Leave a part of each cell; noexcept: arithmetic that is bounded."""
    cdef int at
    cdef uint64_t was
    for at in range(SHARES):
        was = load(&cells[at])
        if was and was <= MOST:  # else the memory is damaged, and stays as it is for the look that says so
            fetch_add(&cells[at], <uint64_t>(left * <double>was) - was)


cdef uint64_t level(ShareMemory *shares, int row) noexcept:
    """Return what each cell of a row may have been served, 0 where all that asks goes on; noexcept: arithmetic."""
    cdef double asked[SHARE_CELLS]
    cdef double all_asked = 0.0, wanted = 0.0, filled = 0.0, served, each
    cdef int at, below, found = 0
    for at in range(row * SHARE_CELLS, (row + 1) * SHARE_CELLS):
        served = <double>min(load(&shares.served[at]) + load(&shares.served_elsewhere[at]), MOST)
        each = served + <double>min(load(&shares.shed[at]) + load(&shares.shed_elsewhere[at]), MOST)
        wanted += MORE * served
        all_asked += each
        if each <= 0.0:
            continue
        below = found
        while below and asked[below - 1] > each:
            asked[below] = asked[below - 1]
            below -= 1
        asked[below] = each
        found += 1
    if wanted >= all_asked:
        return 0
    for at in range(found):
        if filled + asked[at] * (found - at) >= wanted:
            return max(<uint64_t>((wanted - filled) / (found - at)), <uint64_t>UNIT)
        filled += asked[at]
    return 0


cdef uint8_t short(uint64_t cell) noexcept:
    """Return a cell as a byte, by its logarithm; noexcept: arithmetic."""
    cdef double part = FINEST * <double>min(cell, MOST) / UNIT
    return <uint8_t>min(255.0, 1.5 + OCTAVE * log2(part)) if part >= 1.0 else 0


cdef uint64_t long_of(uint8_t told) noexcept:
    """Return what a byte stands for; noexcept: arithmetic."""
    return <uint64_t>(exp2((told - 1) / OCTAVE) * UNIT / FINEST) if told else 0
