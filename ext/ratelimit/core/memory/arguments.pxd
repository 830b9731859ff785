"""Arguments of callers, checked on the way into C."""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.number cimport NEGATIVE, NO_NUMBER, WHOLE, read_number
from ratelimit.core.memory.siphash cimport ABSENT_HASH

cdef enum:
    MOST_COST = 0x7FFFFFFF


cdef inline object usage_error(str message, str code):
    from ratelimit.errors import UsageError

    return UsageError(message, code=code)


cdef inline uint64_t identity_number(object item) except? 0xFFFFFFFFFFFFFFFF:
    """Return an identity's hash; ABSENT as all ones, which no hash is."""
    cdef uint64_t number
    cdef int kind = read_number(item, &number)
    if kind == WHOLE:
        return number if number != ABSENT_HASH else ABSENT_HASH - 1
    if kind == NEGATIVE and number == 1:
        return ABSENT_HASH
    if kind == NO_NUMBER:
        raise TypeError(f"an identity is an integer, not {type(item).__name__}")
    raise OverflowError("an identity is a 64-bit hash, or ABSENT")


cdef inline uint64_t checked_cost(object cost) except? 0xFFFFFFFFFFFFFFFF:
    """Return a cost as a C integer; floats, NaN among them, never get this far."""
    cdef uint64_t number
    cdef int kind = read_number(cost, &number)
    if kind == WHOLE and number <= MOST_COST:
        return number
    if kind == NO_NUMBER:
        raise usage_error(f"a cost is an integer, not {cost!r}", code="cost-type")
    raise usage_error(f"a cost is 0 to {MOST_COST}, not {cost}", code="cost-range")
