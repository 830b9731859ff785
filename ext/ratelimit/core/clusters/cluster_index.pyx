"""Assignments of accounts to clusters, and their cost: see the stub for the contract.

In one file, since only what is here changes an account's label and verdict.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.clusters.evidence cimport Evidence, find_principal, principal_at
from ratelimit.core.clusters.overrides cimport CLEARED, CONFIRMED, NOT_SET, Override, Overrides
from ratelimit.core.clusters.sighting cimport Columns, Sighting, enter_actor
from ratelimit.core.clusters.records cimport (
    BUDGET_BITS, CERTAIN, CLIENT_AT, EXTRA_AT, FINE_EDGES, HOMED, LIKELY, MOST_DEGREE, MOST_FREE, NEW, NO_VERDICT, OLD, PAYMENT,
    PAYMENT_AT, POOLED, ROAMED, Identifier, Principal, Value, ages_of, budget_of, count_free, free_of, is_budget, joined,
    kind_at, kind_of, look_ahead, resolve, volume_of, whole_of, YOUNG_BIT,
)

# What limits count one of a young cluster's budgets by has this bit, and its number in these.
YOUNG = YOUNG_BIT
BUDGET = BUDGET_BITS


def cluster_of(uint64_t identity, /):
    return whole_of(identity, CERTAIN)


@cython.final
cdef class ClusterIndex:
    def __cinit__(
        self, Evidence evidence not None, Columns columns not None, *, uint32_t clusters, uint32_t new_s, uint32_t records_s,
        uint32_t young_s=0, uint32_t methods_a_budget=1,
    ):
        if not 1 <= clusters <= MOST_LABELS:
            raise ValueError(f"there are 1 to {MOST_LABELS} clusters")
        self.evidence = evidence
        self.columns = columns
        self.most_clusters = clusters
        self.new_s = new_s
        if methods_a_budget < 1:
            raise ValueError("a budget is for one payment method or more")
        self.records_s = records_s
        evidence.new_s, evidence.records_s = new_s, records_s  # what is evicted testifies by its age
        self.young_s = young_s
        self.methods_a_budget = methods_a_budget
        self.clusters = <Cluster *>PyMem_RawCalloc(clusters + 1, sizeof(Cluster))
        if self.clusters == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_RawFree(self.clusters)

    # -- requests ---------------------------------------------------------------------------------

    def observe(self, row, now_ns, /):
        """Take one request in that is to be decided now; its principal may join a cluster it now fits."""
        cdef Sighting seen
        if self.columns.read(row, &seen):
            self.note(&seen, now_ns // 1_000_000_000)

    cdef uint32_t note(self, Sighting *seen, int64_t time_s) noexcept nogil:
        """Take one sighting in, and let a principal join a cluster it now fits; return its position."""
        cdef uint32_t at = 0, label = 0
        cdef uint8_t verdict = NO_VERDICT
        cdef bint fresh = self.evidence.take(seen, self.evidence.clamp(time_s), &at)
        cdef Principal *p = principal_at(self.evidence, at)
        if fresh and (p.label == 0 or p.verdict == LIKELY) and self.labels and not self.is_rebuilding:
            if not self.find_override(p, &label, &verdict):
                label = self.match_cluster(p, &verdict)
            # A member may turn out to be more sure, of the same cluster, between rebuilds; never less.
            if label and verdict > p.verdict and p.label in (0, label):
                self.assign_at(p, label, verdict)
        if seen.free:
            count_free(p, 1)
        if free_of(p) and not self.is_rebuilding and self.verdict(p) == CERTAIN:
            self.owe(p)
        return at

    cdef uint32_t match_cluster(self, Principal *p, uint8_t *verdict) noexcept nogil:
        """Return the one cluster with a newcomer's payment method and exits; 0 for none.

        An account that has a home, or is known to be old, waits for the next rebuild. As in a rebuild,
        one is certain that is known to be new, on a method of mostly new accounts. It has to be at an
        exit where the cluster's accounts meet, or at several in networks of its own.
        """
        cdef Identifier *node
        cdef Identifier *coarse
        cdef uint8_t age = ages_of(p, self.evidence.epoch_s, self.evidence.now_s, self.new_s, self.records_s)
        cdef bint is_new = age == NEW
        cdef uint32_t label = 0
        cdef int i, known = 0, near = 0, foreign = 0
        if p.traits & HOMED or age == OLD:
            return 0
        for i in range(PAYMENT_AT, self.evidence.edges):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node != NULL and not CLIENT_AT <= i < EXTRA_AT and self.clusters[self.valid_label(node.label)].live:
                label = node.label
                is_new = age == NEW and node.mine >= node.others
        if label == 0:
            return 0
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL:
                continue
            coarse = resolve(self.evidence.identifiers, node.parent)
            if node.label == label and node.meta & POOLED:
                known += 1
            elif node.label == label or coarse != NULL and coarse.label == label:
                near += 1
            elif node.degree > 1:
                foreign += 1
        if known + near < max(1, foreign):
            return 0
        verdict[0] = self.clusters[label].verdict
        if not is_new or known == 0 and near < ROAMED:
            verdict[0] = min(verdict[0], <uint8_t>LIKELY)
        return label

    cdef uint32_t valid_label(self, uint32_t label) noexcept nogil:
        """Return a label of a cluster that there may be, 0 for none."""
        return label if label <= self.labels else 0

    cdef bint find_override(self, Principal *p, uint32_t *label, uint8_t *verdict) noexcept nogil:
        """Return whether the operator assigned a principal, and where to.

        Groups are brought together at the end of a rebuild, with the clusters they are found in.
        """
        cdef Override *override = self.overrides.find(joined(p.key)) if self.overrides is not None else NULL
        label[0] = 0
        verdict[0] = NO_VERDICT
        if override == NULL:
            return False
        if override.exempt:
            return True
        label[0] = self.valid_label(self.overrides.labels[override.group])
        if label[0] == 0 or not self.clusters[label[0]].live or self.is_excluded(override, p, label[0]):
            label[0] = 0
            return False
        verdict[0] = CERTAIN
        return True

    cdef bint is_excluded(self, Override *override, Principal *p, uint32_t label) noexcept nogil:
        """Return whether the operator keeps a principal out of a cluster."""
        cdef uint32_t i, at
        if self.overrides is None:
            return False
        if self.overrides.declared_only[label] and p.label != label and (
            override == NULL or self.overrides.labels[override.group] != label
        ):
            return True
        for i in range(override.count if override != NULL else 0):
            at = find_principal(self.evidence, self.overrides.apart_keys[override.first + i])
            if at != NOBODY and principal_at(self.evidence, at).label == label:
                return True
        return False

    cdef void assign_at(self, Principal *p, uint32_t label, uint8_t verdict) noexcept nogil:
        """Put a principal into a cluster, 0 for none, unless the operator says otherwise."""
        cdef Override *override
        if label and self.overrides is not None:
            override = self.overrides.find(joined(p.key))
            if override != NULL and override.exempt or self.is_excluded(override, p, label):
                label = 0
        p.label = <uint16_t>label
        p.verdict = verdict if label else <uint8_t>NO_VERDICT

    # -- clusters ---------------------------------------------------------------------------------

    def begin(self):
        """Stop assigning newcomers: a rebuild is under way."""
        self.is_rebuilding = True

    def end(self):
        """Go on assigning newcomers."""
        self.is_rebuilding = False

    def open_label(self):
        """Return an unused label for a new cluster, 0 when there is none left."""
        cdef uint32_t label
        for label in range(1, self.most_clusters + 1):
            if not self.clusters[label].live:
                memset(self.clusters + label, 0, sizeof(Cluster))
                self.clusters[label].live = True
                self.clusters[label].first_s = self.evidence.now_s
                self.labels = max(self.labels, label)
                return label
        return 0

    def close_label(self, uint32_t label):
        """Give a label up; its principals lose it with `release`."""
        self.check(label)
        self.clusters[label].live = False

    cdef int check(self, uint32_t label) except -1:
        if not 1 <= label <= self.most_clusters:
            raise IndexError(f"no cluster {label}")
        return 0

    def name(self, uint32_t label, uint64_t identity):
        """Set what limits count a cluster by."""
        self.check(label)
        self.clusters[label].identity = identity

    def set_verdict(self, uint32_t label, uint8_t verdict):
        """Set the verdict on newcomers that fit a cluster."""
        self.check(label)
        self.clusters[label].verdict = verdict

    def become_certain(self, uint32_t label, bint is_new):
        """Note that a cluster is certain, and whether all of its accounts are new; later calls change nothing."""
        self.check(label)
        if self.clusters[label].certain_s == 0:
            self.clusters[label].certain_s = max(1, self.evidence.now_s)
            self.clusters[label].was_new = is_new

    def young_until_s(self, uint32_t label):
        """Return until when a cluster is young, in seconds since the Unix epoch; 0 if it is not."""
        self.check(label)
        if not self.columns.tells_young or not self.is_young(label):
            return 0
        return self.evidence.epoch_s + self.clusters[label].certain_s + self.young_s

    cdef bint is_young(self, uint32_t label) noexcept nogil:
        """Return whether a cluster has its first days, with more budgets than one."""
        cdef Cluster *cluster = self.clusters + label
        if not cluster.was_new or self.evidence.now_s >= <uint64_t>cluster.certain_s + self.young_s:
            return False
        return self.overrides is None or self.overrides.by_label[label] != CONFIRMED

    def live(self):
        """Return the labels in use."""
        return [label for label in range(1, self.labels + 1) if self.clusters[label].live]

    def first_s(self, uint32_t label):
        """Return when a cluster was opened, seconds since the Unix epoch."""
        self.check(label)
        return self.clusters[label].first_s + self.evidence.epoch_s

    def size(self, uint32_t label):
        """Return how many members a cluster has, as last counted; the dormant are members too."""
        self.check(label)
        return self.clusters[label].members

    def count(self, uint32_t start, uint32_t stop):
        """Count the members of clusters among the principals in a range, the dormant too."""
        cdef uint32_t at
        if start == 0:
            for at in range(self.labels + 1):
                self.clusters[at].members = 0
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                self.clusters[principal_at(self.evidence, at).label].members += 1

    def release(self, uint32_t start, uint32_t stop):
        """Take the labels of closed clusters from the principals in a range."""
        cdef uint32_t at
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                if p.label and not self.clusters[p.label].live:
                    p.label = 0
                    p.verdict = NO_VERDICT

    def release_identifiers(self, uint32_t start, uint32_t stop):
        """Forget of the identifiers in a range that they were closed clusters'."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.evidence.identifier_count)):
                node = self.evidence.identifiers + at
                if node.label and not self.clusters[self.valid_label(node.label)].live:
                    node.label = 0

    def merge(self, uint32_t start, uint32_t stop, uint32_t label, uint32_t into):
        """Give one cluster's principals to another, and what it owes."""
        cdef uint32_t at
        self.check(label)
        self.check(into)
        with nogil:
            self.clusters[into].owed += self.clusters[label].owed
            self.clusters[label].owed = 0
            for at in range(start, min(stop, self.evidence.principal_count)):
                if principal_at(self.evidence, at).label == label:
                    principal_at(self.evidence, at).label = <uint16_t>into

    def clear(self, uint32_t start, uint32_t stop):
        """Forget how many principals the identifiers in a range have, and labels of clusters that are no more."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.evidence.identifier_count)):
                node = self.evidence.identifiers + at
                node.degree = 0
                if node.label and not self.clusters[self.valid_label(node.label)].live:
                    node.label = 0

    def gather(self, uint32_t start, uint32_t stop):
        """Count principals in a range at their identifiers; drop edges too old."""
        cdef uint32_t at
        cdef int i
        cdef Principal *p
        cdef Identifier *node
        cdef Evidence e = self.evidence
        with nogil:
            for at in range(start, min(stop, e.awake_count)):
                if at + 2 < e.awake_count:
                    look_ahead(e.identifiers, principal_at(e, at + 2), e.edges)
                p = principal_at(e, at)
                for i in range(e.edges):
                    node = resolve(e.identifiers, p.edges[i].ref)
                    if node == NULL or <uint16_t>(e.now_s // 600 - p.edges[i].seen) >= e.kept_ticks[kind_at(i)]:
                        p.edges[i].ref = 0
                    elif node.degree < MOST_DEGREE:
                        node.degree += 1

    # -- what the operator says -------------------------------------------------------------------

    def set_overrides(self, Overrides overrides):
        """Go by the operator's overrides, None for nothing."""
        self.overrides = overrides

    def knows(self, uint64_t key):
        """Return whether a principal is remembered."""
        return find_principal(self.evidence, key) != NOBODY

    def assign(self, uint64_t key, uint32_t label):
        """Put a principal into a cluster for certain, 0 for none; return whether that is news."""
        cdef uint32_t at = find_principal(self.evidence, key)
        cdef Principal *p
        if label:
            self.check(label)
        if at == NOBODY:
            return False
        p = principal_at(self.evidence, at)
        was, p.label, p.verdict = (p.label, p.verdict), <uint16_t>label, CERTAIN if label else NO_VERDICT
        return was != (p.label, p.verdict)

    def drop_inferred(self, uint32_t start, uint32_t stop, uint32_t label):
        """Take a cluster's label from all members that the operator did not put there."""
        cdef uint32_t at
        cdef Principal *p
        cdef Override *override
        if self.overrides is None:
            raise ValueError("there are no overrides")
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                if p.label == label:
                    override = self.overrides.find(joined(p.key))
                    if override == NULL or self.overrides.labels[override.group] != label:
                        p.label = 0
                        p.verdict = NO_VERDICT

    def set_inferred(self, uint64_t key, uint8_t verdict):
        """Set what is inferred of a principal; return whether it is remembered."""
        cdef uint32_t at = find_principal(self.evidence, key)
        if verdict > CERTAIN:
            raise ValueError(f"a verdict is 0 to {CERTAIN}, not {verdict}")
        if at == NOBODY:
            return False
        principal_at(self.evidence, at).verdict = verdict
        return True

    def created_s(self, uint64_t key):
        """Return when a principal's account was created, in seconds since 1970; 0 for not known."""
        cdef uint32_t at = find_principal(self.evidence, key)
        return 0 if at == NOBODY else principal_at(self.evidence, at).created_s

    def label_of(self, uint64_t key):
        """Return a principal's cluster, 0 for none."""
        cdef uint32_t at = find_principal(self.evidence, key)
        return 0 if at == NOBODY else principal_at(self.evidence, at).label

    def members(self, uint32_t start, uint32_t stop):
        """Return (cluster, key, verdict) of the principals in a range that belong to one."""
        cdef uint32_t at
        cdef Principal *p
        cdef list found = []
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = principal_at(self.evidence, at)
            if p.label:
                found.append((p.label, joined(p.key), p.verdict))
        return found

    # -- what limits count by ---------------------------------------------------------------------

    def cluster(self, row, /):
        """Return what limits count this row's cluster by, -1 without one."""
        cdef uint64_t key, identity
        cdef uint8_t verdict = self.actor_of(key, &identity) if self.columns.principal(row, &key) else NO_VERDICT
        return whole_of(identity, verdict) if verdict else -1

    def fill(self, list row not None, int at, /):
        """Put a row's actor where limits look for it: see `Watch.fill`."""
        cdef uint64_t key, identity = 0
        cdef uint8_t verdict = NO_VERDICT
        if self.columns.principal(row, &key):
            verdict = self.actor_of(key, &identity)
        enter_actor(row, at, verdict, identity, self.columns.tells_young)

    cdef uint8_t actor_of(self, uint64_t key, uint64_t *identity) noexcept nogil:
        """Find what limits count a principal's cluster by; return how sure it is that it belongs there."""
        cdef uint32_t at = find_principal(self.evidence, key) if self.labels else NOBODY
        return self.actor_at(at, identity) if at != NOBODY else <uint8_t>NO_VERDICT

    cdef uint8_t actor_at(self, uint32_t at, uint64_t *identity) noexcept nogil:
        """Find the same of a principal by its position."""
        cdef Principal *p = principal_at(self.evidence, at)
        cdef uint8_t verdict = self.verdict(p)
        identity[0] = self.clusters[p.label].identity
        if verdict == CERTAIN and self.is_young(p.label):
            identity[0] = self.identity_of(p.label, self.method_of(p))
        return verdict

    cdef uint64_t identity_of(self, uint32_t label, Value *method) noexcept nogil:
        """Return what limits count certain members by that pay with a method, NULL for none.

        A young cluster's payment methods are numbered as they come. Each few of them have a budget; an account
        without one is with the first.
        """
        cdef Cluster *cluster = self.clusters + label
        if not self.is_young(label):
            return cluster.identity
        if method == NULL:
            return budget_of(cluster.identity, 0)
        # Which cluster gave the number, and the number plus one, are in the word that payment methods have no use for.
        if method.payers[0] >> 16 != label or not 1 <= method.payers[0] & 0xFFFF <= cluster.slots:
            cluster.slots = min(cluster.slots + 1, <uint32_t>0xFFFF)
            method.payers[0] = label << 16 | cluster.slots
        return budget_of(cluster.identity, ((method.payers[0] & 0xFFFF) - 1) // self.methods_a_budget)

    cdef Value *method_of(self, const Principal *p) noexcept nogil:
        """Return what a member pays with, one that its cluster is known by if there is one; NULL for none."""
        cdef Identifier *node
        cdef Value *found = NULL
        cdef int i
        for i in range(PAYMENT_AT, CLIENT_AT):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or kind_of(node) != PAYMENT:  # an edge so old that its generation came again
                continue
            if found == NULL or node.label == p.label:
                found = self.evidence.values + (node - self.evidence.identifiers)
            if node.label == p.label:
                break
        return found

    cdef uint8_t verdict(self, Principal *p) noexcept nogil:
        """Return what counts of a principal: what is inferred, unless the operator overrides it."""
        cdef uint8_t said = NOT_SET
        cdef Override *override
        if p.label == 0 or self.clusters[p.label].identity == 0:
            return NO_VERDICT  # a cluster without a name is not classified yet
        if self.overrides is not None:
            said = self.overrides.by_label[p.label]
            override = self.overrides.find(joined(p.key))
            # An account that is named is what was said last of its actor; the others are as far as they belong there.
            if override != NULL and override.on_cluster:
                return CERTAIN if (said or override.on_cluster) == CONFIRMED else NO_VERDICT
            if override != NULL and override.group:
                return CERTAIN
        if said == CLEARED:
            return NO_VERDICT
        return CERTAIN if said == CONFIRMED and p.verdict else p.verdict

    def cluster_identity(self, uint64_t key):
        """Return what limits count a principal's cluster by, None without one."""
        cdef uint64_t identity
        cdef uint8_t verdict = self.actor_of(key, &identity)
        return whole_of(identity, verdict) if verdict else None

    def budget_identity(self, uint64_t key):
        """Return which of its young cluster's budgets a principal is counted by, None for none."""
        cdef uint64_t identity
        cdef uint8_t verdict = self.actor_of(key, &identity)
        return identity if is_budget(identity, verdict) else None

    def verdict_of(self, uint64_t key):
        """Return what counts of a principal: 0 for nothing, 1 for likely, 2 for certain."""
        cdef uint64_t identity
        return self.actor_of(key, &identity)

    def admit(self, row, /):
        """Count a request of a row's principal that limits per cluster had no cluster for."""
        cdef uint64_t key
        cdef uint32_t at = find_principal(self.evidence, key) if self.columns.principal(row, &key) else NOBODY
        if at != NOBODY:
            self.admit_at(at)

    cdef void admit_at(self, uint32_t at) noexcept nogil:
        """Count a request of a principal just noted that limits per cluster had no cluster for."""
        count_free(principal_at(self.evidence, at), 1)

    cdef void owe(self, Principal *p) noexcept nogil:
        """Have a member's cluster charged with what it was given while it was in none, as far as that is of late.

        What a principal asked for that is older than its cluster by a day was its own affair.
        """
        cdef uint32_t owed
        if p.first_s + OLDER_S >= self.clusters[p.label].first_s:
            owed = min(free_of(p), <uint32_t>(volume_of(p, self.evidence.now_s) + 0.5))
            if self.columns.tells_young and self.is_young(p.label):
                self.note_debt(self.identity_of(p.label, self.method_of(p)), owed)
            else:
                self.clusters[p.label].owed += owed
            self.owing = True
        count_free(p, -MOST_FREE)

    cdef void note_debt(self, uint64_t identity, uint32_t owed) noexcept nogil:
        cdef uint32_t at
        for at in range(self.debt_count):
            if self.debts_of_young[at].identity == identity:
                self.debts_of_young[at].owed += owed
                return
        if self.debt_count < MOST_DEBTS:
            self.debts_of_young[self.debt_count].identity = identity
            self.debts_of_young[self.debt_count].owed = owed
            self.debt_count += 1

    def collect(self, uint32_t start, uint32_t stop):
        """Have clusters charged with what their certain members in a range were given before."""
        cdef uint32_t at
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                if free_of(p) and self.verdict(p) == CERTAIN:
                    self.owe(p)

    def inherit(self, ClusterIndex other not None):
        """Owe what the index that had these clusters before owes, as far as there is room for them."""
        cdef uint32_t label
        for label in range(1, min(other.labels, self.most_clusters) + 1):
            self.clusters[label].owed += other.clusters[label].owed
            self.owing = self.owing or self.clusters[label].owed > 0
        for label in range(other.debt_count):
            self.note_debt(other.debts_of_young[label].identity, other.debts_of_young[label].owed)
            self.owing = True

    def debts(self):
        """Return what limits count by, and requests to be charged to it, and forget them."""
        cdef uint32_t label
        cdef list found = []
        for label in range(1, self.labels + 1 if self.owing else 1):
            if self.clusters[label].owed and self.clusters[label].live and self.clusters[label].identity:
                found.append((self.clusters[label].identity, self.clusters[label].owed))
            self.clusters[label].owed = 0
        for label in range(self.debt_count):
            found.append((self.debts_of_young[label].identity, self.debts_of_young[label].owed))
        self.debt_count = 0
        self.owing = False
        return found
