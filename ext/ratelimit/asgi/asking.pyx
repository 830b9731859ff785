"""The limits that routes ask for, decided in one compiled call: see the stub for the contract.

The first request of a route finds out in Python what its limits are. Later ones ask what was found, as long as
the same policy is in force. A test holds both equal (tests/integrations/test_questions.py).
"""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ratelimit.asgi.exchange cimport Exchange
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.decision cimport Decision
from ratelimit.deciding.compiled cimport BY_LIMITS, BY_ROUTE, BY_ROUTE_FIRST, CompiledDecider, CompiledDecision
from ratelimit.deciding.instants cimport Instants
from ratelimit.deciding.matched cimport Matched

from ratelimit.deciding.compiled import DECIDED as _DECIDED

cdef enum:
    MOST_ROUTES = 4096

cdef dict NO_STATE = {}


@cython.final
@cython.auto_pickle(False)
cdef class Question:
    """The limits that one route asks for, through one door and under one policy."""

    cdef object endpoint    # what tells the route from others: it holds on to both
    cdef object route
    cdef object door
    cdef object runtime
    cdef object under       # the policy in force
    cdef object asked       # what routes may ask of this limiter, and what it was bound to
    cdef object generation
    cdef CompiledDecider decider
    cdef Matched matched
    cdef object costs
    cdef frozenset names
    cdef tuple needs        # fields of the state that have to be set
    cdef object clear       # a plan of the middleware's that has none of these limits
    cdef Instants instants

    def __cinit__(self, door, under, asked, Matched matched not None, *, names, costs=None, needs=()):
        self.door, self.runtime = door, door.limiter.runtime
        self.under, self.asked, self.generation = under, asked, asked.generation
        self.decider = <CompiledDecider?>self.generation.decider
        self.matched, self.costs, self.names = matched, costs, frozenset(names)
        self.needs = tuple(needs)
        self.instants = Instants(door.limiter.clock)

    cdef bint fits(self, Exchange outer) except -1:
        """Return whether what was found still holds, for a request that came in like this."""
        if (
            outer.door is not self.door or self.runtime.current is not self.under
            or self.asked.generation is not self.generation
        ):
            return False
        if outer.plan is not None and outer.plan is not self.clear:
            for rule in outer.plan.rules:
                if rule.name in self.names:
                    return False  # it was charged already
            self.clear = outer.plan
        return True

    cdef Exchange decided(self, dict scope, Exchange outer, object give_back):
        cdef PyObject *found
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused = 0
        cdef CompiledDecision decided
        cdef Exchange made
        cdef object peer = None, state = NO_STATE, now_ns = self.instants.now()
        cdef int asker = BY_ROUTE_FIRST if outer.outcome is None and outer.asked is None else BY_ROUTE
        found = PyDict_GetItemWithError(scope, "client")
        if found != NULL and <object>found:
            peer = (<object>found)[0]
        found = PyDict_GetItemWithError(scope, "state")
        if found != NULL and <object>found is not None:
            state = <object>found
        for name in self.needs:
            if name not in state:
                return None  # Python says what is wrong
        if not self.decider.read(scope["headers"], peer, state, self.matched, ids, &refused):
            return None
        decided = self.decider.decide(self.matched, ids, refused, now_ns, self.costs, asker)
        if decided is None:
            return None
        made = exchange_of(outer, decided, now_ns)
        if not decided.allowed:
            give_back(outer, now_ns)
        outer.take(made)
        return made


cdef Exchange exchange_of(Exchange outer, CompiledDecision decided, object now_ns):
    """Return the exchange of what a route asked for, as the middleware's own says of its door and fields."""
    cdef Exchange made = Exchange.__new__(Exchange)
    made.door, made.writer = outer.door, outer.writer
    made.now_ns, made.cross_origin = now_ns, outer.cross_origin
    made.actor, made.certainty, made.principal = decided.actor, decided.verdict, decided.principal
    if decided.reason == BY_LIMITS:
        made.plan, made.outcome = decided.plan, decided.outcome
        if made.writer.is_standard and not made.cross_origin and (decided.allowed or not decided.part.conceals):
            made.labels, made.policy_pair = decided.part.labels, decided.part.policy_pair
        if decided.part.reserves:
            made.begin()
    else:
        made.made = Decision(decided.allowed, _DECIDED[decided.reason], None, made.actor, made.certainty)
    return made


@cython.final
@cython.auto_pickle(False)
cdef class Questions:
    cdef dict known
    cdef object give_back

    def __cinit__(self, give_back):
        self.known, self.give_back = {}, give_back

    def __len__(self):
        return len(self.known)

    def ask(self, scope, /):
        cdef PyObject *found
        cdef PyObject *outer
        cdef PyObject *endpoint
        cdef PyObject *route
        cdef Question question
        if type(scope) is not dict:
            return None
        outer = PyDict_GetItemWithError(scope, "ratelimit")
        if outer == NULL or type(<object>outer) is not Exchange:
            return None
        found = PyDict_GetItemWithError(self.known, place_of(scope, &endpoint, &route))
        if found == NULL:
            return None
        question = <Question><object>found
        if <PyObject *>question.endpoint != endpoint or <PyObject *>question.route != route:
            return None
        if not question.fits(<Exchange><object>outer):
            return None
        return question.decided(scope, <Exchange><object>outer, self.give_back)

    def learn(self, dict scope not None, Question question not None, /):
        cdef PyObject *endpoint
        cdef PyObject *route
        place = place_of(scope, &endpoint, &route)
        # The question holds on to both, so their addresses are no other's meanwhile.
        question.endpoint, question.route = <object>endpoint, <object>route
        if len(self.known) >= MOST_ROUTES:
            self.known.clear()
        self.known[place] = question


cdef inline object place_of(dict scope, PyObject **endpoint, PyObject **route):
    """Point to the objects that a framework has for a route; return a number for the two."""
    endpoint[0] = PyDict_GetItemWithError(scope, "endpoint")
    if endpoint[0] == NULL:
        endpoint[0] = <PyObject *>None
    route[0] = PyDict_GetItemWithError(scope, "route")
    if route[0] == NULL:
        route[0] = <PyObject *>None
    return <uint64_t>endpoint[0] * 31 + <uint64_t>route[0]
