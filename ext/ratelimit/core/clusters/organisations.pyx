"""Declared organisations: see the stub for the contract."""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport keymap_close, keymap_get, keymap_open, keymap_put
from ratelimit.core.clusters.records cimport BLOCK, COARSE, FINE, PAYMENT

cdef enum:
    BY_ACCOUNT = 0
    BY_PAYMENT = 1
    BY_NETWORK = 2

MOST_ORGANISATIONS = 1024


cdef inline uint64_t own_method(uint64_t principal, uint64_t payment) noexcept nogil:
    return (payment ^ (principal * <uint64_t>0x9E3779B97F4A7C15)) | 1


def member_payment(uint64_t principal, uint64_t payment, /):
    return own_method(principal, payment)


@cython.final
cdef class Organisations:
    def __cinit__(self):
        self.membership = NULL

    def __init__(self, organisations, /):
        cdef uint32_t number
        if self.membership != NULL:
            raise ValueError("organisations are set up once")
        listed = [
            (tuple(accounts), tuple(payments), tuple(networks)) for accounts, payments, networks in organisations
        ]
        if len(listed) > MOST_ORGANISATIONS:
            raise ValueError(f"at most {MOST_ORGANISATIONS} organisations, not {len(listed)}")
        self.count = len(listed)
        self.membership = <uint8_t *>PyMem_RawCalloc(self.count + 1, 1)
        if self.membership == NULL:
            raise MemoryError
        keymap_open(&self.accounts, sum(len(accounts) for accounts, _, _ in listed))
        keymap_open(&self.payments, sum(len(payments) + len(networks) for _, payments, networks in listed))
        for number, (accounts, payments, networks) in enumerate(listed, 1):
            self.membership[number] = BY_ACCOUNT if accounts else BY_PAYMENT if payments else BY_NETWORK
            for key in accounts:
                keymap_put(&self.accounts, key, number)
            for key in payments:
                keymap_put(&self.payments, key, number)
            for key in networks:
                keymap_put(&self.payments, <uint64_t>key & ~<uint64_t>1, number)

    def __dealloc__(self):
        PyMem_RawFree(self.membership)
        keymap_close(&self.accounts)
        keymap_close(&self.payments)

    cdef uint32_t at(self, const uint64_t *kinds) noexcept nogil:
        """Return the organisation of the address, the network or the block of a sighting; 0 for none."""
        cdef uint32_t found = keymap_get(&self.payments, kinds[COARSE] & ~<uint64_t>1) if kinds[COARSE] else 0
        if found == 0 and kinds[FINE]:
            found = keymap_get(&self.payments, kinds[FINE] & ~<uint64_t>1)
        if found == 0 and kinds[BLOCK]:
            found = keymap_get(&self.payments, kinds[BLOCK] & ~<uint64_t>1)
        return found

    cdef uint32_t of(self, uint64_t principal, uint64_t payment, uint32_t here) noexcept nogil:
        """Return the organisation that an account is of, by what it is or pays with or where it comes from; 0 for none."""
        cdef uint32_t own = keymap_get(&self.accounts, principal)
        cdef uint32_t paying = keymap_get(&self.payments, payment) if payment else 0
        if own == 0 and paying and self.membership[paying] == BY_PAYMENT:
            own = paying
        if own == 0 and 0 < here <= self.count and self.membership[here] == BY_NETWORK:
            own = here
        return own

    cdef void mask_shared(self, uint64_t principal, uint64_t *kinds, uint32_t here) noexcept nogil:
        """Take out of a member's sighting what its organisation shares.

        `here` is the organisation of the policy's with the network that the request came from, 0 for none.
        """
        if here == 0:
            here = self.at(kinds)
        cdef uint32_t own = self.of(principal, kinds[PAYMENT], here)
        if own == 0:
            return
        if kinds[PAYMENT] and keymap_get(&self.payments, kinds[PAYMENT]) == own:
            # As good as a method of its own: that it pays is evidence still, which others do is not.
            kinds[PAYMENT] = own_method(principal, kinds[PAYMENT])
        if here == own:
            kinds[FINE] = 0
            kinds[COARSE] = 0
            kinds[BLOCK] = 0

    def __reduce__(self):
        raise TypeError("organisations are made from a policy and are not pickled")
