"""The RateLimit field, digit by digit. Leaf arithmetic: nothing can fail."""

from libc.stdint cimport uint64_t


cdef inline int write_remaining(char *at, uint64_t remaining) noexcept nogil:
    """Write `;r=N`; return its length (at most 23)."""
    at[0] = b";"
    at[1] = b"r"
    at[2] = b"="
    return 3 + write_number(at + 3, remaining)


cdef inline int write_reset(char *at, uint64_t reset_s) noexcept nogil:
    """Write `;t=S`; return its length (at most 23)."""
    at[0] = b";"
    at[1] = b"t"
    at[2] = b"="
    return 3 + write_number(at + 3, reset_s)


cdef inline int write_number(char *at, uint64_t value) noexcept nogil:
    cdef int size = 1, i
    cdef uint64_t more = 10
    while size < 20 and value >= more:
        size += 1
        more *= 10  # past 10**19 it would wrap: `size` ends the loop there
    for i in range(size - 1, -1, -1):
        at[i] = <char>(48 + value % 10)
        value //= 10
    return size
