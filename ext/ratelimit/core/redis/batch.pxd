from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.redis.remote cimport RemoteRules


cdef class Decisive:
    cdef readonly object plan
    cdef readonly Outcome outcome
    cdef readonly bint commit
    cdef readonly object future
    cdef RemoteRules rules

    cdef Py_ssize_t read(self, list said, Py_ssize_t at) except -1


cdef class SlotBatch:
    cdef readonly dict keys
    cdef readonly list items
    cdef readonly list entries
    cdef readonly bint is_sent
    cdef dict amendable     # corrections of units that wait to be sent
    cdef object first       # the plan that asked first, and the numbers of others' first rules
    cdef dict bases
    cdef bytes described
    cdef int rules

    cdef int first_of(self, plan) except -1
    cdef tuple call_of(self, worker, now_us)
    cdef Py_ssize_t give(self, answer) except -1


cdef class Batch:
    cdef readonly double begun
    cdef public double sent
    cdef readonly dict slot_batches
    cdef public bint is_over
    cdef public bint is_overdue
    cdef public object pipeline

    cdef SlotBatch of_slot(self, bytes tag)
    cdef list calls_of(self, worker, now_us)
