"""Payment methods that established accounts pay with: see the stub for the contract.

Theory of operation. What vouches is an edge, so this needs no memory that snapshots and hosts would
have to carry: it is found anew after each rebuild. An account vouches for one payment method, the
one it was seen with last. Else a single old account would make any number of cards old.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.index cimport Index, after, home_of, position_in, tag_of
from ratelimit.core.clusters.records cimport (
    CLIENT_AT, PAYMENT, PAYMENT_AT, TICK_S, Identifier, Principal, identifier_key, joined, kind_of, resolve,
)

cdef extern from "ratelimit/core/threads/handover.h":
    pass


def forget(Evidence evidence not None, uint32_t start, uint32_t stop, /):
    cdef uint32_t at
    with nogil:
        for at in range(start, min(stop, evidence.identifier_count)):
            if kind_of(evidence.identifiers + at) == PAYMENT:
                evidence.values[at].payers[0] = 0


def vouch(Evidence evidence not None, int64_t new_s, uint32_t start, uint32_t stop, /):
    cdef uint32_t at
    cdef uint16_t silent, least
    cdef int i
    cdef int64_t now_s = evidence.epoch_s + evidence.now_s
    cdef Principal *p
    cdef Identifier *node
    cdef Identifier *latest
    with nogil:
        for at in range(start, min(stop, evidence.principal_count)):
            p = principal_at(evidence, at)
            if p.created_s == 0:
                continue
            latest = NULL
            least = 0xFFFF
            for i in range(PAYMENT_AT, CLIENT_AT):
                node = resolve(evidence.identifiers, p.edges[i].ref)
                # Since the account was seen last: while it is dormant, its edges' ticks may go round.
                silent = <uint16_t>(p.last_s // TICK_S - p.edges[i].seen)
                if node != NULL and kind_of(node) == PAYMENT and (latest == NULL or silent < least):
                    latest = node
                    least = silent
            if latest != NULL:
                evidence.values[latest - evidence.identifiers].payers[0] |= (
                    BY_OLD if now_s - <int64_t>p.created_s >= new_s else BY_NEW
                )


cdef bint is_vouched(Evidence evidence, uint64_t payment) noexcept nogil:
    """Return whether an established account pays with a payment method, as `vouch` found."""
    cdef uint64_t own = identifier_key(payment, PAYMENT)
    cdef Index *index = &evidence.identifier_index
    cdef uint32_t at = home_of(index, own), tag = tag_of(index, own), position
    while index.slots[at]:
        if index.slots[at] >> index.bits == tag >> index.bits:
            position = position_in(index, index.slots[at])
            if joined(evidence.values[position].key) == own:
                return evidence.values[position].payers[0] & BY_OLD != 0
        at = after(index, at)
    return False
