"""Conduct's parts in the compiled decider: see the stub."""

cimport cython
from libc.stdint cimport uint64_t

from ratelimit.core.sharing.conduct cimport ConductMemory
from ratelimit.deciding.guard cimport Guard


@cython.final
@cython.auto_pickle(False)
cdef class StrikeGuard(Guard):
    cdef object conduct
    cdef ConductMemory memory

    def __init__(self, conduct):
        self.conduct, self.memory = conduct, conduct.memory

    cdef bint stops(self, uint64_t account, bint is_certain, uint64_t now_ns) noexcept:
        return self.memory.open and (is_certain or self.memory.is_marked(account))

    cdef int decided(self, uint64_t account, bint allowed, object plan, object outcome, object now_ns) except -1:
        if not allowed:
            self.conduct.refused(account, now_ns, plan.told_wait_ns(outcome, account, now_ns))
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class RiseGuard(Guard):
    cdef ConductMemory memory
    cdef uint64_t usual                 # what any account may use in an hour

    def __init__(self, ConductMemory memory not None, uint64_t usual):
        self.memory, self.usual = memory, usual

    cdef bint stops(self, uint64_t account, bint is_certain, uint64_t now_ns) noexcept:
        return self.memory.open and self.memory.held_ns(account, now_ns, self.usual) != 0

    cdef int decided(self, uint64_t account, bint allowed, object plan, object outcome, object now_ns) except -1:
        if allowed and self.memory.open:
            self.memory.note_use(account, now_ns)
        return 0
