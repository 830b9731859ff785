"""The passes of a rebuild, each over a range: see the stub for the contract."""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.math cimport log, sqrt
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.evidence cimport Evidence, find_principal
from ratelimit.core.forest cimport find_root, join_roots
from ratelimit.core.profile cimport (
    CLIENTS, VOLUMES, Background, Fit, Profile, behaviour, clip, noise_of, rate_of, span_of, volume_bin, volume_of,
)
from ratelimit.core.rulings cimport Ruling, Rulings
from ratelimit.core.sighting cimport Columns, Sighting
from ratelimit.core.traits cimport (
    CLIENT, CLIENT_AT, COARSE, EDGES, EXTRA, EXTRA_AT, EXTRAS, FINE, FINE_EDGES, INDEX_BITS, KINDS,
    MOST_DEGREE, PAYMENT, PAYMENT_AT, Edge, Identifier, Principal, count_for, is_infrastructure, kind_at,
    kind_of, ref_of, resolve,
)

cdef enum:
    CANDIDATES = 4
    NOWHERE = -1000
    LEAD = 0x3FFF          # of a place's leads: by how many members its first payment method leads
    MIXED = 0x4000          # members who pay otherwise were seen there as well
    COUNTED = 0x8000
    NOBODY = 0xFFFFFFFF
    YOUNG = 10              # requests
    OWNED = 2               # seven in eight
    ACTIVE_S = 43200        # who was seen in the last half day has a rate
    SETTLED_S = 86400       # a principal so much older than a cluster is not easily drawn in
    MOST_LABELS = 4096


cdef inline bint is_valid(Judge self, Edge *edge, int kind) noexcept nogil:
    # Six half-lives: below two per cent of its weight.
    cdef uint32_t ticks = <uint16_t>(self.evidence.now_s // 600 - edge.seen)
    return ticks < 6 * self.evidence.half_ticks[kind]


cdef inline void cast_vote(Identifier *node, uint32_t label) noexcept nogil:
    """Keep the two labels most principals here have (Misra and Gries, 1982)."""
    if node.label1 == label and node.count1:
        node.count1 += 1
    elif node.label2 == label and node.count2:
        node.count2 += 1
    elif node.count1 == 0:
        node.label1 = label
        node.count1 = 1
    elif node.count2 == 0:
        node.label2 = label
        node.count2 = 1
    else:
        node.count1 -= 1
        node.count2 -= 1


cdef inline void add_member(Identifier *node, uint32_t label, int change) noexcept nogil:
    if node.label1 == label:
        node.count1 = <uint16_t>clip(<int>node.count1 + change, 0, MOST_DEGREE)
    elif node.label2 == label:
        node.count2 = <uint16_t>clip(<int>node.count2 + change, 0, MOST_DEGREE)
    elif change > 0 and node.count1 == 0:
        node.label1 = label
        node.count1 = 1
    elif change > 0 and node.count2 == 0:
        node.label2 = label
        node.count2 = 1


@cython.final
cdef class Judge:
    def __cinit__(self):
        self.profiles = NULL
        self.suspects = NULL
        self.roots = NULL
        self.tops = NULL
        self.held = NULL
        self.agreed = NULL
        self.leads = NULL

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
        if self.profiles == NULL or self.identities == NULL or self.parts == NULL:
            raise MemoryError
        self.columns = columns

    def __dealloc__(self):
        PyMem_RawFree(self.profiles)
        PyMem_RawFree(self.identities)
        PyMem_RawFree(self.parts)
        self.free_scratch()

    cdef void free_scratch(self) noexcept:
        PyMem_RawFree(self.suspects)
        PyMem_RawFree(self.roots)
        PyMem_RawFree(self.tops)
        PyMem_RawFree(self.held)
        PyMem_RawFree(self.agreed)
        PyMem_RawFree(self.leads)
        self.leads = NULL
        self.held = NULL
        self.agreed = NULL
        self.suspects = NULL
        self.roots = NULL
        self.tops = NULL

    # -- observing --------------------------------------------------------------------------------

    def observe(self, row, bint refused, now_ns, /):
        cdef Sighting seen
        if self.columns.read(row, &seen):
            seen.refused = refused
            self.note(&seen, now_ns // 1_000_000_000)

    cdef uint32_t note(self, Sighting *seen, int64_t time_s) noexcept nogil:
        """Take one sighting in, and let a principal join a cluster it now fits; return its position."""
        cdef uint32_t at = 0, label
        cdef Principal *p
        cdef Fit fit
        if self.evidence.take(seen, self.evidence.clamp(time_s), &at) and self.labels and not self.judging:
            p = self.evidence.principals + at
            if p.label == 0:
                label = self.best(p, &fit)
                if label:
                    p.score = <float>fit.total
                    self.join(p, label)
        return at

    cdef void turned_away(self, uint32_t at) noexcept nogil:
        """Count a refusal of a principal that was just noted."""
        cdef Principal *p = self.evidence.principals + at
        if p.refused < 255:
            p.refused += 1

    def refuse(self, row, /):
        """Count a refusal of a row's principal, observed before it was decided."""
        cdef uint64_t key
        cdef uint32_t at
        if self.columns.principal(row, &key):
            at = find_principal(self.evidence, key)
            if at != NOBODY:
                self.turned_away(at)

    def cluster(self, row, /):
        """Return what limits count this row's cluster by, -1 without one."""
        cdef uint64_t key, identity
        if self.columns.principal(row, &key) and self.cluster_of(key, &identity):
            return identity
        return -1

    cdef bint cluster_of(self, uint64_t key, uint64_t *identity) noexcept nogil:
        """Find what limits count a principal's cluster by; False when it has none."""
        cdef uint32_t at
        if self.labels == 0:
            return False
        at = find_principal(self.evidence, key)
        if at == NOBODY or self.evidence.principals[at].label == 0:
            return False
        if self.within_floor(self.evidence.principals + at):
            return False
        identity[0] = self.identity(self.evidence.principals + at)
        return True

    def cluster_identity(self, uint64_t key):
        """Return what limits count a principal's cluster by, None without one."""
        cdef uint64_t identity
        return identity if self.cluster_of(key, &identity) else None

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
        if parts > 1:
            identity ^= ((p.key >> 20) % parts) * <uint64_t>0x9E3779B97F4A7C15
        return identity

    # -- how well a principal fits a cluster ------------------------------------------------------

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
            parent = resolve(ids, node.parent) if value < 0.7 * self.settings.network_each else NULL
            if parent != NULL and not self.is_home(parent, payment):
                value = max(value, min(0.7 * self.settings.network_each, self.rarity(parent, label, own, c, b)))
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
        fit.payment = self.exclusive(p, PAYMENT_AT, CLIENT_AT, PAYMENT, label, own, size, others, self.settings.payment_cap, c, &fit.owned)
        fit.client = self.client_fit(p, label, own, c, b)
        for i in range(EXTRAS):
            value = self.exclusive(p, EXTRA_AT + i, EXTRA_AT + i + 1, EXTRA + i, label, own, size, others, self.settings.extra_cap, NULL, NULL)
            fit.extra = clip(fit.extra + value, -2.0, self.settings.extra_cap)
        at = volume_bin(p, self.evidence.now_s)
        if at >= 0 and c.behaved > 8.0:
            # What is unlike the members says more than what is like them and like many others.
            value = behaviour(c.volumes[at] - own, c.behaved - own, b.volumes[at], b.behaved)
            fit.volume = clip(value, -2.0 * self.settings.behaviour_cap, self.settings.behaviour_cap)
            value = behaviour(c.roamings[p.roaming] - own, c.behaved - own, b.roamings[p.roaming], b.behaved)
            fit.roaming = clip(value, -2.0 * self.settings.behaviour_cap, self.settings.behaviour_cap)
        fit.families = (fit.network >= 1.5) + (fit.payment >= 1.5) + (fit.client >= 1.0) + (fit.extra >= 1.5) + (fit.volume + fit.roaming >= 1.0)
        fit.total = (
            fit.network + fit.payment + fit.client + fit.volume + fit.roaming + fit.extra
            + clip(log(size / others), -self.settings.prior_cap, 0.0)
        )

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
        self, Principal *p, int first, int end, int kind, uint32_t label, double own, double size, double others, double cap, Profile *c, double *owned
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
        cdef double sharing
        if c == NULL or c.paying < 1.0:
            return 0.0
        sharing = c.sharing / c.paying
        if outside + 1.0 >= self.settings.sharing:
            # One of the kind the cluster uses, a tenth of which may not have been met yet.
            return clip(log((0.1 * sharing + 0.002) / (self.background.suspects / (self.background.size + 1.0) + 0.02)), -2.0, 1.0)
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
            outside = <double>node.label1 - (0.0 if p.label else 1.0)
            value = log(
                ((max(0.0, members) + 0.25) / (c.with_client - own + 1.0))
                / ((max(0.0, outside) + 0.5) / (b.with_client + 1.0))
            )
            if value > best:
                best = value
        return clip(best, -3.0, self.settings.client_cap) if best > -9.0 else 0.0

    cdef bint fits(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil:
        self.fit(p, label, fit)
        return self.accepts(p, label, fit, least)

    cdef bint accepts(self, Principal *p, uint32_t label, Fit *fit, double least) noexcept nogil:
        """Return whether a fit, once known, is good enough."""
        cdef Profile *c = self.profiles + label
        if p.label != label and p.first_s + SETTLED_S < c.first_s:
            # It was here long before: it takes more, and networks of its own choosing among it.
            return fit.total >= least + 2.0 and fit.families >= 3 and fit.networks >= 2
        if fit.volume <= -(2.0 * self.settings.unlike if p.label == label else self.settings.unlike):
            return False
        if fit.owned >= OWNED and fit.network >= 0.0 and fit.client > -1.0 and c.sharing >= 0.7 * c.size:
            # Its payment method is the cluster's own, and nothing else speaks against it.
            return fit.total >= min(least, self.settings.paid)
        if c.sharing >= 0.9 * c.size and p.edges[PAYMENT_AT].ref and fit.payment < 0.0:
            # It pays by itself, and this cluster does not.
            return fit.payment > -3.0 and fit.total >= least and fit.client >= 2.0 and fit.networks >= 3
        if c.sharing >= 0.9 * c.size and p.edges[PAYMENT_AT].ref and fit.payment == 0.0:
            # Many pay as it does, and they do not meet the others: it has to do so itself.
            return fit.total >= least and fit.families >= 2 and fit.networks >= 2
        if self.columns.kinds_at[PAYMENT] < 0 and fit.networks < 2:
            # Where nobody pays, and each address is somebody: a network that one client fills.
            return fit.network >= 1.0 and fit.client >= 2.0 and fit.total >= self.settings.paid
        if c.sharing < 0.5 * c.size and fit.client < 1.0:
            # Exits and roaming are shared with whoever else rents them; only the client tells members apart.
            return False
        return fit.total >= least and fit.families >= 2 and <uint32_t>fit.networks >= c.needs

    cdef uint32_t best(self, Principal *p, Fit *fit) noexcept nogil:
        """Return the cluster a principal fits best, 0 for none; only those met at its identifiers are asked."""
        cdef uint32_t candidates[CANDIDATES]
        cdef uint32_t label, chosen = 0
        cdef int i, j, k, count = 0
        cdef Identifier *node
        cdef Fit tried
        cdef double least
        cdef Ruling *ruling = self.rulings.find(p.key) if self.rulings is not None else NULL
        if ruling != NULL and self.ruled(ruling, p, fit, &chosen):
            return chosen
        if p.label:
            candidates[0] = p.label
            count = 1
        for i in range(EDGES):
            if CLIENT_AT <= i < EXTRA_AT:
                continue
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            for k in range(4):
                if k == 2:
                    node = resolve(self.evidence.identifiers, node.parent) if i < FINE_EDGES else NULL
                    if node == NULL:
                        break
                label = node.label1 if k & 1 == 0 else node.label2
                if label == 0 or label > self.labels or not self.profiles[label].live:
                    continue
                if (node.count1 if k & 1 == 0 else node.count2) == 0:
                    continue
                for j in range(count):
                    if candidates[j] == label:
                        break
                else:
                    if count < CANDIDATES:
                        candidates[count] = label
                        count += 1
        fit.total = NOWHERE + 1.0 if count else NOWHERE
        for i in range(count):
            label = candidates[i]
            if self.rulings is not None and self.barred(ruling, p, label):
                continue
            least = self.settings.stay if label == p.label else self.settings.join
            if not self.fits(p, label, &tried, least):
                if p.label and label != p.label and self.judging:
                    self.note_rival(p.label, label, &tried)
            else:
                if p.label and label != p.label and self.judging:
                    self.note_rival(p.label, label, &tried)
                # Who is a member already changes sides only for something clearly better.
                if label == p.label:
                    tried.total += 1.0
                if tried.total > fit.total:
                    fit[0] = tried
                    chosen = label
        return chosen

    cdef bint ruled(self, Ruling *ruling, Principal *p, Fit *fit, uint32_t *label) noexcept nogil:
        """Return whether the operator says where a principal belongs, and where.

        Groups are brought together at the end of a rebuild, with the clusters they are found in.
        """
        label[0] = 0 if ruling.exempt else self.rulings.labels[ruling.group]
        if not ruling.exempt and (self.judging or label[0] == 0 or not self.profiles[label[0]].live or self.barred(ruling, p, label[0])):
            return False
        if label[0]:
            self.fit(p, label[0], fit)
        fit.total = max(fit.total, self.settings.join) if label[0] else NOWHERE
        return True

    cdef bint barred(self, Ruling *ruling, Principal *p, uint32_t label) noexcept nogil:
        """Return whether the operator keeps a principal out of a cluster."""
        cdef uint32_t i, at
        if self.rulings.sealed[label] and p.label != label and (
            ruling == NULL or self.rulings.labels[ruling.group] != label
        ):
            return True
        for i in range(ruling.count if ruling != NULL else 0):
            at = find_principal(self.evidence, self.rulings.apart_keys[ruling.first + i])
            if at != NOBODY and self.evidence.principals[at].label == label:
                return True
        return False

    cdef void note_rival(self, uint32_t own, uint32_t other, Fit *fit) noexcept nogil:
        """Vote for the cluster that a member would fit as well, whoever pays."""
        cdef Profile *c = self.profiles + own
        if fit.network < 3.0 or fit.client < 0.7 or fit.network + fit.client + fit.volume + fit.roaming < 6.0:
            return
        if c.rival == other:
            c.rivals += 1
        elif c.rivals == 0:
            c.rival = other
            c.rivals = 1
        else:
            c.rivals -= 1

    cdef void join(self, Principal *p, uint32_t label) noexcept nogil:
        """Put a principal into a cluster (0: into none) and keep the counts at its identifiers true."""
        cdef Identifier *node
        cdef Identifier *parent
        cdef int i
        cdef uint32_t before = p.label
        cdef uint32_t coarse = 0
        if before == label:
            return
        if before == 0:
            p.prior = <float>rate_of(p, self.evidence.now_s)
        for i in range(EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            if CLIENT_AT <= i < EXTRA_AT:
                if before == 0 and node.label1:
                    node.label1 -= 1
                elif label == 0:
                    node.label1 += 1
                continue
            if before:
                add_member(node, before, -1)
            if label:
                add_member(node, label, 1)
            if i < FINE_EDGES and node.parent and node.parent != coarse:
                coarse = node.parent
                parent = resolve(self.evidence.identifiers, coarse)
                if parent != NULL:
                    if before:
                        add_member(parent, before, -1)
                    if label:
                        add_member(parent, label, 1)
        p.label = <uint16_t>label

    cdef void relabel(self, Principal *p, uint32_t label) noexcept nogil:
        """Change a principal's cluster, and who counts as background; counts of members wait for `recount`."""
        cdef double change
        cdef Background *b = &self.background
        cdef Identifier *node
        cdef bint with_client = False
        cdef int i, at
        if p.label == label:
            return
        if p.label == 0:
            p.prior = <float>rate_of(p, self.evidence.now_s)
        if (p.label == 0) != (label == 0):
            change = 1.0 if label == 0 else -1.0
            b.size += change
            at = volume_bin(p, self.evidence.now_s)
            if at >= 0:
                b.volumes[at] = max(0.0, b.volumes[at] + change)
                b.roamings[p.roaming] = max(0.0, b.roamings[p.roaming] + change)
                b.behaved = max(0.0, b.behaved + change)
            for i in range(EDGES):
                node = resolve(self.evidence.identifiers, p.edges[i].ref)
                if node == NULL:
                    continue
                if kind_at(i) == FINE:
                    b.edges += change
                elif kind_at(i) == CLIENT:
                    with_client = True
                    if change > 0.0 or node.label1:
                        node.label1 += <int>change
            if with_client:
                b.with_client += change
        p.label = <uint16_t>label

    # -- passes -----------------------------------------------------------------------------------

    def begin(self):
        """Start a rebuild: take scratch memory and stop judging newcomers until it ends."""
        cdef uint64_t most = self.evidence.most_identifiers
        self.free_scratch()
        self.suspects = <uint16_t *>PyMem_RawCalloc(self.suspects_bytes(), 1)
        self.roots = <uint32_t *>PyMem_RawCalloc(self.forest_bytes(), 1)
        self.tops = <uint32_t *>PyMem_RawCalloc(most, 4)
        self.held = <uint32_t *>PyMem_RawCalloc(most, 4)
        self.agreed = <float *>PyMem_RawCalloc(most, 4)
        self.leads = <uint16_t *>PyMem_RawCalloc(most, 2)
        if self.agreed == NULL or self.leads == NULL or self.suspects == NULL or self.roots == NULL or self.tops == NULL or self.held == NULL:
            raise MemoryError
        self.judging = True

    def end(self):
        """End a rebuild."""
        self.free_scratch()
        self.judging = False

    def clear(self, uint32_t start, uint32_t stop):
        """Forget the counts of identifiers in a range."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.evidence.identifier_count)):
                node = self.evidence.identifiers + at
                node.degree = 0
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
                self.gather_one(self.evidence.principals + at)

    cdef void gather_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef Identifier *parent
        cdef uint32_t parents[FINE_EDGES]
        cdef int i, j, seen = 0, kind
        cdef bint with_client = False
        cdef Background *b = &self.background
        if p.label == 0:
            b.size += 1.0
            i = volume_bin(p, self.evidence.now_s)
            if i >= 0:
                b.volumes[i] += 1.0
                b.roamings[p.roaming] += 1.0
                b.behaved += 1.0
        for i in range(EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            kind = kind_at(i)
            if node == NULL or not is_valid(self, p.edges + i, kind):
                p.edges[i].ref = 0
                continue
            if node.degree < MOST_DEGREE:
                node.degree += 1
            if kind == CLIENT:
                if p.label == 0:
                    node.label1 += 1
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
                if kind_of(node) != CLIENT:
                    node.label1 = 0
                node.label2 = 0
                node.count1 = 0
                node.count2 = 0

    def vote(self, uint32_t start, uint32_t stop):
        """Let members vote for the two labels of each identifier, again."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].label:
                    self.vote_one(self.evidence.principals + at)

    cdef void vote_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t parents[FINE_EDGES]
        cdef int i, j, seen = 0
        for i in range(EDGES):
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
                if node.count1 == 0 and kind_of(node) != CLIENT:
                    node.label1 = 0
                if node.count2 == 0:
                    node.label2 = 0
                node.count1 = 0
                node.count2 = 0

    def tally(self, uint32_t start, uint32_t stop):
        """Count members exactly at identifiers, and add them to their clusters' profiles."""
        cdef uint32_t at, label
        cdef Profile kept
        if start == 0:
            memset(self.tops, 0, self.used() * 4)
            memset(self.leads, 0, self.used() * 2)
            memset(self.held, 0, self.used() * 4)
            memset(self.agreed, 0, self.used() * 4)
            for label in range(self.most_clusters + 1):
                kept = self.profiles[label]
                memset(self.profiles + label, 0, sizeof(Profile))
                self.profiles[label].live = kept.live
                self.profiles[label].needs = kept.needs
                self.profiles[label].first_s = kept.first_s
                self.profiles[label].support = kept.support
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].label:
                    self.tally_one(self.evidence.principals + at)

    cdef void tally_one(self, Principal *p) noexcept nogil:
        cdef Profile *c = self.profiles + p.label
        cdef Identifier *node
        cdef Identifier *parent
        cdef uint32_t parents[FINE_EDGES]
        cdef int i, j, seen = 0, kind
        cdef bint with_client = False
        c.size += 1.0
        i = volume_bin(p, self.evidence.now_s)
        if i >= 0:
            c.volumes[i] += 1.0
            c.roamings[p.roaming] += 1.0
            c.behaved += 1.0
        for i in range(EDGES):
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

    def share(self, uint32_t start, uint32_t stop):
        """Count whose payment method another member has too; after `tally` is complete."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].label:
                    self.share_one(self.evidence.principals + at)

    cdef void share_one(self, Principal *p) noexcept nogil:
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

    def bridge(self, uint32_t start, uint32_t stop):
        """Find where members who pay differently meet; after `tally` is complete."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].label:
                    self.bridge_one(self.evidence.principals + at)

    cdef void bridge_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t coarse = 0
        cdef uint32_t payment = self.payment_of(p)
        cdef int i
        if payment == 0:
            return
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or is_infrastructure(node):
                continue
            self.weigh(node, payment)
            if node.parent != coarse:
                coarse = node.parent
                node = resolve(self.evidence.identifiers, coarse)
                if node != NULL:
                    self.weigh(node, payment)

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

    cdef void weigh(self, Identifier *node, uint32_t payment) noexcept nogil:
        """Let a payment method vote at a place (Boyer and Moore, 1981), and note if there are several."""
        cdef uint64_t place = node - self.evidence.identifiers
        cdef uint16_t lead = self.leads[place]
        if self.tops[place] == payment:
            if lead & LEAD < LEAD:
                self.leads[place] = lead + 1
        elif self.tops[place] == 0:
            self.tops[place] = payment
            self.leads[place] = 1
        elif lead & LEAD:
            self.leads[place] = (lead - 1) | MIXED
        else:
            self.tops[place] = payment
            self.leads[place] = 1 | MIXED

    cdef bint is_meeting(self, Identifier *node, uint32_t label, int least) noexcept nogil:
        """Whether members who pay differently meet at a place that is largely theirs, and none is at home there.

        Where one payment method has three quarters of the members, the others came to it: an
        office does not meet the campaign because one of that was seen on its address.
        """
        cdef uint64_t place = node - self.evidence.identifiers
        cdef uint32_t members = count_for(node, label)
        cdef double part = self.settings.share if least == 2 else max(0.5, self.settings.share)
        return (
            self.leads[place] & MIXED != 0 and members >= <uint32_t>least and members >= part * node.degree
            and 2 * (self.leads[place] & LEAD) <= members
        )

    def support(self, uint32_t start, uint32_t stop):
        """Count for each payment method how many of its principals' edges lead to meetings; after `bridge`."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].label:
                    self.support_one(self.evidence.principals + at)

    cdef void support_one(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef Identifier *parent
        cdef Identifier *ids = self.evidence.identifiers
        cdef Profile *c = self.profiles + p.label
        cdef uint32_t payment = self.payment_of(p)
        cdef uint64_t place
        cdef uint32_t *held
        cdef int i
        cdef bint meets
        if payment == 0:
            return
        place = resolve(ids, payment) - ids
        held = self.held + place
        self.agreed[place] += <float>self.client_fit(p, p.label, 1.0, c, &self.background)
        if self.leads[place] & COUNTED == 0:
            self.leads[place] |= COUNTED
            c.payments += 1
        for i in range(FINE_EDGES):
            node = resolve(ids, p.edges[i].ref)
            if node == NULL or is_infrastructure(node):
                continue
            parent = resolve(ids, node.parent)
            meets = self.is_meeting(node, p.label, 2) or (parent != NULL and self.is_meeting(parent, p.label, 4))
            if held[0] < <uint32_t>0xFFFE0000:
                held[0] += <uint32_t>(1 << 16) + (1 if meets else 0)
            c.held += 1.0
            if not meets:
                continue
            c.meeting += 1.0
            # An address counts for its network, and that only once.
            place = (parent if parent != NULL else node) - ids
            if self.leads[place] & COUNTED == 0:
                self.leads[place] |= COUNTED
                c.meetings += 1

    cdef bint supported(self, Identifier *payment, uint32_t label, Profile *c) noexcept nogil:
        """Return whether those who pay with this meet members who pay otherwise.

        Twice, and with a good part of their addresses; or once, if they use the members' clients.
        """
        cdef uint64_t place = payment - self.evidence.identifiers
        cdef uint32_t edges, meetings
        if not self.judging:
            return True
        edges = self.held[place] >> 16
        meetings = self.held[place] & 0xFFFF
        if <double>meetings < c.support * edges:
            return False
        return meetings >= 2 or (meetings >= 1 and self.agreed[place] >= 1.2 * count_for(payment, label))

    def assign(self, uint32_t start, uint32_t stop, bint everybody):
        """Put each principal where it fits best; return how many moved.

        Asked for not `everybody`, it looks only at those whom the last time any cluster was near.
        """
        cdef uint32_t at, label, moved = 0
        cdef Principal *p
        cdef Fit fit
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                if not everybody and p.seed == 0:
                    continue
                label = self.best(p, &fit)
                p.seed = fit.total > NOWHERE or p.label != 0
                if label:
                    p.score = <float>fit.total
                    self.note_fit(p, label, &fit)
                if label != p.label:
                    moved += 1
                    self.relabel(p, label)
        return moved

    cdef void note_fit(self, Principal *p, uint32_t label, Fit *fit) noexcept nogil:
        cdef Profile *c = self.profiles + label
        cdef double rate
        c.networks += fit.networks
        c.network_score += fit.network
        c.payment_score += fit.payment
        c.client_score += fit.client
        c.extra_score += fit.extra
        c.roaming += p.roaming >= 2
        if self.evidence.now_s - p.last_s < ACTIVE_S:
            rate = rate_of(p, self.evidence.now_s)
            c.rates += rate
            c.squares += rate * rate
            c.noise += noise_of(p, rate, self.evidence.now_s)
            c.rated += 1.0
            c.counted += volume_of(p, self.evidence.now_s)
            c.moving += p.moves / p.volume if p.volume > 0 else 0.0

    # -- seeds ------------------------------------------------------------------------------------

    def suspect(self, uint32_t start, uint32_t stop, uint32_t least):
        """Mark principals whose payment method `least` or more have; return how many.

        Their number at each address and network is kept for `unite`.
        """
        cdef uint32_t at, marked = 0
        cdef Principal *p
        cdef Identifier *node
        cdef Identifier *parent
        cdef uint32_t coarse
        cdef int i
        if start == 0:
            memset(self.tops, 0, self.used() * 4)
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                p.seed = 0
                for i in range(PAYMENT_AT, CLIENT_AT):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node != NULL and node.degree >= least:
                        p.seed = (p.edges[i].ref & ((1 << INDEX_BITS) - 1))
                if p.seed == 0:
                    continue
                marked += 1
                if p.label == 0:
                    self.background.suspects += 1.0
                coarse = 0
                for i in range(CLIENT_AT, EXTRA_AT):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node != NULL:
                        self.mark(node)
                for i in range(FINE_EDGES):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node == NULL:
                        continue
                    self.mark(node)
                    if node.parent != coarse:
                        coarse = node.parent
                        parent = resolve(self.evidence.identifiers, coarse)
                        if parent != NULL:
                            self.mark(parent)
        return marked

    def roamers(self, uint32_t start, uint32_t stop):
        """Mark principals that roam, and count them at their addresses; before `prune`.

        Not those in a cluster held together by payment methods.
        """
        cdef uint32_t at
        cdef Principal *p
        cdef Profile *c
        if start == 0:
            memset(self.suspects, 0, self.used() * 2)
            memset(self.roots, 0, max(self.used(), <size_t>self.evidence.principal_count) * 4)
            memset(self.tops, 0, self.used() * 4)
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                c = self.profiles + p.label
                p.seed = 0
                if p.roaming >= 2 and p.requests >= 3 and (p.label == 0 or c.sharing < 0.5 * c.size):
                    p.seed = at + 1
                    self.mark_addresses(p)

    def remark(self, uint32_t start, uint32_t stop):
        """Count those still marked anew."""
        cdef uint32_t at
        if start == 0:
            memset(self.suspects, 0, self.used() * 2)
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].seed:
                    self.mark_addresses(self.evidence.principals + at)

    cdef void mark_addresses(self, Principal *p) noexcept nogil:
        cdef Identifier *node
        cdef int i
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node != NULL:
                self.mark(node)

    def prune(self, uint32_t start, uint32_t stop, double share, int least):
        """Unmark who meets others of the marked in fewer than `least` networks; return how many stay."""
        cdef uint32_t at, left = 0
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                if p.seed:
                    if self.meetings_of(p, share) < least:
                        p.seed = 0
                    else:
                        left += 1
        return left

    cdef int meetings_of(self, Principal *p, double share) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t networks[FINE_EDGES]
        cdef uint64_t place
        cdef int i, j, count = 0
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or is_infrastructure(node):
                continue
            place = node - self.evidence.identifiers
            if self.suspects[place] < 2 or self.suspects[place] < share * node.degree:
                continue
            for j in range(count):
                if networks[j] == node.parent:
                    break
            else:
                networks[count] = node.parent
                count += 1
        return count

    cdef size_t used(self) noexcept nogil:
        """Return how much of scratch memory by identifier is in use: only that is ever written."""
        return self.evidence.identifier_count

    cdef size_t forest_bytes(self) noexcept nogil:
        return <size_t>max(self.evidence.most_identifiers, self.evidence.most_principals) * 4

    cdef size_t suspects_bytes(self) noexcept nogil:
        return <size_t>max(self.evidence.most_identifiers, self.evidence.most_principals) * 2

    cdef void mark(self, Identifier *node) noexcept nogil:
        cdef uint64_t at = node - self.evidence.identifiers
        if self.suspects[at] < MOST_DEGREE:
            self.suspects[at] += 1


    def unite(self, uint32_t start, uint32_t stop, double share, bint networks):
        """Join the marked that meet where at least `share` of the principals are marked.

        At addresses, and in `networks` as a whole where half of all are.
        """
        cdef uint32_t at
        cdef Principal *p
        cdef Identifier *node
        cdef int i
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                if p.seed == 0:
                    continue
                for i in range(FINE_EDGES):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node == NULL or is_infrastructure(node):
                        continue
                    self.meet(p, node, share, 2)
                    node = resolve(self.evidence.identifiers, node.parent)
                    if networks and node != NULL:
                        self.meet(p, node, max(share, 0.5), 4)

    cdef void meet(self, Principal *p, Identifier *node, double share, int least) noexcept nogil:
        cdef uint64_t at = node - self.evidence.identifiers
        if self.suspects[at] < least or self.suspects[at] < share * node.degree:
            return
        if self.tops[at] == 0:
            self.tops[at] = p.seed
        else:
            join_roots(self.roots, self.tops[at], p.seed)

    def pairs(self, uint32_t start, uint32_t stop):
        """Return (position, network, client) of principals outside clusters in a range, by their latest edges."""
        cdef uint32_t at
        cdef Principal *p
        cdef Identifier *node
        cdef Identifier *client
        cdef Identifier *ids = self.evidence.identifiers
        found = []
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = self.evidence.principals + at
            p.seed = 0
            node = resolve(ids, p.edges[0].ref)
            client = resolve(ids, p.edges[CLIENT_AT].ref)
            if node == NULL or client == NULL or is_infrastructure(node):
                continue
            node = resolve(ids, node.parent)
            if node != NULL:
                found.append((at, <uint64_t>(node - ids), <uint64_t>(client - ids)))
        return found

    def degree(self, uint32_t at):
        """Return how many principals were seen with the identifier at a position."""
        return self.evidence.identifiers[at].degree if at < self.evidence.identifier_count else 0

    def plant(self):
        """Empty the forest: each mark is a root of its own."""
        memset(self.roots, 0, max(self.used(), <size_t>self.evidence.principal_count) * 4)

    def mark_group(self, positions, uint32_t root):
        """Mark principals as a group by the seed `root`."""
        cdef uint32_t at
        for at in positions:
            if at < self.evidence.principal_count:
                self.evidence.principals[at].seed = root

    def popular(self, uint32_t start, uint32_t stop, double rare):
        """Return clients that many suspects use and few others: [(suspects, position)], after `suspect`.

        Few: less than this part of those whose payment method is not suspicious.
        """
        cdef uint32_t at
        cdef Identifier *node
        cdef double others
        found = []
        for at in range(start, min(stop, self.evidence.identifier_count)):
            node = self.evidence.identifiers + at
            if kind_of(node) == CLIENT and self.suspects[at] >= 5:
                others = <double>node.degree - self.suspects[at]
                if others < rare * (self.background.size - self.background.suspects) + 1.0:
                    found.append((self.suspects[at], at))
        return found

    def mask(self, uint32_t start, uint32_t stop, clients):
        """Note for each payment method which of at most 32 clients its principals use."""
        cdef uint32_t at
        cdef Principal *p
        cdef int i
        cdef uint32_t bit
        if start == 0:
            memset(self.tops, 0, self.used() * 4)
        cdef dict bits = {position: 1 << number for number, position in enumerate(clients)}
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = self.evidence.principals + at
            if p.seed == 0:
                continue
            for i in range(CLIENT_AT, EXTRA_AT):
                if p.edges[i].ref:
                    found = bits.get((p.edges[i].ref & ((1 << INDEX_BITS) - 1)) - 1)
                    if found is not None:
                        bit = found
                        self.tops[p.seed - 1] |= bit

    def masks(self, uint32_t start, uint32_t stop):
        """Return how often each combination of clients occurs among payment methods."""
        cdef uint32_t at
        counts = {}
        for at in range(start, min(stop, self.evidence.identifier_count)):
            if self.tops[at]:
                counts[self.tops[at]] = counts.get(self.tops[at], 0) + 1
        return counts

    def size_trees(self, uint32_t start, uint32_t stop):
        """Count the principals of each tree of the forest, in place of the counts at identifiers."""
        cdef uint32_t at, root
        if start == 0:
            memset(self.suspects, 0, self.suspects_bytes())
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].seed:
                    root = find_root(self.roots, self.evidence.principals[at].seed)
                    if self.suspects[root - 1] < MOST_DEGREE:
                        self.suspects[root - 1] += 1

    def groups(self, uint32_t start, uint32_t stop, uint32_t least, parts, dict found not None, set seen not None):
        """Add the principals in a range to the forest's groups, if their tree has `least`; after `size_trees`.

        A group is {(root, part): [principals, payment methods, {cluster: principals}]}; its part is what
        `parts` has for the payment method's combination of clients, 0 without one. `seen` is scratch.
        """
        cdef uint32_t at, tree
        cdef Principal *p
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = self.evidence.principals + at
            if p.seed:
                tree = find_root(self.roots, p.seed)
                if self.suspects[tree - 1] < least:
                    continue
                root = (tree, parts.get(self.tops[p.seed - 1], 0) if parts else 0)
                entry = found.get(root)
                if entry is None:
                    entry = found[root] = [0, 0, {}]
                entry[0] += 1
                if p.label:
                    entry[2][p.label] = entry[2].get(p.label, 0) + 1
                if p.seed not in seen:
                    seen.add(p.seed)
                    entry[1] += 1

    def adopt(self, uint32_t start, uint32_t stop, dict labels not None, dict parts not None):
        """Give the principals of some groups their provisional clusters."""
        cdef uint32_t at
        cdef Principal *p
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = self.evidence.principals + at
            if p.seed:
                label = labels.get((find_root(self.roots, p.seed), parts.get(self.tops[p.seed - 1], 0) if parts else 0))
                if label is not None:
                    self.relabel(p, label)

    # -- clusters ---------------------------------------------------------------------------------

    def open(self):
        """Return an unused label for a new cluster, 0 when there is none left."""
        cdef uint32_t label
        for label in range(1, self.most_clusters + 1):
            if not self.profiles[label].live:
                memset(self.profiles + label, 0, sizeof(Profile))
                self.profiles[label].live = True
                self.profiles[label].first_s = self.evidence.now_s
                self.labels = max(self.labels, label)
                return label
        return 0

    def close(self, uint32_t label):
        """Give a label up; its principals lose it with `release`."""
        self.profiles[label].live = False

    def release(self, uint32_t start, uint32_t stop):
        """Take the labels of closed clusters from principals."""
        cdef uint32_t at
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                if p.label and not self.profiles[p.label].live:
                    self.relabel(p, 0)

    def name(self, uint32_t label, uint64_t identity, uint32_t parts):
        """Set what limits count a cluster by, and into how many budgets its members are divided."""
        self.identities[label] = identity
        self.parts[label] = parts

    def merge(self, uint32_t start, uint32_t stop, uint32_t label, uint32_t into):
        """Give one cluster's principals to another."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.evidence.principals[at].label == label:
                    self.evidence.principals[at].label = <uint16_t>into

    def rule(self, Rulings rulings):
        """Go by what the operator says of principals, None for nothing."""
        self.rulings = rulings

    def knows(self, uint64_t key):
        """Return whether a principal is remembered."""
        return find_principal(self.evidence, key) != NOBODY

    def place(self, uint64_t key, uint32_t label):
        """Put a principal into a cluster, 0 for none; return whether that is news. Counts wait for `recount`."""
        cdef uint32_t at = find_principal(self.evidence, key)
        if at == NOBODY or self.evidence.principals[at].label == label:
            return False
        self.relabel(self.evidence.principals + at, label)
        return True

    def pare(self, uint32_t start, uint32_t stop, uint32_t label):
        """Take a cluster's label from all who were not ruled into it."""
        cdef uint32_t at
        cdef Principal *p
        cdef Ruling *ruling
        if self.rulings is None:
            raise ValueError("nothing was ruled")
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = self.evidence.principals + at
                if p.label == label:
                    ruling = self.rulings.find(p.key)
                    if ruling == NULL or self.rulings.labels[ruling.group] != label:
                        self.relabel(p, 0)

    def need(self, uint32_t label, uint32_t networks, double support):
        """Set how many independent networks a member must share with the others.

        And what part of the addresses of those who pay alike must be places where others are met.
        """
        self.profiles[label].needs = networks
        self.profiles[label].support = support

    def live(self):
        """Return the labels in use."""
        return [label for label in range(1, self.labels + 1) if self.profiles[label].live]

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

    # -- one principal ----------------------------------------------------------------------------

    def label_of(self, uint64_t key):
        """Return a principal's cluster, 0 for none."""
        cdef uint32_t at = find_principal(self.evidence, key)
        return 0 if at == NOBODY else self.evidence.principals[at].label

    def explain(self, uint64_t key):
        """Return how well a principal fits its cluster, by family; None when it is in none."""
        cdef uint32_t at = find_principal(self.evidence, key)
        cdef Principal *p
        cdef Fit fit
        if at == NOBODY or self.evidence.principals[at].label == 0:
            return None
        p = self.evidence.principals + at
        self.fit(p, p.label, &fit)
        return {
            "label": p.label,
            "network": fit.network,
            "payment": fit.payment,
            "client": fit.client,
            "behaviour": fit.volume + fit.roaming,
            "extra": fit.extra,
            "total": fit.total,
            "networks": fit.networks,
            "requests": p.requests,
            "first_s": p.first_s + self.evidence.epoch_s,
            "last_s": p.last_s + self.evidence.epoch_s,
            "rate_before": p.prior,
        }

    def members(self, uint32_t start, uint32_t stop):
        """Return (cluster, key) of the principals in a range that belong to one."""
        cdef uint32_t at
        return [
            (self.evidence.principals[at].label, self.evidence.principals[at].key)
            for at in range(start, min(stop, self.evidence.principal_count))
            if self.evidence.principals[at].label
        ]


cdef double concentration(Profile *c) noexcept nogil:
    """Return the largest part of the members whose volumes lie within a factor of four of each other."""
    cdef double most = 0.0
    cdef int first
    if c.behaved < 1.0:
        return 0.0
    for first in range(VOLUMES - 3):
        most = max(most, c.volumes[first] + c.volumes[first + 1] + c.volumes[first + 2] + c.volumes[first + 3])
    return most / c.behaved


cdef inline void add_counted(Identifier *node, uint32_t label) noexcept nogil:
    if node.label1 == label:
        if node.count1 < MOST_DEGREE:
            node.count1 += 1
    elif node.label2 == label:
        if node.count2 < MOST_DEGREE:
            node.count2 += 1
