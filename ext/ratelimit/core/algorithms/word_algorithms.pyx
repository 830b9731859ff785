"""Algorithms of words: what a decision does only after a race that it lost. See `word_algorithms.pxd`."""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.entries cimport find, word_of
from ratelimit.core.memory.layout cimport Arena
from ratelimit.core.memory.quota cimport Check, Quota
from ratelimit.core.algorithms.setup cimport Charge, Look


cdef bint look_again(Arena *arena, const Quota *q, Charge *charge, Look *look, uint64_t now) noexcept nogil:
    """Ask a rule anew whose word another worker changed; False if its cost no longer fits."""
    cdef Check check
    look.entry = find(arena, charge.key, charge.tag)
    look.seen = word_of(look.entry, charge.tag) if look.entry != NULL else 0
    check_word(arena, q, charge, look, now, True, &check)
    look.next = check.next
    charge.mark = check.mark
    if not check.allowed:
        charge.word = look.seen
        charge.retry = retry_word(q, charge.key, look.seen, charge.past, now, charge.cost)
        return False
    return True
