"""Pools of payment methods that meet at exits of their own: a phase of a rebuild. See the stub.

Theory of operation. Payment methods that several accounts share are in question. An exit is a *pool's*
where several of them meet and most of the accounts there are theirs; witnesses speak against it. A
method stays in question while half of its accounts' visits are at pool exits. That is asked again,
until nothing changes: what is left holds itself together, and what only touches it has gone.
The same by network, for methods that never share an address; and by account, for accounts that pay
by themselves. These are joined with the exits they share; which methods belong together is for `communities`.

Reads: edges, degrees of payment methods, AT_HOME and `traits`. Leaves: SUSPECT and POOLED at payment
methods, ROAMER in `traits`, `settled` at places, and the forest.

In one file, since the three searches share one scratch memory, which nothing else sees.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from ratelimit.core.clusters.evidence cimport Evidence, principal_at
from ratelimit.core.clusters.forest cimport find_root, join_roots
from ratelimit.core.clusters.records cimport (
    AT_HOME, CLIENT_AT, COARSE, EXTRA, EXTRA_AT, EXTRAS, FINE, FINE_EDGES, HOMED, MOST_DEGREE, NEW, PAYMENT, PAYMENT_AT,
    POOLED, ROAMED, ROAMER, SUSPECT, TICK_S, Identifier, Principal, is_infrastructure, is_witness, kind_of, look_ahead, resolve,
    visits_of,
)
from ratelimit.core.memory.prefetch cimport prefetch
from ratelimit.core.memory.scratch cimport give_all_back, give_back, take_zeroed

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    FAR = 8                 # accounts ahead in a pass, of which the record is fetched
    NEAR = 3                # and what its edges lead to
    LINE = 64
    LINES = 3               # over which a record's edges to addresses and payment methods lie

cdef uint32_t pool_visits(const Principal *p, const Places *places, bint by_program) noexcept nogil:
    """Return what visits at pool exits, all others set to 0, count for.

    A newcomer's all. Of others that come back to one address, as people do that share it with a
    pool, none: an account that is no newcomer must be at several, and mostly at none of them. Where
    no account pays, an address may be all that there is of one.
    """
    cdef uint32_t there = 0, most = 0
    cdef int i, exits = 0
    for i in range(places.count):
        there += places.visits[i]
        exits += places.visits[i] > 0
        most = max(most, <uint32_t>places.visits[i])
    if by_program or p.traits & NEW or (exits >= ROAMED and 2 * most <= places.all_visits):
        return there
    return 0


@cython.final
cdef class Pools:
    def __cinit__(
        self, Evidence evidence not None, *, uint32_t window_s, costly=(), bint by_program=False, uint32_t kept=MOST_KEPT
    ):
        cdef int slot
        self.by_program = by_program
        self.keeps = kept
        self.evidence = evidence
        self.window_ticks = max(<uint32_t>1, window_s // TICK_S)
        self.slot_count = 0
        payers = range(CLIENT_AT, EXTRA_AT) if by_program else range(PAYMENT_AT, CLIENT_AT)
        for slot in (*payers, *(EXTRA_AT + family for family in costly)):
            if not PAYMENT_AT <= slot < EXTRA_AT + EXTRAS:
                raise ValueError("a family is one of those the policy adds")
            if slot < evidence.edges:
                self.slots[self.slot_count] = slot
                self.slot_count += 1

    def __dealloc__(self):
        self.free()

    cdef void free(self) noexcept:
        self.forget()
        give_all_back(&self.search)
        give_all_back(&self.found)

    cdef void forget(self) noexcept:
        self.first = self.second = self.roots = self.suspects = self.trees = NULL
        self.kept = NULL
        self.kept_refs = NULL
        self.kept_hours = NULL
        self.kept_most = self.kept_visits = 0

    def begin(self):
        """Take memory: three numbers an identifier, two a principal, and of few principals half a megabyte for visits."""
        cdef uint32_t kept = self.evidence.awake_count if self.evidence.awake_count <= self.keeps else 0
        cdef uint32_t visits = min(kept * FINE_EDGES, <uint32_t>MOST_VISITS_KEPT)
        self.free()
        self.count = self.evidence.identifier_count
        self.first = <uint32_t *>take_zeroed(&self.search, self.count + 1, 4)
        self.second = <uint32_t *>take_zeroed(&self.search, self.count + 1, 4)
        self.roots = <uint32_t *>take_zeroed(&self.found, self.count + 1, 4)
        self.suspects = <uint32_t *>take_zeroed(&self.found, self.evidence.awake_count + 1, 4)
        self.trees = <uint32_t *>take_zeroed(&self.found, self.evidence.awake_count + 1, 4)
        self.kept = <Kept *>take_zeroed(&self.found, kept + 1, sizeof(Kept))
        self.kept_refs = <uint32_t *>take_zeroed(&self.found, visits + 1, 4)
        self.kept_hours = <uint8_t *>take_zeroed(&self.found, visits + 1, 1)
        if (
            self.first == NULL or self.second == NULL or self.roots == NULL or self.suspects == NULL
            or self.trees == NULL or self.kept == NULL or self.kept_refs == NULL or self.kept_hours == NULL
        ):
            self.free()
            raise MemoryError
        self.kept_most = kept
        self.suspect_count = 0
        self.awake = self.evidence.awake_count

    def end_search(self):
        """Give a part back of what only looking for groups takes; return whether there is more. The forest stays."""
        self.first = self.second = NULL
        return give_back(&self.search)

    def give_back(self):
        """Give a part of the memory back, to be gone on with until there is none; return whether there is more."""
        self.forget()
        self.count = self.awake = self.suspect_count = 0
        return give_back(&self.search if self.search.count else &self.found) or self.found.count > 0

    def end(self):
        """Give the memory back."""
        self.free()

    # -- what is looked at ------------------------------------------------------------------------

    cdef uint32_t token_of(self, Principal *p, int flag) noexcept nogil:
        """Return a principal's payment method that has a flag, the one seen last, counted from 1; 0 for none."""
        cdef Identifier *node
        cdef uint32_t chosen = 0
        cdef uint16_t age, least = 0xFFFF
        cdef int i
        for i in range(self.slot_count):
            node = resolve(self.evidence.identifiers, p.edges[self.slots[i]].ref)
            if node == NULL or not node.meta & flag:
                continue
            age = <uint16_t>(self.evidence.now_s // TICK_S - p.edges[self.slots[i]].seen)
            if age < least or chosen == 0:
                least = age
                chosen = <uint32_t>(node - self.evidence.identifiers) + 1
        return chosen

    cdef void await_suspect(self, uint32_t at) noexcept nogil:
        """Have what a pass over those in question will look at soon fetched: a walk waits for memory most of the time."""
        cdef uint8_t *p
        cdef int i
        if self.kept_most == self.awake:
            return  # so few are near as it is
        if at + FAR < self.suspect_count:
            p = <uint8_t *>principal_at(self.evidence, self.suspects[at + FAR])
            for i in range(LINES):
                prefetch(p + i * LINE)
        if at + NEAR < self.suspect_count:
            look_ahead(self.evidence.identifiers, principal_at(self.evidence, self.suspects[at + NEAR]), CLIENT_AT)

    cdef void find_visits(self, Principal *p, uint32_t at, uint32_t *refs, uint8_t *hours, Visits *visits) noexcept nogil:
        """Find a principal's visits: they are kept, as far as there is room, else they are put where the caller says."""
        cdef Kept *kept = self.kept + at if at < self.kept_most else NULL
        if kept == NULL or kept.is_kept and kept.key != p.key.low:
            self.read_visits(p, refs, hours, visits)
            return
        if not kept.is_kept:
            if self.kept_visits + FINE_EDGES > min(self.kept_most * FINE_EDGES, <uint32_t>MOST_VISITS_KEPT):
                self.read_visits(p, refs, hours, visits)
                return
            self.read_visits(p, self.kept_refs + self.kept_visits, self.kept_hours + self.kept_visits, visits)
            kept.key = p.key.low
            kept.first = self.kept_visits
            kept.all_visits = <uint16_t>visits.all_visits
            kept.count = <uint8_t>visits.count
            kept.is_kept = True
            self.kept_visits += visits.count
            return
        visits.refs = self.kept_refs + kept.first
        visits.hours = self.kept_hours + kept.first
        visits.count = kept.count
        visits.all_visits = kept.all_visits

    cdef void read_visits(self, Principal *p, uint32_t *refs, uint8_t *hours, Visits *visits) noexcept nogil:
        cdef Identifier *node
        cdef uint32_t ticks = self.evidence.now_s // TICK_S
        cdef int i, count = 0
        visits.all_visits = 0
        for i in range(FINE_EDGES):
            node = resolve(self.evidence.identifiers, p.edges[i].ref)
            if node == NULL or is_infrastructure(node):
                continue
            if <uint16_t>(ticks - p.edges[i].seen) >= self.window_ticks:
                continue
            visits.all_visits += visits_of(p.edges + i)
            refs[count], hours[count] = p.edges[i].ref, p.edges[i].visits
            count += 1
        visits.refs, visits.hours, visits.count = refs, hours, count

    cdef void places_of(self, Principal *p, uint32_t position, Places *places) noexcept nogil:
        """Find where the principal at a position was lately: places of the kind looked at, each once."""
        cdef Identifier *node
        cdef uint32_t at
        cdef int i, j, homes = 0
        cdef uint32_t home[FINE_EDGES]
        cdef uint32_t refs[FINE_EDGES]
        cdef uint8_t hours[FINE_EDGES]
        cdef Visits visits
        self.find_visits(p, position, refs, hours, &visits)
        places.count = 0
        places.all_visits = visits.all_visits
        for i in range(visits.count):
            node = resolve(self.evidence.identifiers, visits.refs[i])
            if node != NULL and self.kind == COARSE:
                node = resolve(self.evidence.identifiers, node.parent)
            if node == NULL:
                continue
            at = <uint32_t>(node - self.evidence.identifiers)
            if at >= self.count:
                continue  # it came while this rebuild was under way
            if visits.hours[i] & AT_HOME:
                home[homes] = at
                homes += 1
                continue
            j = 0
            if self.kind == FINE:
                j = places.count  # two edges never lead to one address
            while j < places.count and places.at[j] != at:
                j += 1
            if j < places.count:
                places.visits[j] += visits.hours[i]
                continue
            places.at[j] = at
            places.visits[j] = visits.hours[i]
            places.count += 1
        # An account that lives in a place is no witness of it, either way.
        for i in range(homes if self.kind == COARSE else 0):
            j = 0
            while j < places.count and places.at[j] != home[i]:
                j += 1
            if j < places.count:
                places.count -= 1
                while j < places.count:
                    places.at[j] = places.at[j + 1]
                    places.visits[j] = places.visits[j + 1]
                    j += 1

    cdef bint is_pool(self, uint32_t at) noexcept nogil:
        """Return whether enough payment methods in question meet at a place, and most accounts there are theirs."""
        cdef Identifier *node = self.evidence.identifiers + at
        cdef int methods
        if self.alone:
            if node.mine < self.least:
                return False
        else:
            methods = (self.first[at] != 0) + (self.second[at] != 0) + (self.second[at] == <uint32_t>DISTINCT)
            if methods < self.least:
                return False
        return node.mine >= self.crowd and node.mine >= self.share * (node.mine + node.others)

    cdef bint is_suspect(self, Principal *p) noexcept nogil:
        return p.traits & ROAMER if self.alone else self.token_of(p, SUSPECT) != 0

    # -- one phase --------------------------------------------------------------------------------

    def begin_round(self, int kind, int least, double share, *, bint alone=False, uint32_t crowd=0):
        """Begin to look at one kind of place."""
        if kind != FINE and kind != COARSE:
            raise ValueError("a place is an address or a network")
        self.kind = kind
        self.least = least
        self.share = share
        self.alone = alone
        self.crowd = crowd
        self.suspect_count = 0

    def reset(self, uint32_t start, uint32_t stop):
        """Forget what the last rebuild proved of the identifiers in a range."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.count)):
                node = self.evidence.identifiers + at
                node.meta &= ~<uint16_t>(SUSPECT | POOLED)

    def restore_suspects(self, uint32_t start, uint32_t stop):
        """Put in question again what is proven, and nothing else, to see which groups share networks."""
        cdef uint32_t at
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.count)):
                node = self.evidence.identifiers + at
                node.settled = <uint16_t>self.evidence.witnesses(at)
                # Where too few accounts were in question to look on, their methods still are.
                node.meta &= ~<uint16_t>SUSPECT
                if node.meta & POOLED:
                    node.meta |= SUSPECT

    def find_suspects(self, uint32_t start, uint32_t stop):
        """Put the payment methods in a range in question that several have and nothing was proven of; return how many.

        And forget which were seen at the places in it.
        """
        cdef uint32_t at, found = 0
        cdef int kind
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.count)):
                node = self.evidence.identifiers + at
                kind = kind_of(node)
                node.meta &= ~<uint16_t>SUSPECT
                node.settled = <uint16_t>self.evidence.witnesses(at)
                if kind == PAYMENT or EXTRA <= kind < EXTRA + EXTRAS:
                    if node.degree >= 2 and not node.meta & POOLED and not self.alone:
                        node.meta |= SUSPECT
                        found += 1
        return found

    def list_suspects(self, uint32_t start, uint32_t stop):
        """List the principals in a range that are in question; count the others at places where they are witnesses."""
        cdef uint32_t at
        cdef int i
        cdef Principal *p
        cdef Places places
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.awake)):
                if at + 2 < self.awake and self.kept_most < self.awake:
                    look_ahead(self.evidence.identifiers, principal_at(self.evidence, at + 2), EXTRA_AT)
                p = principal_at(self.evidence, at)
                if self.alone:
                    self.places_of(p, at, &places)
                    p.traits &= ~<int>ROAMER
                    if self.roams(p, &places):
                        p.traits |= ROAMER
                if self.is_suspect(p):
                    self.suspects[self.suspect_count] = at
                    self.suspect_count += 1
                elif self.alone or is_witness(p):
                    # Accounts that pay by themselves are set against all: nothing else speaks for the others.
                    if not self.alone:
                        self.places_of(p, at, &places)
                    for i in range(places.count):
                        node = self.evidence.identifiers + places.at[i]
                        node.settled += node.settled < MOST_DEGREE

    cdef bint roams(self, Principal *p, Places *places) noexcept nogil:
        """Return whether a newcomer is nowhere at home and on another exit nearly each time."""
        if p.traits & HOMED or not p.traits & NEW or self.token_of(p, POOLED):
            return False
        return places.count >= ROAMED and 2 * places.count >= <int>places.all_visits

    def clear(self, uint32_t start, uint32_t stop):
        """Forget what was counted of identifiers in a range, but for the payers at addresses before."""
        cdef uint32_t at, payer
        cdef int i
        cdef Identifier *node
        cdef Identifier *method
        with nogil:
            stop = min(stop, self.count)
            if start < stop:
                memset(self.first + start, 0, (stop - start) * 4)
                memset(self.second + start, 0, (stop - start) * 4)
            for at in range(start, stop):
                node = self.evidence.identifiers + at
                node.mine = 0
                node.others = node.settled
                if self.kind == FINE and not self.alone and kind_of(node) == FINE:
                    for i in range(2):
                        payer = self.evidence.values[at].payers[i]
                        method = resolve(self.evidence.identifiers, payer)
                        if method != NULL and method.meta & SUSPECT:
                            self.note(at, <uint32_t>(method - self.evidence.identifiers) + 1)

    def count_places(self, uint32_t start, uint32_t stop):
        """Count the principals in question in a range of their list at their places."""
        cdef uint32_t at, token
        cdef int i
        cdef bint mine
        cdef Principal *p
        cdef Places places
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.suspect_count)):
                self.await_suspect(at)
                p = principal_at(self.evidence, self.suspects[at])
                token = 0 if self.alone else self.token_of(p, SUSPECT)
                mine = p.traits & ROAMER if self.alone else token != 0
                if not mine and not (self.alone or is_witness(p)):
                    continue
                self.places_of(p, self.suspects[at], &places)
                for i in range(places.count):
                    node = self.evidence.identifiers + places.at[i]
                    if not mine:
                        node.others += node.others < MOST_DEGREE
                        continue
                    node.mine += node.mine < MOST_DEGREE
                    if token:
                        self.note(places.at[i], token)

    cdef void note(self, uint32_t at, uint32_t token) noexcept nogil:
        """Note a payment method at a place; three are enough to count."""
        if self.first[at] == 0:
            self.first[at] = token
        elif self.first[at] != token and self.second[at] == 0:
            self.second[at] = token
        elif self.first[at] != token and self.second[at] != token:
            self.second[at] = <uint32_t>DISTINCT

    def score(self, uint32_t start, uint32_t stop, double least):
        """Add up what part of visits is at pool exits: of payment methods, or of accounts that pay by themselves.

        Return how many of the latter are in question no more.
        """
        cdef uint32_t at, token, there, gone = 0
        cdef int i
        cdef Principal *p
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.suspect_count)):
                self.await_suspect(at)
                p = principal_at(self.evidence, self.suspects[at])
                if not self.is_suspect(p):
                    continue
                self.places_of(p, self.suspects[at], &places)
                for i in range(places.count):
                    if not self.is_pool(places.at[i]):
                        places.visits[i] = 0
                there = pool_visits(p, &places, self.by_program)
                if self.alone:
                    if there < least * places.all_visits or places.all_visits == 0:
                        p.traits &= ~<int>ROAMER
                        gone += 1
                    continue
                for i in range(self.slot_count):
                    token = self.suspect_at(p, self.slots[i])
                    if token:
                        self.first[token - 1] += there
                        self.second[token - 1] += places.all_visits
        return gone

    cdef uint32_t suspect_at(self, Principal *p, int slot) noexcept nogil:
        """Return the payment method in question at a place of a principal's, counted from 1; 0 for none."""
        cdef Identifier *node = resolve(self.evidence.identifiers, p.edges[slot].ref)
        if node == NULL or not node.meta & SUSPECT:
            return 0
        return <uint32_t>(node - self.evidence.identifiers) + 1

    def drop_suspects(self, uint32_t start, uint32_t stop, double least, double kept):
        """Let payment methods in a range go that are elsewhere too much; return how many.

        Args:
            least: part of their visits at pool exits.
            kept: the same of those that belong to a cluster already.
        """
        cdef uint32_t at, gone = 0
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.count)):
                node = self.evidence.identifiers + at
                if not node.meta & SUSPECT:
                    continue
                if self.second[at] == 0 or self.first[at] < (kept if node.label else least) * self.second[at]:
                    node.meta &= ~<uint16_t>SUSPECT
                    gone += 1
        return gone

    def mark_pooled(self, uint32_t start, uint32_t stop):
        """Say of the payment methods in a range that are left that they meet others; return how many."""
        cdef uint32_t at, found = 0
        cdef Identifier *node
        with nogil:
            for at in range(start, min(stop, self.count)):
                node = self.evidence.identifiers + at
                if node.meta & SUSPECT:
                    node.meta |= POOLED
                    found += 1
        return found

    def join(self, uint32_t start, uint32_t stop):
        """Note the pool exits of those in question in a range; join by them accounts that pay alone, and programs."""
        cdef uint32_t at, token
        cdef int i
        cdef Principal *p
        cdef Identifier *node
        cdef Places places
        with nogil:
            for at in range(start, min(stop, self.suspect_count)):
                self.await_suspect(at)
                p = principal_at(self.evidence, self.suspects[at])
                if not self.is_suspect(p):
                    continue
                token = 0 if self.alone else self.token_of(p, SUSPECT)
                self.places_of(p, self.suspects[at], &places)
                for i in range(places.count):
                    if not self.is_pool(places.at[i]):
                        continue
                    node = self.evidence.identifiers + places.at[i]
                    node.meta |= <uint16_t>POOLED
                    if token == 0:
                        token = places.at[i] + 1
                    elif self.by_program:
                        join_roots(self.roots, token, places.at[i] + 1)
                    elif self.alone:
                        self.join_places(token, places.at[i] + 1)
                self.trees[self.suspects[at]] = token

    cdef void join_places(self, uint32_t one, uint32_t other) noexcept nogil:
        """Join two places, but never the communities that hold them: one account alone does not make these one."""
        cdef uint32_t root = find_root(self.roots, one), branch = find_root(self.roots, other)
        if kind_of(self.evidence.identifiers + (root - 1)) == FINE:
            root, branch = branch, root
        if kind_of(self.evidence.identifiers + (branch - 1)) == FINE:
            if kind_of(self.evidence.identifiers + (root - 1)) == FINE:
                join_roots(self.roots, root, branch)
            else:
                self.roots[branch - 1] = root

    def __reduce__(self):
        raise TypeError("pools are of this process and are not pickled")
