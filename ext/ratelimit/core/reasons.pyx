"""Why a principal is in its cluster: see the stub for the contract."""

from libc.math cimport exp2, fabs, log
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.core.evidence cimport find_principal, principal_at
from ratelimit.core.judge cimport Judge
from ratelimit.core.profile cimport Fit, habits, rate_of
from ratelimit.core.traits cimport (
    CLIENT, CLIENT_AT, EXTRA_AT, OCTAVE, PAYMENT_AT, TICK_S, Identifier, Principal, count_for,
    is_infrastructure, joined, kind_at, kind_of, resolve, value_of,
)

FAMILIES = ("network", "payment", "client", "behaviour", "extra")

cdef enum:
    NETWORK = 0
    PAYMENTS = 1
    CLIENTS = 2
    BEHAVIOUR = 3
    EXTRAS_FAMILY = 4
    FAMILY_COUNT = 5
    NOBODY = 0xFFFFFFFF


cdef inline int family_at(int slot) noexcept nogil:
    if slot < PAYMENT_AT:
        return NETWORK
    if slot < CLIENT_AT:
        return PAYMENTS
    return CLIENTS if slot < EXTRA_AT else EXTRAS_FAMILY


cdef double weight_of(const Fit *fit, int family, double most) noexcept nogil:
    """Return what a family says; behaviour `most` at most, as in the total."""
    if family == NETWORK:
        return fit.network
    if family == PAYMENTS:
        return fit.payment
    if family == CLIENTS:
        return fit.client
    return min(habits(fit), most) if family == BEHAVIOUR else fit.extra


cdef bint binds_without(Judge judge, Principal *p, const Fit *whole, int family) noexcept nogil:
    """Return whether a member would stay if a family said nothing."""
    cdef Fit fit = whole[0]
    cdef double weight = weight_of(whole, family, 2.0 * judge.settings.behaviour_cap)
    fit.total -= weight
    # The bounds from which a family counts as speaking for a cluster are those of the judge's `fit`.
    fit.families -= weight >= (1.0 if family in (CLIENTS, BEHAVIOUR) else 1.5)
    if family == NETWORK:
        fit.network = 0.0
        fit.networks = 0
    elif family == PAYMENTS:
        fit.payment = 0.0
        fit.owned = 0.0
    elif family == CLIENTS:
        fit.client = 0.0
    elif family == BEHAVIOUR:
        fit.volume = fit.roaming = fit.rhythm = fit.rest = fit.age = fit.length = fit.insistence = 0.0
    else:
        fit.extra = 0.0
    return judge.accepts(p, p.label, &fit, judge.settings.stay)


cdef void count_others(Judge judge, Principal *p, uint32_t *others) noexcept nogil:
    """Count the other members that share something of each family."""
    cdef uint32_t at
    cdef int i, j, family
    cdef Principal *q
    cdef bint shares[FAMILY_COUNT]
    cdef double own = log(rate_of(p, judge.evidence.now_s) + 1.0)
    for family in range(FAMILY_COUNT):
        others[family] = 0
    for at in range(judge.evidence.principal_count):
        q = principal_at(judge.evidence, at)
        if q.label != p.label or q == p:
            continue
        for family in range(FAMILY_COUNT):
            shares[family] = False
        for i in range(judge.evidence.edges):
            if resolve(judge.evidence.identifiers, p.edges[i].ref) == NULL:
                continue
            for j in range(judge.evidence.edges):
                if family_at(j) == family_at(i) and q.edges[j].ref == p.edges[i].ref:
                    shares[family_at(i)] = True
        # Alike in volume: within a factor of two.
        shares[BEHAVIOUR] = fabs(log(rate_of(q, judge.evidence.now_s) + 1.0) - own) <= 0.6931471805599453
        for family in range(FAMILY_COUNT):
            others[family] += shares[family]


def reasons(Judge judge not None, uint64_t key, /):
    cdef uint32_t at = find_principal(judge.evidence, key), label, members, now = judge.evidence.now_s
    cdef uint32_t others[FAMILY_COUNT]
    cdef Principal *p
    cdef Identifier *node
    cdef Fit fit
    cdef int i, family
    cdef int64_t epoch = judge.evidence.epoch_s
    if at == NOBODY:
        return None
    p = principal_at(judge.evidence, at)
    label = p.label
    shared = []
    for i in range(judge.evidence.edges):
        node = resolve(judge.evidence.identifiers, p.edges[i].ref)
        if node == NULL:
            continue
        members = 0
        if kind_of(node) != CLIENT and label:
            members = count_for(node, label)
            members -= members > 0
        shared.append({
            "family": FAMILIES[family_at(i)],
            "kind": kind_at(i),
            "hash": value_of(joined(judge.evidence.values[node - judge.evidence.identifiers].key), kind_of(node)),
            "members": members if kind_of(node) != CLIENT else None,
            "principals": node.degree,
            "weight": judge.evidence.weight(p.edges + i, kind_at(i)),
            "requests": p.edges[i].count,
            "age_s": (now // TICK_S - p.edges[i].seen) % 65536 * TICK_S,
            "infrastructure": bool(is_infrastructure(node)),
        })
    found = {
        "label": label,
        "requests": p.requests,
        "rate": rate_of(p, now),
        "length": exp2(<double>(p.lengths / p.answers - 1) / OCTAVE) - 1.0 if p.answers else None,
        "first_s": p.first_s + epoch,
        "last_s": p.last_s + epoch,
        "shared": shared,
        "families": [],
        "total": 0.0,
        "networks": 0,
    }
    if label:
        judge.fit(p, label, &fit)
        count_others(judge, p, others)
        found["total"] = fit.total
        found["networks"] = fit.networks
        found["families"] = [
            {
                "family": FAMILIES[family],
                "weight": weight_of(&fit, family, 2.0 * judge.settings.behaviour_cap),
                "others": others[family],
                "binds_without": bool(binds_without(judge, p, &fit, family)),
            }
            for family in range(FAMILY_COUNT)
        ]
    return found
