from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.algorithms.setup cimport ALLOWED, REFUSED, SHADOWED, SKIPPED, Charge, Setup, caller_of
from ratelimit.core.memory.entries cimport HOLDINGS
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.memory.refusals cimport note_refusal
from ratelimit.core.memory.table cimport Table, bump
from ratelimit.core.memory.takings cimport note_taken

cdef enum:
    # Columns of a rule's counter.
    COUNT_ALLOWED = 0
    COUNT_REFUSED = 1
    COUNT_SHADOWED = 2
    COUNT_SKIPPED = 3
    COUNT_COST_ADMITTED = 4
    COUNT_COST_REFUSED = 5
    COUNT_FORGIVEN = 6


cdef class Plan:
    cdef Table table
    cdef readonly tuple rules
    cdef Setup setup
    cdef int highest       # of any identity position used
    cdef int highest_cost

    cdef Outcome run(self, object identities, object now_ns, object costs, bint commit)
    cdef Outcome tried(self, uint64_t *ids, uint64_t *amounts, object now_ns, bint commit)
    cdef Outcome decided(self, uint64_t *ids, uint64_t *amounts, object now_ns, bint commit)
    cdef int read_identities(self, object identities, uint64_t *ids) except -1
    cdef bint looks_at(self, int position) noexcept
    cpdef int forgive(self, int index, uint64_t units) except -1
    cdef int read_costs(self, object costs, uint64_t *amounts) except -1


cdef class Outcome:
    cdef Plan plan
    cdef Charge *charges
    cdef uint64_t now
    cdef object ledger     # told of corrections, where another store charged; else None
    cdef public object witness  # told of corrections made here; None where no store asks
    cdef readonly bint allowed
    cdef readonly int binding

    cdef void conclude(self) noexcept
    cdef bint would_refuse_by(self, int position) noexcept
    cdef int check_made(self) except -1
    cdef Charge *at(self, int index) except NULL
    cdef uint64_t remaining_of(self, int i) noexcept
    cdef uint64_t reset_of(self, int i) noexcept
    cdef bytes field(self, tuple labels)
    cdef object correct_elsewhere(self, int index, Charge *charge, uint64_t amount)
    cdef void note_moved(self, int index, Charge *charge, int64_t moved) noexcept


cdef inline int check_ready(Plan plan) except -1:
    if plan.table is None:
        raise ValueError("this plan was never initialised")
    if not plan.table.open:
        raise ValueError("the table is closed")
    return 0


cdef inline bint is_by_share(Outcome outcome) noexcept:
    """Return whether a host's share of the rules decided, in the place of a server."""
    return outcome.plan is not None and outcome.plan.setup.count > 0 and outcome.plan.setup.quotas[0].share != 0


cdef inline uint64_t forgiven(const Charge *charge, uint64_t reported) noexcept nogil:
    """Return how much of what was reported is beyond the debt that its key may have, and so counts for nothing."""
    return reported - charge.held if reported > charge.held else 0


cdef inline void tally(Table table, Charge *charge, uint64_t counter, bint allowed) noexcept:
    """Count what one rule said; `allowed` is what the whole decision says."""
    if charge.state == ALLOWED:
        bump(table, counter, COUNT_ALLOWED, 1)
        if allowed:
            bump(table, counter, COUNT_COST_ADMITTED, charge.cost)
    elif charge.state == SKIPPED:
        bump(table, counter, COUNT_SKIPPED, 1)
    else:
        bump(table, counter, COUNT_REFUSED if charge.state == REFUSED else COUNT_SHADOWED, 1)
        bump(table, counter, COUNT_COST_REFUSED, charge.cost)


cdef inline void count_verdicts(Outcome outcome, uint64_t *ids) noexcept:
    """Count what every rule said, and whom it refused or what of it was taken. Without `ids` charges name the caller."""
    cdef Plan plan = outcome.plan
    cdef Charge *charge
    cdef const Quota *q
    cdef int i
    for i in range(plan.setup.count):
        charge = outcome.charges + i
        tally(plan.table, charge, plan.setup.counters[i], outcome.allowed)
        if charge.state == SKIPPED:
            continue
        if ids != NULL:
            charge.who = caller_of(&plan.setup, i, ids)
        if not plan.table.names_callers:
            continue
        if charge.state != ALLOWED:
            note_refusal(
                &plan.table.arena, charge.who, plan.setup.noted_as[i], outcome.now, charge.state == SHADOWED
            )
        elif outcome.allowed and charge.cost:
            q = &plan.setup.quotas[i]
            if q.kind < HOLDINGS:
                note_taken(
                    &plan.table.arena, charge.who, plan.setup.counters[i], charge.cost, q.units, outcome.now
                )
