from libc.stdint cimport int64_t

from ratelimit.usage.reader cimport Reader

cdef struct Said:
    # What a request's body declares; the model is beside it.
    int64_t output      # the most output tokens, of all choices together; -1: none is declared
    Py_ssize_t size     # bytes of the body, as far as they were looked at
    int by              # which fields said it, a bit each
    int fields          # which maxima the API of the path has
    bint is_stream
    bint is_object      # the body is one whole object, well-formed
    int64_t choices     # of each prompt,
    int64_t prompts     # and how many of those there are; 0: they are not counted
    int64_t each        # the most output tokens of one choice; -1: none is declared
    bint is_echo        # the answer repeats the prompt


cdef class Declared:
    cdef Said said
    cdef readonly object model      # None: none is named
    cdef readonly str tier          # the service tier, in lower case; None: none is named


cdef class Body:
    cdef Reader reader
    cdef readonly Py_ssize_t size
    cdef Py_ssize_t most
    cdef int fields
    cdef int first              # the first byte that is no blank; -1: none came yet
    cdef bint is_other

    cdef bint take(self, bytes chunk) except -1
    cdef Declared end(self, bint is_whole)
    cdef int output(self, Said *said) except -1


cdef int fields_for(str path) except -1
cpdef Declared named(Declared declared, str segment)
