from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.address cimport Address, Declared
from ratelimit.core.hashing cimport Hasher

cdef enum:
    MOST_POSITIONS = 64

cdef struct Blank:
    # What stands at a position that no header speaks for: a hash of the client's network
    # where `kind` is not negative and the client is known, else `otherwise`.
    int64_t kind
    int v4
    int v6
    uint64_t otherwise
    bint is_refused      # nothing stands in, and the policy insists

cdef class Translations:
    cdef Declared declared


cdef class Scanner:
    cdef Hasher hasher
    cdef dict wanted
    cdef uint64_t lengths    # bit n: a wanted name has n bytes; 63: so many or more
    cdef Py_ssize_t longest
    cdef Blank blanks[MOST_POSITIONS]
    cdef readonly int size   # positions of an identity list
    cdef bint needs_peer
    cdef object notice
    cdef Translations translations

    cdef int identify(self, object headers, object peer, uint64_t *ids, uint64_t *refused) except -1
    cdef int gather(self, object headers, uint64_t *ids, uint64_t *filled, bint *is_forwarded) except -1
    cdef void leave_blank(self, const Address *address, bytes name, uint64_t *ids, uint64_t *refused)
    cdef bint blank_for(self, int position, object peer, uint64_t *hashed) except? True

cdef Address address_of(str text)
