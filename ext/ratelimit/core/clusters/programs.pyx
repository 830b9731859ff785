"""Programs in networks where no account pays: see the stub for the contract."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport principal_at
from ratelimit.core.clusters.pools cimport Places, Pools
from ratelimit.core.clusters.records cimport SUSPECT, Identifier, Principal


def pairs(Pools pools not None, uint32_t start, uint32_t stop, /):
    cdef uint32_t at, program
    cdef int i
    cdef Principal *p
    cdef Places places
    cdef list found = []
    for at in range(start, min(stop, pools.awake)):
        p = principal_at(pools.evidence, at)
        program = pools.token_of(p, 0xFFFF)
        if program:
            pools.places_of(p, at, &places)
            for i in range(places.count):
                found.append(<uint64_t>places.at[i] << 32 | program - 1)
    return found


def degree(Pools pools not None, uint32_t at, /):
    if at >= pools.count:
        raise IndexError(f"no identifier {at}")
    return pools.evidence.identifiers[at].degree


def add_suspects(Pools pools not None, positions, /):
    cdef uint32_t at
    cdef Identifier *node
    for at in positions:
        if at < pools.count:
            node = pools.evidence.identifiers + at
            node.meta |= <uint16_t>SUSPECT
    return len(positions)
