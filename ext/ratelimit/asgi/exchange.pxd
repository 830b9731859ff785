from libc.stdint cimport uint8_t, uint64_t

cdef class Exchange:
    cdef readonly object mounted
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
    cdef object reported     # units that the application has settled; None: none
    cdef object made         # the decision, once it has been asked for
    cdef uint64_t principal  # the request's account, 0 where nothing asks for it

    cdef list with_fields(self, object headers)


cdef class Sending:
    cdef object forward
    cdef readonly Exchange exchange
    cdef readonly bint is_plain
