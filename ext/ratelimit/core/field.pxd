"""The RateLimit field, digit by digit. Leaf arithmetic: nothing can fail."""

from libc.stdint cimport uint64_t


cdef inline int write_item(char *at, uint64_t remaining, uint64_t reset_s) noexcept nogil:
    """Write `;r=N;t=S`; return its length (at most 46)."""
    cdef int size = 3
    at[0] = b";"
    at[1] = b"r"
    at[2] = b"="
    size += write_number(at + size, remaining)
    at[size] = b";"
    at[size + 1] = b"t"
    at[size + 2] = b"="
    size += 3
    return size + write_number(at + size, reset_s)


cdef inline int write_number(char *at, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int size = 0, i
    while True:
        digits[size] = <char>(48 + value % 10)
        size += 1
        value //= 10
        if value == 0:
            break
    for i in range(size):
        at[i] = digits[size - 1 - i]
    return size
