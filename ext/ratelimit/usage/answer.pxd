from libc.stdint cimport int64_t, uint32_t

from ratelimit.core.algorithms.setup cimport MOST_RULES
from ratelimit.usage.reader cimport Reader
from ratelimit.usage.rules cimport Use
from ratelimit.usage.unsettled cimport Reservation


cdef class Answer:
    cdef readonly Use use
    cdef public object exchange     # what the application reports by itself; None: not known
    cdef object plan
    cdef object outcome
    cdef object forward
    cdef object now_ns
    cdef Reader reader
    cdef object inflating       # reads what is compressed; None: nothing is
    cdef object numbering       # of events that are numbered; None: none was yet
    cdef bint cuts              # the stream may have to end
    cdef bint is_over           # its budget is used up
    cdef bint is_complete       # the application sent it to the end
    cdef bint is_hidden         # it is in a coding that is not read
    cdef bint is_unreadable     # some of it passed that nothing is known of
    cdef dict told              # headers that tell of usage; None: none do
    cdef int certain            # how sure it is what was used, once it has ended
    cdef int status             # of the response, once it has begun
    cdef readonly bint is_cut
    cdef int64_t least          # output that no budget is exceeded by; -1: not known
    cdef object begin_ns
    cdef int64_t allowed[MOST_RULES]    # what it may use, of limits that a server keeps

    cdef int begin(self, object message) except -1
    cdef int begin_budget(self) except -1
    cdef bint has_room(self) except -1
    cdef int expect(self) except -1
    cdef int charge(self) except -1
    cdef bint is_beyond(self, int at, int64_t found, object now_ns) except -1
    cdef int read(self, bytes chunk) except -1
    cdef int see_message(self, object message) except -1
    cdef object cut(self, object message)
    cdef int number(self, object chunk) except -1
    cdef bint end(self, Reservation reservation, object reported, object now_ns, int ending) except -1
