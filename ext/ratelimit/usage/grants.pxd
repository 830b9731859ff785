from libc.stdint cimport int64_t

cdef class Places:
    cdef readonly int64_t least     # tokens that the request needs beside an answer
    cdef readonly int by            # which field says its maximum once it is written, as `Declared.by` has it
    cdef int keys                   # that were looked at
    cdef bytes body
    cdef dict values                # by key in lower case: where each value is, the maximum it says, whether it is spelled so
    cdef dict openings              # by key of an object: where its keys begin, and whether it has none
    cdef object missing             # the path to insert where nothing is said; None: which is not known

    cdef bint read(self, Py_ssize_t i, int fields, str parent, dict known, Py_ssize_t *end) except -1
    cdef bint take(self, str key, object path, Py_ssize_t start, Py_ssize_t end, bint is_exact) except -1
    cdef bint is_exact(self, str key) except -1
    cdef bint has_opened(self, str name) except -1
    cdef tuple insertion(self, bytes number)
    cpdef bint says(self) except -1
    cpdef bytes written(self, int64_t most)


cpdef Places places_of(bytes body, int fields, str path, str stated)
