"""Amounts in bins that grow with them: see the stub for the contract.

The bins are four to an octave, so a quantile is too large by a quarter at most, and never too small.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    MOST_COUNTED = 256      # accounts of one `Shares`: those seen last
    LATELY = 64             # amounts of an account before its counts are halved, so that old ones fade

MOST_ACCOUNTS = MOST_COUNTED
BINS = BIN_COUNT


def _bounds():
    found = [0]
    octave = 1
    while len(found) < BINS:
        for numerator, denominator in ((1, 1), (1189207115, 10**9), (1414213562, 10**9), (1681792831, 10**9)):
            amount = octave * numerator // denominator
            if amount > found[-1] and len(found) < BINS:
                found.append(amount)
        octave *= 2
    return tuple(found)


BOUNDS = _bounds()
cdef int _place
for _place in range(BIN_COUNT):
    bounds[_place] = BOUNDS[_place]


cdef int bin_of(int64_t amount) noexcept nogil:
    """Return the bin of an amount; what is above all of them counts in the last."""
    cdef int low = 0, high = BIN_COUNT - 1, middle
    while low < high:
        middle = (low + high) >> 1
        if bounds[middle] < amount:
            low = middle + 1
        else:
            high = middle
    return low


@cython.final
@cython.auto_pickle(False)
cdef class Histogram:
    """Counts of amounts: see the stub."""

    def __cinit__(self, int most):
        if not 0 < most < 256:
            raise ValueError("a count is a byte")
        self.most = most

    def add(self, int64_t amount):
        self.put(amount)

    def quantile(self, int percent):
        return self.at(percent)

    cdef void put(self, int64_t amount) noexcept:
        cdef int i
        if self.total >= self.most:
            self.total = 0
            for i in range(BIN_COUNT):
                self.counts[i] >>= 1
                self.total += self.counts[i]
        self.counts[bin_of(amount)] += 1
        self.total += 1

    cdef int64_t at(self, int percent) noexcept:
        cdef int64_t wanted = (<int64_t>self.total * percent + 99) // 100
        cdef int i
        for i in range(BIN_COUNT):
            wanted -= self.counts[i]
            if wanted <= 0:
                return bounds[i] if self.total else 0
        return bounds[BIN_COUNT - 1]

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


@cython.final
@cython.auto_pickle(False)
cdef class Part:
    """The amounts of one account among others."""

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


@cython.final
@cython.auto_pickle(False)
cdef class Shares:
    """The use of the last accounts: see the stub."""

    def __cinit__(self):
        self.accounts = {}

    def __len__(self):
        return len(self.accounts)

    def add(self, account, int64_t amount):
        self.put(account, amount)

    def quantile(self, int percent):
        return self.at(percent)

    @property
    def weights(self):
        return tuple([self.weights_of[i] for i in range(BIN_COUNT)])

    cdef int put(self, object account, int64_t amount) except -1:
        cdef Part part = <Part?>self.accounts.pop(account, NOBODY)
        cdef int i
        if part is NOBODY:
            part = Part.__new__(Part)
            if len(self.accounts) >= MOST_COUNTED:
                self.weigh(<Part>self.accounts.pop(next(iter(self.accounts))), -1)
        else:
            self.weigh(part, -1)
            if part.total >= LATELY:
                part.total = 0
                for i in range(BIN_COUNT):
                    part.counts[i] >>= 1
                    part.total += part.counts[i]
        part.counts[bin_of(amount)] += 1
        part.total += 1
        self.weigh(part, 1)
        self.accounts[account] = part  # behind all others
        return 0

    cdef int64_t at(self, int percent) noexcept:
        cdef int64_t wanted = (self.whole * percent + 99) // 100
        cdef int i
        if not wanted:
            return 0
        for i in range(BIN_COUNT):
            wanted -= self.weights_of[i]
            if wanted <= 0:
                return bounds[i]
        return bounds[BIN_COUNT - 1]

    cdef void weigh(self, Part part, int sign) noexcept:
        """Count an account's part in, or out."""
        cdef int64_t weight
        cdef uint64_t eight
        cdef int i, j
        if not part.total:
            return
        for i in range(0, BIN_COUNT, 8):
            memcpy(&eight, part.counts + i, 8)  # most bins of an account are empty
            if eight == 0:
                continue
            for j in range(i, i + 8):
                if part.counts[j]:
                    weight = <int64_t>part.counts[j] * WHOLE_ACCOUNT // part.total
                    self.weights_of[j] += sign * weight
                    self.whole += sign * weight

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


cdef Part NOBODY = Part.__new__(Part)
