"""Estimates of what a request will use, from what was used before: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ratelimit.usage.histogram cimport Histogram, Shares
from ratelimit.usage.settling cimport moment

cdef enum:
    TOKENS_AT_FIRST = 1024
    PAST_OF_ACCOUNT = 5     # requests from which on an account has a past,
    PAST_OF_ROUTE = 20      # and a route,
    ACCOUNTS_OF_ROUTE = 3   # once it was used by so many: what one or two did says nothing of others
    ROUTES = 1_024
    VOTERS = 64
    LATELY_OF_ACCOUNT = 64
    PINNING = 4
    SHARE = 16
    SLACK = 8               # how far beyond its maximum an answer may be: tokens,
    SLACK_PARTS = 4         # and parts of the maximum; counts differ a little
    ANSWERS_OF_HABIT = 32   # an account's last answers, by which it is known whether its clients leave
    LEFT_BY_HABIT = 4       # so many of them left, and a quarter, are a habit

cdef uint64_t UNHEEDED = 86_400 * <uint64_t>1_000_000_000
cdef uint64_t KEPT = 7 * UNHEEDED

FIRST = TOKENS_AT_FIRST
ENOUGH_OF_ACCOUNT, ENOUGH_OF_ROUTE, ENOUGH_ACCOUNTS = PAST_OF_ACCOUNT, PAST_OF_ROUTE, ACCOUNTS_OF_ROUTE
MOST_ACCOUNTS, MOST_ROUTES, MOST_VOTES = 10_000, ROUTES, VOTERS
HABIT = LEFT_BY_HABIT
UNHEEDED_NS, KEPT_NS = UNHEEDED, KEPT


@cython.final
@cython.auto_pickle(False)
cdef class Past:
    """The use of one account on one route."""

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


@cython.final
@cython.auto_pickle(False)
cdef class Route:
    """The use of accounts on one route."""

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


@cython.final
@cython.auto_pickle(False)
cdef class Endings:
    """The endings of one account's last answers."""

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


@cython.final
@cython.auto_pickle(False)
cdef class Votes:
    """Return whether the last answers of a route's last accounts were longer than declared."""

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


@cython.final
@cython.auto_pickle(False)
cdef class Learned:
    """The use of accounts on routes: see the stub."""

    def __init__(self, Py_ssize_t most_accounts=MOST_ACCOUNTS, int64_t first=TOKENS_AT_FIRST):
        self.most, self.first = most_accounts, first
        self.accounts, self.routes, self.exceeded, self.votes, self.endings = {}, {}, {}, {}, {}

    def __len__(self):
        return len(self.accounts)

    @property
    def sizes(self):
        cdef Votes one
        most = 0
        for one in self.votes.values():
            most = max(most, len(one.by_account))
        return {
            "accounts": len(self.accounts), "routes": len(self.routes), "exceeded": len(self.exceeded),
            "votes": len(self.votes), "voters": most, "endings": len(self.endings),
        }

    def learn(self, account, route, int64_t amount, now_ns):
        self.take(account, route, amount, moment(now_ns))

    cdef int take(self, object account, object route, int64_t amount, uint64_t now) except -1:
        cdef PyObject *found = PyDict_GetItemWithError(self.routes, route)
        cdef Route usual
        cdef Past past
        if found == NULL:
            if len(self.routes) >= ROUTES:
                del self.routes[next(iter(self.routes))]
            usual = Route.__new__(Route)
            usual.amounts = Shares.__new__(Shares)
            self.routes[route] = usual
        else:
            usual = <Route><object>found
        usual.amounts.put(account, amount)
        usual.total += 1
        usual.largest = max(usual.largest, amount)
        key = (account, route)
        past = <Past>self.accounts.pop(key, None)
        if past is None or not past.seen_ns <= now < past.seen_ns + KEPT:
            past = Past.__new__(Past)
            past.amounts = Histogram.__new__(Histogram, LATELY_OF_ACCOUNT)
        self.accounts[key] = past  # behind all others
        past.seen_ns = now
        past.amounts.put(amount)
        if len(self.accounts) > self.most:
            del self.accounts[next(iter(self.accounts))]
        return 0

    def heed(self, account, route, int by, int64_t declared, int64_t output, now_ns):
        self.vote(account, route, by, declared, output, moment(now_ns))

    cdef int vote(self, object account, object route, int by, int64_t declared, int64_t output, uint64_t now) except -1:
        cdef bint is_longer = output > declared + declared // SLACK_PARTS + SLACK
        cdef Votes votes
        key = (route, by)
        votes = <Votes>self.votes.pop(key, None)
        if votes is None:
            votes = Votes.__new__(Votes)
            votes.by_account = {}
            if len(self.votes) >= ROUTES:
                del self.votes[next(iter(self.votes))]
        self.votes[key] = votes  # behind all others
        if votes.by_account.pop(account, False):
            votes.longer -= 1
        votes.by_account[account] = True if is_longer else False
        votes.longer += is_longer
        if len(votes.by_account) > VOTERS and votes.by_account.pop(next(iter(votes.by_account))):
            votes.longer -= 1
        if is_longer:
            key = (account, route, by)
            self.exceeded.pop(key, None)
            self.exceeded[key] = now
            if len(self.exceeded) > self.most:
                del self.exceeded[next(iter(self.exceeded))]
        return 0

    def is_heeded(self, account, route, int by, now_ns):
        return self.trusts(account, route, by, moment(now_ns))

    cdef bint trusts(self, object account, object route, int by, uint64_t now) except -1:
        cdef PyObject *found
        cdef Votes votes
        if self.exceeded:
            found = PyDict_GetItemWithError(self.exceeded, (account, route, by))
            if found != NULL and now < <uint64_t><object>found + UNHEEDED:
                return False
        found = PyDict_GetItemWithError(self.votes, (route, by))
        if found == NULL:
            return True
        votes = <Votes><object>found
        return votes.longer < ACCOUNTS_OF_ROUTE or 2 * votes.longer <= len(votes.by_account)

    def ended(self, account, bint is_left):
        self.end(account, is_left)

    cdef int end(self, object account, bint is_left) except -1:
        cdef Endings found = <Endings>self.endings.pop(account, None)
        if found is None:
            if not is_left:
                return 0  # most accounts never leave, and are not remembered
            found = Endings.__new__(Endings)
            if len(self.endings) >= self.most:
                del self.endings[next(iter(self.endings))]
        found.left = found.left << 1 | is_left
        found.count = min(found.count + 1, ANSWERS_OF_HABIT)
        if found.left:
            self.endings[account] = found  # behind all others
        return 0

    def leaves_by_habit(self, account):
        return self.leaves(account)

    cdef bint leaves(self, object account) except -1:
        cdef PyObject *found
        cdef uint32_t left
        cdef int many = 0
        if not self.endings:
            return False
        found = PyDict_GetItemWithError(self.endings, account)
        if found == NULL:
            return False
        left = (<Endings><object>found).left
        while left:
            many += left & 1
            left >>= 1
        return many >= LEFT_BY_HABIT and 4 * many >= (<Endings><object>found).count

    def estimate(self, account, route, declared, now_ns, first=None, int64_t most=0):
        return self.expected(account, route, said(declared), moment(now_ns), said(first), most)

    cdef int64_t expected(
        self, object account, object route, int64_t declared, uint64_t now, int64_t first, int64_t most
    ) except -1:
        cdef PyObject *found = PyDict_GetItemWithError(self.routes, route)
        cdef Route usual = None if found == NULL else <Route><object>found
        cdef Past past = None
        cdef int64_t amount
        if first == UNSAID:
            first = self.first
        if usual is not None:
            found = PyDict_GetItemWithError(self.accounts, (account, route))
            if found != NULL:
                past = <Past><object>found
                if not past.seen_ns <= now < past.seen_ns + KEPT or past.amounts.total < PAST_OF_ACCOUNT:
                    past = None
        if past is not None:
            amount = min(max(past.amounts.at(90), usual.amounts.at(50)), usual.largest)
        elif usual is not None and usual.total >= PAST_OF_ROUTE and len(usual.amounts.accounts) >= ACCOUNTS_OF_ROUTE:
            amount = usual.amounts.at(75)
        else:
            amount = first
        amount = max(<int64_t>1, amount)  # answers that used nothing say nothing of the next
        return amount if declared == UNSAID else min(amount, self.counted(usual, declared, first, most))

    def reach(self, route, int64_t least):
        return self.furthest(route, least)

    cdef int64_t furthest(self, object route, int64_t least) except -1:
        cdef PyObject *found = PyDict_GetItemWithError(self.routes, route)
        if found == NULL or (<Route><object>found).total < PAST_OF_ROUTE:
            return least
        return max(least, (<Route><object>found).amounts.at(99))

    def reserved(self, route, int64_t declared, first=None, int64_t most=0):
        return self.held(route, declared, said(first), most)

    cdef int64_t held(self, object route, int64_t declared, int64_t first, int64_t most) except -1:
        cdef PyObject *found = PyDict_GetItemWithError(self.routes, route)
        return self.counted(
            None if found == NULL else <Route><object>found, declared, self.first if first == UNSAID else first, most
        )

    cdef int64_t counted(self, Route usual, int64_t declared, int64_t first, int64_t most) noexcept:
        """Return what a declared maximum counts as; noexcept: arithmetic of amounts below 2**61."""
        cdef int64_t needed
        if usual is None or usual.total < PAST_OF_ROUTE:
            return min(declared, max(PINNING * first, most // SHARE))
        if declared <= PINNING:
            return declared  # whatever was needed
        needed = max(<int64_t>1, usual.amounts.at(99))
        return needed if declared > PINNING * needed else declared

    def __reduce__(self):
        raise TypeError("what was learned stays in its worker")


cdef int64_t said(amount) except? -1:
    return UNSAID if amount is None else amount
