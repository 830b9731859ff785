"""One limited request, and the `send` that says so: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_New, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.algorithms.setup cimport ALLOWED, REFUSED, SKIPPED
from ratelimit.core.decision.engine cimport Outcome, is_by_share
from ratelimit.core.sharing.flight cimport instant
from ratelimit.core.sharing.heaviest cimport Heaviest
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.core.sharing.observer cimport Watch
from ratelimit.core.sharing.share_cells cimport count
from ratelimit.decision cimport Decision
from ratelimit.deciding.instants cimport Instants
from ratelimit.usage.settling cimport correct

from ratelimit.http.problem import (
    CONTENT_TYPE as _CONTENT_TYPE, NO_PRICE as _NO_PRICE, WAITS_NS as _WAITS_NS, problem_of, quota_exceeded, reduced,
)
from ratelimit.asgi.reporting import chargeable
from ratelimit.deciding.charge import Charge
from ratelimit.decision import VERDICTS as _VERDICTS, Reason, cluster_name

cdef object NO_UNITS = frozenset()
cdef int64_t SECOND_NS = 1_000_000_000

cdef enum:
    MOST_PROBLEMS = 1024
    MOST_PAIRS = 64     # sets of limits that applied to a request, for each of which the header is kept
    LEAST_MS = 100      # what a request counts for before it is over, as use of the back end


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Exchange:
    """The decision about one request, and its later costs: see the stub."""

    def __init__(self, door, writer, plan, outcome, now_ns, cross_origin, outer):
        self.door = door
        self.writer = writer
        self.plan = plan
        self.outcome = outcome
        self.now_ns = now_ns
        self.cross_origin = cross_origin
        self.outer = outer
        if (
            plan is not None and writer.is_standard and not self.cross_origin
            and (not plan.conceals or (outcome is not None and outcome.allowed))
        ):
            # What a host's share decided is told slowly: other numbers are in force, see `RoutePlan.policy_field`.
            if type(outcome) is not Outcome or not is_by_share(<Outcome>outcome):
                self.labels = plan.labels
                self.policy_pair = plan.policy_pair

    def announced(self, headers, /):
        return self.with_fields(headers)

    cdef list with_fields(self, object headers):
        if self.asked is not None:
            return self.with_all_fields(headers)
        if self.outcome is None:
            return list(headers)
        if self.labels is None:
            return self.writer.add(
                headers, self.plan, self.outcome, self.now_ns, cross_origin=self.cross_origin
            )
        field = self.field_of()
        return list(headers) if not field else with_two(headers, self.policy_of(), field)

    cdef list with_all_fields(self, object headers):
        """Return headers with what is told of all that was decided of a request, here and as routes asked."""
        cdef Exchange each, first = None
        cdef object field = None, policy
        for each in (self, *self.asked):
            if each.outcome is None:
                continue
            if each.labels is None:
                first = None
                break  # it is told otherwise, or not at all
            said = each.field_of()
            if not said:
                continue
            if first is None:
                first, field, policy = each, said, each.policy_of()
            else:
                field = field + b", " + said
                policy = (policy[0], policy[1] + b", " + each.policy_of()[1])
        if first is None:
            return self.writer.add_all(headers, self.decided(), self.now_ns, cross_origin=self.cross_origin)
        return with_two(headers, policy, field)

    cdef object field_of(self):
        """Return the value of `RateLimit`, where the two standard fields are all there is to write."""
        if type(self.outcome) is Outcome:
            return (<Outcome>self.outcome).field(self.labels)
        return self.outcome.ratelimit_field(self.labels)

    cdef tuple policy_of(self):
        """Return the `RateLimit-Policy` header."""
        return self.applied_policy() if self.policy_pair is None else self.policy_pair

    cdef tuple applied_policy(self):
        """Return the header that names the limits that applied to this request."""
        cdef PyObject *found
        cdef Outcome outcome
        cdef dict known
        cdef uint64_t applied = 0
        cdef int i
        if type(self.outcome) is not Outcome:
            return b"ratelimit-policy", self.plan.policy_field(self.outcome)
        outcome, known = self.outcome, self.plan.policy_pairs
        for i in range(outcome.plan.setup.count):
            if outcome.charges[i].state != SKIPPED:
                applied |= <uint64_t>1 << i
        found = PyDict_GetItemWithError(known, applied)
        if found != NULL:
            return <tuple><object>found
        if len(known) >= MOST_PAIRS:
            known.clear()
        pair = known[applied] = (b"ratelimit-policy", self.plan.policy_field(outcome))
        return pair

    @property
    def is_allowed(self):
        return self.decision.allowed if self.outcome is None else self.outcome.allowed

    @property
    def decision(self):
        # Made when it is asked for: of most requests it never is.
        if self.made is None:
            if self.plan is None or self.outcome is None:
                self.made = Decision(True, Reason.UNLIMITED, None, self.actor, self.certainty)
            else:
                charge = Charge(
                    self.plan, self.outcome, self.door.limiter.clock, None, self.reservation
                )
                self.made = Decision(
                    self.outcome.allowed, Reason.LIMITS, charge, self.actor, self.certainty,
                    waited_ns=self.waited_ns or 0,
                )
        return self.made

    @decision.setter
    def decision(self, made):
        self.made = made

    @property
    def cluster(self):
        return cluster_name(self.actor)

    @property
    def verdict(self):
        return _VERDICTS[self.certainty]

    @property
    def degrade(self):
        return self.decision.degrade

    @property
    def grant(self):
        found = self.granted
        if found is None and self.plan is not None and self.outcome is not None and self.outcome.allowed:
            for at in self.plan.granting:
                if self.outcome.state(at) == ALLOWED:
                    cost = self.outcome.cost(at)
                    found = cost if found is None else min(found, cost)
        return found

    @property
    def settled_units(self):
        return NO_UNITS if self.reported is None else self.reported

    @classmethod
    def of(cls, door, writer, decided, now_ns, cross_origin, /):
        cdef Exchange made = cls(door, writer, decided.plan, decided.outcome, now_ns, cross_origin, None)
        made.actor, made.certainty, made.principal = decided.actor, decided.verdict, decided.principal
        if decided.outcome is None:
            made.made = Decision(decided.allowed, decided.why, None, made.actor, made.certainty)
        return made

    def asked_by(self, Watch watch, row, /):
        cdef uint64_t key
        if watch is not None and watch.columns.principal(row, &key):
            self.principal = key

    def refusal(self):
        # A refused client is often one of many: a refusal by limits is written straight
        # from the outcome, without the decision and its verdicts.
        cdef Exchange each
        if self.asked is not None and self.is_allowed:
            for each in self.asked:
                if not each.is_allowed:
                    return each.refusal()
        if self.plan is None or self.outcome is None:
            decision = self.decision
            status, body = problem_of(decision)
            wait_ns = _WAITS_NS.get(decision.reason)
            return status, body, decision.retry_after_ns if wait_ns is None else wait_ns
        if self.plan.pricing and self.plan.lacks_price(self.outcome):
            return 400, _NO_PRICE, None  # it follows from the request alone
        at = self.outcome.binding
        wait_ns = self.plan.told_wait_ns(self.outcome, self.principal, self.now_ns)
        less = None if wait_ns is not None else reduced(self.plan.reduced_of(self.outcome, at))
        if self.plan.conceals:
            return 429, quota_exceeded((), None, wait_ns, reduced=less), wait_ns
        body = quota_exceeded(
            self.plan.violated(self.outcome), self.plan.rules[at].name, wait_ns,
            is_abnormal=at in self.plan.abnormal, is_used_up=wait_ns is None and self.plan.is_used_up(self.outcome),
            reduced=less,
        )
        return 429, body, wait_ns

    def problem(self):
        cdef PyObject *found
        cdef Outcome outcome
        cdef dict known
        cdef int i, at = -1
        cdef int64_t wait_ns
        if (
            self.plan is None or type(self.outcome) is not Outcome or self.plan.conceals or self.plan.hidden
            or self.plan.exposed or self.plan.pricing
        ):
            return self.new_problem()
        outcome = self.outcome
        for i in range(outcome.plan.setup.count):
            if outcome.charges[i].state == REFUSED:
                if at >= 0:
                    return self.new_problem()  # there are many ways for several limits to refuse
                at = i
        if at < 0:
            return self.new_problem()
        wait_ns = outcome.charges[at].retry
        if wait_ns < 0 and self.plan.away is not None:
            return self.new_problem()  # how much a reduced limit holds changes with the hosts
        # The same limit with the same wait is refused in the same words.
        known, key = self.plan.problems, -1 - at if wait_ns < 0 else ((wait_ns + SECOND_NS - 1) // SECOND_NS << 4) | at
        found = PyDict_GetItemWithError(known, key)
        if found != NULL:
            return <object>found
        if len(known) >= MOST_PROBLEMS:
            known.clear()
        made = known[key] = self.new_problem()
        return made

    cdef tuple new_problem(self):
        status, body, wait_ns = self.refusal()
        length = (b"content-length", b"%d" % len(body))
        return status, body, (_CONTENT_TYPE, length, *self.retry_fields(wait_ns))

    def retry_fields(self, wait_ns, /):
        # What is shed for want of room is told another wait each time, so milliseconds count.
        in_ms = self.plan is None and self.decision.reason is Reason.CAPACITY
        return self.writer.retry_after(wait_ns, in_ms=in_ms)

    def ask(self, Exchange exchange not None, /):
        if exchange is self:
            raise ValueError("an exchange asks another one, not itself")
        self.take(exchange)
        exchange.begin()

    cdef int take(self, Exchange exchange) except -1:
        if self.asked is None:
            self.asked = []
        self.asked.append(exchange)
        # A request counts once: as refused with the first refusal, else as allowed when it ends.
        if not exchange.is_allowed:
            self.count_request(False, Reason.LIMITS if exchange.outcome is not None else exchange.decision.reason)
        elif self.due is not None and exchange.outcome is not None:
            self.due = Reason.LIMITS
        return 0

    cdef int count_request(self, bint allowed, reason) except -1:
        cdef object runtime = self.door.limiter.runtime
        cdef object cell = runtime.counters.cells.get((allowed, reason))
        self.due = None
        if cell is None:
            runtime.counters.decided(allowed, reason)
        else:
            runtime.table.count(cell[0], cell[1])
        return 0

    def count_late(self, reason, /):
        self.due = reason

    def begin(self):
        if (
            self.reservation is None and self.plan is not None
            and (self.plan.estimated.positions or self.plan.charging)
            and self.outcome is not None and self.outcome.allowed
        ):
            self.reservation = self.door.limiter.runtime.unsettled.begin(self.plan, self.outcome)

    def forget_estimates(self):
        cdef Exchange each
        if self.reservation is not None:
            self.door.limiter.runtime.unsettled.forget(self.reservation)
            self.reservation = None
        for each in self.asked or ():
            each.forget_estimates()

    cdef int end_reservation(self) except -1:
        cdef Exchange each
        cdef object reservation = self.reservation
        if reservation is not None:
            self.reservation = None
            self.door.limiter.runtime.unsettled.end(reservation)
        if self.asked is not None:
            for each in self.asked:
                each.end_reservation()
        return 0

    def decided(self):
        cdef Exchange each
        found = [] if self.outcome is None else [(self.plan, self.outcome)]
        for each in self.asked or ():
            if each.outcome is not None:
                found.append((each.plan, each.outcome))
        return found

    def enter(self, load, uint64_t payer, now_ns, int64_t ticket=-1, int rank=0, int units=1, /):
        self.count_in(load, load.flight, load.heaviest, load.instants, payer, instant(now_ns), ticket, rank, units)

    cdef int count_in(
        self, object load, InFlight flight, Heaviest heaviest, Instants instants, uint64_t payer, uint64_t now,
        int64_t ticket, int rank, int units=1
    ) except -1:
        if flight.is_due(now):
            load.step_now(now)
        self.ticket = flight.admit(now, rank, max(units, 1)) if ticket < 0 else ticket
        flight.went_on(rank)
        self.flight = flight
        self.load, self.instants = load, instants
        self.heaviest, self.payer, self.entered_ns, self.units = heaviest, payer, now, max(units, 1)
        heaviest.add(payer, LEAST_MS, now)
        count(flight.shares.served, payer, self.units)
        self.waits = True
        return 0

    cdef int note(self, object message, bint is_start) except -1:
        """Look for the first part of a body: a streaming response has its status before the back end says anything."""
        cdef uint64_t now
        if self.status == 0:
            if is_start:
                self.status = message["status"]
            return 0  # an early hint comes before the back end says anything, too
        if is_empty(message):
            return 0
        now = self.instants.read()
        if self.flight.open and is_last(message):  # the whole answer: nothing is under way when the next finds room
            self.flight.begin(self.ticket, now, self.is_refusal())
            return self.count_out(now)
        return self.begin_answer(now)

    cdef bint is_refusal(self) noexcept:
        """Return whether the back end refused it itself; noexcept: compares a number."""
        return self.status == 429 or self.status == 503 or self.status == 529

    cdef int begin_answer(self, uint64_t now) except -1:
        self.waits = False
        if self.flight.open:
            self.flight.begin(self.ticket, now, self.is_refusal())
            if self.flight.is_due(now):
                self.load.step_now(now)
            if self.flight.sums.own_held:
                self.load.freed(now)
        return 0

    @property
    def is_in_flight(self):
        return self.flight is not None

    def first_byte(self, now_ns, /):
        if self.flight is not None and self.waits:
            self.begin_answer(instant(now_ns))

    cdef int count_out(self, uint64_t now) except -1:
        """Count the request out, as one that is in flight no more; where it is counted."""
        cdef InFlight flight = self.flight
        self.flight = None
        self.waits = False
        if flight.open:
            flight.end(self.ticket, now)
            if now > self.entered_ns:
                self.heaviest.add(self.payer, self.units * ((now - self.entered_ns) // 1_000_000), now)
            if flight.is_due(now):
                self.load.step_now(now)
            if flight.sums.own_held:
                self.load.freed(now)
        return 0

    def release(self, now_ns, /):
        if self.due is not None:
            self.count_request(True, self.due)
        if self.flight is not None:
            self.count_out(instant(now_ns))
        if self.asked is not None or (self.outcome is not None and self.outcome.holds_slots):
            for plan, outcome in self.decided():
                if outcome.holds_slots:
                    outcome.release(now_ns)
                    plan.freed(outcome)
        self.end_flight(now_ns)
        if self.status >= 100:
            self.charge_by_status(now_ns)
        if self.status >= 400:
            self.give_back(now_ns)
        self.end_reservation()

    cdef int end_flight(self, object now_ns) except -1:
        """Give back what the request had in flight, here and at the limits that its route asked."""
        cdef Exchange each
        if self.plan is not None and self.outcome is not None and self.plan.exposed:
            for at in self.plan.exposed:
                correct(self.outcome, at, 0, now_ns)
            self.plan.freed(self.outcome)
        if self.asked is not None:
            for each in self.asked:
                each.end_flight(now_ns)
        return 0

    cdef int charge_by_status(self, object now_ns) except -1:
        """Give back what limits took that are not charged for this status. One without a status stays charged."""
        for plan, outcome in self.decided():
            if plan.charging:
                plan.charge_by_status(outcome, self.status, now_ns)
        return 0

    cdef int give_back(self, object now_ns) except -1:
        """Give back the estimates of what failed before an answer began: nothing was produced."""
        cdef Exchange each
        cdef object reservation = self.reservation
        if reservation is not None and reservation.give_back(self.settled_units, now_ns):
            self.door.limiter.runtime.unsettled.forget(reservation)
            self.reservation = None
        if self.asked is not None:
            for each in self.asked:
                each.give_back(now_ns)
        return 0

    def fail(self):
        if self.status == 0:
            self.status = 500

    def settle(self, units=None, /, **more):
        cdef Exchange each
        cdef dict reported = chargeable(self.door.limiter, units, more)
        if reported:
            self.decision.settle(reported)
            for each in self.asked or ():
                each.decision.settle(reported)
            self.reported = self.settled_units | reported.keys()
        if self.outer is not None:
            self.outer.settle(units, **more)

    def __reduce__(self):
        raise TypeError("an exchange is bound to its request and is not pickled")


cdef inline bint is_last(object message) except -1:
    """Return whether no part of a body follows this one."""
    cdef PyObject *more
    if type(message) is not dict:
        return not message.get("more_body")
    more = PyDict_GetItemWithError(message, "more_body")
    return more == NULL or not <object>more


cdef inline bint is_empty(object message) except -1:
    """Return whether a part of a body has no bytes, and others follow."""
    cdef PyObject *body
    if is_last(message):
        return False
    if type(message) is not dict:
        return not message.get("body")
    body = PyDict_GetItemWithError(message, "body")
    return body == NULL or not <object>body


cdef list with_two(object headers, object policy_pair, object field):
    """Return a list of headers with the two standard fields after them."""
    cdef list present = headers if type(headers) is list else list(headers)
    cdef list all_of_them
    cdef Py_ssize_t size = PyList_GET_SIZE(present), i
    all_of_them = PyList_New(size + 2)
    for i in range(size):
        put(all_of_them, i, <object>PyList_GET_ITEM(present, i))
    put(all_of_them, size, policy_pair)
    put(all_of_them, size + 1, (b"ratelimit", field))
    return all_of_them


cdef inline void put(list fresh, Py_ssize_t at, object item) noexcept:
    # noexcept: fills a place of a list of known size, made just before.
    Py_INCREF(item)
    PyList_SET_ITEM(fresh, at, item)


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Sending:
    """A server's `send` that says of limits what an exchange knows: see the stub."""

    def __init__(self, Exchange exchange not None, send):
        self.exchange = exchange
        self.forward = send

    def send(self, message, /):
        # A new message and a new list: applications keep constant ones and send them again.
        cdef dict copy
        cdef object headers
        cdef PyObject *found
        cdef bint is_start = message["type"] == "http.response.start"
        if self.exchange.waits:
            self.exchange.note(message, is_start)
        if is_start and (
            self.exchange.outcome is not None or self.exchange.asked is not None
        ):
            if type(message) is dict:
                found = PyDict_GetItemWithError(message, "headers")
                headers = () if found == NULL else <object>found
                copy = PyDict_Copy(message)
            else:
                copy = dict(message)
                headers = copy.get("headers", ())
            copy["headers"] = self.exchange.with_fields(headers)
            if self.exchange.reservation is not None or self.exchange.asked is not None:
                self.exchange.status = copy["status"]
            message = copy
        return self.forward(message)

    @property
    def holds(self):
        return (
            self.exchange.flight is not None or self.exchange.asked is not None
            or self.exchange.reservation is not None or self.exchange.due is not None
        )

    def release(self, clock_ns, /):
        cdef Exchange exchange = self.exchange
        cdef bint failed = exchange.status >= 400
        if (
            exchange.flight is None or exchange.asked is not None or exchange.reservation is not None or failed
            or exchange.due is not None
        ):
            exchange.release(clock_ns())
        else:
            exchange.count_out(exchange.instants.read())

    def __reduce__(self):
        raise TypeError("a response under way is not pickled")
