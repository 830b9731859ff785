"""Counting: who is where, whose members, and what clusters look like as a whole; each pass over a range."""

from libc.math cimport sqrt
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memset

from ratelimit.core.dormancy cimport Dormancy
from ratelimit.core.evidence cimport principal_at
from ratelimit.core.fitting cimport is_valid
from ratelimit.core.profile cimport (
    CLIENTS, Background, Profile, age_bin, concentration, count_manners, rate_of, rest_bin, rhythm_bin, volume_bin,
)
from ratelimit.core.traits cimport (
    CLIENT, CLIENT_AT, FINE, FINE_EDGES, MOST_DEGREE, PAYMENT_AT, Identifier, Principal, asleep_at, asleep_of,
    put_label,
    count_for, kind_at, kind_of, look_ahead, resolve,
)


cdef inline void cast_vote(Identifier *node, uint32_t label) noexcept nogil:
    """Keep the two labels most principals here have (Misra and Gries, 1982)."""
    if node.label1 == label and node.count1:
        node.count1 += 1
    elif node.label2 == label and node.count2:
        node.count2 += 1
    elif node.count1 == 0:
        node.label1 = <uint16_t>label
        node.count1 = 1
    elif node.count2 == 0:
        node.label2 = <uint16_t>label
        node.count2 = 1
    else:
        node.count1 -= 1
        node.count2 -= 1


cdef inline void add_counted(Identifier *node, uint32_t label) noexcept nogil:
    if node.label1 == label:
        if node.count1 < MOST_DEGREE:
            node.count1 += 1
    elif node.label2 == label:
        if node.count2 < MOST_DEGREE:
            node.count2 += 1


cdef class Census(Dormancy):
    def begin(self):
        """Start a rebuild: take scratch memory and stop judging newcomers until it ends."""
        self.free_scratch()
        self.take_scratch()
        self.judging = True

    def end(self):
        """End a rebuild."""
        self.free_scratch()
        self.judging = False

    cdef inline void look(self, uint32_t at) noexcept nogil:
        if at < self.evidence.awake_count:
            look_ahead(self.evidence.identifiers, principal_at(self.evidence, at), self.evidence.edges)

    cdef void relabel(self, Principal *p, uint32_t label) noexcept nogil:
        """Change a principal's cluster, and who counts as background; counts of members wait for `recount`."""
        cdef double change
        cdef Background *b = &self.background
        cdef Identifier *node
        cdef bint with_client = False
        cdef int i, at
        if p.label == label:
            return
        if p >= principal_at(self.evidence, self.evidence.awake_count):
            self.move_dormant(p, label)
            return
        if p.label == 0:
            p.prior = <float>rate_of(p, self.evidence.now_s)
        if (p.label == 0) != (label == 0):
            change = 1.0 if label == 0 else -1.0
            b.size += change
            at = age_bin(p, self.evidence.now_s)
            b.ages[at] = max(0.0, b.ages[at] + change)
            at = volume_bin(p, self.evidence.now_s)
            if at >= 0:
                b.volumes[at] = max(0.0, b.volumes[at] + change)
                b.roamings[p.roaming] = max(0.0, b.roamings[p.roaming] + change)
                b.behaved = max(0.0, b.behaved + change)
            at = rhythm_bin(p)
            if at >= 0:
                b.rhythms[at] = max(0.0, b.rhythms[at] + change)
            at = rest_bin(p, self.evidence.now_s)
            if at >= 0:
                b.rests[at] = max(0.0, b.rests[at] + change)
                b.rested = max(0.0, b.rested + change)
            count_manners(&b.manners, p, change)
            for i in range(self.evidence.edges):
                node = resolve(self.evidence.identifiers, p.edges[i].ref)
                if node == NULL:
                    continue
                if kind_at(i) == FINE:
                    b.edges += change
                elif kind_at(i) == CLIENT:
                    with_client = True
                    if change > 0.0 or node.parent:
                        node.parent += <int>change
            if with_client:
                b.with_client += change
        put_label(p, label)

    def clear(self, uint32_t start, uint32_t stop):
        """Forget the counts of identifiers in a range."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.evidence.identifier_count)):
                node = self.evidence.identifiers + at
                node.degree = asleep_at(node)
                if kind_of(node) == CLIENT:
                    node.parent = 0
                node.label1 = 0
                node.label2 = 0
                node.count1 = 0
                node.count2 = 0

    def gather(self, uint32_t start, uint32_t stop):
        """Count principals at identifiers, and those outside clusters as background; drop edges too old."""
        cdef uint32_t at
        if start == 0:
            memset(&self.background, 0, sizeof(Background))
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                self.look(at + 2)
                self.gather_one(principal_at(self.evidence, at))

    cdef void gather_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef Identifier *parent
        cdef uint32_t parents[FINE_EDGES]
        cdef int i, j, seen = 0, kind
        cdef bint with_client = False
        cdef Background *b = &self.background
        if p.label == 0:
            b.size += 1.0
            b.ages[age_bin(p, self.evidence.now_s)] += 1.0
            i = volume_bin(p, self.evidence.now_s)
            if i >= 0:
                b.volumes[i] += 1.0
                b.roamings[p.roaming] += 1.0
                b.behaved += 1.0
            i = rhythm_bin(p)
            if i >= 0:
                b.rhythms[i] += 1.0
            i = rest_bin(p, self.evidence.now_s)
            if i >= 0:
                b.rests[i] += 1.0
                b.rested += 1.0
            count_manners(&b.manners, p, 1.0)
        for i in range(self.evidence.edges):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            kind = kind_at(i)
            if node == NULL or not is_valid(self, p.edges + i, kind):
                p.edges[i].ref = 0
                continue
            if node.degree < MOST_DEGREE:
                node.degree += 1
            if kind == CLIENT:
                if p.label == 0:
                    node.parent += 1
                    with_client = True
                continue
            if kind == FINE and p.label == 0:
                b.edges += 1.0
            if kind != FINE or node.parent == 0:
                continue
            for j in range(seen):
                if parents[j] == node.parent:
                    break
            else:
                parents[seen] = node.parent
                seen += 1
                parent = resolve(self.evidence.identifiers, node.parent)
                if parent != NULL:
                    if parent.degree < MOST_DEGREE:
                        parent.degree += 1
        if with_client:
            b.with_client += 1.0

    def recount(self, uint32_t start, uint32_t stop):
        """Forget whose members identifiers in a range have, and keep how many principals there are."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.evidence.identifier_count)):
                node = self.evidence.identifiers + at
                node.count1 = asleep_at(node)
                node.label1 = <uint16_t>asleep_of(node)
                node.label2 = 0
                node.count2 = 0

    def vote(self, uint32_t start, uint32_t stop):
        """Let members vote for the two labels of each identifier, again."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if principal_at(self.evidence, at).label:
                    self.look(at + 2)
                    self.vote_one(principal_at(self.evidence, at))

    cdef void vote_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t parents[FINE_EDGES]
        cdef int i, j, seen = 0
        for i in range(self.evidence.edges):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or kind_at(i) == CLIENT:
                continue
            cast_vote(node, p.label)
            if kind_at(i) != FINE or node.parent == 0:
                continue
            for j in range(seen):
                if parents[j] == node.parent:
                    break
            else:
                parents[seen] = node.parent
                seen += 1
                node = resolve(self.evidence.identifiers, node.parent)
                if node != NULL:
                    cast_vote(node, p.label)

    def settle(self, uint32_t start, uint32_t stop):
        """Keep the labels that won at identifiers in a range, and count anew."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.evidence.identifier_count)):
                node = self.evidence.identifiers + at
                if node.count1 == 0:
                    node.label1 = 0
                if node.count2 == 0:
                    node.label2 = 0
                node.count1 = asleep_at(node) if asleep_of(node) == node.label1 else 0
                node.count2 = asleep_at(node) if asleep_of(node) == node.label2 else 0

    def tally(self, uint32_t start, uint32_t stop):
        """Count members exactly at identifiers, and add them to their clusters' profiles."""
        cdef uint32_t at, label
        cdef Profile kept
        if start == 0:
            self.begin_counting()
            for label in range(self.most_clusters + 1):
                kept = self.profiles[label]
                memset(self.profiles + label, 0, sizeof(Profile))
                self.profiles[label].live = kept.live
                self.profiles[label].waits = kept.waits
                self.profiles[label].needs = kept.needs
                self.profiles[label].first_s = kept.first_s
                self.profiles[label].met = kept.met
                self.profiles[label].unmet = kept.unmet
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if principal_at(self.evidence, at).label:
                    self.look(at + 2)
                    self.tally_one(principal_at(self.evidence, at))

    cdef void tally_one(self, Principal *p) noexcept nogil:
        cdef Profile *c = self.profiles + p.label
        cdef Identifier *node
        cdef Identifier *parent
        cdef uint32_t parents[FINE_EDGES]
        cdef int i, j, seen = 0, kind
        cdef bint with_client = False
        c.size += 1.0
        c.ages[age_bin(p, self.evidence.now_s)] += 1.0
        i = volume_bin(p, self.evidence.now_s)
        if i >= 0:
            c.volumes[i] += 1.0
            c.roamings[p.roaming] += 1.0
            c.behaved += 1.0
        i = rhythm_bin(p)
        if i >= 0:
            c.rhythms[i] += 1.0
        i = rest_bin(p, self.evidence.now_s)
        if i >= 0:
            c.rests[i] += 1.0
            c.rested += 1.0
        count_manners(&c.manners, p, 1.0)
        for i in range(self.evidence.edges):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            kind = kind_at(i)
            if kind == CLIENT:
                with_client = True
                self.count_client(c, p.edges[i].ref)
                continue
            add_counted(node, p.label)
            if kind != FINE:
                continue
            c.edges += 1.0
            for j in range(seen):
                if parents[j] == node.parent:
                    break
            else:
                parents[seen] = node.parent
                seen += 1
                parent = resolve(self.evidence.identifiers, node.parent)
                if parent != NULL:
                    add_counted(parent, p.label)
        if with_client:
            c.with_client += 1.0

    cdef void count_client(self, Profile *c, uint32_t ref) noexcept nogil:
        cdef int i, least = 0
        for i in range(CLIENTS):
            if c.clients[i] == ref:
                c.client_counts[i] += 1.0
                return
            if c.client_counts[i] < c.client_counts[least]:
                least = i
        if c.client_counts[least] == 0.0:
            c.clients[least] = ref
            c.client_counts[least] = 1.0
        else:
            # The rarest makes room and is worn down first (space saving would flatter newcomers).
            c.client_counts[least] -= 0.5
            if c.client_counts[least] <= 0.0:
                c.clients[least] = ref
                c.client_counts[least] = 1.0

    cdef void share_one(self, Principal *p) noexcept nogil:
        """Count whether a member's payment method another member has too; after `tally` is complete."""
        cdef Profile *c = self.profiles + p.label
        cdef Identifier *node
        cdef int i
        cdef bint paying = False, sharing = False
        for i in range(PAYMENT_AT, CLIENT_AT):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node != NULL:
                paying = True
                sharing |= count_for(node, p.label) > 1
        c.paying += paying
        c.sharing += sharing

    def release(self, uint32_t start, uint32_t stop):
        """Take the labels of closed clusters from principals."""
        cdef uint32_t at
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                if p.label and not self.profiles[p.label].live:
                    self.relabel(p, 0)

    def profile(self, uint32_t label):
        """Return what is known of a cluster as a whole."""
        if not 1 <= label <= self.most_clusters:
            raise IndexError(f"no cluster {label}")
        cdef Profile *c = self.profiles + label
        cdef double size = max(c.size, 1.0)
        cdef double rated = max(c.rated, 1.0)
        cdef double mean = c.rates / rated
        cdef double spread = c.squares / rated - mean * mean - c.noise / rated
        return {
            "size": int(c.size),
            "edges": c.edges,
            "paying": c.paying,
            "sharing": c.sharing,
            "networks": c.networks / size,
            "network": c.network_score / size,
            "payment": c.payment_score / size,
            "client": c.client_score / size,
            "extra": c.extra_score / size,
            "rhythm": c.rhythm_score / size,
            "paid": c.paying / size,
            "rate": mean,
            "rated": c.rated,
            "volume": c.counted / rated,
            "evenness": sqrt(max(spread, 0.0)) / mean if mean > 0 else 9.0,
            "moving": c.moving / rated,
            "payments": c.payments,
            "meetings": c.meetings,
            "roaming": c.roaming / size,
            "concentration": concentration(c),
            "met": c.meeting / c.held if c.held else 0.0,
            "rival": c.rival if c.rivals else 0,
            "rivals": c.rivals,
            "requests": c.rates,
            "first_s": c.first_s + self.evidence.epoch_s,
        }

    @property
    def outside(self):
        """What is known of principals outside clusters."""
        return {"size": self.background.size, "edges": self.background.edges}
