"""A sighting, the part of a request that the correlator sees: see the stub for the contract."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.clusters.organisations cimport Organisations
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.clusters.records cimport BLOCK, COARSE, EXTRA, EXTRAS, FINE, KINDS, PAYMENT

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)


MOST_PUBLIC_LISTS = MOST_PUBLIC


cdef inline uint32_t organisation_of(uint64_t origin) noexcept nogil:
    """Return the number of the organisation whose network a request comes from, 0 for none: see `identity.origins`."""
    return <uint32_t>min(origin >> ORGANISATION_AT, <uint64_t>0xFFFF)


cdef inline uint32_t instant_of(uint64_t seconds) noexcept nogil:
    """Return what a row says of an account's age, 0 for what is no instant of 32 bits."""
    return <uint32_t>seconds if seconds <= <uint64_t>0xFFFFFFFF else 0


cdef int enter_actor(list row, int at, uint8_t verdict, uint64_t identity, bint tells_young) except -1:
    """Write an actor into a row; `at` is the last of its four places."""
    cdef uint64_t ids[PLACES]
    cdef int i
    if not PLACES - 1 <= at < len(row):
        raise IndexError(f"an actor has {PLACES} places in a row")
    stamp_actor(ids, PLACES - 1, verdict, identity, tells_young)
    for i in range(PLACES):
        row[at - PLACES + 1 + i] = -1 if ids[i] == ABSENT_HASH else ids[i]
    return 0


@cython.final
cdef class Columns:
    def __init__(self, principal, kinds, int created_at=-1, costly=(), *, bint named=False):
        cdef int i
        if not 1 <= len(principal) <= 4 or len(kinds) != KINDS or min(principal) < 0:
            raise ValueError(f"a principal is 1 to 4 positions, and there are {KINDS} kinds")
        if not all(0 <= family < EXTRAS for family in costly):
            raise ValueError(f"there are {EXTRAS} further families, counted from 0")
        self.costly = tuple(costly)
        self.principal_parts = len(principal)
        if created_at < -1:
            raise ValueError("a position counts from 0; -1 is for none")
        self.origin_at = -1
        self.created_at = created_at
        self.highest = max(*principal, *kinds, created_at)
        for i in range(self.principal_parts):
            self.principal_at[i] = principal[i]
        self.requires_names = named and (created_at >= 0 or kinds[PAYMENT] >= 0 or len(self.costly) > 0)
        for i in range(EXTRAS):
            self.is_costly[i] = i in self.costly
        for i in range(KINDS):
            self.kinds_at[i] = kinds[i]

    @property
    def has_payment(self):
        return self.kinds_at[PAYMENT] >= 0

    @property
    def extras(self):
        cdef int i, count = 0
        for i in range(EXTRAS):
            if self.kinds_at[EXTRA + i] >= 0:
                count = i + 1
        return count

    cdef int principal(self, object row, uint64_t *key) except -1:
        """Read a row's principal; 0 when it has none."""
        cdef object fast = PySequence_Fast(row, "identities are a sequence of integers")
        cdef PyObject **items = PySequence_Fast_ITEMS(fast)
        cdef uint64_t value
        cdef int i
        if PySequence_Fast_GET_SIZE(fast) <= self.highest:
            raise ValueError(f"the correlator looks at identity {self.highest}")
        key[0] = 0
        for i in range(self.principal_parts):
            if read_number(<object>items[self.principal_at[i]], &value) != WHOLE:
                return 0
            key[0] = (key[0] * <uint64_t>0x9E3779B97F4A7C15) ^ value
        return key[0] != 0

    cdef int read(self, object row, Sighting *seen) except -1:
        """Fill a sighting from a row; 0 when it has no principal, or one that the application does not know."""
        cdef object fast
        cdef PyObject **items
        cdef uint64_t value
        cdef int i
        seen.free = False
        if not self.principal(row, &seen.principal):
            return 0
        fast = PySequence_Fast(row, "identities are a sequence of integers")
        items = PySequence_Fast_ITEMS(fast)
        for i in range(KINDS):
            seen.kinds[i] = 0
            if self.kinds_at[i] >= 0 and read_number(<object>items[self.kinds_at[i]], &value) == WHOLE:
                seen.kinds[i] = value
        seen.created_s = 0
        if self.created_at >= 0 and read_number(<object>items[self.created_at], &value) == WHOLE:
            seen.created_s = instant_of(value)
        if not self.is_named(seen):
            return 0
        value = 0
        if self.origin_at >= 0 and read_number(<object>items[self.origin_at], &value) != WHOLE:
            value = 0
        self.apply_declared(seen, value)
        return 1

    cdef bint is_named(self, const Sighting *seen) noexcept nogil:
        """Return whether the application knows the account: it says when it was created, or what it pays with.

        Where limits run before keys are checked, a client may send any number that nobody issued.
        """
        cdef int i
        if not self.requires_names or seen.created_s or seen.kinds[PAYMENT]:
            return True
        for i in range(EXTRAS):
            if self.is_costly[i] and seen.kinds[EXTRA + i]:
                return True
        return False

    cdef bint take(self, const uint64_t *hashes, Sighting *seen) noexcept nogil:
        """Fill a sighting from hashes by position; False as above."""
        cdef int i
        seen.free = False
        seen.principal = 0
        for i in range(self.principal_parts):
            if hashes[self.principal_at[i]] == ABSENT_HASH:
                return False
            seen.principal = (seen.principal * <uint64_t>0x9E3779B97F4A7C15) ^ hashes[self.principal_at[i]]
        for i in range(KINDS):
            seen.kinds[i] = hashes[self.kinds_at[i]] if self.kinds_at[i] >= 0 else 0
            if seen.kinds[i] == ABSENT_HASH:
                seen.kinds[i] = 0
        seen.created_s = instant_of(hashes[self.created_at]) if self.created_at >= 0 else 0
        if seen.principal == 0 or not self.is_named(seen):
            return False
        self.apply_declared(seen, hashes[self.origin_at] if self.origin_at >= 0 else 0)
        return True

    cdef void apply_declared(self, Sighting *seen, uint64_t origin) noexcept nogil:
        """Apply what is declared of where a request came from: see `declare`."""
        if origin == ABSENT_HASH:
            origin = 0
        cdef uint64_t listed = origin >> LISTED_AT & MOST_PUBLIC
        if seen.kinds[FINE]:
            # One bit of 64 makes no difference to a hash, and goes wherever sightings go.
            seen.kinds[FINE] = (seen.kinds[FINE] & ~<uint64_t>1) | (origin & 1)
        if seen.kinds[COARSE]:
            # All of a public list is one network, and one block: who rents there is dealt any part of it.
            seen.kinds[COARSE] = listed << 1 | 1 if listed else seen.kinds[COARSE] & ~<uint64_t>1
            if listed and seen.kinds[BLOCK]:
                seen.kinds[BLOCK] = listed << 1 | 1
        if self.organisations is not None:
            self.organisations.mask_shared(seen.principal, seen.kinds, organisation_of(origin))

    def declare(self, int origin_at, Organisations organisations=None):
        if origin_at < -1:
            raise ValueError("a position counts from 0; -1 is for none")
        self.origin_at = origin_at
        self.organisations = organisations
        self.highest = max(self.highest, origin_at)

    cdef uint64_t payment_in(self, object row) except? 0:
        """Return what a row paid with, ABSENT_HASH for nothing."""
        cdef uint64_t value
        if self.kinds_at[PAYMENT] < 0 or read_number(row[self.kinds_at[PAYMENT]], &value) != WHOLE:
            return ABSENT_HASH
        return value

    def key_of(self, row, /):
        cdef uint64_t key
        return key if self.principal(row, &key) else None
