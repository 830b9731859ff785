"""Concurrency slots: one word each, naming the worker that holds it.

seat (8 bits) | seat generation (24 bits) | nonce (32 bits); 0 is free. A slot
counts while its worker's heartbeat is younger than the lease. So the slots of a
killed worker come back within the lease, by themselves.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport cas, load
from ratelimit.core.memory.entries cimport seat_alive
from ratelimit.core.memory.layout cimport BLOCK_HEAD_BYTES, Arena, Block
from ratelimit.core.memory.quota cimport Quota


cdef inline uint64_t *slot_at(Block *block, uint64_t index) noexcept nogil:
    return <uint64_t *>(<char *>block + BLOCK_HEAD_BYTES) + index


cdef inline uint64_t slots_used(Arena *arena, const Quota *quota, Block *block, uint64_t now) noexcept nogil:
    cdef uint64_t i, value, used = 0
    for i in range(2 * quota.places):
        value = load(slot_at(block, i))
        if value and seat_alive(arena, value, quota.lease_ns, now):
            used += 1
    return used


cdef inline void slots_release(const Quota *quota, Block *block, uint64_t token) noexcept nogil:
    """Free every slot that carries this token."""
    cdef uint64_t i
    for i in range(2 * quota.places):
        if load(slot_at(block, i)) == token:
            cas(slot_at(block, i), token, 0)


cdef inline bint slots_acquire(
    Arena *arena, const Quota *quota, Block *block, uint64_t cost, uint64_t token, uint64_t now
) noexcept nogil:
    """Take `cost` of as many slots as the quota has units; all or none. As many slots as units is what makes the limit exact."""
    cdef uint64_t i, value, taken = 0
    for i in range(quota.units if quota.units < 2 * quota.places else 2 * quota.places):
        if taken == cost:
            break
        value = load(slot_at(block, i))
        if value and seat_alive(arena, value, quota.lease_ns, now):
            continue
        if cas(slot_at(block, i), value, token):
            taken += 1
    if taken == cost:
        return True
    if taken:
        slots_release(quota, block, token)
    return False
