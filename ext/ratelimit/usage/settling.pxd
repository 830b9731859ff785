# Outcomes as metering sees them, those of stores that are not compiled among them; and instants.

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.memory.number cimport NEGATIVE, NO_NUMBER, WHOLE, read_number


cdef inline uint64_t moment(object now_ns) except? 0xFFFFFFFFFFFFFFFF:
    """Return nanoseconds since the epoch, cut to what leaves room for a week more."""
    cdef uint64_t now
    cdef int kind = read_number(now_ns, &now)
    if kind == NO_NUMBER:
        raise TypeError(f"time is an integer of nanoseconds, not {type(now_ns).__name__}")
    if kind == NEGATIVE:
        return 0
    return now if kind == WHOLE and now < <uint64_t>1 << 63 else <uint64_t>1 << 63


cdef inline int state_of(object outcome, int at) except -1:
    if type(outcome) is Outcome:
        return (<Outcome>outcome).at(at).state
    return outcome.state(at)


cdef inline int64_t cost_of(object outcome, int at) except? -1:
    if type(outcome) is Outcome:
        return <int64_t>(<Outcome>outcome).at(at).cost
    return outcome.cost(at)


cdef inline int correct(object outcome, int at, object amount, object now_ns) except -1:
    """Settle one rule of a request that is under way or over: see `stores.contract.correct`."""
    try:
        outcome.settle_rule(at, amount, now_ns)
    except ValueError as error:
        if "closed" not in str(error):
            raise
    return 0
