"""Conduct's parts in the compiled decider: see the stub."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.request.scanner cimport MOST_POSITIONS, listed
from ratelimit.core.sharing.conduct cimport ConductMemory
from ratelimit.deciding.guard cimport Guard


@cython.final
@cython.auto_pickle(False)
cdef class StrikeGuard(Guard):
    cdef object conduct
    cdef ConductMemory memory
    cdef int at[MOST_POSITIONS]         # where identities are that strikes at limits count by
    cdef int count
    cdef int size                       # of the identities that these are among

    def __init__(self, conduct, positions):
        cdef int position
        self.conduct, self.memory = conduct, conduct.memory
        self.count = self.size = 0
        for position in positions:
            if not 0 <= position < MOST_POSITIONS:
                raise IndexError(f"there are at most {MOST_POSITIONS} identities")
            self.at[self.count] = position
            self.count, self.size = self.count + 1, max(self.size, position + 1)

    cdef bint stops(self, const uint64_t *ids, uint64_t account, bint is_certain, uint64_t now_ns) noexcept:
        cdef int i
        if not self.memory.open:
            return False
        if is_certain or self.memory.is_marked(account):
            return True
        for i in range(self.count):
            if ids[self.at[i]] != account and self.memory.is_marked(ids[self.at[i]]):
                return True
        return False

    cdef int decided(
        self, uint64_t *ids, uint64_t account, bint allowed, object plan, object outcome, object now_ns
    ) except -1:
        if not allowed and self.count:
            self.conduct.refused(listed(ids, 0, self.size), now_ns, plan, outcome)
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class RiseGuard(Guard):
    cdef ConductMemory memory
    cdef uint64_t usual                 # what any account may use in an hour

    def __init__(self, ConductMemory memory not None, uint64_t usual):
        self.memory, self.usual = memory, usual

    cdef bint stops(self, const uint64_t *ids, uint64_t account, bint is_certain, uint64_t now_ns) noexcept:
        return self.memory.open and self.memory.held_ns(account, now_ns, self.usual) != 0

    cdef int decided(
        self, uint64_t *ids, uint64_t account, bint allowed, object plan, object outcome, object now_ns
    ) except -1:
        if allowed and self.memory.open:
            self.memory.note_use(account, now_ns)
        return 0
