"""Columns of recorded requests: see the stub for the contract."""

from cpython cimport array
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.request.address cimport Address, write_prefix
from ratelimit.core.memory.arguments cimport checked_cost, identity_number
from ratelimit.core.memory.hashing cimport Hasher, PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, hash_run, hash_value
from ratelimit.core.memory.number cimport NEGATIVE, WHOLE, read_number
from ratelimit.core.request.identities cimport SECONDS
from ratelimit.core.request.scanner cimport MOST_POSITIONS, Scanner, address_of
from ratelimit.core.memory.siphash cimport ABSENT_HASH

import array as arrays

from ratelimit.core.request.identities import FORMS as _FORMS

cdef enum:
    REFUSED_IDENTITY = 2        # -2, see identity/fact.py

cdef array.array NUMBERS = arrays.array("Q")
cdef uint64_t MOST_SECONDS = 0xFFFFFFFF


def hash_column(Hasher hasher not None, kind, list values not None, int longest, other, /):
    cdef uint64_t under = <uint32_t>kind
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values), absent = 0
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
    cdef object value
    for i in range(size):
        value = values[i]
        if value is None:
            hashes[i] = ABSENT_HASH
        elif type(value) is str and PyUnicode_IS_COMPACT_ASCII(value) and 0 < PyUnicode_GET_LENGTH(value) <= longest:
            hashes[i] = hash_value(hasher, under, value)
        else:
            hashes[i] = identity_number(other(value))
        absent += hashes[i] == ABSENT_HASH
    return column, absent


def address_column(Hasher hasher not None, kind, int v4, int v6, list values not None, other, /):
    cdef uint64_t under = <uint32_t>kind
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values), absent = 0
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
    cdef uint8_t network[17]
    cdef Address address
    cdef object value
    if not (0 <= v4 <= 32 and 0 <= v6 <= 128):
        raise ValueError("a prefix is at most 32 bits of IPv4 and 128 of IPv6")
    for i in range(size):
        value = values[i]
        address.width = 0
        if type(value) is str:
            address = address_of(value)
        if value is None:
            hashes[i] = ABSENT_HASH
        elif address.width:
            hashes[i] = hash_run(hasher.k0, hasher.k1, under, network, write_prefix(&address, v4, v6, network))
        else:
            hashes[i] = identity_number(other(value))
        absent += hashes[i] == ABSENT_HASH
    return column, absent


def blank_column(Scanner scanner not None, int position, list peers not None, /):
    cdef list refused = []
    cdef Py_ssize_t i, size = PyList_GET_SIZE(peers)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *hashes = <uint64_t *>column.data.as_ulonglongs
    if not 0 <= position < scanner.size:
        raise IndexError(f"there are {scanner.size} positions")
    for i in range(size):
        if scanner.blank_for(position, peers[i], hashes + i):
            refused.append(i)
    return column, refused


def declared_column(Scanner scanner not None, int position, list peers not None, /):
    cdef uint64_t ids[MOST_POSITIONS]
    cdef Py_ssize_t i, size = PyList_GET_SIZE(peers)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *numbers = <uint64_t *>column.data.as_ulonglongs
    if not 0 <= position < scanner.size:
        raise IndexError(f"there are {scanner.size} positions")
    ids[position] = 0
    for i in range(size):
        scanner.look_up_for(peers[i], ids)
        numbers[i] = ids[position]
    return column


def number_column(list values not None, form, other, /):
    """Return the column of some numbers of a form."""
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *numbers = <uint64_t *>column.data.as_ulonglongs
    cdef bint are_seconds = _FORMS[form] == SECONDS
    cdef object value
    for i in range(size):
        value = values[i]
        if value is None:
            numbers[i] = ABSENT_HASH
            continue
        if are_seconds and type(value) is int and read_number(value, numbers + i) == WHOLE:
            if 0 < numbers[i] <= MOST_SECONDS:
                continue
        numbers[i] = identity_number(other(value))
    return column


def absent_column(Py_ssize_t size, /):
    """Return a column in which nothing stands yet."""
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    memset(column.data.as_voidptr, 0xFF, size * sizeof(uint64_t))
    return column


def amount_column(list values not None, /):
    cdef Py_ssize_t i, size = PyList_GET_SIZE(values)
    cdef array.array column = array.clone(NUMBERS, size, zero=False)
    cdef uint64_t *amounts = <uint64_t *>column.data.as_ulonglongs
    for i in range(size):
        amounts[i] = ABSENT_HASH if values[i] is None else checked_cost(values[i])
    return column


def said(array.array column not None, /):
    cdef uint64_t *hashes = numbers_of(column)
    cdef Py_ssize_t i
    return [i for i in range(len(column)) if hashes[i] != ABSENT_HASH]


def fill_absent(array.array column not None, array.array otherwise not None, /):
    cdef uint64_t *hashes = numbers_of(column)
    cdef uint64_t *others = numbers_of(otherwise)
    cdef Py_ssize_t i, absent = 0
    if len(column) != len(otherwise):
        raise ValueError("columns are of one length")
    for i in range(len(column)):
        if hashes[i] == ABSENT_HASH:
            hashes[i] = others[i]
        absent += hashes[i] == ABSENT_HASH
    return absent


def columns_of(list rows not None, int size, /):
    cdef Py_ssize_t i, count = PyList_GET_SIZE(rows)
    cdef list columns = [array.clone(NUMBERS, count, zero=False) for _ in range(size)]
    cdef array.array refused = array.clone(NUMBERS, count, zero=True)
    for i in range(count):
        put_row(columns, refused, i, rows[i])
    return columns, refused


def put_row(list columns not None, array.array refused not None, Py_ssize_t at, list row not None, /):
    cdef uint64_t number
    cdef uint64_t *hashes
    cdef int i, kind
    if len(row) != len(columns) or not 0 <= at < len(refused) or len(row) > MOST_POSITIONS:
        raise IndexError("a row has a place in each column")
    numbers_of(refused)[at] = 0
    for i in range(PyList_GET_SIZE(row)):
        hashes = numbers_of(columns[i])
        if len(columns[i]) <= at:
            raise IndexError(at)
        kind = read_number(<object>PyList_GET_ITEM(row, i), &number)
        hashes[at] = number if kind == WHOLE else ABSENT_HASH
        if kind == NEGATIVE and number == REFUSED_IDENTITY:
            numbers_of(refused)[at] |= <uint64_t>1 << i


def refuse(array.array refused not None, int position, list places not None, /):
    cdef Py_ssize_t place
    if not 0 <= position < MOST_POSITIONS:
        raise IndexError(position)
    for place in places:
        if not 0 <= place < len(refused):
            raise IndexError(place)
        numbers_of(refused)[place] |= <uint64_t>1 << position


def zero_column(Py_ssize_t size, /):
    return array.clone(NUMBERS, size, zero=True)


cdef uint64_t *numbers_of(array.array column) except? NULL:
    if column.ob_descr.typecode != c"Q":
        raise TypeError("a column is an array of 64-bit numbers")
    return <uint64_t *>column.data.as_ulonglongs
