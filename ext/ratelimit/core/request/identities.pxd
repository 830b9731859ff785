from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.request.scanner cimport MOST_POSITIONS, Scanner

cdef enum:
    NO_LIST = 0              # what the list of a request says, see lists/access.py
    ON_DENY_LIST = 1
    ON_ALLOW_LIST = 2

cdef enum:
    SECONDS = 0              # forms of a number, see facts/numbers.py
    DOLLARS = 1
    UNITS = 2

cdef struct Listed:
    uint64_t value           # the hash of a listed value
    int position             # of its identity
    int access               # ON_DENY_LIST or ON_ALLOW_LIST

cdef class StateField:
    cdef readonly int position
    cdef uint64_t kind
    cdef object name
    cdef object reader       # reads the field in Python; notes how often it was absent
    cdef bint is_settled     # the reader has nothing left to note
    cdef readonly bint follows  # it is looked at only where the field before it has nothing

cdef class PathField:
    cdef readonly int position
    cdef uint64_t kind
    cdef object name

cdef class NumberField:
    cdef readonly int position
    cdef object name         # of the state's field that has it; None: no field does
    cdef bytes header        # of the header that has it; None: no header does
    cdef object of           # reads in Python what is neither a plain number nor the text of one
    cdef int form

cdef class IdentityReader:
    cdef readonly Scanner scanner
    cdef tuple fields        # of StateField
    cdef tuple paths         # of PathField
    cdef bint is_partial     # some identity is also read elsewhere, where a request has headers or a state
    cdef object template_of  # None: the peer speaks for itself
    cdef tuple numbers       # of NumberField
    cdef bint numbers_in_headers, numbers_in_state
    cdef Listed *listed
    cdef int listed_count
    cdef readonly bint reads_state

    cdef bint read(
        self, object headers, object peer, object state, object params, bint is_live, uint64_t *ids, uint64_t *refused
    ) except -1
    cdef bint read_template(self, object headers, object peer, uint64_t *ids, uint64_t *refused) except -1
    cdef bint read_state(self, object state, bint is_live, uint64_t *ids, uint64_t *refused) except -1
    cdef bint read_path(self, object params, uint64_t *ids, uint64_t *refused) except -1
    cdef bint read_number_line(self, NumberField field, object headers, uint64_t *ids) except -1
    cdef int put_given(self, int position, object value, uint64_t *ids) except -1
    cdef int put_number(self, NumberField field, object value, uint64_t *ids) except -1
    cdef bint settle(self, StateField field) except -1
    cdef void look_up(self, uint64_t *ids) noexcept
