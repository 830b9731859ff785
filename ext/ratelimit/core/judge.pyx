"""Who belongs to which cluster: see the stub for the contract."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.billing cimport Billing
from ratelimit.core.evidence cimport find_principal, principal_at
from ratelimit.core.fitting cimport CANDIDATES, NOWHERE, NOBODY, ACTIVE_S
from ratelimit.core.profile cimport Fit, Profile, clip, habits, noise_of, rate_of, volume_of
from ratelimit.core.rulings cimport Ruling, Rulings
from ratelimit.core.sighting cimport Sighting, level_of
from ratelimit.core.traits cimport (
    CERTAIN, CLIENT_AT, EXTRA_AT, FINE_EDGES, MOST_DEGREE, PAYMENT_AT, Identifier, Principal, count_free, free_of, joined,
    note_answer, put_label, resolve,
)


cdef inline void add_member(Identifier *node, uint32_t label, int change) noexcept nogil:
    if node.label1 == label:
        node.count1 = <uint16_t>clip(<int>node.count1 + change, 0, MOST_DEGREE)
    elif node.label2 == label:
        node.count2 = <uint16_t>clip(<int>node.count2 + change, 0, MOST_DEGREE)
    elif change > 0 and node.count1 == 0:
        node.label1 = <uint16_t>label
        node.count1 = 1
    elif change > 0 and node.count2 == 0:
        node.label2 = <uint16_t>label
        node.count2 = 1


@cython.final
cdef class Judge(Billing):
    def observe(self, row, bint refused, now_ns, /):
        cdef Sighting seen
        if self.columns.read(row, &seen):
            seen.refused = refused
            self.note(&seen, now_ns // 1_000_000_000)

    cdef uint32_t note(self, Sighting *seen, int64_t time_s) noexcept nogil:
        """Take one sighting in, and let a principal join a cluster it now fits; return its position."""
        cdef uint32_t at = 0, label
        cdef bint fresh
        cdef Principal *p
        cdef Identifier *payment
        cdef Fit fit
        if seen.answer:
            self.hear(seen.principal, seen.before, seen.answer)
            return NOBODY
        fresh = self.evidence.take(seen, self.evidence.clamp(time_s), &at)
        p = principal_at(self.evidence, at)
        if fresh and p.label == 0 and self.labels and not self.judging:
            label = self.best(p, &fit)
            if label:
                self.join(p, label)
        if seen.free:
            count_free(p, 1)
        if free_of(p) and not self.judging and self.verdict(p) == CERTAIN:
            self.owe(p)
        if p.requests == 1 and self.judging:
            # It may be where another was that is forgotten now.
            self.near[at] = False
            if self.seeds != NULL:
                self.seeds[at] = 0
        if p.requests == 1 and p.label == 0:
            payment = resolve(self.evidence.identifiers, p.edges[PAYMENT_AT].ref)
            if payment != NULL and payment.degree >= self.settings.sharing:
                self.suspects_met += 1
        return at

    cdef void hear(self, uint64_t key, uint32_t before, uint32_t level) noexcept nogil:
        cdef uint32_t at = find_principal(self.evidence, key)
        # A request comes before its answer: of who is not awake any more there is nothing to be learnt.
        if level and at < self.evidence.awake_count:
            note_answer(principal_at(self.evidence, at), before, level)

    def answer(self, row, length, before=None, /):
        """Note how long the answer to a row's request is, in place of what was said before of the same one."""
        cdef uint64_t key
        if self.columns.principal(row, &key):
            self.hear(key, 0 if before is None else level_of(before), level_of(length))

    cdef uint32_t best(self, Principal *p, Fit *fit) noexcept nogil:
        """Return the cluster a principal fits best, 0 for none; only those met at its identifiers are asked."""
        cdef uint32_t candidates[CANDIDATES]
        cdef uint32_t label, chosen = 0
        cdef int i, j, k, count = 0
        cdef bint fits
        cdef Identifier *node
        cdef Fit tried
        cdef double least
        cdef Ruling *ruling = self.rulings.find(joined(p.key)) if self.rulings is not None else NULL
        if ruling != NULL and self.ruled(ruling, p, fit, &chosen):
            return chosen
        if p.label and self.profiles[p.label].waits:
            self.fit(p, p.label, fit)
            fit.total = max(fit.total, self.settings.stay)
            return p.label
        if p.label:
            candidates[0] = p.label
            count = 1
        for i in range(self.evidence.edges):
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
            fits = self.fits(p, label, &tried, least)
            if p.label and label != p.label and self.judging:
                self.note_rival(p, label, &tried)
            if fits:
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
        if not ruling.exempt and (
            self.judging or label[0] == 0 or not self.profiles[label[0]].live or self.barred(ruling, p, label[0])
        ):
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
            if at != NOBODY and principal_at(self.evidence, at).label == label:
                return True
        return False

    cdef void note_rival(self, Principal *p, uint32_t other, Fit *fit) noexcept nogil:
        """Vote for the cluster that a member would fit as well, whoever pays."""
        cdef Profile *c = self.profiles + p.label
        cdef bint suits = fit.network + fit.client + fit.volume + fit.roaming >= 6.0 and self.has_client_of(p, other)
        if fit.network < 3.0 or fit.client < 0.7 or not suits:
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
        for i in range(self.evidence.edges):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            if CLIENT_AT <= i < EXTRA_AT:
                if before == 0 and node.parent:
                    node.parent -= 1
                elif label == 0:
                    node.parent += 1
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
        put_label(p, label)

    def assign(self, uint32_t start, uint32_t stop, bint everybody):
        """Put each principal where it fits best; return how many moved.

        Asked for not `everybody`, it looks only at those whom the last time any cluster was near.
        """
        cdef uint32_t at, label, moved = 0
        cdef Principal *p
        cdef Fit fit
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                if not everybody and not self.near[at]:
                    continue
                label = self.best(p, &fit)
                self.near[at] = fit.total > NOWHERE or p.label != 0
                if label:
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
        c.rhythm_score += fit.rhythm
        c.roaming += p.roaming >= 2
        if self.evidence.now_s - p.last_s < ACTIVE_S:
            rate = rate_of(p, self.evidence.now_s)
            c.rates += rate
            c.squares += rate * rate
            c.noise += noise_of(p, rate, self.evidence.now_s)
            c.rated += 1.0
            c.counted += volume_of(p, self.evidence.now_s)
            c.moving += p.moves / p.volume if p.volume > 0 else 0.0

    def open(self):
        """Return an unused label for a new cluster, 0 when there is none left."""
        cdef uint32_t label
        for label in range(1, self.most_clusters + 1):
            if not self.profiles[label].live:
                memset(self.profiles + label, 0, sizeof(Profile))
                self.identities[label] = 0
                self.owed[label] = 0
                self.profiles[label].live = True
                self.profiles[label].first_s = self.evidence.now_s
                self.labels = max(self.labels, label)
                return label
        return 0

    def close(self, uint32_t label):
        """Give a label up; its principals lose it with `release`."""
        self.profiles[label].live = False

    def merge(self, uint32_t start, uint32_t stop, uint32_t label, uint32_t into):
        """Give one cluster's principals to another, and what it owes."""
        cdef uint32_t at
        with nogil:
            self.owed[into] += self.owed[label]
            self.owed[label] = 0
            for at in range(start, min(stop, self.evidence.principal_count)):
                if principal_at(self.evidence, at).label != label:
                    continue
                if at < self.evidence.awake_count:
                    principal_at(self.evidence, at).label = <uint16_t>into
                else:
                    self.relabel(principal_at(self.evidence, at), into)

    def rule(self, Rulings rulings):
        """Go by what the operator says of principals, None for nothing."""
        self.rulings = rulings

    def knows(self, uint64_t key):
        """Return whether a principal is remembered."""
        return find_principal(self.evidence, key) != NOBODY

    def place(self, uint64_t key, uint32_t label):
        """Put a principal into a cluster, 0 for none; return whether that is news. Counts wait for `recount`."""
        cdef uint32_t at = find_principal(self.evidence, key)
        if at == NOBODY or principal_at(self.evidence, at).label == label:
            return False
        self.relabel(principal_at(self.evidence, at), label)
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
                p = principal_at(self.evidence, at)
                if p.label == label:
                    ruling = self.rulings.find(joined(p.key))
                    if ruling == NULL or self.rulings.labels[ruling.group] != label:
                        self.relabel(p, 0)

    def need(self, uint32_t label, uint32_t networks, double met, double unmet):
        """Set how many independent networks a member must share with the others.

        And the log-likelihood ratios of an address where others are met, and of one where nobody is.
        """
        self.profiles[label].needs = networks
        self.profiles[label].met = met
        self.profiles[label].unmet = unmet

    def live(self):
        """Return the labels in use."""
        return [label for label in range(1, self.labels + 1) if self.profiles[label].live]

    def deem(self, uint64_t key, uint8_t verdict):
        """Set what is inferred of a principal; return whether it is remembered."""
        cdef uint32_t at = find_principal(self.evidence, key)
        if verdict > CERTAIN:
            raise ValueError(f"a verdict is 0 to {CERTAIN}, not {verdict}")
        if at == NOBODY:
            return False
        principal_at(self.evidence, at).verdict = verdict
        return True

    def created_s(self, uint64_t key):
        """Return when a principal's account was created, 0 for not known."""
        cdef uint32_t at = find_principal(self.evidence, key)
        return 0 if at == NOBODY else principal_at(self.evidence, at).created_s

    def label_of(self, uint64_t key):
        """Return a principal's cluster, 0 for none."""
        cdef uint32_t at = find_principal(self.evidence, key)
        return 0 if at == NOBODY else principal_at(self.evidence, at).label

    def explain(self, uint64_t key):
        """Return how well a principal fits its cluster, by family; None when it is in none."""
        cdef uint32_t at = find_principal(self.evidence, key)
        cdef Principal *p
        cdef Fit fit
        if at == NOBODY or principal_at(self.evidence, at).label == 0:
            return None
        p = principal_at(self.evidence, at)
        self.fit(p, p.label, &fit)
        return {
            "label": p.label,
            "network": fit.network,
            "payment": fit.payment,
            "client": fit.client,
            "behaviour": habits(&fit),
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
            (principal_at(self.evidence, at).label, joined(principal_at(self.evidence, at).key))
            for at in range(start, min(stop, self.evidence.principal_count))
            if principal_at(self.evidence, at).label
        ]
