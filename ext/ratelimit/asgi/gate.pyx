"""The middleware's first question: see the stub for the contract.

Facts of a scope go into the compiled decider (`deciding/compiled`), and what it decides becomes the
exchange that the application finds. What takes more is turned away before anything was charged, and takes the
slow path. A test holds both equal, in answers, sightings, heartbeats and upkeep (tests/asgi/test_gate_parity.py).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy, memset

from ratelimit.asgi.begun cimport HAS_BODY, IS_COMPRESSED, Begun, promised
from ratelimit.asgi.exchange cimport Exchange, Sending
from ratelimit.asgi.messages cimport SocketDoor, limited
from ratelimit.core.algorithms.setup cimport ABSENT_HASH, MOST_RULES
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.core.sharing.flight cimport instant
from ratelimit.core.sharing.heaviest cimport Heaviest
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.core.sharing.share_cells cimport over_share
from ratelimit.decision cimport Decision
from ratelimit.deciding.compiled cimport (
    BY_ALLOW_LIST, BY_LIMITS, FROM_GATE, UNLIMITED, Asking, CompiledDecider, CompiledDecision, PlanParts,
)
from ratelimit.deciding.instants cimport Instants
from ratelimit.deciding.matched cimport ClassFacts, Matched
from ratelimit.usage.grants cimport Places, places_of
from ratelimit.usage.learned cimport UNSAID, Learned
from ratelimit.usage.request cimport Body, Declared, fields_for, named
from ratelimit.usage.rules cimport MeteredRules, Use
from ratelimit.usage.settling cimport moment

from ratelimit.deciding.compiled import DECIDED as _DECIDED
from ratelimit.usage.request import unread as _unread

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    void *PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    MOST_CLASSES = 32       # of more, those beyond take the slow path
    LATENCY_SAMPLE = 64     # one decision in so many is timed

SAMPLE = LATENCY_SAMPLE
cdef dict NO_STATE = {}
cdef dict NOTHING_TOLD = {}
cdef Declared NOTHING_DECLARED = Declared()


@cython.final
@cython.auto_pickle(False)
cdef class LoadParts:
    """A limit that follows the load, taken apart for the fast path."""

    cdef object load
    cdef InFlight flight
    cdef bint weighs            # requests are as much as their bodies are
    cdef Heaviest heaviest
    cdef Instants instants
    cdef double shares[MOST_CLASSES]    # by class: what the last of it may fill of the queue
    cdef double kept[MOST_CLASSES]      # and what it leaves free of the places
    cdef int classes

    def __init__(self, load):
        self.load, self.flight, self.heaviest, self.instants = load, load.flight, load.heaviest, load.instants
        self.weighs = load.spec.by_body
        self.classes = min(len(load.shares), MOST_CLASSES)
        for at in range(self.classes):
            self.shares[at], self.kept[at] = load.shares[at]


@cython.final
@cython.auto_pickle(False)
cdef class Gate:
    """Lets in requests that the compiled decider decides, under one bound policy: see the stub."""

    cdef object door
    cdef object writer
    cdef object match
    cdef dict requests
    cdef object connect     # says what applies to a handshake
    cdef dict connects      # what it said before; None: paths alone do not say what is routed
    cdef SocketDoor sockets
    cdef CompiledDecider decider
    cdef object sample
    cdef object target
    cdef bint is_standard
    cdef int decisions
    cdef bint has_ends      # something is told of each request's end
    cdef Learned learned    # from what was used before; None: what is metered is left to Python
    cdef object told        # returns the estimates that a scope tells
    cdef object narrowed    # returns what applies to requests for a model
    cdef object now_ns
    cdef ClassFacts classes  # the classes of requests, where identities may name them; None: nothing does
    cdef list loads         # what is asked of each limit that follows the load, by its position
    cdef LoadParts load     # the one of them, where there is one

    def __init__(
        self, door, writer, *, match, dict requests not None, connect, dict connects, SocketDoor sockets not None,
        CompiledDecider decider not None, sample, target, bint has_ends=False, loads=(), Learned learned=None,
        told=None, narrowed=None, ClassFacts classes=None,
    ):
        self.door = door
        self.writer = writer
        self.is_standard = writer.is_standard
        self.match = match
        self.requests = requests
        self.connect, self.connects, self.sockets = connect, connects, sockets
        self.decider = decider
        self.sample = sample
        self.target = target
        self.has_ends = has_ends
        if learned is not None:
            self.learned, self.told, self.narrowed = learned, told, narrowed
            self.now_ns = door.limiter.now_ns
        self.classes = classes
        self.loads = [LoadParts(load) for load in loads]
        if len(self.loads) == 1:
            self.load = self.loads[0]

    def enter(self, scope, send, now_ns, /):
        cdef Matched matched
        if type(scope) is not dict:
            return None
        if PyDict_GetItemWithError(scope, "ratelimit") != NULL:
            return None  # behind another limiter, perhaps this one
        matched = self.matched(scope)
        return None if matched is None else self.decided(scope, matched, send, now_ns, None)

    def enter_socket(self, scope, receive, send, now_ns, /):
        cdef PyObject *path
        cdef PyObject *found
        cdef object target
        cdef Matched matched
        if type(scope) is not dict or PyDict_GetItemWithError(scope, "ratelimit") != NULL:
            return None
        path = PyDict_GetItemWithError(scope, "path")
        if path == NULL:
            return None
        target = <object>path
        if self.connects is None or not is_plain(scope, target):
            target = self.target(scope)
        found = NULL if self.connects is None else PyDict_GetItemWithError(self.connects, target)
        matched = <Matched?>(<object>found if found != NULL else self.connect("GET", target, "connect"))
        return self.decided(scope, matched, send, now_ns, receive)

    cdef object decided(self, dict scope, Matched matched, object send, object now_ns, object receive):
        """Decide a request or handshake; None where it takes Python, a `Metered` where its body is looked at first.

        `receive` is a WebSocket's, None for a request.
        """
        cdef PyObject *found
        cdef object host = None
        cdef dict state = NO_STATE
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused = 0
        cdef PlanParts part
        cdef LoadParts load = None
        cdef Asking asking
        cdef CompiledDecider decider = self.decider
        cdef CompiledDecision decided
        cdef Metered metered
        cdef Sending sending
        cdef bint is_unlimited = False
        if self.loads and matched.rank >= 0:
            load = self.load_with_room(matched, scope, now_ns)
            if load is None:
                return None  # the slow path knows what to shed, and what to hold
        if matched.is_limited or decider.has_lists:
            found = PyDict_GetItemWithError(scope, "client")
            if found != NULL and <object>found:
                host = (<object>found)[0]
            found = PyDict_GetItemWithError(scope, "state")
            if found != NULL and <object>found is not None:
                if type(<object>found) is not dict:
                    return None
                state = <dict>found
            if not decider.read(scope["headers"], host, state, matched, ids, &refused):
                return None
            if load is not None and decider.payer_at >= 0 and ids[decider.payer_at] != ABSENT_HASH:
                if over_share(load.flight.shares, ids[decider.payer_at], 1):
                    return None  # accounts over their share go there, too
        if matched.is_metered and not (decider.has_lists and ids[decider.listed_at]):
            part = decider.picked(matched, ids, now_ns, &is_unlimited)
            if part is not None and part.metered is not None:
                if receive is not None or self.learned is None or self.has_ends or part.core is None or part.leased is not None:
                    return None
                metered = Metered.__new__(Metered)
                metered.gate, metered.scope, metered.matched, metered.forward = self, scope, matched, send
                metered.use = Use.__new__(Use)
                metered.use.rules, metered.use.learned, metered.use.template = part.metered, self.learned, matched.template
                metered.use.take_ids(ids, refused, decider.size)
                return metered
        decided = decider.decide(matched, ids, refused, now_ns, None, FROM_GATE)
        if decided is None:
            return None
        asking = None
        if decided.reason == BY_LIMITS and decided.outcome is None:
            if load is not None:
                return None  # its place is taken before the server is asked
            asking = Asking.__new__(Asking)
            asking.decided, asking.now_ns, asking.size = decided, now_ns, decider.size
            memcpy(asking.ids, ids, decider.size * sizeof(uint64_t))
            asking.reply = decided.part.away.begin(asking)
            if asking.reply is None:
                return None
        sending = self.sending(
            scope, decided, ids[decider.origin_at] != 0 if matched.is_limited or decider.has_lists else False, send, now_ns,
            load, self.class_of(matched, ids) if load is not None else -1, asking,
        )
        if receive is not None:
            # One on the allow list falls under no limit of messages either.
            sending.receive = receive
            if decided.reason != BY_ALLOW_LIST:
                sending.receive = limited(receive, send, scope, self.sockets).receive
        return sending

    cdef int class_of(self, Matched matched, uint64_t *ids) except -2:
        """Return the class that a request is counted in: by its identities where these name one."""
        return matched.rank if self.classes is None else self.classes.rank_of(matched, ids, None)

    cdef LoadParts load_with_room(self, Matched matched, dict scope, object now_ns):
        """Return what a request follows the load by, of a limit with room for it; None without room."""
        cdef LoadParts load = self.load if self.load is not None else <LoadParts>self.loads[matched.group]
        cdef int rank = matched.rank
        cdef double work = 0.0
        if load.weighs:
            work = load.load.work_of(scope)
            if load.flight.open and load.flight.units(work) > 1:
                return None  # the slow path asks for as much room as it needs
        if (
            not matched.is_limited or rank >= load.classes or not load.flight.open
            or not load.flight.room(instant(now_ns), load.shares[rank], load.kept[rank], rank)
            or load.flight.sums.own_held
        ):
            return None
        if work > 0.0:
            load.flight.learn_unit(work)
        return load

    cdef Sending sending(
        self, dict scope, CompiledDecision decided, bint cross_origin, object send, object now_ns, LoadParts load, int rank,
        Asking asking=None,
    ):
        """Return the `send` of a decided request, and leave its exchange in the scope; not yet if a server is asked."""
        cdef Exchange exchange
        cdef Sending sending
        exchange = Exchange.__new__(Exchange)
        exchange.door = self.door
        exchange.writer = self.writer
        exchange.now_ns = now_ns
        exchange.cross_origin = cross_origin
        exchange.actor = decided.actor
        exchange.certainty = decided.verdict
        exchange.principal = decided.principal
        sending = Sending.__new__(Sending)
        sending.exchange = exchange
        sending.forward = send
        sending.asking = asking
        if asking is not None:
            return sending
        scope["ratelimit"] = exchange
        if decided.allowed and self.decider.counts_late:
            exchange.due = _DECIDED[decided.reason]
        if load is not None and decided.allowed:
            exchange.count_in(load.load, load.flight, load.heaviest, load.instants, decided.payer, instant(now_ns), -1, rank)
        if decided.reason == BY_LIMITS:
            self.open(sending, decided)
            return sending
        sending.is_plain = decided.allowed and not self.has_ends
        sending.is_refused = not decided.allowed
        if decided.reason != UNLIMITED:
            exchange.made = Decision(
                decided.allowed, _DECIDED[decided.reason], None, decided.actor, decided.verdict, waited_ns=0
            )
        return sending

    def conclude(self, dict scope not None, Sending sending not None, /):
        cdef Asking asking = sending.asking
        cdef CompiledDecision decided
        if asking is None or asking.outcome is None:
            raise ValueError("no server was asked for this request")
        decided = asking.decided
        decided.allowed = asking.outcome.allowed
        self.decider.conclude(decided, asking.outcome, asking.ids, asking.now_ns, FROM_GATE)
        scope["ratelimit"] = sending.exchange
        if decided.allowed and self.decider.counts_late:
            sending.exchange.due = _DECIDED[decided.reason]
        self.open(sending, decided)
        sending.asking = None

    cdef int open(self, Sending sending, CompiledDecision decided) except -1:
        """Say of a request that limits decided whether it is plain, and what its response tells."""
        cdef Exchange exchange = sending.exchange
        cdef PlanParts part = decided.part
        exchange.plan = decided.plan
        exchange.outcome = decided.outcome
        if self.is_standard and not exchange.cross_origin and (decided.allowed or not part.conceals):
            exchange.labels = part.labels
            exchange.policy_pair = part.policy_pair
        sending.is_refused = not decided.allowed
        sending.is_plain = decided.allowed and not self.has_ends and not part.holds_slots
        if part.reserves and sending.is_plain:
            exchange.begin()  # else the slow path does, at the same place as it ends
        self.decisions += 1
        if self.decisions >= LATENCY_SAMPLE:
            self.decisions = 0
            self.sample(exchange.now_ns)
        return 0

    cdef Matched matched(self, dict scope):
        """Return what applies to this method and path; None for a scope that lacks one of them."""
        cdef PyObject *method = PyDict_GetItemWithError(scope, "method")
        cdef PyObject *path = PyDict_GetItemWithError(scope, "path")
        cdef PyObject *by_path
        cdef PyObject *matched
        cdef object target
        if method == NULL or path == NULL:
            return None
        target = <object>path
        if not is_plain(scope, target):
            target = self.target(scope)
        by_path = PyDict_GetItemWithError(self.requests, <object>method)
        if by_path != NULL:
            matched = PyDict_GetItemWithError(<object>by_path, target)
            if matched != NULL:
                return <Matched?><object>matched
        return <Matched?>self.match(<object>method, target)

    def __reduce__(self):
        raise TypeError("a Gate is bound to memory of this host and is not pickled")


@cython.final
@cython.auto_pickle(False)
@cython.freelist(8)
cdef class Metered:
    """A request with limits that look at its body or its answer: see the stub."""

    cdef Gate gate
    cdef dict scope
    cdef Matched matched
    cdef object forward
    cdef readonly Use use
    cdef readonly Sending sending
    cdef readonly Begun begun
    cdef readonly bint has_looked
    cdef readonly bytes written     # the body with the maximum that was granted; None: as it came
    cdef bytes body                 # as it came, where it is looked at

    @property
    def is_plain(self):
        return False

    def decide(self, receive, now_ns, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t costs[MOST_RULES]
        cdef Gate gate = self.gate
        cdef Use use = self.use
        cdef MeteredRules rules
        cdef Matched matched = self.matched
        cdef Declared declared = NOTHING_DECLARED
        cdef LoadParts load = None
        cdef PlanParts part
        cdef CompiledDecision decided
        cdef Places places = None
        cdef bint is_unlimited = False
        cdef int promise
        if gate is None:
            raise TypeError("metered requests come from a Gate")
        rules = use.rules
        promise = promised(self.scope) if rules.asks_body else 0
        if promise & HAS_BODY:
            if promise & IS_COMPRESSED:
                declared = _unread()
            else:
                declared = self.declared(receive, now_ns)
                if declared is None:
                    return False
                now_ns = gate.now_ns()
        name = matched.params.get("model")
        if name is not None:
            declared = named(declared, name)
        use.declare(declared)
        memcpy(ids, use.ids, use.size * sizeof(uint64_t))
        if gate.loads and matched.rank >= 0:
            load = gate.load_with_room(matched, self.scope, now_ns)
            if load is None:
                return False
        if rules.has_models:
            matched = gate.narrowed(matched, rules.of_model(declared.model))
            part = gate.decider.picked(matched, ids, now_ns, &is_unlimited)
            if part is None or part.metered is None:
                return False  # of what is left nothing is metered
            use.rules = rules = part.metered
            use.accounts = None
        if rules.refuses_unknown and use.lacks_price():
            return False
        if rules.has_grants and declared.said.is_object and self.body is not None:
            places = self.places(matched, ids, now_ns)
        use.fill(costs, moment(now_ns), gate.told(self.scope, rules.told) if rules.told else NOTHING_TOLD)
        decided = gate.decider.decide(matched, ids, use.refused, now_ns, None, FROM_GATE, costs)
        if decided is None:
            return False
        self.sending = gate.sending(
            self.scope, decided, ids[gate.decider.origin_at] != 0, self.forward, now_ns, load,
            gate.class_of(matched, ids) if load is not None else -1,
        )
        if places is not None and use.granted != UNSAID and decided.allowed and decided.reason == BY_LIMITS:
            self.sending.exchange.granted = use.granted
            self.written = places.written(use.granted)
        return True

    cdef Places places(self, Matched matched, uint64_t *ids, object now_ns):
        """Lower the maximum that the body declares to what is left; return where it is to be written."""
        cdef uint64_t nothing[MOST_RULES]
        cdef bint is_unlimited = False
        cdef PlanParts part
        cdef Places places = places_of(
            self.body, self.use.declared.said.fields, self.scope["path"], self.use.rules.grant_field
        )
        if places is None or not places.can_write:
            return None
        part = self.gate.decider.picked(matched, ids, now_ns, &is_unlimited)
        if part is None or part.core is None or part.core.setup.count != self.use.rules.count:
            return None
        memset(nothing, 0, sizeof(nothing))
        self.use.lower(places, part.core.tried(ids, nothing, now_ns, False))
        return places

    cdef Declared declared(self, object receive, object now_ns):
        """Return what the body declares; None where it is not there yet, or limits refuse the request before."""
        cdef uint64_t ids[MOST_POSITIONS]
        cdef Body body
        cdef object chunk
        if self.matched.before_body is not None:
            memcpy(ids, self.use.ids, self.use.size * sizeof(uint64_t))
            if not self.gate.decider.passes_early(self.matched.before_body, ids, self.use.refused, now_ns):
                return None
        self.has_looked = True
        self.begun = Begun.__new__(Begun)
        if not self.begun.begin(receive):
            return None
        message = self.begun.message
        if message["type"] != "http.request" or message.get("more_body", False):
            return None
        chunk = message.get("body", b"")
        self.body = chunk if type(chunk) is bytes else bytes(chunk)
        body = Body(fields=fields_for(self.scope["path"]))
        body.take(self.body)
        return body.end(True)

    def __reduce__(self):
        raise TypeError("a request under way is not pickled")


cdef inline bint is_plain(dict scope, object path) except -1:
    """Return whether the path is as it was sent, below no root path: see `arrival.target_of`."""
    cdef PyObject *found = PyDict_GetItemWithError(scope, "root_path")
    cdef object raw
    cdef Py_ssize_t size
    if found != NULL and <object>found:
        return False
    found = PyDict_GetItemWithError(scope, "raw_path")
    if found == NULL:
        return False
    raw = <object>found
    if type(raw) is not bytes or type(path) is not str or not PyUnicode_IS_COMPACT_ASCII(path):
        return False
    # An ASCII text has its characters as bytes, so the two are compared as they lie.
    size = PyBytes_GET_SIZE(raw)
    return size == PyUnicode_GET_LENGTH(path) and memcmp(PyUnicode_DATA(path), PyBytes_AS_STRING(raw), size) == 0
