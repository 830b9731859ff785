"""The pick of allowances: see the stub."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.deciding.picker cimport Picker

cdef enum:
    MOST_EARNED = 7             # levels of so many limits make one number
    MOST_LEVELS = 160           # see allowance/compile
    MOST_KEPT = 4096            # as many plans as a bound policy keeps

cdef uint64_t UNCOVERED = <uint64_t>1 << 63


@cython.final
@cython.auto_pickle(False)
cdef class AllowancePicker(Picker):
    cdef object make
    cdef int payer_at
    cdef int paid_at
    cdef int count
    cdef int sizes[MOST_EARNED]
    cdef uint64_t *paid_from[MOST_EARNED]
    cdef dict kept
    cdef uint64_t last          # what was picked last,
    cdef object last_plan       # and its plan; None: nothing yet

    def __cinit__(self, make, int payer_at, int paid_at, levels, /):
        cdef int i = 0, at
        if not 0 <= payer_at < MOST_POSITIONS or not -1 <= paid_at < MOST_POSITIONS:
            raise IndexError(f"there are at most {MOST_POSITIONS} identities")
        if len(levels) > MOST_EARNED or any([not 0 < len(one) <= MOST_LEVELS for one in levels]):
            raise ValueError(f"there are at most {MOST_EARNED} allowances of {MOST_LEVELS} levels in one plan")
        self.make, self.payer_at, self.paid_at = make, payer_at, paid_at
        self.kept = {}
        for i, one in enumerate(levels):
            self.sizes[i] = <int>len(one)
            self.paid_from[i] = <uint64_t *>PyMem_Malloc(len(one) * sizeof(uint64_t))
            if self.paid_from[i] == NULL:
                raise MemoryError
            for at in range(self.sizes[i]):
                self.paid_from[i][at] = one[at]
            self.count = i + 1

    def __dealloc__(self):
        cdef int i
        for i in range(MOST_EARNED):
            PyMem_Free(self.paid_from[i])

    cdef object picked(self, uint64_t *ids, object now_ns):
        cdef uint64_t code = UNCOVERED
        cdef PyObject *found
        cdef int i
        if ids[self.payer_at] != ABSENT_HASH:
            code = 0
            for i in range(self.count):
                code = code << 8 | <uint64_t>self.level(i, ids)
        if self.last_plan is not None and code == self.last:
            return self.last_plan
        key = code
        found = PyDict_GetItemWithError(self.kept, key)
        plan = <object>found if found != NULL else self.made(code, key)
        self.last, self.last_plan = code, plan
        return plan

    cdef int level(self, int i, uint64_t *ids) noexcept:
        """Return the highest level that what was paid earns; noexcept: compares numbers in memory that is there."""
        cdef int low = 0, high = self.sizes[i] - 1, middle
        cdef uint64_t paid
        if self.paid_at < 0 or ids[self.paid_at] == ABSENT_HASH:
            return 0
        paid = ids[self.paid_at]
        while low < high:
            middle = (low + high + 1) // 2
            if self.paid_from[i][middle] <= paid:
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
