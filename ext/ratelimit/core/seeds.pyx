"""Looking for groups among principals: who pays alike and meets, who roams and meets, who fills a network."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.evidence cimport principal_at
from ratelimit.core.forest cimport find_root, join_roots
from ratelimit.core.profile cimport Profile
from ratelimit.core.support cimport Support
from ratelimit.core.traits cimport (
    CLIENT, CLIENT_AT, EXTRA_AT, FINE_EDGES, INDEX_BITS, MOST_DEGREE, PAYMENT_AT, Identifier, Principal,
    is_infrastructure, kind_of, resolve,
)


cdef class Seeds(Support):
    def suspect(self, uint32_t start, uint32_t stop, uint32_t least):
        """Mark principals whose payment method `least` or more have; return how many.

        Their number at each address and network is kept for `unite`.
        """
        cdef uint32_t at, marked = 0
        cdef Principal *p
        cdef Identifier *node
        cdef Identifier *parent
        cdef Identifier *payment
        cdef uint32_t coarse
        cdef int i
        if start == 0:
            memset(self.tops, 0, self.used() * 4)
            self.numbered = 0
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                self.seeds[at] = 0
                payment = NULL
                for i in range(PAYMENT_AT, CLIENT_AT):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node != NULL and node.degree >= least:
                        payment = node
                if payment != NULL:
                    self.seeds[at] = self.number_of(payment - self.evidence.identifiers)
                if self.seeds[at] == 0:
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
            self.plant_all()
            memset(self.tops, 0, self.used() * 4)
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                c = self.profiles + p.label
                self.seeds[at] = 0
                if p.roaming >= 2 and p.requests >= 3 and p.moves >= 0.5 * p.volume and (
                    p.label == 0 or c.sharing < 0.5 * c.size
                ):
                    self.seeds[at] = at + 1
                    self.mark_addresses(p)

    def remark(self, uint32_t start, uint32_t stop):
        """Count those still marked anew."""
        cdef uint32_t at
        if start == 0:
            memset(self.suspects, 0, self.used() * 2)
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.seeds[at]:
                    self.mark_addresses(principal_at(self.evidence, at))

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
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.seeds[at]:
                    if self.meetings_of(principal_at(self.evidence, at), share) < least:
                        self.seeds[at] = 0
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

    cdef void mark(self, Identifier *node) noexcept nogil:
        cdef uint64_t at = node - self.evidence.identifiers
        if self.suspects[at] < MOST_DEGREE:
            self.suspects[at] += 1

    def unite(self, uint32_t start, uint32_t stop, double share, bint networks, double rare=0.0):
        """Join the marked that meet where at least `share` of the principals are marked.

        At addresses, and in `networks` as a whole where half of all are.
        """
        cdef uint32_t at, seed
        cdef Principal *p
        cdef Identifier *node
        cdef int i
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                p = principal_at(self.evidence, at)
                seed = self.seeds[at]
                if seed == 0:
                    continue
                for i in range(FINE_EDGES):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if node == NULL or is_infrastructure(node):
                        continue
                    self.meet(seed, node, share, 2)
                    node = resolve(self.evidence.identifiers, node.parent)
                    if networks and node != NULL:
                        self.meet(seed, node, max(share, 0.5), 4)
                for i in range(CLIENT_AT, EXTRA_AT):
                    node = resolve(self.evidence.identifiers, p.edges[i].ref)
                    if networks and node != NULL and self.is_telling(node, rare):
                        self.meet(seed, node, 0.0, 5)

    cdef bint is_telling(self, Identifier *client, double rare) noexcept nogil:
        """Whether many suspects use a client, and few others."""
        cdef uint64_t at = client - self.evidence.identifiers
        cdef double others = <double>client.degree - self.suspects[at]
        return self.suspects[at] >= 5 and others < rare * (self.background.size - self.background.suspects) + 1.0

    cdef void meet(self, uint32_t seed, Identifier *node, double share, int least) noexcept nogil:
        cdef uint64_t at = node - self.evidence.identifiers
        if self.suspects[at] < least or self.suspects[at] < share * node.degree:
            return
        if self.tops[at] == 0:
            self.tops[at] = seed
        else:
            join_roots(self.roots, self.tops[at], seed)

    def pairs(self, uint32_t start, uint32_t stop):
        """Return (position, network, client) of principals outside clusters in a range, by their latest edges."""
        cdef uint32_t at
        cdef Principal *p
        cdef Identifier *node
        cdef Identifier *client
        cdef Identifier *ids = self.evidence.identifiers
        found = []
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = principal_at(self.evidence, at)
            self.seeds[at] = 0
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
        self.plant_all()

    cdef void plant_all(self) noexcept nogil:
        memset(self.roots, 0, self.evidence.most_principals * sizeof(uint32_t))

    def mark_group(self, positions, uint32_t root):
        """Mark principals as a group by the seed `root`, a number from 1; there are as many as principals."""
        cdef uint32_t at
        if not 1 <= root <= self.evidence.most_principals:
            raise ValueError(f"no seed {root}")
        for at in positions:
            if at < self.evidence.principal_count:
                self.seeds[at] = root

    def popular(self, uint32_t start, uint32_t stop, double rare):
        """Return clients that many suspects use and few others: [(suspects, position)], after `suspect`.

        Few: less than this part of those whose payment method is not suspicious.
        """
        cdef uint32_t at
        cdef Identifier *node
        found = []
        for at in range(start, min(stop, self.evidence.identifier_count)):
            node = self.evidence.identifiers + at
            if kind_of(node) == CLIENT and self.is_telling(node, rare):
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
            p = principal_at(self.evidence, at)
            if self.seeds[at] == 0:
                continue
            for i in range(CLIENT_AT, EXTRA_AT):
                if p.edges[i].ref:
                    found = bits.get((p.edges[i].ref & ((1 << INDEX_BITS) - 1)) - 1)
                    if found is not None:
                        bit = found
                        self.tops[self.seeds[at] - 1] |= bit

    def masks(self, uint32_t start, uint32_t stop):
        """Return how often each combination of clients occurs among the payment methods in a range of numbers."""
        cdef uint32_t at
        counts = {}
        for at in range(start, min(stop, self.numbered)):
            if self.tops[at]:
                counts[self.tops[at]] = counts.get(self.tops[at], 0) + 1
        return counts

    def size_trees(self, uint32_t start, uint32_t stop):
        """Count the principals of each tree of the forest, in place of the counts at identifiers."""
        cdef uint32_t at, root
        if start == 0:
            memset(self.suspects, 0, self.nodes() * 2)
        with nogil:
            for at in range(start, min(stop, self.evidence.principal_count)):
                if self.seeds[at]:
                    root = find_root(self.roots, self.seeds[at])
                    if self.suspects[root - 1] < MOST_DEGREE:
                        self.suspects[root - 1] += 1

    def groups(self, uint32_t start, uint32_t stop, uint32_t least, parts, dict found not None, set seen not None):
        """Add the principals in a range to the forest's groups, if their tree has `least`; after `size_trees`.

        A group is {(root, part): [principals, payment methods, {cluster: principals}]}; its part is what
        `parts` has for the payment method's combination of clients, 0 without one. `seen` is scratch.
        """
        cdef uint32_t at, tree, seed
        cdef Principal *p
        for at in range(start, min(stop, self.evidence.principal_count)):
            p = principal_at(self.evidence, at)
            seed = self.seeds[at]
            if seed:
                tree = find_root(self.roots, seed)
                if self.suspects[tree - 1] < least:
                    continue
                root = (tree, parts.get(self.tops[seed - 1], 0) if parts else 0)
                entry = found.get(root)
                if entry is None:
                    entry = found[root] = [0, 0, {}]
                entry[0] += 1
                if p.label:
                    entry[2][p.label] = entry[2].get(p.label, 0) + 1
                if seed not in seen:
                    seen.add(seed)
                    entry[1] += 1

    def adopt(self, uint32_t start, uint32_t stop, dict labels not None, dict parts not None):
        """Give the principals of some groups their provisional clusters."""
        cdef uint32_t at, seed
        for at in range(start, min(stop, self.evidence.principal_count)):
            seed = self.seeds[at]
            if seed:
                label = labels.get((find_root(self.roots, seed), parts.get(self.tops[seed - 1], 0) if parts else 0))
                if label is not None:
                    self.relabel(principal_at(self.evidence, at), label)
