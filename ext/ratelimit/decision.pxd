cdef class Decision:
    cdef bint _allowed
    cdef object _reason
    cdef object _ledger
    cdef object _cluster
    cdef int _certainty
    cdef object _wait_ns
    cdef object _waited_ns
    cdef object _flight         # its place before a back end; None where it has none
    cdef object _verdicts       # None until they were asked for, as is the one that refuses longest
    cdef object _binding
