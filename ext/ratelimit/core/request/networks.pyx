"""Numbers of networks, looked up by address: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.request.address cimport Address


@cython.final
@cython.auto_pickle(False)
cdef class Networks:
    def __cinit__(self, steps, *, fields):
        cdef Py_ssize_t at = 0
        v4 = sorted([(first, number) for width, first, number in steps if width == 32])
        v6 = sorted([(first, number) for width, first, number in steps if width == 128])
        if len(v4) + len(v6) != len(steps) or not 1 <= len(fields) <= MOST_FIELDS:
            raise ValueError(f"addresses have 32 or 128 bits, and numbers 1 to {MOST_FIELDS} fields")
        for field in fields:
            self.fields[self.field_count] = field
            self.field_count += 1
        self.v4 = <uint32_t *>PyMem_Malloc((len(v4) + 1) * sizeof(uint32_t))
        self.v6 = <High *>PyMem_Malloc((len(v6) + 1) * sizeof(High))
        self.v4_numbers = <uint64_t *>PyMem_Malloc((len(v4) + 1) * sizeof(uint64_t))
        self.v6_numbers = <uint64_t *>PyMem_Malloc((len(v6) + 1) * sizeof(uint64_t))
        if self.v4 == NULL or self.v6 == NULL or self.v4_numbers == NULL or self.v6_numbers == NULL:
            raise MemoryError
        for at, (first, number) in enumerate(v4):
            self.v4[at], self.v4_numbers[at] = first, number
        for at, (first, number) in enumerate(v6):
            self.v6[at].high, self.v6[at].low = first >> 64, first & 0xFFFFFFFFFFFFFFFF
            self.v6_numbers[at] = number
        self.v4_count, self.v6_count = len(v4), len(v6)

    def __dealloc__(self):
        PyMem_Free(self.v4)
        PyMem_Free(self.v6)
        PyMem_Free(self.v4_numbers)
        PyMem_Free(self.v6_numbers)

    def number(self, int width, bytes octets not None, bytes written=None, /):
        cdef Address address, other
        address.width, other.width = width, 0
        if width not in (32, 128) or len(octets) != width >> 3 or written is not None and len(written) != 16:
            raise ValueError("an address has 32 or 128 bits")
        memcpy(address.octets, PyBytes_AS_STRING(octets), width >> 3)
        if written is not None:
            other.width = 128
            memcpy(other.octets, PyBytes_AS_STRING(written), 16)
        return self.of(&address, &other)

    cdef uint64_t of(self, const Address *address, const Address *written) noexcept nogil:
        """Return the number of an address, by field of the one it was carried in where that says more.

        `written` is of width 0 for an address that was not carried.
        """
        cdef uint64_t found = self.of_one(address), other
        cdef int i
        if written.width == 0:
            return found
        other = self.of_one(written)
        for i in range(self.field_count):
            if not found & self.fields[i]:
                found |= other & self.fields[i]
        return found

    cdef uint64_t of_one(self, const Address *address) noexcept nogil:
        cdef Py_ssize_t low = 0, high, middle
        cdef uint32_t v4
        cdef High v6
        if address.width == 32:
            v4 = (
                <uint32_t>address.octets[0] << 24 | <uint32_t>address.octets[1] << 16
                | <uint32_t>address.octets[2] << 8 | address.octets[3]
            )
            high = self.v4_count
            while low < high:
                middle = (low + high) // 2
                if self.v4[middle] <= v4:
                    low = middle + 1
                else:
                    high = middle
            return self.v4_numbers[low - 1] if low else 0
        if address.width != 128:
            return 0
        v6 = High(half_of(address, 0), half_of(address, 8))
        high = self.v6_count
        while low < high:
            middle = (low + high) // 2
            if self.v6[middle].high < v6.high or self.v6[middle].high == v6.high and self.v6[middle].low <= v6.low:
                low = middle + 1
            else:
                high = middle
        return self.v6_numbers[low - 1] if low else 0

    def __reduce__(self):
        raise TypeError("networks are made anew from their ranges")


cdef inline uint64_t half_of(const Address *address, int start) noexcept nogil:
    """Return 64 bits of an IPv6 address."""
    cdef uint64_t bits = 0
    cdef int i
    for i in range(start, start + 8):
        bits = bits << 8 | address.octets[i]
    return bits
