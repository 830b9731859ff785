"""Decisions by names, compiled: see the stub for the contract.

Values that are given by name go into the array of identities, and the compiled decider (`deciding/compiled`) decides it.
What takes more is turned away before anything was charged. A test holds this equal to the decider in Python
(tests/limiter/test_by_name.py).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError, PyDict_Next
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.hashing cimport hash_run
from ratelimit.core.request.grammar cimport LONGEST_FORM, text_form
from ratelimit.core.request.identities cimport IdentityReader
from ratelimit.core.request.scanner cimport MOST_POSITIONS, Scanner, listed
from ratelimit.decision cimport Decision
from ratelimit.deciding.compiled cimport BY_LIMITS, BY_NAME, CompiledDecider, CompiledDecision
from ratelimit.deciding.instants cimport Instants
from ratelimit.deciding.matched cimport Matched

from ratelimit.deciding.compiled import DECIDED as _DECIDED
from ratelimit.identity.source import raw_headers

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    const uint8_t *PyUnicode_1BYTE_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

ADDRESS, TEXT, RAW = range(3)

cdef enum Form:
    AN_ADDRESS = 0
    A_TEXT = 1              # a header's: blanks around it are no part of it
    AS_GIVEN = 2


@cython.final
@cython.auto_pickle(False)
cdef class Place:
    """The place of an identity's value, and the way that it is hashed."""

    cdef int position
    cdef uint64_t kind
    cdef Form form

    def __init__(self, int position, kind, int form):
        self.position, self.kind, self.form = position, kind, <Form>form


@cython.final
@cython.auto_pickle(False)
cdef class NamedGate:
    cdef object bound       # the policy that this decides by
    cdef bint runs_out      # it does only until calendar windows are listed anew
    cdef object match
    cdef dict requests
    cdef dict places
    cdef bint has_addresses
    cdef int created_at     # where rows have when the account was created; -1: nowhere
    cdef object units
    cdef CompiledDecider decider
    cdef IdentityReader reader
    cdef Scanner scanner

    def __cinit__(
        self, bound, *, bint runs_out, match, dict requests not None, units, places, int created_at,
        CompiledDecider decider not None
    ):
        self.bound, self.runs_out, self.created_at = bound, runs_out, created_at
        self.match, self.requests = match, requests
        self.units = frozenset(units)
        self.decider, self.reader, self.scanner = decider, decider.reader, decider.reader.scanner
        self.places = {name: Place(*place) for name, place in places.items()}
        for place in self.places.values():
            self.has_addresses = self.has_addresses or (<Place>place).form == AN_ADDRESS
            if not 0 <= (<Place>place).position < self.scanner.size - 2:
                raise IndexError(f"there are {self.scanner.size - 2} identities")

    def decide(self, str method not None, path, names, client, headers, state, costs, now_ns, created=None, /):
        return self.decided(method, path, names, client, headers, state, costs, now_ns, created)

    cdef Decision decided(
        self, str method, object path, object names, object client, object headers, object state, object costs,
        object now_ns, object created, bint enters=True
    ):
        cdef PyObject *found
        cdef Matched matched
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused = 0
        cdef CompiledDecision decided
        cdef Decision made
        found = PyDict_GetItemWithError(self.requests, method)
        if found != NULL:
            found = PyDict_GetItemWithError(<object>found, path)
        matched = <Matched?>(<object>found if found != NULL else self.match(method, path))
        if enters and matched.group >= 0:
            return None  # it needs room before its back end
        if matched.is_limited or self.decider.has_lists:
            if matched.resolvers or not self.fill(names, client, headers, state, matched.params, ids, &refused):
                return None
            if created is not None:
                self.reader.put_given(self.created_at, created, ids)
        decided = self.decider.decide(matched, ids, refused, now_ns, costs, BY_NAME)
        if decided is None:
            return None
        made = Decision.__new__(Decision)
        made._allowed = decided.allowed
        made._reason = _DECIDED[decided.reason]
        made._ledger = decided if decided.reason == BY_LIMITS else None
        made._cluster = decided.actor
        made._certainty = decided.verdict
        made._waited_ns = 0
        return made

    def identities(self, names, client, params=None, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        if not self.fill(names, client, (), None, params, ids, &refused):
            return None
        return listed(ids, refused, self.scanner.size)

    cdef bint fill(
        self, object given, object client, object headers, object state, object params, uint64_t *ids, uint64_t *refused
    ) except -1:
        """Write the identities into an array; False for names and values that take more than this."""
        cdef dict names = {} if given is None else given if type(given) is dict else None
        cdef Py_ssize_t at = 0, length
        cdef PyObject *name
        cdef PyObject *value
        cdef PyObject *place
        cdef const uint8_t *written
        cdef const uint8_t *form
        if names is None:
            return False
        if headers and type(headers) is not list:
            headers = raw_headers(headers)
        while self.has_addresses and PyDict_Next(names, &at, &name, &value):
            place = PyDict_GetItemWithError(self.places, <object>name)
            if place == NULL:
                return False
            if (<Place>place).form == AN_ADDRESS:
                if client is not None or type(<object>value) is not str:
                    return False
                client = <object>value
        if not self.reader.read(headers, client, state, params, False, ids, refused):
            return False
        at = 0
        while PyDict_Next(names, &at, &name, &value):
            place = PyDict_GetItemWithError(self.places, <object>name)
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
                if length <= 0:  # what the application gives by name it has looked at itself
                    form = written
                    length = run_of(<object>value, &written)
            ids[(<Place>place).position] = hash_run(
                self.scanner.hasher.k0, self.scanner.hasher.k1, (<Place>place).kind, form, length
            )
            refused[0] &= ~(<uint64_t>1 << (<Place>place).position)
        if names:
            self.reader.look_up(ids)
        return True

    def __reduce__(self):
        raise TypeError("a NamedGate is bound to memory of this host and is not pickled")


cdef class DecidesByName:
    """The compiled part of a limiter's public calls: the common case of `decide`."""

    cdef object source      # a runtime: says which policy is in force
    cdef Instants instants
    cdef NamedGate gate     # of the policy that was in force last
    cdef bint enters        # requests take part in limits that follow the load

    def _decide_under(self, source, clock, /, *, bint enters=True):
        self.source, self.instants, self.enters = source, Instants(clock), enters

    @cython.binding(True)
    def decide(
        self, *, method="GET", path="/", identities=None, costs=None, client=None, headers=(), state=None,
        event="request", created=None, now_ns=None,
    ):
        """Decide one request, and charge it if it is allowed.

        Under `[adaptive]` it is in flight then, until `Decision.release` or the end of a `with` block.
        This cannot wait: limits with `wait` refuse at once. `adecide` waits.

        Args:
            method, path: what limits are matched with, the path as it is written and decoded.
            identities: values by the policy's names. An identity that is neither here nor found
                in what follows is missing, and its `missing` rule applies.
            costs: units known on arrival, by name; the policy's `cost` and `estimate` otherwise.
            client: the peer's address.
            headers: a mapping, or raw pairs with names in lower case.
            state: what `state:` identities are read from.
            event: "request", or for WebSockets "connect" and "message".
            created: when the account was created, in seconds since 1970, in place of what
                `[correlation] created` names.
            now_ns: nanoseconds since the epoch; the clock's time when not given.

        Raises:
            UsageError: an identity or unit the policy does not have, or a cost that is no
                integer from 0 to 2**31 - 1. Nothing was charged.
        """
        cdef NamedGate gate = self.gate
        cdef Decision made
        if self.source is None:
            raise ValueError("this limiter was never initialised")
        if now_ns is None:
            now_ns = self.instants.now()
        bound = self.source.current
        if gate is None or gate.bound is not bound:
            gate = self.gate = bound.by_name
        if gate is not None and gate.runs_out:
            gate = self.source.generation_at(now_ns).by_name
        if (
            gate is not None and event == "request"
            and type(method) is str and (not costs or gate.units.issuperset(costs))
        ):
            made = gate.decided(
                method, path, identities, client, headers, state, costs, now_ns, created, self.enters
            )
            if made is not None:
                return made
        return self._decide_slowly(method, path, event, (identities, costs, client, headers, state, created), now_ns)

    def __reduce__(self):
        raise TypeError("a limiter is bound to memory of this host and is not pickled")


cdef inline Py_ssize_t run_of(object value, const uint8_t **at) noexcept:
    """Point to a value's bytes; return their number, -1 for what is neither bytes nor plain text."""
    if type(value) is str and PyUnicode_IS_COMPACT_ASCII(value):  # such text is its own UTF-8
        at[0] = PyUnicode_1BYTE_DATA(value)
        return PyUnicode_GET_LENGTH(value)
    if type(value) is bytes:
        at[0] = <const uint8_t *>PyBytes_AS_STRING(value)
        return PyBytes_GET_SIZE(value)
    return -1
