"""Spans of values in plain lines of NDJSON, read column by column: see the stub for the contract."""

cimport cython
from cpython cimport array
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ratelimit.core.memory.arguments cimport identity_number
from ratelimit.core.memory.hashing cimport Hasher, hash_run
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.address cimport Address, read_address
from ratelimit.core.request.identities cimport DOLLARS, SECONDS
from ratelimit.core.request.scanner cimport LONGEST, Scanner

import array as arrays

from ratelimit.core.request.identities import FORMS as _FORMS

cdef uint64_t MOST_SECONDS = 0xFFFFFFFF
cdef double MOST_DOLLARS = 1e9      # see facts/numbers.py

cdef extern from *:
    """
    /* One rounding after the other, as in Python: a fused multiplication and addition rounds once. */
    static inline unsigned long long kin_millionths(double dollars) {
        volatile double millionths = dollars * 1e6;
        return (unsigned long long)(millionths + 0.5);
    }
    """
    uint64_t millionths "kin_millionths"(double dollars) noexcept nogil
cdef array.array NUMBERS = arrays.array("Q")


@cython.final
cdef class Spans:
    def __cinit__(self):
        self.spans = NULL
        self.starts = NULL
        self.instants = NULL
        self.addresses = self.written = NULL
        self.like = NULL
        self.addresses_of = -1

    def __dealloc__(self):
        PyMem_RawFree(self.addresses)
        PyMem_RawFree(self.written)
        PyMem_RawFree(self.like)
        # Not by `owner`: the collector clears that of a part before it is freed.
        if self.is_owner:
            PyMem_RawFree(self.spans)
            PyMem_RawFree(self.starts)
            PyMem_RawFree(self.instants)

    cdef int take_memory(self) except -1:
        self.is_owner = True
        self.spans = <Span *>PyMem_RawMalloc(self.rows * self.width * sizeof(Span))
        self.starts = <uint32_t *>PyMem_RawMalloc((self.rows + 1) * sizeof(uint32_t))
        self.instants = <int64_t *>PyMem_RawMalloc(self.rows * sizeof(int64_t))
        if self.spans == NULL or self.starts == NULL or self.instants == NULL:
            raise MemoryError
        memset(self.spans, 0xFF, self.rows * self.width * sizeof(Span))
        return 0

    def part(self, Py_ssize_t start, Py_ssize_t stop, /):
        cdef Spans found = Spans.__new__(Spans)
        if not 0 <= start <= stop <= self.size:
            raise IndexError("a part lies within the whole")
        found.chunk = self.chunk
        found.owner = self if self.owner is None else self.owner
        found.text = self.text
        found.spans = self.spans + start
        found.starts = self.starts + start
        found.instants = self.instants + start
        found.width = self.width
        found.rows = self.rows
        found.size = stop - start
        return found

    @property
    def times_ns(self):
        cdef Py_ssize_t row
        return [self.instants[row] for row in range(self.size)]

    @property
    def lines(self):
        return self.chunk[self.starts[0]:self.starts[self.size]]

    def line(self, Py_ssize_t row, /):
        if not 0 <= row < self.size:
            raise IndexError(row)
        return self.chunk[self.starts[row]:self.starts[row + 1]]

    cdef Span *of(self, int member) except NULL:
        if not 0 <= member < self.width:
            raise IndexError(member)
        return self.spans + member * self.rows

    cdef object value(self, const Span *span):
        cdef const char *at = <const char *>self.text + (span.at & ~<uint32_t>NUMBER)
        if span.size < 0:
            return None
        if span.at & NUMBER:
            return digits_of(<const uint8_t *>at, span.size)
        return at[:span.size].decode("ascii")

    def absent(self, int member, /):
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        return [row for row in range(self.size) if span[row].size < 0]

    def is_absent(self, int member, /):
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        for row in range(self.size):
            if span[row].size >= 0:
                return False
        return True

    def values(self, int member, /):
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        return [self.value(span + row) for row in range(self.size)]

    def pairs(self, int one, int other, of, /):
        cdef Span *first = self.of(one)
        cdef Span *second = self.of(other)
        cdef Py_ssize_t row
        cdef list found = []
        cdef object value = None
        for row in range(self.size):
            if row == 0 or not self.same(first + row, first + row - 1) or not self.same(second + row, second + row - 1):
                value = of((self.value(first + row), self.value(second + row)))
            found.append(value)
        return found

    cdef bint same(self, const Span *one, const Span *other) noexcept:
        return one.size == other.size and one.size >= 0 and memcmp(self.text + one.at, self.text + other.at, one.size) == 0

    def hashes(self, int member, Hasher hasher not None, kind, int longest, other, /):
        cdef Span *span = self.of(member)
        cdef uint64_t under = <uint32_t>kind
        cdef Py_ssize_t row, absent = 0
        cdef array.array column = array.clone(NUMBERS, self.size, zero=False)
        cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
        for row in range(self.size):
            if span[row].size < 0:
                hashes[row] = ABSENT_HASH
            elif span[row].at & NUMBER or not 0 < span[row].size <= longest:
                hashes[row] = identity_number(other(self.value(span + row)))
            else:
                hashes[row] = hash_run(hasher.k0, hasher.k1, under, self.text + span[row].at, span[row].size)
            absent += hashes[row] == ABSENT_HASH
        return column, absent

    def blanks(self, int member, Scanner scanner not None, int position, /):
        cdef list refused = []
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        cdef array.array column = array.clone(NUMBERS, self.size, zero=False)
        cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
        if not 0 <= position < scanner.size:
            raise IndexError(f"there are {scanner.size} positions")
        if self.addresses_of != member:
            self.read_addresses(member, scanner)
        for row in range(self.size):
            if self.like[row] != row and self.addresses[row].width and scanner.blanks[position].kind >= 0:
                hashes[row] = hashes[self.like[row]]
            elif self.addresses[row].width:
                if scanner.blank_at(position, self.addresses + row, hashes + row):
                    refused.append(row)
            elif scanner.blank_for(position, self.value(span + row), hashes + row):
                refused.append(row)
        return column, refused

    def declared(self, int member, Scanner scanner not None, int position, /):
        cdef Py_ssize_t row
        cdef array.array column = array.clone(NUMBERS, self.size, zero=False)
        cdef uint64_t *numbers = <uint64_t *>column.data.as_ulonglongs
        if not 0 <= position < scanner.size:
            raise IndexError(f"there are {scanner.size} positions")
        if self.addresses_of != member:
            self.read_addresses(member, scanner)
        for row in range(self.size):
            if self.like[row] != row:
                numbers[row] = numbers[self.like[row]]
            else:
                numbers[row] = scanner.declared_at(position, self.addresses + row, self.written + row)
        return column

    cdef int read_addresses(self, int member, Scanner scanner) except -1:
        """Read the addresses of all rows: once for what may be made of them."""
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        cdef uint32_t first
        if self.like == NULL:
            self.like = <uint32_t *>PyMem_RawMalloc(max(<Py_ssize_t>1, self.size) * sizeof(uint32_t))
        if self.like == NULL:
            raise MemoryError
        self.find_like(span)
        if self.addresses == NULL:
            self.addresses = <Address *>PyMem_RawMalloc(max(<Py_ssize_t>1, self.size) * sizeof(Address))
        if self.written == NULL:
            self.written = <Address *>PyMem_RawMalloc(max(<Py_ssize_t>1, self.size) * sizeof(Address))
        if self.addresses == NULL or self.written == NULL:
            raise MemoryError
        for row in range(self.size):
            first = self.like[row]
            if first != row:
                self.addresses[row], self.written[row] = self.addresses[first], self.written[first]
                continue
            self.addresses[row].width = self.written[row].width = 0
            if 0 <= span[row].size <= LONGEST and not span[row].at & NUMBER:
                self.addresses[row] = read_address(self.text + span[row].at, span[row].size)
                scanner.read_peer(self.addresses + row, self.written + row)
        self.addresses_of = member
        return 0

    cdef int find_like(self, const Span *span) except -1:
        """Find for each row the first one with the same text; one without any is like itself alone."""
        cdef uint32_t size = 16, place, row, other
        cdef uint32_t *rows
        while size < 2 * self.size:
            size *= 2
        rows = <uint32_t *>PyMem_RawCalloc(size, sizeof(uint32_t))  # counted from 1, by their text
        if rows == NULL:
            raise MemoryError
        for row in range(<uint32_t>self.size):
            self.like[row] = row
            if span[row].size < 0 or span[row].at & NUMBER:
                continue
            place = stirred(self.text + span[row].at, span[row].size) & (size - 1)
            while rows[place]:
                other = rows[place] - 1
                if self.same(span + row, span + other):
                    self.like[row] = other
                    break
                place = (place + 1) & (size - 1)
            else:
                rows[place] = row + 1
        PyMem_RawFree(rows)
        return 0

    def numbers(self, int member, form, other, /):
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        cdef array.array column = array.clone(NUMBERS, self.size, zero=False)
        cdef uint64_t *numbers = <uint64_t *>column.data.as_ulonglongs
        cdef const uint8_t *written
        cdef int of = _FORMS[form]
        for row in range(self.size):
            if span[row].size < 0:
                numbers[row] = ABSENT_HASH
                continue
            if span[row].at & NUMBER:
                written = self.text + (span[row].at & ~<uint32_t>NUMBER)
                if of == DOLLARS:
                    numbers[row] = millionths_of(written, span[row].size)
                    continue
                if of == SECONDS:
                    numbers[row] = digits_of(written, span[row].size)
                    if 0 < numbers[row] <= MOST_SECONDS:
                        continue
            numbers[row] = identity_number(other(self.value(span + row)))
        return column

    def amounts(self, int member, /):
        cdef Span *span = self.of(member)
        cdef Py_ssize_t row
        cdef array.array column = array.clone(NUMBERS, self.size, zero=False)
        cdef uint64_t *amounts = <uint64_t *>column.data.as_ulonglongs
        for row in range(self.size):
            amounts[row] = ABSENT_HASH
            if span[row].size >= 0 and span[row].at & NUMBER:
                amounts[row] = digits_of(self.text + (span[row].at & ~<uint32_t>NUMBER), span[row].size)
        return column

    def __reduce__(self):
        raise TypeError("spans point into memory of this process and are not pickled")


cdef inline uint32_t stirred(const uint8_t *at, int32_t size) noexcept nogil:
    """Return a number for a text, to look for the same one among a few thousand."""
    cdef uint64_t first = 0, last = 0
    cdef int32_t i
    if size >= 8:
        memcpy(&first, at, 8)
        memcpy(&last, at + size - 8, 8)
    else:
        for i in range(size):
            first = first << 8 | at[i]
    first = (first * <uint64_t>0x9E3779B97F4A7C15) ^ last
    return <uint32_t>((first * <uint64_t>0x9E3779B97F4A7C15) >> 32)


cdef inline uint64_t millionths_of(const uint8_t *at, int32_t size) noexcept nogil:
    """Return an amount of dollars in millionths: a plain number that is exact without its point."""
    cdef uint64_t digits = 0
    cdef double power = 1.0, dollars
    cdef bint is_behind = False
    cdef int32_t i
    for i in range(size):
        if at[i] == c".":
            is_behind = True
            continue
        digits = digits * 10 + (at[i] - c"0")
        if is_behind:
            power *= 10.0
    dollars = <double>digits / power
    return millionths(dollars if dollars < MOST_DOLLARS else MOST_DOLLARS)
