"""The callers that limits had no room for, where other limits had the last word."""

from libc.stdint cimport uint64_t

from ratelimit.core.algorithms.setup cimport REFUSED, caller_of
from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.memory.refusals cimport note_refusal


cdef inline void name_refused(Outcome outcome, uint64_t *ids) noexcept:
    """Note the caller of each limit that refused; the requests themselves are counted by who decided them."""
    cdef int i
    if outcome.plan.table.names_callers:
        for i in range(outcome.plan.setup.count):
            if outcome.charges[i].state == REFUSED:
                note_refusal(
                    &outcome.plan.table.arena, caller_of(&outcome.plan.setup, i, ids),
                    outcome.plan.setup.noted_as[i], outcome.now, False,
                )
