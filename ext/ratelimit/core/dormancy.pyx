"""Who is silent for long: out of the way of rebuilds, and still remembered.

Theory of operation. Those awake come first among the principals, and passes end where they
do. What one who is dormant shared that fades slowly (payment methods, extra families) goes on
being counted for its cluster, by a number at the identifier itself: else a card would be
nobody's as soon as the accounts on it took turns.
"""

from libc.stdint cimport uint32_t

from ratelimit.core.evidence cimport Evidence, principal_at
from ratelimit.core.fitting cimport Fitting
from ratelimit.core.traits cimport KINDS, TICK_S, Principal, joined, put_label


cdef class Dormancy(Fitting):
    def lull(self, uint32_t start, uint32_t stop, uint32_t silent_s):
        """Let principals in a range be dormant that were silent for so long; not those ruled upon."""
        cdef uint32_t at = start
        cdef Principal *p
        cdef Evidence e = self.evidence
        with nogil:
            while at < min(stop, e.awake_count):
                p = principal_at(e, at)
                if e.now_s - p.last_s < silent_s or (self.rulings is not None and self.rulings.find(joined(p.key)) != NULL):
                    at += 1
                else:
                    e.rest(at)  # and look at who took its place

    def sleepers(self, uint32_t start, uint32_t stop, list counts not None):
        """Add to each cluster's count its dormant members in a range, as long as anything of what bound them is left."""
        cdef uint32_t at, kind, longest = 0
        cdef Principal *p
        cdef Evidence e = self.evidence
        for kind in range(KINDS):
            longest = max(longest, 6 * e.half_ticks[kind] * TICK_S)
        for at in range(max(start, e.awake_count), min(stop, e.principal_count)):
            p = principal_at(e, at)
            if p.label and e.now_s - p.last_s < longest:
                counts[p.label] += 1

    def wait(self, uint32_t label, bint waits):
        """Say whether a cluster's members are dormant but for a few, who then stay in it."""
        self.profiles[label].waits = waits

    cdef void move_dormant(self, Principal *p, uint32_t label) noexcept nogil:
        """Change the cluster of one who is dormant."""
        self.evidence.count_asleep(p, -1)
        put_label(p, label)
        self.evidence.count_asleep(p, 1)
