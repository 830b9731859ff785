"""Old evidence that a new declaration makes void: see the stub for the contract."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.keymap cimport KeyMap, keymap_close, keymap_get, keymap_open, keymap_put
from ratelimit.core.clusters.organisations cimport Organisations
from ratelimit.core.clusters.records cimport (
    CLIENT_AT, PAYMENT, PAYMENT_AT, Identifier, Principal, identifier_key, joined, ref_of, resolve,
)


def split_shared_methods(Evidence evidence not None, Organisations organisations not None, uint32_t start, uint32_t stop, /):
    cdef KeyMap owners
    cdef uint32_t at, at_own, owner, struck = 0, i
    cdef uint64_t kinds[8]
    cdef Principal *p
    cdef Identifier *node
    cdef KeyMap *payments = &organisations.payments
    memset(&owners, 0, sizeof(KeyMap))
    keymap_open(&owners, payments.mask // 2 + 1)
    try:
        for i in range(payments.mask + 1):
            if payments.values[i]:
                keymap_put(&owners, identifier_key(payments.keys[i], PAYMENT), i + 1)
        for at in range(start, min(stop, evidence.principal_count)):
            p = principal_at(evidence, at)
            for i in range(PAYMENT_AT, CLIENT_AT):
                node = resolve(evidence.identifiers, p.edges[i].ref)
                owner = keymap_get(&owners, joined(evidence.values[node - evidence.identifiers].key)) if node != NULL else 0
                if owner:
                    memset(kinds, 0, sizeof(kinds))
                    kinds[PAYMENT] = payments.keys[owner - 1]
                    organisations.mask_shared(joined(p.key), kinds, 0)
                    if kinds[PAYMENT] != payments.keys[owner - 1]:
                        at_own = evidence.identifier(kinds[PAYMENT], PAYMENT, evidence.now_s)
                        p.edges[i].ref = ref_of(evidence.identifiers, at_own)
                        struck += 1
    finally:
        keymap_close(&owners)
    return struck
