"""The pick of a customer's own numbers: see the stub."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy, memset

from ratelimit.core.algorithms.setup cimport MOST_RULES
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.deciding.picker cimport Picker

cdef enum:
    MOST_KEPT = 4096            # as many plans as a bound policy keeps

cdef struct Own:
    int at                      # position of the limit in the plan
    int number_at               # of the number in rows; -1: the application says none
    uint64_t most
    uint64_t quota              # the policy's number
    uint64_t fits               # the largest number that the limit can have


@cython.final
@cython.auto_pickle(False)
cdef class BudgetPicker(Picker):
    cdef object make
    cdef object bounded         # is told of numbers beyond their bounds
    cdef int size               # of the plan
    cdef int count
    cdef Own own[MOST_RULES]
    cdef tuple said             # of each limit, pairs of a position and by hash what operators said
    cdef tuple more             # the same of what they added
    cdef bint is_said
    cdef dict kept
    cdef uint64_t last[MOST_RULES]  # what was picked last,
    cdef object last_plan           # and its plan; None: nothing yet

    def __cinit__(self, make, int size, budgeted, bounded, /):
        cdef Own *one
        if not 0 < size <= MOST_RULES or len(budgeted) > size:
            raise ValueError(f"there are at most {MOST_RULES} limits in one plan")
        self.make, self.size, self.bounded = make, size, bounded
        self.kept, said, more = {}, [], []
        for each in budgeted:
            one = self.own + self.count
            one.at, one.number_at, one.most = each.at, -1, <uint64_t>-1
            one.quota, one.fits = each.quota, each.fits
            if each.spec is not None:
                one.number_at, one.most = each.spec.at, each.spec.most
            if not 0 <= one.at < size or not -1 <= one.number_at < MOST_POSITIONS:
                raise IndexError(f"there are {size} limits, and at most {MOST_POSITIONS} identities")
            if not all([0 <= position < MOST_POSITIONS for position in (*each.said, *each.more)]):
                raise IndexError(f"there are at most {MOST_POSITIONS} identities")
            said.append(tuple([(position, dict(numbers)) for position, numbers in each.said.items()]))
            more.append(tuple([(position, dict(numbers)) for position, numbers in each.more.items()]))
            self.is_said = self.is_said or bool(each.said) or bool(each.more)
            self.count += 1
        self.said, self.more = tuple(said), tuple(more)

    cdef object picked(self, uint64_t *ids, object now_ns):
        cdef uint64_t quotas[MOST_RULES]
        cdef uint64_t number
        cdef PyObject *found
        cdef int i
        memset(quotas, 0, self.size * sizeof(uint64_t))
        for i in range(self.count):
            number = ABSENT_HASH
            if self.own[i].number_at >= 0:
                number = ids[self.own[i].number_at]
            if number != ABSENT_HASH:
                quotas[self.own[i].at] = min(max(number, <uint64_t>1), self.own[i].most)
                if quotas[self.own[i].at] != number:
                    self.bounded(self.own[i].at)
            if self.is_said:
                self.look_up(i, ids, now_ns, quotas)
        if self.last_plan is not None and memcmp(quotas, self.last, self.size * sizeof(uint64_t)) == 0:
            return self.last_plan
        key = PyBytes_FromStringAndSize(<char *>quotas, self.size * sizeof(uint64_t))
        found = PyDict_GetItemWithError(self.kept, key)
        plan = <object>found if found != NULL else self.made(quotas, key)
        memcpy(self.last, quotas, self.size * sizeof(uint64_t))
        self.last_plan = plan
        return plan

    cdef int look_up(self, int i, uint64_t *ids, object now_ns, uint64_t *quotas) except -1:
        """Put what operators said of a limit in place of what the application says, and add what they added."""
        cdef uint64_t *quota = quotas + self.own[i].at
        cdef PyObject *found
        cdef int position
        cdef uint64_t before = quota[0]
        cdef bint is_said = False
        for position, by_hash in <tuple>self.said[i]:
            found = NULL
            if ids[position] != ABSENT_HASH:
                hashed = ids[position]
                found = PyDict_GetItemWithError(by_hash, hashed)
            if found != NULL:
                for units, until_ns in <object>found:  # the latest first
                    if now_ns < until_ns:
                        quota[0] = units
                        is_said = True
                        break
            if is_said:
                break  # the first identity goes before others
        for position, by_hash in <tuple>self.more[i]:
            found = NULL
            if ids[position] != ABSENT_HASH:
                hashed = ids[position]
                found = PyDict_GetItemWithError(by_hash, hashed)
            if found != NULL:
                for units, until_ns in <object>found:
                    if now_ns < until_ns:
                        quota[0] = (quota[0] if quota[0] else self.own[i].quota) + <uint64_t>units
        if quota[0] != before:
            quota[0] = min(quota[0], self.own[i].fits)
        return 0

    cdef object made(self, uint64_t *quotas, object key):
        """Make a plan that was not picked yet."""
        cdef int i
        if len(self.kept) >= MOST_KEPT:
            self.kept.clear()
        plan = self.kept[key] = self.make(tuple([quotas[i] for i in range(self.size)]))
        return plan
