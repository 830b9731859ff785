"""Statistics of groups, and the accounts that belong to them: a phase of a rebuild. See the stub.

Theory of operation. A tree of the forest is a group: payment methods that meet, with their accounts.
An address belongs to the group that makes most of the visits there, found by a vote in two walks. So a
group's exits, and which others are there, are counted without a list of either.

Reads: edges, `traits`, POOLED, the forest. Leaves: labels of principals, exits and methods; verdicts.
In one file, since its walks share votes and tallies, which nothing else sees.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from ratelimit.core.clusters.evidence cimport principal_at
from ratelimit.core.clusters.forest cimport find_root
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.clusters.pools cimport Places, Pools, pool_visits
from ratelimit.core.clusters.records cimport (
    CERTAIN, CLIENT_AT, COARSE, EXTRA, EXTRAS, FINE, HOMED, LIKELY, MOST_DEGREE, NEW, NO_VERDICT, OLD, PAYMENT, POOLED,
    ROAMED, ROAMER, SEEN, SETTLED, TICK_S, Identifier, Principal, hours_left, is_witness, kind_of, look_ahead,
    rate_of, resolve,
)
from ratelimit.core.clusters.tally cimport PARTS_OF_DAY, Tally, exits_of, octave_of
from ratelimit.core.memory.scratch cimport give_all_back, give_back, take_zeroed

cdef enum:
    SIX_HOURS = 0x3F
    IN_A_NETWORK = 256  # a /24 has no more addresses, and a /48 costs what one does
    NETWORK_LEAST = 3   # addresses of a cluster's in a network that is its own


cdef extern from *:
    """
    #define KIN_FIT 0.5
    #define KIN_LONER_FIT 0.3
    """
    # What part of where it was must be its group's, for a member to be one by itself.
    const double FIT "KIN_FIT"
    # Of an account that pays by itself, as in looking for those: its exits may be any group's.
    const double LONER_FIT "KIN_LONER_FIT"


cdef inline bint is_fresh(const Principal *p) noexcept nogil:
    """Return whether an account is known to be new, or was when it was found: a campaign does not grow out of it."""
    return p.traits & NEW != 0 or p.label != 0 and p.verdict == CERTAIN


@cython.final
cdef class Groups:
    def __cinit__(self, ClusterIndex cluster_index not None, Pools pools not None, *, uint32_t fleet, uint32_t hub):
        self.cluster_index = cluster_index
        self.evidence = cluster_index.evidence
        self.pools = pools
        self.fleet = fleet
        self.hub = hub

    def __dealloc__(self):
        self.free()

    cdef void free(self) noexcept:
        self.forget()
        give_all_back(&self.scratch)

    cdef void forget(self) noexcept:
        self.tallies = NULL
        self.sizes = self.owner = self.visits = NULL
        self.number = NULL
        self.identifiers = self.awake = self.count = 0

    def begin(self):
        """Take memory: three numbers an identifier, half a one a principal; the forest's phase has given up its own."""
        self.free()
        self.identifiers = self.pools.count
        self.awake = self.pools.awake
        self.tallies = <Tally *>take_zeroed(&self.scratch, MOST_GROUPS + 1, sizeof(Tally))
        self.sizes = <uint32_t *>take_zeroed(&self.scratch, self.identifiers + 1, 4)
        self.owner = <uint32_t *>take_zeroed(&self.scratch, self.identifiers + 1, 4)
        self.visits = <uint32_t *>take_zeroed(&self.scratch, self.identifiers + 1, 4)
        self.number = <uint16_t *>take_zeroed(&self.scratch, self.awake + 1, 2)
        if not (self.tallies and self.sizes and self.owner and self.visits and self.number):
            self.free()
            raise MemoryError
        self.count = self.left_out = 0

    def give_back(self):
        """Give a part of the memory back, to be gone on with until there is none; return whether there is more."""
        self.forget()
        return give_back(&self.scratch)

    def end(self):
        """Give the memory back."""
        self.free()

    cdef uint32_t tree_of(self, Principal *p, uint32_t at) noexcept nogil:
        """Return the root of a principal's group, counted from 1; 0 for none."""
        cdef uint32_t tree = self.pools.token_of(p, POOLED)
        if tree == 0 and p.traits & ROAMER:
            tree = self.pools.trees[at]
        if tree:
            return find_root(self.pools.roots, tree)
        if p.traits & HOMED:
            return 0
        # Many accounts on one payment method: a group by itself, if they are nowhere at home.
        tree = self.pools.token_of(p, 0xFFFF)
        if tree and self.evidence.identifiers[tree - 1].degree >= self.fleet:
            return tree
        return 0

    def count_members(self, uint32_t start, uint32_t stop):
        """Count the members of each group among the principals in a range."""
        cdef uint32_t at, root
        with nogil:
            for at in range(start, min(stop, self.awake)):
                root = self.tree_of(principal_at(self.evidence, at), at)
                if root:
                    self.sizes[root - 1] += self.sizes[root - 1] < MOST_DEGREE

    def number_groups(self, uint32_t start, uint32_t stop, uint32_t least):
        """Give numbers to groups of so many members, and let the principals in a range vote on each address's group."""
        cdef uint32_t at, root, g
        cdef int i
        cdef Places places
        cdef Principal *p
        with nogil:
            for at in range(start, min(stop, self.awake)):
                if at + 2 < self.awake:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), CLIENT_AT)
                p = principal_at(self.evidence, at)
                root = self.tree_of(p, at)
                if root == 0:
                    continue
                if self.sizes[root - 1] <= MOST_DEGREE:
                    if self.sizes[root - 1] < least:
                        continue
                    if self.count >= MOST_GROUPS:
                        self.left_out += 1
                        self.sizes[root - 1] = 0  # each group is left out once
                        continue
                    self.count += 1
                    self.sizes[root - 1] = MOST_DEGREE + self.count
                g = self.sizes[root - 1] - MOST_DEGREE
                self.number[at] = <uint16_t>g
                self.pools.places_of(p, at, &places)
                for i in range(places.count):
                    self.vote(places.at[i], g, places.visits[i])

    cdef void vote(self, uint32_t at, uint32_t group, uint32_t visits) noexcept nogil:
        """Let a group win a place by its visits there, or lose it by others'."""
        if self.owner[at] == group:
            self.visits[at] += visits
        elif self.visits[at] >= visits:
            self.visits[at] -= visits
        else:
            self.visits[at] = visits - self.visits[at]
            self.owner[at] = group

    def reset_votes(self, uint32_t start, uint32_t stop):
        """Forget how the votes went in a range of identifiers, but for the winners; count groups' payment methods."""
        cdef uint32_t at, root, g
        cdef int kind
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.identifiers)):
                node = self.evidence.identifiers + at
                self.visits[at] = 0
                node.mine = node.others = node.settled = 0
                kind = kind_of(node)
                if kind == FINE:
                    node.others = <uint16_t>self.evidence.witnesses(at)
                if kind != PAYMENT and not EXTRA <= kind < EXTRA + EXTRAS:
                    continue
                root = find_root(self.pools.roots, at + 1) if node.meta & POOLED else at + 1
                if self.sizes[root - 1] > MOST_DEGREE and (node.meta & POOLED or root == at + 1):
                    g = self.sizes[root - 1] - MOST_DEGREE
                    self.tallies[g].methods += 1
                    self.tallies[g].is_fleet |= not node.meta & POOLED

    def tally(self, uint32_t start, uint32_t stop):
        """Count the principals in a range for their groups, and at their addresses."""
        cdef uint32_t at
        with nogil:
            for at in range(start, min(stop, self.awake)):
                if at + 2 < self.awake:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), CLIENT_AT)
                self.tally_one(principal_at(self.evidence, at), at)

    cdef void tally_one(self, Principal *p, uint32_t at) noexcept nogil:
        cdef uint32_t g = self.number[at], hours, former, method
        cdef Tally *t = self.tallies + g
        cdef Identifier *node
        cdef Places places
        cdef int i
        cdef bint fresh = is_fresh(p), roams = False
        self.pools.places_of(p, at, &places)
        for i in range(places.count):
            node = self.evidence.identifiers + places.at[i]
            if g and self.owner[places.at[i]] == g:
                node.mine += node.mine < MOST_DEGREE
                self.visits[places.at[i]] += places.visits[i]
            elif is_witness(p):
                node.others += node.others < MOST_DEGREE
        if g == 0:
            return
        i = self.main_place_of(&places)
        if i >= 0 and places.visits[i] >= ROAMED:  # of fewer visits most are at one address by chance
            node = self.evidence.identifiers + places.at[i]
            node.settled += node.settled < MOST_DEGREE
        t.members += 1
        method = self.pools.token_of(p, POOLED)
        t.loners += method == 0 and p.traits & ROAMER != 0
        t.homed += p.traits & HOMED != 0
        t.seen += p.traits & (SEEN | HOMED) != 0
        t.fresh += fresh
        if method:
            node = self.evidence.identifiers + method - 1
            if fresh:
                node.mine += node.mine < MOST_DEGREE
            else:
                # Once for its method, and once more where the group meets: half of a young organisation is new.
                node.others += (1 + (self.fit(p, at, g, &roams) >= FIT)) * (node.others < MOST_DEGREE - 1)
        t.old += p.traits & OLD != 0
        t.settled += p.traits & SETTLED != 0
        t.rate += rate_of(p, self.evidence.now_s)
        hours = hours_left(p.hours, p.last_s, self.evidence.now_s)
        for i in range(PARTS_OF_DAY):
            t.active[i] += (hours >> 6 * i) & SIX_HOURS != 0
        # A newcomer speaks for the cluster that paid with its method before: its accounts may take turns.
        former = p.label if p.label or method == 0 else self.evidence.identifiers[method - 1].label
        if former:
            if t.former == former:
                t.votes += 1
            elif t.votes:
                t.votes -= 1
            else:
                t.former = former
                t.votes = 1

    def count_addresses(self, uint32_t start, uint32_t stop):
        """Add the addresses in a range to the groups that own them, if their accounts meet there."""
        cdef uint32_t at, g
        cdef int octave
        cdef Tally *t
        cdef Identifier *node
        cdef Identifier *coarse
        cdef double visits
        with nogil:
            for at in range(start, min(stop, self.identifiers)):
                g = self.owner[at]
                if g == 0 or self.visits[at] == 0:
                    continue
                node = self.evidence.identifiers + at
                t = self.tallies + g
                if kind_of(node) != FINE or not t.is_fleet and not self.is_meeting(at):
                    continue
                visits = self.visits[at]
                coarse = resolve(self.evidence.identifiers, node.parent)
                if coarse != NULL and coarse - self.evidence.identifiers < self.identifiers:
                    self.vote(<uint32_t>(coarse - self.evidence.identifiers), g, self.visits[at])
                    t.residential += visits * self.is_residential(at)
                if coarse == NULL or coarse.settled < IN_A_NETWORK:
                    t.capped += 1
                    if coarse != NULL:
                        coarse.settled += 1
                t.visits += visits
                octave = octave_of(self.visits[at])
                t.weighed[octave] += <float>visits
                t.squares[octave] += <float>(visits * visits)
                t.exclusive += visits * node.mine / (node.mine + node.others) if node.mine else 0.0
                t.exits += 1
                t.sole += node.others == 0

    def count_networks(self, uint32_t start, uint32_t stop):
        """Add the networks in a range to the groups that own them, by how much more is theirs than others'."""
        cdef uint32_t at, g
        cdef double visits
        with nogil:
            for at in range(start, min(stop, self.identifiers)):
                g = self.owner[at]
                if g and kind_of(self.evidence.identifiers + at) == COARSE:
                    visits = self.visits[at]
                    self.tallies[g].in_networks += visits
                    self.tallies[g].network_squares += visits * visits

    def statistics(self, uint32_t group):
        """Return what a group is like."""
        if not 1 <= group <= self.count:
            raise IndexError(f"no group {group}")
        cdef Tally *t = self.tallies + group
        cdef uint32_t busiest = 0
        cdef int i
        for i in range(PARTS_OF_DAY):
            busiest = max(busiest, t.active[i])
        return {
            "accounts": t.members,
            "methods": t.methods,
            "loners": t.loners,
            "homed": t.homed / <double>max(<uint32_t>1, t.seen),
            "seen": t.seen,
            "fresh": t.fresh / <double>max(<uint32_t>1, t.members),
            "old": t.old / <double>max(<uint32_t>1, t.members),
            "settled": t.settled / <double>max(<uint32_t>1, t.members),
            "exits": min(exits_of(t), <double>t.exits),  # unevenly used, its estimate goes beyond what there is
            "networks": t.in_networks * t.in_networks / t.network_squares if t.network_squares else 0.0,
            "addresses": t.exits,
            "capped": t.capped,
            "sole": t.sole,
            "exclusive": t.exclusive / t.visits if t.visits else 0.0,
            "residential": t.residential / t.visits if t.visits else 0.0,
            "busiest": busiest,
            "rate": t.rate,
            "former": t.former,
            "votes": t.votes,
        }

    # -- what comes of it -------------------------------------------------------------------------

    cdef double fit(self, Principal *p, uint32_t at, uint32_t group, bint *roams) noexcept nogil:
        """Return what part of where a member was are exits at which its group meets; -1 for a member with a home.

        And whether accounts that pay apart were at some of these addresses, or the member was at several. One address
        in a network of the group's proves nothing. Nor does one where people live and it mostly is: that is a home,
        unless others of the groups mostly are there, too.
        """
        cdef Places places
        cdef uint32_t visits = 0
        cdef int i, exits = 0, main_place
        cdef bint dwells
        roams[0] = False
        if p.traits & HOMED:
            return -1.0
        self.pools.places_of(p, at, &places)
        main_place = self.main_place_of(&places)
        dwells = main_place >= 0 and self.is_residential(places.at[main_place])
        dwells = dwells and self.evidence.identifiers[places.at[main_place]].settled < self.hub
        for i in range(places.count):
            visits += places.visits[i]
            if self.owner[places.at[i]] != group or not self.is_meeting(places.at[i]):
                places.visits[i] = 0
            elif self.evidence.identifiers[places.at[i]].meta & POOLED:
                roams[0] = True
            else:
                exits += 1
        roams[0] = (roams[0] or exits >= ROAMED) and not dwells
        return <double>pool_visits(p, &places, self.pools.by_program) / visits if visits else -1.0

    cdef int main_place_of(self, const Places *places) noexcept nogil:
        """Return which of its places an account mostly is at, -1 for none."""
        cdef int i
        cdef uint32_t visits = 0
        for i in range(places.count):
            visits += places.visits[i]
        for i in range(places.count):
            if 2 * places.visits[i] > visits:
                return i
        return -1

    cdef bint is_residential(self, uint32_t at) noexcept nogil:
        """Return whether people live in an address's block."""
        cdef Identifier *coarse = resolve(self.evidence.identifiers, self.evidence.identifiers[at].parent)
        cdef Identifier *block = NULL if coarse == NULL else resolve(self.evidence.identifiers, coarse.parent)
        return coarse != NULL and (coarse if block == NULL else block).degree != 0

    cdef bint is_provable(self, Principal *p) noexcept nogil:
        """Return whether an account can be certain to belong: it is new, and so are most that pay with its method."""
        cdef uint32_t method = self.pools.token_of(p, POOLED)
        cdef Identifier *node = self.evidence.identifiers + method - 1
        return method != 0 and is_fresh(p) and node.mine >= node.others

    cdef bint is_meeting(self, uint32_t at) noexcept nogil:
        """Return whether accounts that pay apart meet at an address, or in its network."""
        cdef Identifier *node = self.evidence.identifiers + at
        cdef Identifier *coarse = resolve(self.evidence.identifiers, node.parent)
        return node.meta & POOLED != 0 or coarse != NULL and coarse.meta & POOLED != 0

    def assign_members(self, uint32_t start, uint32_t stop, labels not None, verdicts not None):
        """Put the principals in a range where their groups are; return how many belong to one.

        Args:
            labels: by group, from 1: its cluster, 0 for none.
            verdicts: by group: what is said of the members that fit.
        """
        cdef uint32_t at, g, label, found = 0
        cdef uint8_t verdict
        cdef bint pays_alone, roams = False
        cdef Principal *p
        cdef uint16_t cluster[MOST_GROUPS + 1]
        cdef uint8_t said[MOST_GROUPS + 1]
        if len(labels) != self.count + 1 or len(verdicts) != self.count + 1:
            raise ValueError(f"{self.count} groups have a label and a verdict each, from 1")
        for g in range(self.count + 1):
            cluster[g] = labels[g]
            said[g] = verdicts[g]
        with nogil:
            for at in range(start, min(stop, self.awake)):
                if at + 2 < self.awake:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), CLIENT_AT)
                p = principal_at(self.evidence, at)
                if p.label and (self.evidence.now_s // TICK_S - p.last_s // TICK_S) >= self.pools.window_ticks:
                    continue  # nothing was heard of it lately: it keeps what was said of it, as the dormant do
                g = self.number[at]
                label = cluster[g]
                verdict = said[g] if label else NO_VERDICT
                if verdict != NO_VERDICT:
                    pays_alone = self.pools.token_of(p, POOLED) == 0
                    if pays_alone and not p.traits & ROAMER:
                        pass  # of a fleet on one payment method: that and nothing else is said of it
                    elif self.fit(p, at, g, &roams) < (LONER_FIT if pays_alone else FIT):
                        verdict = NO_VERDICT
                    elif pays_alone or not roams or not self.is_provable(p):
                        verdict = LIKELY  # whatever those around it are
                self.cluster_index.assign_at(p, label if verdict else 0, verdict)
                found += verdict != NO_VERDICT
        return found

    def label_identifiers(self, uint32_t start, uint32_t stop, labels not None):
        """Say of the identifiers in a range which cluster's exits and payment methods they are, for newcomers."""
        cdef uint32_t at, g, root
        cdef Identifier *node
        cdef Identifier *coarse
        cdef uint16_t cluster[MOST_GROUPS + 1]
        cdef int kind
        if len(labels) != self.count + 1:
            raise ValueError(f"{self.count} groups have a label each, from 1")
        for g in range(self.count + 1):
            cluster[g] = labels[g]
        with nogil:
            for at in range(start, min(stop, self.identifiers)):
                node = self.evidence.identifiers + at
                kind = kind_of(node)
                if kind == FINE:
                    g = self.owner[at]
                    node.label = cluster[g] if g and 2 * node.mine >= node.mine + node.others else 0
                    coarse = resolve(self.evidence.identifiers, node.parent)
                    if coarse == NULL or kind_of(coarse) != COARSE:
                        continue
                    # By vote, as above: `mine` for the winner, `others` for all that are not.
                    if node.label and coarse.label == node.label or node.label and coarse.mine == 0:
                        coarse.label = node.label
                        coarse.mine += coarse.mine < MOST_DEGREE
                    elif node.degree:
                        coarse.others += coarse.others < MOST_DEGREE
                elif node.meta & POOLED and kind != COARSE:
                    # What is not proven this time stays with its cluster: the accounts that used it may be dormant.
                    root = find_root(self.pools.roots, at + 1)
                    node.label = cluster[self.sizes[root - 1] - MOST_DEGREE] if self.sizes[root - 1] > MOST_DEGREE else 0

    def prune_networks(self, uint32_t start, uint32_t stop, double share):
        """Let go of networks in a range that are not mostly one cluster's."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.identifiers)):
                node = self.evidence.identifiers + at
                if kind_of(node) == COARSE and node.mine < max(NETWORK_LEAST, share * (node.mine + node.others)):
                    node.label = 0

    def __reduce__(self):
        raise TypeError("groups are of this process and are not pickled")
