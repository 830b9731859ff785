cdef enum:
    HAS_BODY = 1
    IS_COMPRESSED = 2
    IS_SMALL = 4

cdef int promised(object scope) except -1


cdef class Begun:
    cdef object call                # None: it has ended
    cdef object waits               # what it waits for, until that is handed on
    cdef bint is_waiting            # it was begun, and went as far as that
    cdef readonly object message    # what it brought; None: it has not ended

    cdef int begin(self, object receive) except -1
    cdef object go_on(self, object value)
