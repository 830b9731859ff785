# Outcomes as metering sees them, those of stores that are not compiled among them.

from libc.stdint cimport int64_t

from ratelimit.core.decision.engine cimport Outcome


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
