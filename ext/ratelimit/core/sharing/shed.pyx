"""The accounts that are shed, and the reasons: see the stub for the contract.

Theory of operation. The memory of refusals (`core.memory.refusals`), once more: an account and what it was
shed as have a place, and those that are shed most stay. Beside each place stands why, as of the last time.
A race may leave the reason of another account: that is what a person reads, and nothing goes by it.
"""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport LOW32, SECOND, Pair, load, load_pair, store
from ratelimit.core.memory.layout cimport REFUSAL_SETS, REFUSAL_WAYS, COUNTERS, Refusal
from ratelimit.core.memory.refusals cimport is_faded, note_in
from ratelimit.core.sharing.flight cimport ShedMemory, instant
from ratelimit.core.sharing.inflight cimport InFlight

cdef enum:
    PARTS = 0xFFFF      # of a share, in a reason

MOST_SHED = REFUSAL_SETS * REFUSAL_WAYS


@cython.final
@cython.auto_pickle(False)
cdef class ShedAccounts:
    cdef InFlight flight

    def __cinit__(self, InFlight flight not None):
        flight.check_open()
        self.flight = flight

    def note(
        self, uint64_t account, uint64_t counter, now_ns, bint in_shadow, bint before_others, uint64_t verdict,
        double factor, double lighter, /,
    ):
        self.flight.check_open()
        cdef ShedMemory *memory = self.flight.shed
        if counter >= COUNTERS:
            raise ValueError(f"counter {counter} of {COUNTERS}")
        cdef uint64_t place = note_in(
            memory.places, account, counter << 2 | <uint64_t>in_shadow << 1 | <uint64_t>before_others,
            instant(now_ns) // SECOND,
        )
        store(&memory.reasons[place], (verdict & PARTS) << 32 | in_parts(factor) << 16 | in_parts(lighter))

    def accounts(self, now_ns, /):
        self.flight.check_open()
        cdef uint64_t i, counts, times, now_s = instant(now_ns) // SECOND, reason, what
        cdef Refusal *place
        cdef Pair who
        cdef list found = []
        for i in range(REFUSAL_SETS * REFUSAL_WAYS):
            place = self.flight.shed.places + i
            who = load_pair(&place.who)
            counts, times, reason = load(&place.counts), load(&place.times), load(&self.flight.shed.reasons[i])
            if not 0 < who.word <= COUNTERS << 2 or not counts & LOW32 or is_faded(times, now_s):
                continue
            what = who.word - 1
            found.append((
                who.tag, what >> 2, bool(what & 2), bool(what & 1), counts & LOW32,
                min(counts >> 32, counts & LOW32), (times & LOW32) * SECOND, (times >> 32) * SECOND,
                reason >> 32 & PARTS, <double>(reason >> 16 & PARTS) / PARTS, <double>(reason & PARTS) / PARTS,
            ))
        return found

    def __reduce__(self):
        raise TypeError("what was shed is in memory of this host and is not pickled")


cdef inline uint64_t in_parts(double share) noexcept nogil:
    return <uint64_t>(share * PARTS + 0.5) if 0.0 <= share <= 1.0 else 0  # noexcept: arithmetic
