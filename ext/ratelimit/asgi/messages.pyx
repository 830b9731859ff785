"""The messages of WebSockets: see the stub for the contract.

What an application awaits is no coroutine: one would cost as much as the decision.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from ratelimit.deciding.compiled cimport BY_ROW, CompiledDecider, CompiledDecision
from ratelimit.deciding.instants cimport Instants
from ratelimit.deciding.matched cimport Matched

cdef extern from "Python.h":
    # Both as of Python 3.10.
    int PYGEN_RETURN
    int PyIter_Send(object iterator, object value, PyObject **result) except -1
    bint PyCoro_CheckExact(object call) noexcept

cdef extern from *:
    """
    #define kin_set_send(type, function) (((PyTypeObject *)(type))->tp_as_async->am_send = (sendfunc)(function))
    """
    void set_send "kin_set_send"(PyObject *type, int (*function)(NextMessage, object, PyObject **) except -1)


@cython.final
@cython.auto_pickle(False)
cdef class SocketDoor:
    def __cinit__(self, limiter, resolving, placement, ended, /):
        self.limiter, self.resolving, self.placement, self.ended = limiter, resolving, placement, ended
        self.runtime = limiter.runtime
        self.instants = Instants(limiter.clock)

    def __reduce__(self):
        raise TypeError("a door belongs to a limiter of this host and is not pickled")


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class LimitedSocket:
    def __init__(self, take, send, scope, SocketDoor door not None, /):
        self.take, self.send, self.scope, self.door = take, send, scope, door

    def receive(self):
        cdef NextMessage following = NextMessage.__new__(NextMessage)
        following.socket = self
        return following

    def know(self, bound, Matched matched not None, list row, /):
        cdef CompiledDecider decider = bound.decider
        if row is None and matched.is_limited:
            raise ValueError("limits count a message by its identities")
        if row is not None and decider is not None:
            decider.read_row(row, self.ids, &self.refused)
        self.bound, self.matched, self.row, self.decider = bound, matched, row, decider
        self.runs_out = bound.until_ns is not None

    cpdef object passes(self, message):
        cdef CompiledDecision decided
        cdef object now_ns
        if message["type"] != "websocket.receive":
            return True
        if self.door is None or self.bound is None or self.bound is not self.door.runtime.current:
            return None
        now_ns = self.door.instants.now()
        if self.runs_out and not self.bound.is_current(now_ns):
            return None
        if not self.matched.is_limited:
            return True
        if self.decider is None:
            return None
        decided = self.decider.decide(self.matched, self.ids, self.refused, now_ns, None, BY_ROW)
        return None if decided is None else decided.allowed

    def __reduce__(self):
        raise TypeError("a connection is not pickled")


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class NextMessage:
    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value, /):
        cdef PyObject *result = NULL
        cdef int how = self.go_on(value, &result)
        return given(how, result)

    def throw(self, *error):
        cdef PyObject *result = NULL
        cdef int how
        if self.call is None:
            self.begin()
        try:
            return self.call.throw(*error)
        except StopIteration as done:  # it returns all the same
            value = done.value
        if self.is_taken:
            raise StopIteration(value)
        how = self.taken(value, &result)
        return given(how, result)

    def close(self):
        if self.call is None:
            self.begin()
        self.call.close()

    cdef int begin(self) except -1:
        if self.socket is None or self.socket.door is None:
            raise ValueError("this message is of no connection")
        call = self.socket.take()
        self.call = call if PyCoro_CheckExact(call) else _awaited(call)
        return 0

    cdef int go_on(self, object value, PyObject **result) except -1:
        """Go on until the call under way waits, or a message is here: as `PyIter_Send` does for a coroutine."""
        cdef int how
        if self.call is None:
            self.begin()
        how = PyIter_Send(self.call, value, result)
        if how != PYGEN_RETURN or self.is_taken:
            return how
        message = <object>result[0]
        Py_DECREF(message)
        return self.taken(message, result)

    cdef int taken(self, object message, PyObject **result) except -1:
        """Decide what the server's `receive` has returned."""
        passes = self.socket.passes(message)
        if passes is True:
            Py_INCREF(message)
            result[0] = <PyObject *>message
            return PYGEN_RETURN
        self.is_taken, self.call = True, self.socket.door.ended(self.socket, message, passes)
        return PyIter_Send(self.call, None, result)

    def __reduce__(self):
        raise TypeError("a call under way is not pickled")


async def _awaited(call):
    return await call


cdef object given(int how, PyObject *result):
    """Return what is waited for; raise `StopIteration` with what is returned, as iterators do."""
    found = <object>result
    Py_DECREF(found)
    if how == PYGEN_RETURN:
        raise StopIteration(found)
    return found


cdef int sent(NextMessage following, object value, PyObject **result) except -1:
    return following.go_on(value, result)


# An `await` asks for this slot first: it needs no exception to return.
set_send(<PyObject *>NextMessage, sent)


cdef LimitedSocket limited(object take, object send, object scope, SocketDoor door):
    cdef LimitedSocket made = LimitedSocket.__new__(LimitedSocket)
    made.take, made.send, made.scope, made.door = take, send, scope, door
    return made
