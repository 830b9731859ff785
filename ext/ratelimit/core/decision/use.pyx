"""Units of a rule, added and taken without asking it. See the stub for the contract."""

from libc.stdint cimport uint64_t

from ratelimit.core.algorithms.word_algorithms cimport charge_word, take_word
from ratelimit.core.decision.engine cimport Plan, check_ready
from ratelimit.core.memory.arguments cimport checked_cost
from ratelimit.core.memory.entries cimport BLOCKS
from ratelimit.core.memory.table cimport relative

cdef enum:
    MOST_IDENTITIES = 64


def add_use(Plan plan not None, int index, identities, units, now_ns, /):
    cdef uint64_t ids[MOST_IDENTITIES]
    check_word_of(plan, index)
    plan.read_identities(identities, ids)
    charge_word(&plan.setup, index, ids, checked_cost(units), <uint64_t>-1, relative(plan.table, now_ns))


def take_use(Plan plan not None, int index, identities, most, now_ns, /):
    cdef uint64_t ids[MOST_IDENTITIES]
    check_word_of(plan, index)
    plan.read_identities(identities, ids)
    return take_word(&plan.setup, index, ids, checked_cost(most), relative(plan.table, now_ns))


cdef int check_word_of(Plan plan, int index) except -1:
    check_ready(plan)
    if not 0 <= index < plan.setup.count:
        raise IndexError(f"the plan has {plan.setup.count} rules")
    if plan.setup.quotas[index].kind >= BLOCKS:
        raise ValueError("only what counts in words is added and taken")
    return 0
