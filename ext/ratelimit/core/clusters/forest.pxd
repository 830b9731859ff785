"""A forest over positions, for joining what meets. Nodes count from 1, a root leads to 0."""

from libc.stdint cimport uint32_t


cdef inline uint32_t find_root(uint32_t *roots, uint32_t at) noexcept nogil:
    """Return the root of a node, halving the way."""
    while roots[at - 1]:
        if roots[roots[at - 1] - 1]:
            roots[at - 1] = roots[roots[at - 1] - 1]
        at = roots[at - 1]
    return at


cdef inline void join_roots(uint32_t *roots, uint32_t one, uint32_t other) noexcept nogil:
    one = find_root(roots, one)
    other = find_root(roots, other)
    # The lower position stays: the forest does not depend on the order of the walk.
    if one < other:
        roots[other - 1] = one
    elif other < one:
        roots[one - 1] = other
