from libc.stdint cimport int64_t, uint8_t, uint64_t

from ratelimit.core.request.address cimport Address, Declared
from ratelimit.core.request.grammar cimport FAULT
from ratelimit.core.memory.hashing cimport Hasher
from ratelimit.core.request.networks cimport Networks

cdef enum:
    MOST_POSITIONS = 64
    LONGEST = 100            # characters of a peer

cdef struct Blank:
    # What stands at a position that no header speaks for. It is a hash of the client's network
    # where `kind` is not negative and the client is known, else `otherwise`.
    int64_t kind
    int v4
    int v6
    uint64_t otherwise
    int64_t malformed    # in place of `kind` for a malformed value where `otherwise` is absent; -1: refused
    bint is_refused      # nothing stands in, and the policy insists

cdef class Translations:
    cdef Declared declared

cdef struct Found:
    # What the headers say, a bit for each place.
    uint64_t filled
    uint64_t malformed   # a value without a canonical form, or two of them
    bint is_forwarded    # a header that proxies send

cdef class Scanner:
    cdef Hasher hasher
    cdef dict wanted
    cdef uint64_t guarded    # bit n: of a malformed value at place n it has to be known that it was one
    cdef uint64_t lengths    # bit n: a wanted name has n bytes; 63: so many or more
    cdef Py_ssize_t longest
    cdef Blank blanks[MOST_POSITIONS]
    cdef readonly int size   # positions of an identity list
    cdef bint needs_peer
    cdef bint has_missed        # a peer that it needs: said once
    cdef bint reads_peer     # some identity may be the peer's address; of others one that is malformed may
    cdef object diagnose
    cdef Translations translations
    cdef Networks listed     # says of addresses which list they are on; None: no list names any
    cdef Networks origins    # says from which declared network they are; None: none is declared
    cdef int origin_at       # where that is asked for

    cdef uint64_t identify(self, object headers, object peer, uint64_t *ids, uint64_t *refused) except? 1
    cdef int gather(self, object headers, uint64_t *ids, Found *told) except -1
    cdef Py_ssize_t form_of(self, object value, int form, const uint8_t **at) except FAULT
    cdef void look_up(self, const Address *address, const Address *written, uint64_t *ids) noexcept nogil
    cdef uint64_t declared_at(self, int position, const Address *address, const Address *written) noexcept nogil
    cdef void read_peer(self, Address *address, Address *written) noexcept nogil
    cdef uint64_t leave_blank(self, const Address *address, bytes name, uint64_t *ids, uint64_t filled)
    cdef bint stand_in(self, int position, const Address *address, bytes name, uint64_t *hashed)
    cdef bint blank_at(self, int position, const Address *address, uint64_t *hashed)
    cdef bint blank_for(self, int position, object peer, uint64_t *hashed) except? True
    cdef int look_up_for(self, object peer, uint64_t *ids) except -1

cdef Address address_of(str text)
# The list of identities that hashes make, with what stands for those absent and refused.
cdef list listed(uint64_t *ids, uint64_t refused, int size)
