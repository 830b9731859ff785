"""Meters and readings: one rule over one kind of identity. See the stub for the contract."""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint64_t

from ratelimit.core.memory.arguments cimport checked_cost
from ratelimit.core.decision.decide cimport correct, decide
from ratelimit.core.decision.engine cimport Plan, check_ready, tally
from ratelimit.core.memory.entries cimport BLOCKS, HOLDINGS, SLOTS
from ratelimit.core.memory.hashing cimport Hasher, hash_value
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.algorithms.rule cimport Rule
from ratelimit.core.algorithms.setup cimport ALLOWED, REFUSED, Charge
from ratelimit.core.decision.free_list cimport give_charges, take_charges
from ratelimit.core.memory.table cimport Table, relative
from ratelimit.core.algorithms.word_algorithms cimport remaining_word, reset_word

cdef extern from "ratelimit/core/decision/member.h":
    int add_member "kin_add_member"(object kind, const char *name, Py_ssize_t offset, const char *doc) except -1


@cython.final
@cython.no_gc  # refers only to numbers and its plan, which refers to nothing that could come back here
@cython.freelist(32)
cdef class MeterReading:
    """The result of one check: see the stub. As small as it can be: it is zeroed each time it is made."""

    # Owned, NULL until checked: `add_member` makes attributes of the three.
    cdef PyObject *allowed
    cdef PyObject *remaining
    cdef PyObject *retry_after_ns
    cdef Plan plan
    cdef Charge *charge
    cdef uint64_t now

    def __init__(self):
        raise TypeError("readings come from Meter.check")

    def __dealloc__(self):
        Py_XDECREF(self.allowed)
        Py_XDECREF(self.remaining)
        Py_XDECREF(self.retry_after_ns)
        if self.charge != NULL:
            give_charges(self.charge, 1)

    def __repr__(self):
        check_made(self)
        return f"<MeterReading {'allowed' if <object>self.allowed else 'refused'}, {<object>self.remaining} remaining>"

    @property
    def reset_after_ns(self):
        cdef const Quota *q
        check_made(self)
        q = &self.plan.setup.quotas[0]
        if q.kind >= BLOCKS:
            return self.charge.reset
        return reset_word(q, self.charge.key, self.charge.word, self.charge.past, self.now)

    def settle_cost(self, actual, now_ns, /):
        cdef uint64_t amount = checked_cost(actual)
        check_made(self)
        check_ready(self.plan)
        if self.charge.state != ALLOWED or not self.charge.charged and self.plan.setup.quotas[0].kind >= HOLDINGS:
            return 0  # nothing was taken, or a slot or member that cannot be corrected
        return correct(&self.plan.setup, 0, self.charge, amount, relative(self.plan.table, now_ns))

    def release(self, now_ns, /):
        check_made(self)
        if self.plan.setup.quotas[0].kind == SLOTS and self.charge.charged and self.plan.table.open:
            correct(&self.plan.setup, 0, self.charge, 0, relative(self.plan.table, now_ns))
            self.charge.charged = False

    def __reduce__(self):
        raise TypeError("a MeterReading refers to memory of this host; keep its numbers instead")


cdef inline int check_made(MeterReading reading) except -1:
    if reading.retry_after_ns == NULL:
        raise ValueError("readings come from Meter.check")
    return 0


cdef inline int conclude(MeterReading reading) except -1:
    """Make what will be read of the charge: a key is never absent, hence never skipped."""
    cdef Charge *charge = reading.charge
    cdef const Quota *q = &reading.plan.setup.quotas[0]
    reading.allowed = owned(charge.state != REFUSED)
    reading.remaining = owned(
        remaining_word(q, charge.key, charge.word, charge.past, reading.now) if q.kind < BLOCKS else charge.remaining
    )
    reading.retry_after_ns = owned(charge.retry if charge.state >= REFUSED else 0)
    return 0


ctypedef fused Whole:
    bint
    uint64_t
    long long


cdef inline PyObject *owned(Whole value) except NULL:
    """Return a new reference to a Python object of this value."""
    cdef object made = value
    Py_INCREF(made)
    return <PyObject *>made


cdef Py_ssize_t offset_of(MeterReading some, PyObject **field):
    return <char *>field - <char *><PyObject *>some


cdef MeterReading _some = MeterReading.__new__(MeterReading)
add_member(MeterReading, b"allowed", offset_of(_some, &_some.allowed), b"Whether the request goes on.")
add_member(MeterReading, b"remaining", offset_of(_some, &_some.remaining), b"Units left after this check.")
add_member(MeterReading, b"retry_after_ns", offset_of(_some, &_some.retry_after_ns), b"0, -1 for never, or a wait.")
_some = None


@cython.final
cdef class Meter:
    """One rule over one kind of identity, from value to verdict in one call: see the stub."""

    cdef Plan plan
    cdef Hasher hasher
    cdef uint64_t kind

    def __init__(self, Table table not None, Rule rule not None, Hasher hasher not None, kind):
        self.plan = Plan(table, [rule], [[0]])
        self.hasher = hasher
        self.kind = kind

    def check(self, value, now_ns, cost=None, /):
        cdef uint64_t amount = 1 if cost is None else checked_cost(cost)
        cdef Plan plan = self.plan
        cdef MeterReading reading
        cdef uint64_t id
        if plan is None:
            raise ValueError("this meter was never initialised")
        check_ready(plan)
        id = hash_value(self.hasher, self.kind, value)
        reading = MeterReading.__new__(MeterReading)
        reading.now = relative(plan.table, now_ns)
        reading.charge = take_charges(1)
        reading.plan = plan
        if plan.setup.has_slots:
            plan.table.beat(reading.now)
            plan.setup.seat = plan.table.seat_number
        decide(&plan.setup, reading.charge, &id, &amount, reading.now, True)
        tally(plan.table, reading.charge, plan.setup.counters[0], reading.charge.state != REFUSED)
        conclude(reading)
        return reading

    def __reduce__(self):
        raise TypeError("a Meter is bound to memory of this host and is not pickled")
