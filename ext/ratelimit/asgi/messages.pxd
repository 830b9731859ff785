from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.deciding.compiled cimport CompiledDecider
from ratelimit.deciding.instants cimport Instants
from ratelimit.deciding.matched cimport Matched

cdef class SocketDoor:
    cdef readonly object limiter
    cdef readonly object resolving
    cdef readonly object placement
    cdef object ended       # the coroutine function that ends what `NextMessage` leaves to Python
    cdef object runtime
    cdef Instants instants


cdef class LimitedSocket:
    cdef public object take             # the server's `receive`
    cdef readonly object send
    cdef readonly object scope
    cdef readonly SocketDoor door
    cdef public object target
    cdef readonly object bound          # the policy that messages were decided by last
    cdef readonly Matched matched       # what of it applies to them
    cdef readonly list row              # their identities; None where no limit asks for them
    cdef bint runs_out                  # it does only until calendar windows are listed anew
    cdef CompiledDecider decider
    cdef uint64_t ids[MOST_POSITIONS]
    cdef uint64_t refused

    cpdef object passes(self, message)


# The next message: what an application awaits.
cdef class NextMessage:
    cdef LimitedSocket socket
    cdef object call        # what is under way, a coroutine; None: nothing yet
    cdef bint is_taken      # the server's `receive` has ended, and Python has the message

    cdef int begin(self) except -1
    cdef int go_on(self, object value, PyObject **result) except -1
    cdef int taken(self, object message, PyObject **result) except -1


cdef LimitedSocket limited(object take, object send, object scope, SocketDoor door)
