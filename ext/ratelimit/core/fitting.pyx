"""How well a principal fits a cluster: see the stub of `judge` for the contract, `profile.pxd` for the method."""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport log
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.evidence cimport Evidence
from ratelimit.core.profile cimport (
    CLIENTS, NEARBY, SPEAKS, Background, Fit, Profile, age_bin, behaviour, clip, habits, insistence_bin, length_bin,
    rest_bin, rhythm_bin, volume_bin,
)
from ratelimit.core.sighting cimport Columns
from ratelimit.core.traits cimport (
    CLIENT_AT, EXTRA, EXTRA_AT, FINE, FINE_EDGES, PAYMENT, PAYMENT_AT, UNMET, Identifier, Principal,
    asleep_at, asleep_of, count_for, is_infrastructure, resolve,
)

# How much clients and behaviour of those on a payment method can say in the mean.
cdef double MOST_AGREED = 4.0
# Part of a cluster that uses a client, for it to be what another cluster's members have in common with it.
cdef double RIVALS_CLIENT = 0.03
# And what it can say at least that nobody was met at their addresses.
cdef double LEAST_MET = -2.0


cdef class Fitting:
    def __cinit__(self):
        self.profiles = NULL
        self.suspects = NULL
        self.tops = NULL
        self.heard = NULL
        self.near = NULL

    def __init__(self, Evidence evidence not None, Columns columns not None, *, uint32_t clusters, settings):
        if self.profiles != NULL:
            raise ValueError("a Judge is set up once")
        if not 1 <= clusters <= MOST_LABELS:
            raise ValueError(f"there is room for 1 to {MOST_LABELS} clusters, not {clusters}")
        self.evidence = evidence
        self.most_clusters = clusters
        self.settings = settings
        self.profiles = <Profile *>PyMem_RawCalloc(clusters + 1, sizeof(Profile))
        self.identities = <uint64_t *>PyMem_RawCalloc(clusters + 1, 8)
        self.parts = <uint32_t *>PyMem_RawCalloc(clusters + 1, 4)
        self.owed = <uint32_t *>PyMem_RawCalloc(clusters + 1, 4)
        self.turns = <uint32_t *>PyMem_RawCalloc(clusters + 1, 4)
        if self.profiles == NULL or self.identities == NULL or self.parts == NULL:
            raise MemoryError
        if self.owed == NULL or self.turns == NULL:
            raise MemoryError
        self.columns = columns

    def __dealloc__(self):
        PyMem_RawFree(self.profiles)
        PyMem_RawFree(self.identities)
        PyMem_RawFree(self.parts)
        PyMem_RawFree(self.owed)
        PyMem_RawFree(self.turns)
        self.free_scratch()

    cdef int take_scratch(self) except -1:
        cdef size_t principals = self.evidence.most_principals
        self.suspects = <uint16_t *>PyMem_RawCalloc(
            max(<size_t>self.evidence.most_identifiers, principals), sizeof(uint16_t)
        )
        self.tops = <uint32_t *>PyMem_RawCalloc(self.evidence.most_identifiers, sizeof(uint32_t))
        self.heard = <Heard *>PyMem_RawCalloc(principals, sizeof(Heard))
        self.near = <uint8_t *>PyMem_RawCalloc(principals, 1)
        if self.suspects == NULL or self.tops == NULL or self.heard == NULL or self.near == NULL:
            raise MemoryError
        self.leads = self.suspects
        self.seeds = <uint32_t *>self.heard
        self.roots = self.seeds + principals
        self.numbered = 0
        return 0

    cdef void free_scratch(self) noexcept:
        PyMem_RawFree(self.suspects)
        PyMem_RawFree(self.tops)
        PyMem_RawFree(self.heard)
        PyMem_RawFree(self.near)
        self.suspects = NULL
        self.tops = NULL
        self.seeds = NULL
        self.roots = NULL
        self.leads = NULL
        self.heard = NULL
        self.near = NULL

    cdef size_t used(self) noexcept nogil:
        """Return how much of scratch memory by identifier is in use: only that is ever written."""
        return self.evidence.identifier_count

    cdef size_t nodes(self) noexcept nogil:
        """Return how much is in use of what is by seed as well: principals are seeds, too."""
        return max(<size_t>self.evidence.identifier_count, <size_t>self.evidence.principal_count)

    cdef void begin_counting(self) noexcept nogil:
        """Empty scratch memory for counting; what was said of seeds is gone."""
        self.seeds = NULL
        self.roots = NULL
        self.numbered = 0
        memset(self.tops, 0, self.used() * sizeof(uint32_t))
        memset(self.leads, 0, self.nodes() * sizeof(uint16_t))
        memset(self.heard, 0, self.evidence.most_principals * sizeof(Heard))

    cdef uint32_t number_of(self, uint64_t place) noexcept nogil:
        """Return the number of the payment method at a place, a new one if it has none; 0 if there is no room."""
        # A place that was given away during a rebuild has something else: what is no number is none.
        if self.tops[place] == 0 or self.tops[place] > self.numbered:
            if self.numbered == self.evidence.most_principals:
                return 0
            self.numbered += 1
            self.tops[place] = self.numbered
        return self.tops[place]

    cdef void fit(self, Principal *p, uint32_t label, Fit *fit) noexcept nogil:
        cdef Profile *c = self.profiles + label
        cdef Background *b = &self.background
        cdef Identifier *ids = self.evidence.identifiers
        cdef uint32_t parents[FINE_EDGES]
        cdef double best[FINE_EDGES]
        cdef double weight, value, own = 1.0 if p.label == label else 0.0
        cdef double size = c.size - own + 0.5, others = b.size + 1.0
        cdef Identifier *node
        cdef Identifier *parent
        cdef int i, j, seen = 0, at
        cdef uint32_t payment = self.payment_of(p) if self.judging and own > 0 else 0
        memset(fit, 0, sizeof(Fit))
        for i in range(FINE_EDGES):
            node = resolve(ids, p.edges[i].ref)
            if node == NULL:
                continue
            weight = self.evidence.weight(p.edges + i, FINE)
            if weight < 0.02:
                continue
            value = self.rarity(node, label, own, c, b) if not self.is_home(node, payment) else 0.0
            parent = resolve(ids, node.parent) if value < NEARBY * self.settings.network_each else NULL
            if parent != NULL and not self.is_home(parent, payment):
                value = max(value, min(NEARBY * self.settings.network_each, self.rarity(parent, label, own, c, b)))
            value = clip(value, -1.0, self.settings.network_each) * (weight if value > 0 else 1.0)
            if value > 0 and is_infrastructure(node):
                value *= self.settings.infrastructure
            at = seen
            for j in range(seen):
                if node.parent and parents[j] == node.parent:
                    at = j
                    break
            if at == seen:
                parents[seen] = node.parent
                best[seen] = value
                seen += 1
            elif value > best[at]:
                best[at] = value
        for i in range(seen):
            fit.network += best[i]
            if best[i] >= 0.8:
                fit.networks += 1
        fit.network = clip(fit.network, -4.0, self.settings.network_cap)
        fit.payment = self.exclusive(
            p, PAYMENT_AT, CLIENT_AT, PAYMENT, label, own, size, others, self.settings.payment_cap, c, &fit.owned
        )
        fit.client = self.client_fit(p, label, own, c, b)
        for i in range(self.evidence.edges - EXTRA_AT):
            at = EXTRA_AT + i
            value = self.exclusive(
                p, at, at + 1, EXTRA + i, label, own, size, others, self.settings.extra_cap, NULL, NULL
            )
            fit.extra = clip(fit.extra + value, -2.0, self.settings.extra_cap)
        self.behave(p, label, own, fit)
        fit.families = (
            (fit.network >= SPEAKS) + (fit.payment >= SPEAKS) + (fit.client >= 1.0) + (fit.extra >= SPEAKS)
            + (habits(fit) >= 1.0)
        )
        fit.total = (
            fit.network + fit.payment + fit.client + fit.extra
            + min(habits(fit), 2.0 * self.settings.behaviour_cap)
            + clip(log(size / others), -self.settings.prior_cap, 0.0)
        )

    cdef void behave(self, Principal *p, uint32_t label, double own, Fit *fit) noexcept nogil:
        """Fill in how alike a principal's behaviour is to the members': what is unlike says more than what is like."""
        cdef Profile *c = self.profiles + label
        cdef Background *b = &self.background
        cdef double value, cap = self.settings.behaviour_cap
        cdef int at = volume_bin(p, self.evidence.now_s)
        if at >= 0 and c.behaved > 8.0:
            value = behaviour(c.volumes[at] - own, c.behaved - own, b.volumes[at], b.behaved)
            fit.volume = clip(value, -2.0 * cap, cap)
            value = behaviour(c.roamings[p.roaming] - own, c.behaved - own, b.roamings[p.roaming], b.behaved)
            fit.roaming = clip(value, -2.0 * cap, cap)
        at = rhythm_bin(p)
        if at >= 0 and c.size > 8.0:
            # Of all, also of those too new to have one: among newcomers it is strange to have been here for long.
            value = behaviour(c.rhythms[at] - own, c.size - own, b.rhythms[at], b.size)
            fit.rhythm = clip(value, -2.0 * cap, cap)
        at = rest_bin(p, self.evidence.now_s)
        if at >= 0 and c.rested > 8.0:
            value = behaviour(c.rests[at] - own, c.rested - own, b.rests[at], b.rested)
            fit.rest = clip(value, -cap, cap)
        if c.size > 8.0:
            at = age_bin(p, self.evidence.now_s)
            value = behaviour(c.ages[at] - own, c.size - own, b.ages[at], b.size)
            fit.age = clip(value, -2.0 * cap, cap)
            if p.first_s > c.first_s and fit.payment < SPEAKS:
                # Whoever comes later is younger, the members to come as well. But who pays as members do
                # and is new to them may be whom the payment method was stolen from.
                fit.age = max(0.0, fit.age)
        self.mind(p, c, own, fit)

    cdef void mind(self, Principal *p, Profile *c, double own, Fit *fit) noexcept nogil:
        """Fill in how alike a principal's answers are to the members', and what it does when it gets none."""
        cdef Background *b = &self.background
        cdef double value, cap = self.settings.length_cap
        cdef int at = length_bin(p)
        if at >= 0 and c.manners.answered > 8.0:
            value = behaviour(
                c.manners.lengths[at] - own, c.manners.answered - own, b.manners.lengths[at], b.manners.answered
            )
            fit.length = clip(value, -2.0 * cap, cap)
        at = insistence_bin(p)
        cap = self.settings.insistence_cap
        if at >= 0 and c.manners.refused > 8.0:
            value = behaviour(
                c.manners.insistences[at] - own, c.manners.refused - own,
                b.manners.insistences[at], b.manners.refused,
            )
            fit.insistence = clip(value, -cap, cap)

    cdef double rarity(self, Identifier *node, uint32_t label, double own, Profile *c, Background *b) noexcept nogil:
        """Return the log-likelihood ratio of one address or network."""
        cdef double members = count_for(node, label)
        cdef double outside
        outside = <double>node.degree - node.count1 - node.count2
        if own > 0:
            members = max(0.0, members - 1.0)
        else:
            outside -= 1.0
        outside = max(outside, 0.0)
        if members == 0.0:
            return 0.0 if outside < 2.0 else -0.5
        return log((members / (c.edges + 1.0)) / ((outside + 0.5) / (b.edges + 1.0)))

    cdef double exclusive(
        self, Principal *p, int first, int end, int kind, uint32_t label, double own, double size, double others,
        double cap, Profile *c, double *owned
    ) noexcept nogil:
        """Return the best log-likelihood ratio of a value that few should share."""
        cdef Identifier *node
        cdef double members, outside, value, best = -9.0
        cdef int i
        cdef bint any = False
        for i in range(first, end):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or not is_valid(self, p.edges + i, kind):
                continue
            any = True
            members = count_for(node, label)
            outside = <double>node.degree - node.count1 - node.count2 - (0.0 if own > 0 else 1.0)
            if own > 0:
                members = max(0.0, members - 1.0)
            if c != NULL and members + own >= self.settings.sharing and not self.supported(node, label, c):
                best = max(best, 0.0)
                continue
            outside = max(outside, 0.0)
            if members == 0.0:
                value = self.unmet(p, c, outside)
            else:
                value = log(((members + 0.3) / size) / ((outside + 0.3) / others)) * self.evidence.weight(p.edges + i, kind)
            if value > best:
                best = value
                if owned != NULL:
                    owned[0] = log((members + 0.3) / (outside + 0.3))
        return clip(best, -5.5, cap) if any else 0.0

    cdef double unmet(self, Principal *p, Profile *c, double outside) noexcept nogil:
        """Return what a payment method says that no member has."""
        cdef double sharing, usual
        if c == NULL or c.paying < 1.0:
            return 0.0
        sharing = c.sharing / c.paying
        if outside + 1.0 >= self.settings.sharing:
            # One of the kind the cluster uses, a tenth of which may not have been met yet.
            usual = self.background.suspects / (self.background.size + 1.0)
            return clip(log((0.1 * sharing + 0.002) / (usual + 0.02)), -2.0, 1.0)
        if p.requests < YOUNG and self.evidence.now_s - p.first_s < SETTLED_S:
            # Somebody has to be the first to use a new one.
            return log(max(0.15, 1.005 - sharing))
        return log(1.005 - sharing)

    cdef double client_fit(self, Principal *p, uint32_t label, double own, Profile *c, Background *b) noexcept nogil:
        cdef Identifier *node
        cdef double members, outside, value, best = -9.0
        cdef int i, j
        if c.with_client < 2.0:
            return 0.0
        for i in range(CLIENT_AT, EXTRA_AT):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            members = 0.0
            for j in range(CLIENTS):
                if c.clients[j] == p.edges[i].ref:
                    members = c.client_counts[j] - own
                    break
            outside = <double>node.parent - (0.0 if p.label else 1.0)
            value = log(
                ((max(0.0, members) + 0.25) / (c.with_client - own + 1.0))
                / ((max(0.0, outside) + 0.5) / (b.with_client + 1.0))
            )
            if value > best:
                best = value
        return clip(best, -3.0, self.settings.client_cap) if best > -9.0 else 0.0

    cdef bint has_client_of(self, Principal *p, uint32_t label) noexcept nogil:
        """Whether a principal uses a client that a good part of a cluster does, not only one of a few strays."""
        cdef Profile *c = self.profiles + label
        cdef int i, j
        for i in range(CLIENT_AT, EXTRA_AT):
            for j in range(CLIENTS):
                if p.edges[i].ref and c.clients[j] == p.edges[i].ref and c.client_counts[j] >= RIVALS_CLIENT * c.size:
                    return True
        return False

    cdef uint32_t payment_of(self, Principal *p) noexcept nogil:
        """Return the payment method that several members of a member's cluster have, 0 without one."""
        cdef Identifier *node
        cdef uint32_t payment = 0
        cdef int i
        for i in range(PAYMENT_AT, CLIENT_AT):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node != NULL and count_for(node, p.label) >= <uint32_t>self.settings.sharing:
                payment = p.edges[i].ref
        return payment

    cdef bint is_home(self, Identifier *node, uint32_t payment) noexcept nogil:
        """Whether those who pay with this are three quarters of the members seen at a place.

        That colleagues are there as well says nothing of the rest of the cluster.
        """
        cdef uint64_t place = node - self.evidence.identifiers
        return (
            payment != 0 and self.tops[place] == payment
            and 2 * (self.leads[place] & LEAD) > <int>node.count1 + node.count2 and node.count1 > 1
        )

    cdef bint supported(self, Identifier *payment, uint32_t label, Profile *c) noexcept nogil:
        """Return whether those who pay with this are the cluster's, as far as can be told of all of them together.

        They meet members who pay otherwise, use the members' clients, and behave as members do.
        """
        cdef uint64_t place = payment - self.evidence.identifiers
        cdef uint32_t edges = 0, meetings = 0, number
        cdef double agreed = 0.0, members
        members = <double>count_for(payment, label) - (asleep_at(payment) if asleep_of(payment) == label else 0)
        if not self.judging or members < 1.0:
            # Between rebuilds, and where all who pay so are dormant, it is as it was found last.
            return payment.meta & UNMET == 0
        number = self.tops[place]
        if 1 <= number <= self.numbered:
            edges = self.heard[number - 1].held >> 16
            meetings = self.heard[number - 1].held & 0xFFFF
            agreed = clip(self.heard[number - 1].agreed / members, -MOST_AGREED, MOST_AGREED)
        # Addresses of one principal are not independent: they say little by being many.
        if agreed + clip(meetings * c.met + (edges - meetings) * c.unmet, LEAST_MET, MOST_AGREED) >= self.settings.support:
            payment.meta &= ~<uint16_t>UNMET
            return True
        payment.meta |= UNMET
        return False
