"""The fast path of an HTTP request, compiled: see the stub for the contract.

Nothing here decides anything: what is asked, and in which order, is the decider's
(`deciding/decider.py`) for a request without lists, tiers or resolvers. Whatever is not exactly
that is turned away before anything was charged, and takes the slow path. A test holds both equal,
in answers, sightings, heartbeats and upkeep (tests/asgi/test_gate_parity.py).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp

from ratelimit.asgi.exchange cimport Exchange, Sending
from ratelimit.core.decision.engine cimport Outcome, Plan, check_ready
from ratelimit.core.decision.schedule cimport Pace
from ratelimit.core.redis.lease cimport LeasedRules
from ratelimit.core.memory.number cimport NEGATIVE, read_number
from ratelimit.core.request.scanner cimport MOST_POSITIONS, Scanner
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport MOST_RULES
from ratelimit.core.memory.table cimport Table, bump
from ratelimit.core.clusters.records cimport CERTAIN, LIKELY, NO_VERDICT
from ratelimit.core.sharing.conduct cimport ConductMemory
from ratelimit.core.sharing.flight cimport instant
from ratelimit.core.sharing.heaviest cimport Heaviest
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.core.sharing.observer cimport Watch
from ratelimit.deciding.instants cimport Instants

from ratelimit.errors import StoreError

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    void *PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    MOST_PARTS = 4096       # as many plans as a bound policy keeps
    MOST_CLASSES = 32       # of more, those beyond take the slow path
    LATENCY_SAMPLE = 64     # one decision in so many is timed
    REFUSED_IDENTITY = 2    # -2, see identity/fact.py; tests/asgi/test_gate.py holds them equal

SAMPLE = LATENCY_SAMPLE
REFUSED = -REFUSED_IDENTITY


@cython.final
@cython.auto_pickle(False)
cdef class PlanParts:
    """A route plan's fields, copied to C attributes for speed."""

    cdef object decide                  # None: decided elsewhere, and awaited
    cdef object costs
    cdef tuple labels
    cdef object policy_pair
    cdef bint conceals
    cdef int counted_at                 # position of the identity that a limit per cluster counts by; -1: there is none
    cdef bint holds_slots
    cdef bint reserves                  # some rule takes an estimate, to be settled
    cdef bint is_slow                   # its answers are read, its estimates found, it may wait, or be challenged
    cdef Plan core                      # None: nothing compiled decides it from hashes as they are read
    cdef LeasedRules leased             # None: nothing is leased
    cdef uint64_t amounts[MOST_RULES]   # the costs again

    def __init__(self, plan, is_standard, int positions):
        cdef Plan core
        self.costs = plan.costs
        self.labels = plan.labels if is_standard else None
        self.policy_pair = plan.policy_pair
        self.conceals = plan.conceals
        self.counted_at = plan.counted_at
        self.holds_slots = plan.holds_slots
        self.reserves = bool(plan.reserving)
        self.is_slow = plan.metered is not None or plan.queue is not None or plan.challenge is not None
        if plan.here is not None:
            self.decide = plan.here.decide
        self.leased = plan.leased
        core = plan.accelerated if self.leased is None else self.leased.rules.plan
        if core is not None and core.highest < positions:
            self.core = core
            core.read_costs(self.costs, self.amounts)


@cython.final
@cython.auto_pickle(False)
cdef class LoadParts:
    """A limit that follows the load, taken apart for the fast path."""

    cdef object load
    cdef InFlight flight
    cdef Heaviest heaviest
    cdef Instants instants
    cdef double shares[MOST_CLASSES]    # by class: what the last of it may fill of the queue
    cdef double kept[MOST_CLASSES]      # and what it leaves free of the places
    cdef int classes

    def __init__(self, load):
        self.load, self.flight, self.heaviest, self.instants = load, load.flight, load.heaviest, load.instants
        self.classes = min(len(load.shares), MOST_CLASSES)
        for at in range(self.classes):
            self.shares[at], self.kept[at] = load.shares[at]


@cython.final
@cython.auto_pickle(False)
cdef class Gate:
    """Lets in requests of the common kind, under one bound policy: see the stub."""

    cdef object door
    cdef object writer
    cdef object match
    cdef dict requests
    cdef Scanner scanner    # None: identities take more than headers and the peer's own address
    cdef object extract
    cdef Py_ssize_t origin_at
    cdef Table table
    cdef uint64_t counter
    cdef uint64_t columns[2]
    cdef object sample
    cdef Watch watch        # None: nothing is correlated
    cdef object target
    cdef bint is_standard
    cdef dict parts
    cdef int decisions
    cdef Pace pace
    cdef object keep_up
    cdef bint has_ends      # something is told of each request's end
    cdef list loads         # what is asked of each limit that follows the load, by its position
    cdef LoadParts load     # the one of them, where there is one
    cdef object conduct     # what is told of refusals; None: no limit falls with bad conduct
    cdef ConductMemory marks
    cdef ConductMemory ramps    # None: no rise is steep
    cdef uint64_t usual     # what any account may use in an hour
    cdef Py_ssize_t payer_at    # the identity that use of the back end is counted by, -1 for none

    def __init__(
        self, door, writer, *, match, dict requests not None,
        extractor, Table table not None, counter, columns, sample, Watch watch=None, target,
        Pace pace not None, keep_up, bint has_ends=False, loads=(), Py_ssize_t payer_at=-1, conduct=None, ramps=None,
    ):
        self.door = door
        self.writer = writer
        self.is_standard = writer.is_standard
        self.match = match
        self.requests = requests
        self.target = target
        self.scanner = extractor.scanner if extractor.is_direct else None
        if watch is not None and self.scanner is not None and watch.highest >= self.scanner.size:
            raise ValueError("the correlation looks at identities the policy does not have")
        self.watch = watch
        self.extract = extractor.extract
        self.origin_at = extractor.origin_at
        self.table = table
        self.counter = counter
        self.columns[False], self.columns[True] = columns
        self.sample = sample
        self.pace = pace
        self.keep_up = keep_up
        self.has_ends = has_ends
        self.loads = [LoadParts(load) for load in loads]
        if len(self.loads) == 1:
            self.load = self.loads[0]
        self.payer_at = payer_at
        self.conduct = conduct
        if conduct is not None:
            self.marks = conduct.memory
        if ramps is not None:
            self.ramps, self.usual = ramps.memory, ramps.usual
        self.parts = {}

    def enter(self, scope, send, now_ns, /):
        cdef PyObject *found
        cdef object matched, plan, headers, host = None, outcome, actor = None
        cdef list identities
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        cdef int rank = 0
        cdef uint64_t now = 0
        cdef PlanParts part
        cdef LoadParts load = None
        cdef Exchange exchange
        cdef Sending sending
        cdef bint allowed, cross_origin
        cdef uint8_t verdict = NO_VERDICT
        cdef uint64_t principal = 0, payer = 0
        if type(scope) is not dict:
            return None
        if PyDict_GetItem(scope, "ratelimit") != NULL:
            return None  # behind another limiter, perhaps this one
        matched = self.matched(scope)
        if matched is None:
            return None
        plan = matched.plan
        if plan is None:
            return None
        found = PyDict_GetItem(self.parts, plan)
        part = <PlanParts>found if found != NULL else self.new_part(plan)
        if part.is_slow or (part.decide is None and part.leased is None):
            return None
        if self.loads:
            rank = matched.rank
            if rank >= 0:
                now = instant(now_ns)
                load = self.load if self.load is not None else <LoadParts>self.loads[matched.group]
                if (
                    rank >= load.classes or not load.flight.open
                    or not load.flight.room(now, load.shares[rank], load.kept[rank], rank)
                    or load.flight.sums.own_held
                ):
                    return None  # the slow path knows what to shed, and what to hold
        found = PyDict_GetItem(scope, "client")
        if found != NULL and <object>found:
            host = (<object>found)[0]
        headers = scope["headers"]
        try:
            if self.scanner is not None and part.core is not None:
                self.scanner.identify(headers, host, ids, &refused)
                if refused:
                    return None
                cross_origin = ids[self.origin_at] != 0
                check_ready(part.core)
                if self.watch is not None:
                    principal = self.watch.stamp(ids)
                    if ids[self.watch.at - 2] != ABSENT_HASH:
                        actor = ids[self.watch.at - 2]
                        verdict = LIKELY if ids[self.watch.at] == ABSENT_HASH else CERTAIN
                if self.payer_at >= 0 and ids[self.payer_at] != ABSENT_HASH:
                    payer = ids[self.payer_at]
                if self.is_noted(payer, verdict) or self.is_steep(payer, now_ns):
                    return None  # the decider knows conduct
                if part.leased is not None:
                    outcome = part.leased.taken(ids, part.amounts, now_ns)
                    if outcome is None:
                        return None
                else:
                    outcome = part.core.decided(ids, part.amounts, now_ns, True)
                allowed = (<Outcome>outcome).allowed
                if self.watch is not None:
                    self.watch.note(ids, not allowed, now_ns, part.counted_at)
            else:
                identities = self.extract(headers, host)
                if insists(identities):
                    return None
                cross_origin = identities[self.origin_at]
                if self.watch is not None:
                    self.watch.fill(identities)
                    if self.watch.columns.new_at >= 0:
                        self.watch.mark(identities, now_ns)
                    if identities[self.watch.at - 2] != -1:
                        actor = identities[self.watch.at - 2]
                        verdict = LIKELY if identities[self.watch.at] == -1 else CERTAIN
                if self.payer_at >= 0 and identities[self.payer_at] > 0:
                    payer = identities[self.payer_at]
                if self.is_noted(payer, verdict) or self.is_steep(payer, now_ns):
                    return None
                if part.leased is not None:
                    outcome = part.leased.take(identities, now_ns, part.costs)
                    if outcome is None:
                        return None
                else:
                    outcome = part.decide(identities, now_ns, part.costs)
                allowed = outcome.allowed
                if self.watch is not None:
                    self.watch.observe(identities, not allowed, now_ns, part.counted_at)
                    if not allowed:
                        self.watch.columns.principal(identities, &principal)
        except StoreError:
            return None  # asked again on the slow path, which knows each limit's stance
        self.table.check_open()
        bump(self.table, self.counter, self.columns[allowed], 1)
        if allowed and self.ramps is not None and self.ramps.open:
            self.ramps.note_use(payer, now_ns)
        if not allowed and self.conduct is not None:
            self.conduct.refused(payer, now_ns, plan.told_wait_ns(outcome, payer, now_ns))
        if self.pace.due(now_ns):
            self.keep_up(now_ns)
        exchange = Exchange.__new__(Exchange)
        exchange.door = self.door
        exchange.writer = self.writer
        exchange.plan = plan
        exchange.outcome = outcome
        exchange.now_ns = now_ns
        exchange.cross_origin = cross_origin
        exchange.actor = actor
        exchange.certainty = verdict
        exchange.principal = principal
        if not cross_origin and (allowed or not part.conceals):
            exchange.labels = part.labels
            exchange.policy_pair = part.policy_pair
        scope["ratelimit"] = exchange
        sending = Sending.__new__(Sending)
        sending.exchange = exchange
        sending.forward = send
        if load is not None and allowed:
            exchange.count_in(load.load, load.flight, load.heaviest, load.instants, payer, now, -1, rank)
        sending.is_plain = allowed and not part.holds_slots and not self.has_ends
        if part.reserves and sending.is_plain:
            exchange.begin()  # else the slow path does, at the same place as it ends
        self.decisions += 1
        if self.decisions >= LATENCY_SAMPLE:
            self.decisions = 0
            self.sample(now_ns)
        return sending

    cdef bint is_noted(self, uint64_t payer, uint8_t verdict) noexcept:
        """Whether limits may be scaled for an account; noexcept: a look into memory that is there."""
        return self.marks is not None and self.marks.open and (verdict == CERTAIN or self.marks.is_marked(payer))

    cdef bint is_steep(self, uint64_t payer, uint64_t now_ns) noexcept:
        """Whether an account rises so that its requests are held; noexcept: a look into memory that is there."""
        return self.ramps is not None and self.ramps.open and self.ramps.held_ns(payer, now_ns, self.usual) != 0

    cdef object matched(self, dict scope):
        """Return what applies to this method and path; None for a scope that lacks one of them."""
        cdef PyObject *method = PyDict_GetItem(scope, "method")
        cdef PyObject *path = PyDict_GetItem(scope, "path")
        cdef PyObject *by_path
        cdef PyObject *matched
        cdef object target
        if method == NULL or path == NULL:
            return None
        target = <object>path
        if not is_plain(scope, target):
            target = self.target(scope)
        by_path = PyDict_GetItem(self.requests, <object>method)
        if by_path != NULL:
            matched = PyDict_GetItem(<object>by_path, target)
            if matched != NULL:
                return <object>matched
        return self.match(<object>method, target)

    cdef PlanParts new_part(self, object plan):
        if len(self.parts) >= MOST_PARTS:
            self.parts.clear()
        part = self.parts[plan] = PlanParts(plan, self.is_standard, self.scanner.size if self.scanner is not None else 0)
        return part

    def __reduce__(self):
        raise TypeError("a Gate is bound to memory of this host and is not pickled")


cdef inline bint is_plain(dict scope, object path) except -1:
    """Return whether the path is as it was sent, below no root path: see `arrival.target_of`."""
    cdef PyObject *found = PyDict_GetItem(scope, "root_path")
    cdef object raw
    cdef Py_ssize_t size
    if found != NULL and <object>found:
        return False
    found = PyDict_GetItem(scope, "raw_path")
    if found == NULL:
        return False
    raw = <object>found
    if type(raw) is not bytes or type(path) is not str or not PyUnicode_IS_COMPACT_ASCII(path):
        return False
    # An ASCII text has its characters as bytes, so the two are compared as they lie.
    size = PyBytes_GET_SIZE(raw)
    return size == PyUnicode_GET_LENGTH(path) and memcmp(PyUnicode_DATA(path), PyBytes_AS_STRING(raw), size) == 0


cdef inline bint insists(list identities) except -1:
    """Return whether an identity is missing that the policy insists on."""
    cdef Py_ssize_t i
    cdef uint64_t number
    for i in range(PyList_GET_SIZE(identities)):
        if read_number(<object>PyList_GET_ITEM(identities, i), &number) == NEGATIVE and number == REFUSED_IDENTITY:
            return True
    return False
