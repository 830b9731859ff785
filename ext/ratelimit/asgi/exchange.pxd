from libc.stdint cimport int64_t, uint8_t, uint64_t

from ratelimit.core.sharing.heaviest cimport Heaviest
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.deciding.compiled cimport Asking
from ratelimit.deciding.instants cimport Instants

cdef class Exchange:
    cdef readonly object door
    cdef readonly object writer
    cdef readonly object plan
    cdef readonly object outcome
    cdef readonly object now_ns
    cdef readonly bint cross_origin
    cdef readonly object outer
    cdef readonly list asked  # what routes asked by name, in order; None for most requests
    cdef tuple labels        # None: the headers are not only the standard two
    cdef object policy_pair
    cdef public object actor    # what limits count the principal's cluster by; None without one
    cdef public uint8_t certainty   # that it belongs there
    cdef public object waited_ns    # how long it waited for room; None: it did not
    cdef object reported     # units that the application has settled; None: none
    cdef object made         # the decision, once it has been asked for
    cdef readonly object reservation  # what it was charged by estimate; None: nothing, or it has ended
    cdef uint64_t principal  # the request's account, 0 where nothing asks for it
    cdef InFlight flight     # where it is counted while it is in flight; None: it is not
    cdef int64_t ticket
    cdef object load
    cdef Instants instants
    cdef Heaviest heaviest
    cdef uint64_t payer      # the account that is counted as having used it, 0 for none
    cdef uint64_t entered_ns
    cdef int units           # as many requests in the middle as it is as much work as
    cdef public int status   # of the response, once it has begun; where something is in flight or reserved
    cdef bint waits          # for the first part of a body
    cdef public object granted  # the maximum that was written into the body; None: none was
    cdef object due          # the reason by which the request is counted at its end; None: it is counted

    cdef tuple new_problem(self)
    cdef tuple applied_policy(self)
    cdef list with_fields(self, object headers)
    cdef list with_all_fields(self, object headers)
    cdef tuple policy_of(self)
    cdef object field_of(self)
    cdef int take(self, Exchange exchange) except -1
    cdef int count_in(
        self, object load, InFlight flight, Heaviest heaviest, Instants instants, uint64_t payer, uint64_t now,
        int64_t ticket, int rank, int units=*
    ) except -1
    cdef int note(self, object message, bint is_start) except -1
    cdef int count_out(self, uint64_t now) except -1
    cdef bint is_refusal(self) noexcept
    cdef int begin_answer(self, uint64_t now) except -1
    cdef int count_request(self, bint allowed, reason) except -1
    cdef int end_reservation(self) except -1
    cdef int end_flight(self, object now_ns) except -1
    cdef int charge_by_status(self, object now_ns) except -1
    cdef int give_back(self, object now_ns) except -1


cdef class Sending:
    cdef object forward
    cdef readonly object receive    # what the application of a WebSocket is given; None for a request
    cdef readonly Exchange exchange
    cdef readonly bint is_plain
    cdef readonly bint is_refused
    cdef readonly Asking asking     # a server is asked for the decision; None: it is there
