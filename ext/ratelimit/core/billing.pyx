"""What limits count a principal by, and what its cluster owes: see the stub for the contract."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.admission cimport Admission
from ratelimit.core.evidence cimport find_principal, principal_at
from ratelimit.core.fitting cimport NOBODY, SETTLED_S
from ratelimit.core.profile cimport span_of, volume_of
from ratelimit.core.rulings cimport CLEARED, CONFIRMED, UNSAID, Ruling
from ratelimit.core.sighting cimport enter_actor
from ratelimit.core.traits cimport (
    CERTAIN, MOST_FREE, NO_VERDICT, Principal, count_free, free_of, joined, turn_away,
)


cdef inline uint64_t part_identity(uint64_t identity, uint32_t part) noexcept nogil:
    """Return what limits count one part of a cluster by; `correlation.correlator.part_of` is the same."""
    return identity ^ part * <uint64_t>0x9E3779B97F4A7C15


cdef class Billing(Admission):
    def name(self, uint32_t label, uint64_t identity, uint32_t parts):
        """Set what limits count a cluster by, and into how many budgets its members are divided."""
        self.identities[label] = identity
        self.parts[label] = parts

    def cluster(self, row, /):
        """Return what limits count this row's cluster by, -1 without one."""
        cdef uint64_t key, identity
        if self.columns.principal(row, &key) and self.actor_of(key, &identity):
            return identity
        return -1

    def fill(self, list row not None, int at, /):
        """Put a row's actor where limits look for it: see `Watch.fill`."""
        cdef uint64_t key, identity = 0
        cdef uint8_t verdict = NO_VERDICT
        if self.columns.principal(row, &key):
            verdict = self.actor_of(key, &identity)
        enter_actor(row, at, verdict, identity)

    cdef uint8_t actor_of(self, uint64_t key, uint64_t *identity) noexcept nogil:
        """Find what limits count a principal's cluster by; return how sure it is that it belongs there."""
        cdef uint32_t at
        cdef uint8_t verdict
        if self.labels == 0:
            return NO_VERDICT
        at = find_principal(self.evidence, key)
        if at == NOBODY or principal_at(self.evidence, at).label == 0:
            return NO_VERDICT
        verdict = self.verdict(principal_at(self.evidence, at))
        if verdict:
            identity[0] = self.identity(principal_at(self.evidence, at))
        return verdict

    cdef uint8_t verdict(self, Principal *p) noexcept nogil:
        """Return what counts of a principal: what is inferred, unless the operator overrides it."""
        cdef uint8_t said = UNSAID
        cdef Ruling *ruling
        if p.label == 0:
            return NO_VERDICT
        if self.rulings is not None:
            said = self.rulings.decrees[p.label]
            ruling = self.rulings.find(joined(p.key))
            # A named account is what it was named for; the others of its actor are so if they are likely at least.
            if ruling != NULL and ruling.decree:
                return CERTAIN if ruling.decree == CONFIRMED else NO_VERDICT
            if ruling != NULL and ruling.group:
                return NO_VERDICT if self.within_floor(p) else CERTAIN
        if said == CLEARED or self.within_floor(p):
            return NO_VERDICT
        return CERTAIN if said == CONFIRMED and p.verdict else p.verdict

    def cluster_identity(self, uint64_t key):
        """Return what limits count a principal's cluster by, None without one."""
        cdef uint64_t identity
        return identity if self.actor_of(key, &identity) else None

    def verdict_of(self, uint64_t key):
        """Return what counts of a principal: 0 for nothing, 1 for likely, 2 for certain."""
        cdef uint64_t identity
        return self.actor_of(key, &identity)

    cdef bint within_floor(self, Principal *p) noexcept nogil:
        """Whether a principal older than its cluster asks no more than it did before.

        So much it keeps whatever the cluster has used: a victim of poisoning loses nothing.
        """
        if p.first_s + SETTLED_S >= self.profiles[p.label].first_s:
            return False
        # The request about to be decided counts.
        return volume_of(p, self.evidence.now_s) + 1.0 <= p.prior * span_of(p, self.evidence.now_s)

    cdef uint64_t identity(self, Principal *p) noexcept nogil:
        cdef uint64_t identity = self.identities[p.label]
        cdef uint32_t parts = self.parts[p.label]
        return part_identity(identity, <uint32_t>((joined(p.key) >> 20) % parts)) if parts > 1 else identity

    def refuse(self, row, /):
        """Count a refusal of a row's principal, observed before it was decided."""
        cdef uint32_t at = self.position_of(row)
        if at != NOBODY:
            self.turned_away(at)

    def admit(self, row, /):
        """Count a request of a row's principal that limits per cluster had no cluster for."""
        cdef uint32_t at = self.position_of(row)
        if at != NOBODY:
            self.let_in(at)

    cdef uint32_t position_of(self, object row) except? NOBODY:
        cdef uint64_t key
        return find_principal(self.evidence, key) if self.columns.principal(row, &key) else NOBODY

    cdef void turned_away(self, uint32_t at) noexcept nogil:
        """Count a refusal of a principal that was just noted."""
        turn_away(principal_at(self.evidence, at))

    cdef void let_in(self, uint32_t at) noexcept nogil:
        """Count a request of a principal just noted that limits per cluster had no cluster for."""
        count_free(principal_at(self.evidence, at), 1)

    cdef void owe(self, Principal *p) noexcept nogil:
        """Have a member's cluster charged with what it was given while it was in none, as far as that is of late.

        What a principal asked for that is older than its cluster by a day was its own affair.
        """
        if p.first_s + SETTLED_S >= self.profiles[p.label].first_s:
            self.owed[p.label] += min(free_of(p), <uint32_t>(volume_of(p, self.evidence.now_s) + 0.5))
            self.owing = True
        count_free(p, -MOST_FREE)

    def collect(self, uint32_t start, uint32_t stop):
        """Have clusters charged with what their certain members in a range were given before."""
        cdef uint32_t at
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                if free_of(p) and self.verdict(p) == CERTAIN:
                    self.owe(p)

    def inherit(self, Billing other not None):
        """Owe what another owes whose clusters these are, as far as there is room for them."""
        cdef uint32_t label
        for label in range(1, min(other.labels, self.most_clusters) + 1):
            self.owed[label] += other.owed[label]
            self.owing = self.owing or self.owed[label] > 0

    def debts(self):
        """Return what limits count by, and requests to be charged to it, and forget them."""
        cdef uint32_t label, part, parts, first
        cdef list found = []
        for label in range(1, self.labels + 1 if self.owing else 1):
            if self.owed[label] and self.profiles[label].live and self.identities[label]:
                parts = max(1, self.parts[label])
                # In turn: members are spread over the parts evenly, and what is owed is mostly less than one each.
                first, self.turns[label] = self.turns[label], self.turns[label] + self.owed[label] % parts
                for part in range(min(parts, self.owed[label])):
                    found.append((
                        part_identity(self.identities[label], (first + part) % parts),
                        (self.owed[label] + parts - 1 - part) // parts,
                    ))
            self.owed[label] = 0
        self.owing = False
        return found
