"""Answers to Envoy's calls, written to their bytes: see the stub for the contract."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from struct import pack

cdef enum:
    NUMBER = 10             # as many bytes as a varint has
    SECOND_NS = 1000000000

# Field numbers with their wire types, after envoy/service/ratelimit/v3/rls.proto.
cdef enum Tag:
    FIRST_TEXT = 0x0A       # a header's key
    SECOND_TEXT = 0x12      # a status; a header's value
    CODE = 0x08             # of an answer and of a status
    LIMIT = 0x12            # of a status
    PER_UNIT = 0x08         # of a limit
    UNIT = 0x10
    NAME = 0x1A
    REMAINING = 0x18        # of a status
    RESET = 0x22
    SECONDS = 0x08          # of a duration
    NANOS = 0x10
    ADDED = 0x1A            # a header of an answer
    BODY = 0x2A


def write_answer(bint allowed, int descriptors, told, headers, bytes body not None, /):
    cdef uint8_t limit[2 * (NUMBER + 1)]
    cdef uint8_t reset[2 * (NUMBER + 1)]
    cdef uint8_t *at
    cdef uint8_t *start
    cdef Py_ssize_t limit_size = 0, reset_size = 0, status_size = 2, bound
    cdef bytes name = b""
    cdef uint64_t quota, remaining = 0, reset_ns
    cdef uint32_t unit
    cdef int code = 1 if allowed else 2, _i
    cdef bytes made
    cdef list pairs = [(utf8(key), utf8(value)) for key, value in headers]
    if told is not None:
        text, quota, unit, remaining, reset_ns = told
        name = text.encode("utf-8", "surrogateescape")
        at = put_number(limit, PER_UNIT, quota)
        at = put_number(at, UNIT, unit)
        limit_size = at - limit
        at = put_number(reset, SECONDS, reset_ns // <uint64_t>SECOND_NS)
        at = put_number(at, NANOS, reset_ns % <uint64_t>SECOND_NS)
        reset_size = at - reset
        status_size += 1 + size_of(limit_size + text_size(name)) + limit_size + text_size(name)
        status_size += 1 + size_of(reset_size) + reset_size
        if remaining:
            status_size += 1 + size_of(remaining)
    # The code, each descriptor's status, then the headers and the body.
    bound = 2 + (1 + NUMBER + status_size) * descriptors + PyBytes_GET_SIZE(body) + NUMBER + 1
    for key, value in pairs:
        bound += PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value) + 3 * (NUMBER + 1)
    made = PyBytes_FromStringAndSize(NULL, bound)
    start = <uint8_t *>PyBytes_AS_STRING(made)
    at = put_number(start, CODE, code)
    for _i in range(descriptors):
        at[0] = SECOND_TEXT
        at = put_varint(at + 1, status_size)
        at = put_number(at, CODE, code)
        if told is not None:
            at[0] = LIMIT
            at = put_varint(at + 1, limit_size + text_size(name))
            memcpy(at, limit, limit_size)
            at = put_text(at + limit_size, NAME, name)
            at = put_number(at, REMAINING, remaining)
            at[0] = RESET
            at = put_varint(at + 1, reset_size)
            memcpy(at, reset, reset_size)
            at += reset_size
    for key, value in pairs:
        at[0] = ADDED
        at = put_varint(at + 1, text_size(<bytes>key) + text_size(<bytes>value))
        at = put_text(at, FIRST_TEXT, <bytes>key)
        at = put_text(at, SECOND_TEXT, <bytes>value)
    at = put_text(at, BODY, body)
    return made[: at - start]


cdef inline bytes utf8(bytes text):
    """Return a field's bytes as the text that they are, which protobuf wants in UTF-8."""
    return text if text.isascii() else text.decode("latin-1").encode()


cdef inline int size_of(uint64_t number) noexcept nogil:
    """Return how many bytes a varint has."""
    cdef int size = 1
    while number >= 0x80:
        number >>= 7
        size += 1
    return size


cdef inline uint8_t *put_varint(uint8_t *at, uint64_t number) noexcept nogil:
    while number >= 0x80:
        at[0] = <uint8_t>(number | 0x80)
        number >>= 7
        at += 1
    at[0] = <uint8_t>number
    return at + 1


cdef inline uint8_t *put_number(uint8_t *at, uint8_t tag, uint64_t number) noexcept nogil:
    """Write a field; 0 is what is not written."""
    if number == 0:
        return at
    at[0] = tag
    return put_varint(at + 1, number)


cdef inline Py_ssize_t text_size(bytes text) noexcept:
    """Return how many bytes a field has; none where it is empty."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    return 0 if size == 0 else 1 + size_of(size) + size


cdef inline uint8_t *put_text(uint8_t *at, uint8_t tag, bytes text) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    if size == 0:
        return at
    at[0] = tag
    at = put_varint(at + 1, size)
    memcpy(at, PyBytes_AS_STRING(text), size)
    return at + size


cdef enum Structure:
    METADATA = 0x32         # of an answer
    MEMBER = 0x0A           # of a Struct; an element of a list
    NUMBER_VALUE = 0x11
    TEXT_VALUE = 0x1A
    TRUTH_VALUE = 0x20
    STRUCT_VALUE = 0x2A
    LIST_VALUE = 0x32


def write_statuses(bint allowed, statuses, headers, bytes body not None, metadata=None, /):
    cdef list parts = [field_of(CODE, 1 if allowed else 2)]
    cdef bytes limit, status
    for code, own, remaining, reset_s in statuses:
        status = field_of(CODE, code)
        if own is not None:
            per_unit, unit, name = own
            limit = field_of(PER_UNIT, per_unit) + field_of(UNIT, unit)
            if name:
                limit += text_of(NAME, name.encode("utf-8", "surrogateescape"))
            status += text_of(LIMIT, limit)
        status += field_of(REMAINING, remaining)
        if own is not None:
            status += text_of(RESET, field_of(SECONDS, reset_s))
        parts.append(text_of(SECOND_TEXT, status))
    for key, value in headers:
        parts.append(text_of(ADDED, text_of(FIRST_TEXT, utf8(key)) + text_of(SECOND_TEXT, utf8(value))))
    if body:
        parts.append(text_of(BODY, body))
    if metadata is not None:
        parts.append(text_of(METADATA, struct_of(metadata)))
    return b"".join(parts)


cdef bytes field_of(uint8_t tag, uint64_t number):
    """Return a field with a number; empty for 0."""
    cdef uint8_t made[NUMBER + 1]
    return made[: put_number(made, tag, number) - made]


cdef bytes text_of(uint8_t tag, bytes text):
    """Return a field with bytes, also where they are empty."""
    cdef uint8_t made[NUMBER + 1]
    made[0] = tag
    return <bytes>made[: put_varint(made + 1, PyBytes_GET_SIZE(text)) - made] + text


cdef bytes struct_of(members):
    cdef list parts = []
    for name, value in members.items():
        entry = text_of(FIRST_TEXT, name.encode("utf-8", "replace")) + text_of(SECOND_TEXT, value_of(value))
        parts.append(text_of(MEMBER, entry))
    return b"".join(parts)


cdef bytes value_of(value):
    if value is None:
        return b"\x08\x00"
    if value is True or value is False:
        return bytes((TRUTH_VALUE, value))
    if isinstance(value, (int, float)):
        return bytes((NUMBER_VALUE,)) + pack("<d", value)
    if isinstance(value, str):
        return text_of(TEXT_VALUE, value.encode("utf-8", "replace"))
    if isinstance(value, dict):
        return text_of(STRUCT_VALUE, struct_of(value))
    return text_of(LIST_VALUE, b"".join([text_of(MEMBER, value_of(each)) for each in value]))
