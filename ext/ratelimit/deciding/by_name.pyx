"""Decisions by names, compiled: see the stub for the contract.

An accelerator as `asgi/gate` is one. It goes through the stages of `deciding/decider.py` for what needs nothing
but names, and turns away all else before anything was charged. A test holds both equal
(tests/limiter/test_by_name.py).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_Next
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.algorithms.setup cimport ABSENT_HASH, MOST_RULES
from ratelimit.core.clusters.records cimport CERTAIN, LIKELY, NO_VERDICT
from ratelimit.core.decision.engine cimport Outcome, Plan, check_ready
from ratelimit.decision_fields cimport DecisionFields, new_fields
from ratelimit.core.decision.schedule cimport Pace
from ratelimit.core.memory.hashing cimport hash_run
from ratelimit.core.memory.table cimport Table, bump
from ratelimit.core.request.grammar cimport LONGEST_FORM, text_form
from ratelimit.core.request.scanner cimport MOST_POSITIONS, Scanner, listed
from ratelimit.core.sharing.observer cimport Watch

from ratelimit.deciding.charge import Asked, Charge
from ratelimit.decision import Decision, Reason
from ratelimit.errors import StoreError

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    const uint8_t *PyUnicode_1BYTE_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    MOST_PARTS = 4096       # as many plans as a bound policy keeps

ADDRESS, TEXT, RAW = range(3)

cdef object LIMITS = Reason.LIMITS

cdef enum Form:
    AN_ADDRESS = 0
    A_TEXT = 1              # a header's: blanks around it are no part of it
    AS_GIVEN = 2


@cython.final
@cython.auto_pickle(False)
cdef class Place:
    """Where an identity's value goes, and how it is hashed."""

    cdef int position
    cdef uint64_t kind
    cdef Form form

    def __init__(self, int position, kind, int form):
        self.position, self.kind, self.form = position, kind, <Form>form


@cython.final
@cython.auto_pickle(False)
cdef class PlanParts:
    """A route plan's fields, copied to C attributes for speed."""

    cdef Plan core          # None: nothing compiled decides it
    cdef int counted_at     # position of the identity that a limit per cluster counts by; -1: there is none
    cdef uint64_t required  # a bit for each position where what is missing or malformed refuses a request
    cdef uint64_t amounts[MOST_RULES]

    def __init__(self, plan, int positions):
        cdef Plan core
        self.counted_at = plan.counted_at
        self.required = 0
        for position in plan.required:
            self.required |= <uint64_t>1 << position
        core = plan.accelerated
        if plan.queue is not None or plan.challenge is not None:
            core = None  # the decider says that it cannot wait, and asks the application
        if core is not None and core.highest < positions:
            self.core = core
            core.read_costs(plan.costs, self.amounts)


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class NamedCharge:
    """A decision's ledger, made when it is asked for: most callers want to know whether, and no more."""

    cdef readonly object plan
    cdef readonly object outcome
    cdef object clock
    cdef object watch
    cdef object row         # of a refusal, where clusters are known: what its wait is told by
    cdef object now_ns

    cdef object charge(self):
        return Charge(self.plan, self.outcome, self.clock, self.asked)

    @property
    def asked(self):
        return Asked(self.watch if self.row else None, self.row, self.now_ns)

    @property
    def binding(self):
        return self.charge().binding

    def verdicts(self):
        return self.charge().verdicts()

    def settle_units(self, units):
        self.charge().settle_units(units)

    def release(self):
        self.charge().release()

    def __reduce__(self):
        raise TypeError("a charge is bound to memory of this host and is not pickled")


@cython.final
@cython.auto_pickle(False)
cdef class NamedGate:
    cdef object match
    cdef dict requests
    cdef dict places
    cdef Scanner scanner
    cdef Table table
    cdef uint64_t counter
    cdef uint64_t columns[2]
    cdef Watch watch        # None: nothing is correlated
    cdef Pace pace
    cdef object keep_up
    cdef object clock
    cdef dict parts

    def __cinit__(
        self, *, match, dict requests not None, places, Scanner scanner not None, Table table not None,
        counter, columns, Watch watch=None, Pace pace not None, keep_up, clock,
    ):
        if watch is not None and watch.highest >= scanner.size:
            raise ValueError("the correlation looks at identities the policy does not have")
        self.match = match
        self.requests = requests
        self.places = {name: Place(*place) for name, place in places.items()}
        for place in self.places.values():
            if not 0 <= (<Place>place).position < scanner.size - 2:
                raise IndexError(f"there are {scanner.size - 2} identities")
        self.scanner = scanner
        self.table = table
        self.counter = counter
        self.columns[False], self.columns[True] = columns
        self.watch = watch
        self.pace = pace
        self.keep_up = keep_up
        self.clock = clock
        self.parts = {}

    def decide(self, str method not None, path, names, client, now_ns, /):
        cdef PyObject *found
        cdef object matched, plan
        cdef PlanParts part
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        cdef Outcome outcome
        cdef NamedCharge charge
        cdef DecisionFields made
        cdef object actor = None
        cdef uint8_t verdict = NO_VERDICT
        cdef Py_ssize_t i
        if type(names) is not dict:
            return None
        found = PyDict_GetItem(self.requests, method)
        if found != NULL:
            found = PyDict_GetItem(<object>found, path)
        matched = <object>found if found != NULL else self.match(method, path)
        plan = matched.plan
        if plan is None:
            return None
        found = PyDict_GetItem(self.parts, plan)
        part = <PlanParts>found if found != NULL else self.new_part(plan)
        if part.core is None or not self.fill(<dict>names, client, ids, &refused):
            return None
        if refused & part.required or refused and self.watch is not None:
            return None  # elsewhere what is refused counts as absent, which stands there already
        check_ready(part.core)
        try:
            if self.watch is not None:
                self.watch.stamp(ids)
                if ids[self.watch.at - 2] != ABSENT_HASH:
                    actor = ids[self.watch.at - 2]
                    verdict = LIKELY if ids[self.watch.at] == ABSENT_HASH else CERTAIN
            outcome = part.core.decided(ids, part.amounts, now_ns, True)
        except StoreError:
            return None  # asked again on the decider, which knows each limit's stance
        self.table.check_open()
        bump(self.table, self.counter, self.columns[outcome.allowed], 1)
        if self.watch is not None:
            self.watch.note(ids, not outcome.allowed, now_ns, part.counted_at)
        if self.pace.due(now_ns):
            self.keep_up(now_ns)
        charge = NamedCharge.__new__(NamedCharge)
        charge.plan = plan
        charge.outcome = outcome
        charge.clock = self.clock
        charge.now_ns = now_ns
        charge.row = ()
        if self.watch is not None and not outcome.allowed:
            charge.watch = self.watch
            charge.row = [-1 if ids[i] == ABSENT_HASH else ids[i] for i in range(self.scanner.size)]
        made = new_fields(Decision, ())
        made._allowed = outcome.allowed
        made._reason = LIMITS
        made._ledger = charge
        made._cluster = actor
        made._certainty = verdict
        made._waited_ns = 0
        return made

    def identities(self, names, client, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        if type(names) is not dict or not self.fill(<dict>names, client, ids, &refused):
            return None
        return listed(ids, refused, self.scanner.size)

    cdef bint fill(self, dict names, object client, uint64_t *ids, uint64_t *refused) except -1:
        """Write the identities into an array; False for names that take more than this."""
        cdef Py_ssize_t at = 0, length
        cdef PyObject *name
        cdef PyObject *value
        cdef PyObject *place
        cdef const uint8_t *written
        cdef const uint8_t *form
        while PyDict_Next(names, &at, &name, &value):
            place = PyDict_GetItem(self.places, <object>name)
            if place == NULL:
                return False
            if (<Place>place).form == AN_ADDRESS:
                if client is not None or type(<object>value) is not str:
                    return False
                client = <object>value
        self.scanner.identify((), client, ids, refused)
        at = 0
        while PyDict_Next(names, &at, &name, &value):
            place = PyDict_GetItem(self.places, <object>name)
            if place == NULL:
                return False
            if (<Place>place).form == AN_ADDRESS:
                continue  # the scanner has put it everywhere it belongs
            length = run_of(<object>value, &written)
            if not 0 < length <= LONGEST_FORM:
                return False
            form = written
            if (<Place>place).form == A_TEXT:
                length = text_form(written, length, &form)
                if length <= 0:  # what the application gives by name it has judged itself
                    form = written
                    length = run_of(<object>value, &written)
            ids[(<Place>place).position] = hash_run(
                self.scanner.hasher.k0, self.scanner.hasher.k1, (<Place>place).kind, form, length
            )
            refused[0] &= ~(<uint64_t>1 << (<Place>place).position)
        return True

    cdef PlanParts new_part(self, object plan):
        if len(self.parts) >= MOST_PARTS:
            self.parts.clear()
        part = self.parts[plan] = PlanParts(plan, self.scanner.size)
        return part

    def __reduce__(self):
        raise TypeError("a NamedGate is bound to memory of this host and is not pickled")


cdef inline Py_ssize_t run_of(object value, const uint8_t **at) noexcept:
    """Point to a value's bytes; return their number, -1 for what is neither bytes nor plain text."""
    if type(value) is str and PyUnicode_IS_COMPACT_ASCII(value):  # such text is its own UTF-8
        at[0] = PyUnicode_1BYTE_DATA(value)
        return PyUnicode_GET_LENGTH(value)
    if type(value) is bytes:
        at[0] = <const uint8_t *>PyBytes_AS_STRING(value)
        return PyBytes_GET_SIZE(value)
    return -1
