"""Estimates in flight: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t

from ratelimit.core.algorithms.setup cimport ALLOWED, MOST_RULES
from ratelimit.usage.settling cimport correct, cost_of, state_of


@cython.final
@cython.auto_pickle(False)
cdef class Estimated:
    """The rules of a plan that take an estimate on arrival: see the stub."""

    def __cinit__(self, rules, positions):
        cdef int at
        self.positions = tuple(positions)
        if len(rules) > MOST_RULES:
            raise ValueError(f"a decision carries at most {MOST_RULES} rules")
        self.names = [rule.name for rule in rules]
        self.units = {}
        for at in self.positions:
            self.at[self.count] = at
            self.count += 1
            unit = rules[at].unit
            self.units[unit] = self.units.get(unit, 0) | 1 << at

    def __reduce__(self):
        raise TypeError("it belongs to a plan")


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Reservation:
    """The charge of one request on arrival: see the stub."""

    def __cinit__(self, plan, outcome):
        cdef int i, at
        self.plan, self.outcome, self.estimated = plan, outcome, plan.estimated
        for i in range(self.estimated.count):
            at = self.estimated.at[i]
            if state_of(outcome, at) == ALLOWED:
                self.charged |= <uint32_t>1 << at
                self.estimates[at] = cost_of(outcome, at)

    def settle_units(self, units):
        for unit in units:
            self.settle_unit(unit)

    cdef int settle_unit(self, object unit) except -1:
        cdef PyObject *bits = PyDict_GetItemWithError(self.estimated.units, unit)
        self.is_settled = True
        if bits != NULL:
            self.settled |= <uint32_t><object>bits
        return 0

    def give_back(self, settled, now_ns):
        cdef int i, at
        if self.seen or self.is_settled or settled:
            return False
        stand_ins = self.plan.stand_ins
        for i in range(self.estimated.count):
            at = self.estimated.at[i]
            if self.charged >> at & 1 and cost_of(self.outcome, at) == self.estimates[at]:
                correct(self.outcome, at, 0, now_ns)
                if at in stand_ins:
                    correct(self.outcome, stand_ins[at], 0, now_ns)
        self.plan.freed(self.outcome)
        return True

    def __reduce__(self):
        raise TypeError("a reservation is bound to its request and is not pickled")


@cython.final
@cython.auto_pickle(False)
cdef class Unsettled:
    """The reservations of one limiter's requests in flight in this worker: see the stub."""

    def __init__(self, observe):
        self.observe = observe
        # A set and no sums: a scrape on another thread adds up what is there, so nothing can drift.
        self.open = set()

    def begin(self, plan, outcome):
        reservation = Reservation(plan, outcome)
        self.open.add(reservation)
        return reservation

    def end(self, Reservation reservation not None):
        cdef int i, at
        cdef int64_t real, estimate
        self.open.discard(reservation)
        for i in range(reservation.estimated.count):
            at = reservation.estimated.at[i]
            estimate = reservation.estimates[at]
            if estimate and reservation.charged >> at & 1:
                real = cost_of(reservation.outcome, at)
                if real != estimate or reservation.settled >> at & 1:
                    self.observe(reservation.estimated.names[at], real, estimate)

    def forget(self, Reservation reservation not None):
        self.open.discard(reservation)

    def units(self):
        cdef Reservation one
        cdef int i, at
        found = {}
        for one in tuple(self.open):
            for i in range(one.estimated.count):
                at = one.estimated.at[i]
                if one.charged & ~one.settled & <uint32_t>1 << at:
                    name = one.estimated.names[at]
                    found[name] = found.get(name, 0) + one.estimates[at]
        return found

    def __reduce__(self):
        raise TypeError("what is in flight stays in its worker")
