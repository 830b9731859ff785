"""Leases: units of a limit taken from the store in advance, used here. See the stub for the contract.

Theory of operation. A lease is a number of units that the store has charged to one worker
until a deadline. While it lasts the worker decides alone, in the time of a memory access.
No other worker can have these units, so the limit holds for any number of workers. What
the store does about a bucket that refills while leases are out is in `scripts/bucket.lua`.

How much to take follows from how fast the key was used of late. A key that is used now and
then is never leased and costs a round trip each time. A busy one is renewed before it runs
dry, by a worker that does not wait for it. What is asked for where nothing is left goes with
the decision that the store makes instead. A key that is refused is remembered for a moment,
so that a client that hammers costs no round trips either.
In one file, since a lease is taken, used and given back under one worker's bookkeeping.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.memory.atomic cimport SECOND
from ratelimit.core.decision.engine cimport Outcome, Plan, check_ready, count_verdicts
from ratelimit.core.memory.entries cimport BLOCKS, COUNTS, LIFETIME
from ratelimit.core.algorithms.gcra cimport gcra_arrival
from ratelimit.core.memory.quota cimport NEVER, Quota
from ratelimit.core.algorithms.settlement cimport open_receipt, owed
from ratelimit.core.algorithms.word_algorithms cimport phase_of
from ratelimit.core.redis.remote cimport (
    RemoteRules, number_of, read_grant, read_mark, read_span, read_word, told_mark,
)
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.algorithms.setup cimport (
    ALLOWED, MOST_RULES, REFUSED, SHADOWED, SKIPPED, Charge, rule_key,
)
from ratelimit.core.redis.lease_record cimport (
    Lease, begin, is_binding, is_less, measure, quiet_of, refuse, take_more, wish, without,
)
from ratelimit.core.decision.free_list cimport take_charges
from ratelimit.core.memory.table cimport Table, relative

cdef enum:
    MOST_IDENTITIES = 64
    PROBES = 8
    FIRST_OWNERS = 1024  # rules of plans; every reload makes new ones
    MICROSECOND = 1000

cdef double LEAST_RATE = 0.5  # units a second that a lease is worth while for

LEASE = 3


@cython.final
@cython.auto_pickle(False)
cdef class Leases:
    """All leases of one worker: see the stub."""

    def __cinit__(self, Table table not None, *, keys, horizon_ns, longest_ns, worthwhile, recheck_ns, wake):
        cdef uint64_t size = PROBES
        while size < keys:
            size *= 2
        self.leases = <Lease *>PyMem_Calloc(size + PROBES, sizeof(Lease))
        if self.leases == NULL:
            raise MemoryError
        self.mask = size - 1
        self.table = table
        self.owners = []
        self.free = []
        self.most_owners = FIRST_OWNERS
        self.due = []
        self.foreign = []
        self.wake = wake
        self.horizon = horizon_ns
        self.longest = longest_ns
        self.worthwhile = worthwhile
        self.recheck = recheck_ns

    def __dealloc__(self):
        PyMem_Free(self.leases)

    cdef Lease *find(self, uint64_t key) noexcept:
        cdef Lease *at = self.leases + (key & self.mask)
        cdef int i
        for i in range(PROBES):
            if at[i].key == key:
                return at + i
        return NULL

    cdef Lease *make(self, uint64_t key, uint64_t now) noexcept:
        """Return the key's place, another's if that is worth less; NULL if all near it are in use."""
        cdef Lease *at = self.leases + (key & self.mask)
        cdef Lease *best = NULL
        cdef int i
        for i in range(PROBES):
            if at[i].key == key:
                return at + i
        for i in range(PROBES):
            if at[i].key == 0:
                best = at + i
                break
            if at[i].due or at[i].left and at[i].deadline > now:
                continue
            if best == NULL or at[i].since < best.since:
                best = at + i
        if best != NULL:
            begin(best, key, now)
        return best

    cdef int mark_due(self, Lease *lease) except -1:
        lease.due = True
        self.due.append(lease.key)
        if len(self.due) == 1:
            self.wake()
        return 0

    cdef int owner_of(self, LeasedRules rules, int index) except -1:
        """Return the number of a plan's rule, which is given one if it has none any more."""
        cdef int number = rules.owners[index]
        if number < 0:
            if self.free:
                number = self.free.pop()
                self.owners[number] = (rules, index)
            else:
                number = len(self.owners)
                self.owners.append((rules, index))
            rules.owners[index] = number
        return number

    cdef bint claim(self, Lease *lease, LeasedRules rules, int index, uint64_t now) except -1:
        """Have a plan's rule ask for more from now on, unless units are left of one that allowed more."""
        cdef LeasedRules former
        if lease.left and lease.deadline > now and lease.owner != rules.owners[index]:
            former, at = self.owners[lease.owner]
            if is_less(&rules.rules.plan.setup.quotas[index], &former.rules.plan.setup.quotas[at]):
                return False
        lease.owner = self.owner_of(rules, index)
        return True

    cdef bint is_ample(self, const Lease *lease) noexcept:
        """Return whether a lease has far more than its key uses of late, and that is worth a trip."""
        return lease.left > max(self.worthwhile, 2 * wish(lease, self.horizon, self.longest, self.worthwhile))

    cdef int sweep(self) except -1:
        """Forget rules that no lease is held by: those of policies that are no longer in force."""
        cdef uint64_t i
        cdef Lease *lease
        cdef LeasedRules rules
        cdef set held = set()
        for i in range(self.mask + 1 + PROBES):
            lease = self.leases + i
            if lease.key and (lease.left or lease.due):
                held.add(lease.owner)
            else:
                lease.key = 0
        for number in range(len(self.owners)):
            if number not in held and self.owners[number] is not None:
                rules, index = self.owners[number]
                rules.owners[index] = -1
                self.owners[number] = None
                self.free.append(number)
        self.most_owners = max(self.most_owners, 2 * len(held))
        return 0

    def take_due(self):
        due, self.due = self.due, []
        return due

    def take_foreign(self):
        foreign, self.foreign = self.foreign, []
        return foreign

    def idle(self, now_ns, quiet_ns, /):
        cdef uint64_t now = relative(self.table, now_ns)
        cdef int64_t quiet = quiet_ns
        cdef uint64_t i
        cdef Lease *lease
        cdef list found = []
        for i in range(self.mask + 1 + PROBES):
            lease = self.leases + i
            if lease.key and lease.left and not lease.due and lease.deadline > now:
                if quiet < 0 or lease.used_at + quiet_of(lease, <uint64_t>quiet) < now:
                    found.append(lease.key)
                elif self.is_ample(lease):
                    self.mark_due(lease)
        return found

    def held(self, /):
        """Return the units that are taken and not used, over all keys, expired ones left out by time only."""
        cdef uint64_t i, total = 0
        for i in range(self.mask + 1 + PROBES):
            if self.leases[i].key:
                total += self.leases[i].left
        return total

    def question(self, key, bint give_back, now_ns, bases, dict keys not None, list items not None, divisor, /):
        cdef Lease *lease = self.find(key)
        cdef uint64_t now = relative(self.table, now_ns)
        cdef LeasedRules rules
        cdef int index
        cdef const Quota *q
        cdef object want = 0, kept, returned = 0
        if lease == NULL:
            return None
        rules, index = self.owners[lease.owner]
        q = &rules.rules.plan.setup.quotas[index]
        # Until it is answered nothing else is asked for this key: of two lanes the later may arrive first.
        lease.due = True
        if lease.deadline <= now:
            lease.left = 0
        if give_back:
            returned, lease.left, lease.granted = lease.left, 0, 0
            kept = 0
        else:
            want = wish(lease, self.horizon, self.longest, self.worthwhile)
            if self.is_ample(lease):
                returned, lease.left = lease.left - want, want
            kept = lease.left
            lease.term = self.horizon if max(want, kept) > self.worthwhile else self.longest
            if q.kind < COUNTS and lease.deadline > now + lease.term:
                # What is held runs no longer than it does for the store, whether an answer comes or not.
                lease.deadline = now + lease.term
            want = max(0, want - kept)
        items += (
            LEASE, 1, bases(rules.ledger) + index, number_of(keys, rules.rules.name_of(lease.key)),
            want, divisor, kept, returned, told_mark(q, lease.mark),
            (self.horizon if give_back else lease.term) // MICROSECOND, lease.phase,
        )
        return rules, index

    def answer(self, key, list said not None, Py_ssize_t at, sent_ns, /):
        """Take what the store granted; return where the next answer begins."""
        cdef Lease *lease = self.find(key)
        cdef Charge charge
        cdef const Quota *q
        cdef LeasedRules rules
        cdef int index
        cdef uint64_t sent = relative(self.table, sent_ns)
        cdef uint64_t granted, mark, ttl, expires
        if lease == NULL:
            raise ValueError("no such lease")
        rules, index = self.owners[lease.owner]
        q = &rules.rules.plan.setup.quotas[index]
        granted = read_grant(q, said[at])
        at = read_word(&charge, q, said, at + 1)
        mark = read_mark(q, said[at])
        ttl = read_span(said[at + 1])
        lease.due = False
        # The store's time is counted from when it was asked: never later than it means.
        expires = sent + ttl
        if q.kind >= COUNTS and mark != lease.mark:
            lease.left = 0  # of a window that is over
        lease.mark = mark
        lease.word, lease.past = charge.word, charge.past
        lease.left += granted
        lease.granted = lease.left
        lease.deadline = expires
        return at + 2

    def name(self, key, /):
        cdef Lease *lease = self.find(key)
        if lease == NULL:
            raise KeyError(key)
        return (<LeasedRules>self.owners[lease.owner][0]).rules.name_of(lease.key)

    def failed(self, key, /):
        """The store was asked and did not answer: what is held is used up, and then asked for again."""
        cdef Lease *lease = self.find(key)
        if lease != NULL:
            lease.due = False

    cdef uint64_t there(self, uint64_t now) noexcept:
        """Return the store's time."""
        return now + <uint64_t>self.skew if self.skew >= 0 or now > <uint64_t>-self.skew else 0

    def set_skew(self, skew_ns, /):
        """Note how far the store's clock is ahead."""
        self.skew = skew_ns

    def clear(self):
        """Forget everything: what was taken lapses by itself."""
        cdef uint64_t i
        for i in range(self.mask + 1 + PROBES):
            self.leases[i].key = 0
        self.due, self.foreign = [], []

    def __reduce__(self):
        raise TypeError("leases belong to one process")


@cython.final
@cython.auto_pickle(False)
cdef class LeasedRules:
    """A plan's rules, decided from leases as long as they last: see the stub."""

    def __cinit__(self, RemoteRules rules not None, Leases leases not None, ledger):
        cdef int i
        check_ready(rules.plan)
        for i in range(rules.plan.setup.count):
            if rules.plan.setup.quotas[i].kind >= BLOCKS or rules.plan.setup.quotas[i].kind == LIFETIME:
                raise ValueError("only what counts in words, and comes back, is leased")
        self.rules = rules
        self.leases = leases
        self.ledger = ledger
        for i in range(rules.plan.setup.count):
            self.owners[i] = -1

    def take(self, identities, now_ns, costs, bint commit=True, /):
        cdef uint64_t ids[MOST_IDENTITIES]
        cdef uint64_t amounts[MOST_RULES]
        check_ready(self.rules.plan)
        self.rules.plan.read_identities(identities, ids)
        self.rules.plan.read_costs(costs, amounts)
        return self.taken(ids, amounts, now_ns, commit)

    cdef object taken(self, uint64_t *ids, uint64_t *amounts, object now_ns, bint commit):
        """Decide from leases; None if one of them does not suffice, and nothing was taken."""
        cdef Plan plan = self.rules.plan
        cdef Leases leases = self.leases
        cdef Lease *found[MOST_RULES]
        cdef Outcome outcome
        cdef Charge *charge
        cdef Lease *lease
        cdef const Quota *q
        cdef uint64_t key, now = relative(plan.table, now_ns)
        cdef int i, count = plan.setup.count
        cdef uint64_t counters[MOST_RULES]
        cdef bint refused = False
        for i in range(count):
            found[i] = NULL
            counters[i] = key = rule_key(&plan.setup, i, ids)
            if key == ABSENT_HASH:
                continue
            lease = leases.find(self.rules.digest(i, key))
            if lease == NULL:
                return None
            found[i] = lease
            if lease.owner != self.owners[i] and not leases.claim(lease, self, i, now):
                if not lease.due:
                    leases.foreign.append(lease.key)
                return None
            if now < lease.recheck_at and amounts[i] >= lease.refused_cost:
                refused = refused or is_binding(&plan.setup.quotas[i], key)
            elif lease.left < amounts[i] or now >= lease.deadline:
                return None
        outcome = Outcome.__new__(Outcome)
        outcome.charges = take_charges(count)
        outcome.plan = plan
        outcome.ledger = self.ledger
        outcome.now = leases.there(now)
        for i in range(count):
            charge = outcome.charges + i
            q = &plan.setup.quotas[i]
            charge.cost = amounts[i]
            charge.key = counters[i]
            charge.charged = False
            charge.retry = 0
            charge.word = charge.past = charge.mark = charge.remaining = charge.reset = 0
            open_receipt(charge)
            lease = found[i]
            if lease == NULL:
                charge.state = SKIPPED
                continue
            charge.state = ALLOWED
            if now < lease.recheck_at and amounts[i] >= lease.refused_cost:
                charge.state = REFUSED if is_binding(q, charge.key) else SHADOWED
                charge.retry = NEVER if lease.retry_at == 0 else <int64_t>(lease.retry_at - now)
            elif commit and not refused:
                lease.left -= amounts[i]
                lease.uses += amounts[i]
                lease.used_at = now
                charge.charged = amounts[i] > 0
                charge.held = charge.live = amounts[i]
                if now - lease.since >= SECOND and now > lease.since:
                    measure(lease, now)
                if not lease.due and (lease.left < lease.granted >> 2 or (
                    q.kind < COUNTS and lease.deadline - now < lease.term >> 2
                )):
                    leases.mark_due(lease)
            charge.word, charge.past = without(q, lease.word, lease.left, outcome.now), lease.past
            charge.mark = lease.mark if q.kind >= COUNTS else gcra_arrival(q, charge.word, outcome.now)
        outcome.conclude()
        if commit:
            count_verdicts(outcome, ids)
            leases.local += 1
        return outcome

    def wanted(self, Outcome outcome not None, now_ns, /):
        cdef Lease *lease
        cdef uint64_t now = relative(self.rules.plan.table, now_ns)
        cdef int i
        cdef list found = []
        for i in range(self.rules.plan.setup.count):
            if outcome.charges[i].state == SKIPPED:
                continue
            lease = self.leases.find(self.rules.digest(i, outcome.charges[i].key))
            if lease == NULL or lease.due or lease.rate < LEAST_RATE or lease.recheck_at:
                continue
            if lease.left <= lease.granted >> 2 or lease.deadline <= now:
                if self.leases.claim(lease, self, i, now):
                    found.append(lease.key)
        return found

    def note(self, Outcome outcome not None, now_ns, /):
        cdef Plan plan = self.rules.plan
        cdef Charge *charge
        cdef Lease *lease
        cdef const Quota *q
        cdef uint64_t now = relative(plan.table, now_ns)
        cdef int i
        if not self.leases.free and len(self.leases.owners) >= self.leases.most_owners:
            self.leases.sweep()
        for i in range(plan.setup.count):
            charge = outcome.charges + i
            if charge.state == SKIPPED:
                continue
            q = &plan.setup.quotas[i]
            lease = self.leases.make(self.rules.digest(i, charge.key), now)
            if lease == NULL:
                continue
            self.leases.claim(lease, self, i, now)
            lease.phase = phase_of(q, charge.key) if q.kind >= COUNTS else 0
            if q.kind >= COUNTS and lease.mark != charge.mark:
                lease.left = 0
                lease.mark = charge.mark
            if not lease.left or charge.word > lease.word:  # else a lease that came with this answer knows of more
                lease.word, lease.past = charge.word, charge.past
            if charge.state == ALLOWED:
                lease.recheck_at = 0
                if outcome.allowed:
                    lease.uses += charge.cost
                    lease.used_at = now
                if now - lease.since >= SECOND and now > lease.since:
                    measure(lease, now)
            else:
                refuse(lease, charge.cost, charge.retry, now, self.leases.recheck)

    def absorb(self, Outcome outcome not None, int index, delta, now_ns, /):
        """Correct a charge against the lease; False if that is for the store to do."""
        cdef Charge *charge = outcome.at(index)
        cdef const Quota *q = &self.rules.plan.setup.quotas[index]
        cdef Lease *lease = self.leases.find(self.rules.digest(index, charge.key))
        cdef uint64_t now = relative(self.rules.plan.table, now_ns)
        cdef int64_t more
        if charge.is_underway or lease == NULL or now >= lease.deadline or lease.granted == 0:
            return False
        if q.kind >= COUNTS and lease.mark != charge.mark:
            return False
        more = owed(charge, charge.aim) if charge.aim != charge.settled else delta
        return take_more(lease, charge, q, more, self.leases.there(now))

    def __reduce__(self):
        raise TypeError("leased rules belong to one process")
