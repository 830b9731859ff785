"""The pick of allowances: see the stub."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from ratelimit.allowance.records cimport ELSEWHERE, UNSETTLED_COUNTS, Records
from ratelimit.core.algorithms.setup cimport ALLOWED
from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.decision.refused cimport name_refused
from ratelimit.core.memory.atomic cimport SECOND
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.memory.siphash cimport ABSENT_HASH, mix
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.deciding.picker cimport Picker, fill

cdef enum:
    MOST_EARNED = 7             # levels of so many limits make one number
    MOST_LEVELS = 160           # see allowance/compile
    MOST_KEPT = 4096            # as many plans as a bound policy keeps
    MOST_PARTS = 4
    MOST_NOTED = 16             # rules of a plan
    SHARED = 0xF                # of what is declared of an address: infrastructure, or a public list

cdef uint64_t UNCOVERED = <uint64_t>1 << 63

cdef struct Levels:
    int count
    uint64_t salt               # of its records: 0 for requests a day
    uint64_t *paid_from         # millionths of a dollar
    uint64_t young              # no more of them count beyond what the payer had a month ago
    double *grown_from          # units of a payer's best day


@cython.final
@cython.auto_pickle(False)
cdef class Places:
    """Where rows have what allowances go by; -1: nowhere."""

    cdef readonly int payer
    cdef readonly int paid
    cdef readonly int created
    cdef readonly int address
    cdef readonly int origin
    cdef int accounts[MOST_PARTS]
    cdef int parts

    def __init__(self, int payer, int paid, int created, int address, int origin, accounts):
        self.payer, self.paid, self.created, self.address, self.origin = payer, paid, created, address, origin
        self.parts = 0
        for at in accounts[:MOST_PARTS]:
            self.accounts[self.parts] = at
            self.parts += 1
        if not 0 <= payer < MOST_POSITIONS or not all(
            [-1 <= at < MOST_POSITIONS for at in (paid, created, address, origin, *accounts)]
        ):
            raise IndexError(f"there are at most {MOST_POSITIONS} identities")


cdef inline uint64_t account_of(Places places, const uint64_t *ids) noexcept nogil:
    """Return the account of identities as one number, 0 where a part of it is missing."""
    cdef uint64_t account = 0
    cdef int i
    for i in range(places.parts):
        if ids[places.accounts[i]] == ABSENT_HASH:
            return 0
        account = (account * <uint64_t>0x9E3779B97F4A7C15) ^ ids[places.accounts[i]]
    return account


cdef inline uint64_t place_of(Places places, const uint64_t *ids) noexcept nogil:
    """Return where a request comes from, 0 where that says nothing of a payer."""
    if places.address < 0 or ids[places.address] == ABSENT_HASH:
        return 0
    if places.origin >= 0 and ids[places.origin] != ABSENT_HASH and ids[places.origin] & SHARED:
        return 0
    return ids[places.address]


cdef inline int64_t created_of(Places places, const uint64_t *ids) noexcept nogil:
    """Return when the account was created, in seconds since the epoch, 0 where that is not known."""
    return <int64_t>ids[places.created] if places.created >= 0 and ids[places.created] != ABSENT_HASH else 0


@cython.final
@cython.auto_pickle(False)
cdef class AllowancePicker(Picker):
    cdef object make
    cdef Places places
    cdef Records records        # None: nothing is remembered of payers
    cdef int count
    cdef Levels levels[MOST_EARNED]
    cdef tuple said             # of each allowance, by the payer's hash, levels that operators said
    cdef bint is_said
    cdef dict kept
    cdef uint64_t last          # what was picked last,
    cdef object last_plan       # and its plan; None: nothing yet

    def __cinit__(self, make, Places places not None, levels, Records records=None, /):
        cdef int i, at
        cdef Levels *one
        if len(levels) > MOST_EARNED or any([not 0 < len(each.earned.quotas) <= MOST_LEVELS for each in levels]):
            raise ValueError(f"there are at most {MOST_EARNED} allowances of {MOST_LEVELS} levels in one plan")
        self.make, self.places, self.records = make, places, records
        self.kept = {}
        self.said = tuple([dict(each.said) for each in levels])
        self.is_said = any(self.said)
        for i, each in enumerate(levels):
            one, earned = self.levels + i, each.earned
            self.count = i + 1
            one.salt, one.young = each.salt, earned.young_paid
            one.count = <int>len(earned.quotas)
            one.paid_from = <uint64_t *>PyMem_Malloc(one.count * sizeof(uint64_t))
            one.grown_from = <double *>PyMem_Malloc(one.count * sizeof(double))
            if one.paid_from == NULL or one.grown_from == NULL:
                raise MemoryError
            for at in range(one.count):
                one.paid_from[at] = earned.paid_from[at] if at < len(earned.paid_from) else <uint64_t>-1
                one.grown_from[at] = earned.grown_from[at] if at < len(earned.grown_from) else 1e300

    def __dealloc__(self):
        cdef int i
        for i in range(MOST_EARNED):
            PyMem_Free(self.levels[i].paid_from)
            PyMem_Free(self.levels[i].grown_from)

    cdef object picked(self, uint64_t *ids, object now_ns):
        cdef uint64_t code = UNCOVERED, now
        cdef int64_t now_s = 0
        cdef PyObject *found
        cdef int i, standing = 0
        if ids[self.places.payer] != ABSENT_HASH:
            if self.records is not None and read_number(now_ns, &now) == WHOLE:
                now_s = <int64_t>(now // SECOND)
                standing = self.seen(ids, now_s)
            if not standing & ELSEWHERE:
                code = 0
                for i in range(self.count):
                    code = code << 8 | <uint64_t>self.level_at(i, ids, standing, now_s, now_ns)
        if self.last_plan is not None and code == self.last:
            return self.last_plan
        key = code
        found = PyDict_GetItemWithError(self.kept, key)
        plan = <object>found if found != NULL else self.made(code, key)
        self.last, self.last_plan = code, plan
        return plan

    def told(self, list row not None, now_ns, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t now
        cdef int64_t now_s = 0
        cdef int i, standing = 0
        cdef uint64_t settled = 0
        fill(row, ids)
        if ids[self.places.payer] == ABSENT_HASH:
            return None
        if self.records is not None and read_number(now_ns, &now) == WHOLE:
            now_s = <int64_t>(now // SECOND)
            standing = self.seen(ids, now_s)
            settled = self.records.settled(ids[self.places.payer], now_s)
        found = []
        for i in range(self.count):
            best = 0.0
            if self.records is not None:
                best = self.records.best(record_of(ids[self.places.payer], self.levels[i].salt), now_s)
            found.append((self.level_at(i, ids, standing, now_s, now_ns), best))
        return standing, settled, found

    cdef int seen(self, uint64_t *ids, int64_t now_s) noexcept:
        """Record who asks and where, and return its standing; noexcept: as what records do is."""
        cdef Places places = self.places
        cdef uint64_t account = account_of(places, ids), place = place_of(places, ids)
        cdef int standing = self.records.see(ids[places.payer], account, place, created_of(places, ids), now_s)
        if places.paid >= 0 and ids[places.paid] != ABSENT_HASH:
            self.records.see_paid(ids[places.payer], <int64_t>ids[places.paid], standing, now_s)
        return standing

    cdef void look_ahead(self, uint64_t **columns, Py_ssize_t row) noexcept nogil:
        """Have what is remembered of a row's payer fetched."""
        cdef uint64_t ids[MOST_POSITIONS]
        cdef int i
        if self.records is None:
            return
        ids[self.places.payer] = columns[self.places.payer][row]
        for i in range(self.places.parts):
            ids[self.places.accounts[i]] = columns[self.places.accounts[i]][row]
        if self.places.address >= 0:
            ids[self.places.address] = columns[self.places.address][row]
        if self.places.created >= 0:
            ids[self.places.created] = columns[self.places.created][row]
        if self.places.origin >= 0:
            ids[self.places.origin] = columns[self.places.origin][row]
        if self.places.paid >= 0:
            ids[self.places.paid] = columns[self.places.paid][row]
        self.records.look_ahead(
            ids[self.places.payer], account_of(self.places, ids), place_of(self.places, ids),
            created_of(self.places, ids),
            self.places.paid >= 0 and ids[self.places.paid] != ABSENT_HASH,
        )
        if self.places.paid >= 0 and ids[self.places.paid] != ABSENT_HASH:
            return
        for i in range(self.count):
            if self.levels[i].salt and self.levels[i].count > 1:
                self.records.await_payer(record_of(ids[self.places.payer], self.levels[i].salt))

    cdef int level_at(self, int i, uint64_t *ids, int standing, int64_t now_s, object now_ns) except -1:
        """Return the level of an allowance: what an operator said of the payer, else what it earned."""
        cdef PyObject *found
        if self.is_said:
            hashed = ids[self.places.payer]
            found = PyDict_GetItemWithError(<dict>self.said[i], hashed)
            if found != NULL:
                for level, until_ns in <object>found:  # the latest first
                    if now_ns < until_ns:
                        return min(<int>level, self.levels[i].count - 1)
        return self.level(self.levels + i, ids, standing, now_s)

    cdef int level(self, Levels *levels, uint64_t *ids, int standing, int64_t now_s) noexcept:
        """Return the highest level that is earned; noexcept: compares numbers in memory that is there."""
        cdef int low = 0, high = levels.count - 1, middle
        cdef uint64_t paid = ABSENT_HASH
        cdef double best
        if self.places.paid >= 0:
            paid = ids[self.places.paid]
        if paid != ABSENT_HASH:
            if self.records is not None and paid > levels.young and not standing & UNSETTLED_COUNTS:
                paid = min(paid, levels.young + self.records.settled(ids[self.places.payer], now_s))
            while low < high:
                middle = (low + high + 1) // 2
                if levels.paid_from[middle] <= paid:
                    low = middle
                else:
                    high = middle - 1
            return low
        if self.records is None or levels.count == 1:
            return 0
        best = self.records.best(record_of(ids[self.places.payer], levels.salt), now_s)
        while low < high:
            middle = (low + high + 1) // 2
            if levels.grown_from[middle] <= best:
                low = middle
            else:
                high = middle - 1
        return low

    cdef object made(self, uint64_t code, object key):
        """Make a plan that was not picked yet."""
        if len(self.kept) >= MOST_KEPT:
            self.kept.clear()
        levels = None
        if code != UNCOVERED:
            levels = tuple([code >> 8 * (self.count - 1 - i) & 0xFF for i in range(self.count)])
        plan = self.kept[key] = self.make(levels)
        return plan


@cython.final
@cython.auto_pickle(False)
cdef class AllowanceNotes(Picker):
    cdef Records records
    cdef int payer_at
    cdef int count
    cdef int at[MOST_NOTED]             # of each allowance in its plan
    cdef uint64_t salts[MOST_NOTED]     # of its records
    cdef uint64_t most[MOST_NOTED]      # units that its window holds,
    cdef object most_of                 # in this plan; None: not read yet

    def __init__(self, Records records not None, int payer_at, salts, /):
        if not 0 <= payer_at < MOST_POSITIONS or len(salts) > MOST_NOTED:
            raise IndexError(f"there are at most {MOST_POSITIONS} identities, and {MOST_NOTED} allowances in one plan")
        self.records, self.payer_at, self.count = records, payer_at, 0
        for position, salt in salts:
            self.at[self.count], self.salts[self.count] = position, salt
            self.count += 1

    cdef int charged(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1:
        """Remember what a payer's window holds, of each allowance that took a request."""
        cdef Outcome seen
        cdef uint64_t now, left
        cdef int i, at
        if ids[self.payer_at] == ABSENT_HASH or read_number(now_ns, &now) != WHOLE:
            return 0
        if plan is not self.most_of:
            for i in range(self.count):
                self.most[i] = plan.rules[self.at[i]].burst
            self.most_of = plan
        for i in range(self.count):
            at = self.at[i]
            if type(outcome) is Outcome:
                seen = <Outcome>outcome
                if at >= seen.plan.setup.count or seen.charges[at].state != ALLOWED:
                    continue
                left = seen.remaining_of(at)
            elif outcome.state(at) == ALLOWED:
                left = outcome.remaining(at)
            else:
                continue
            if left < self.most[i]:
                self.records.note(
                    record_of(ids[self.payer_at], self.salts[i]), <double>(self.most[i] - left), <int64_t>(now // SECOND)
                )
        return 0


def note_refused(outcome, list row not None, /):
    cdef uint64_t ids[MOST_POSITIONS]
    if type(outcome) is Outcome:
        fill(row, ids)
        name_refused(<Outcome>outcome, ids)


def record_key(uint64_t payer, uint64_t salt, /):
    return record_of(payer, salt)


cdef inline uint64_t record_of(uint64_t payer, uint64_t salt) noexcept nogil:
    """Return what a payer's use of a limit is remembered by."""
    return payer if salt == 0 else mix(payer ^ salt)
