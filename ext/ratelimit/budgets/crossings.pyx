"""The shares of a budget that a customer crosses: see the stub."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ratelimit.core.algorithms.setup cimport ALLOWED, MOST_RULES, SKIPPED
from ratelimit.core.algorithms.word_algorithms cimport window_end
from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.memory.atomic cimport SECOND
from ratelimit.core.memory.entries cimport COUNTS, LIFETIME, PAIRS
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.scanner cimport MOST_POSITIONS
from ratelimit.deciding.picker cimport Picker, fill

cdef enum:
    MOST_SHARES = 8
    MOST_TOLD = 1 << 16         # counters that a worker knows to be told of
    MOST_WAITING = 1 << 16      # and that wait to be told

cdef uint64_t LAST_S = <uint64_t>1 << 39  # the end of a lifetime

cdef struct Notified:
    int at                      # position of the limit in the plan
    int who                     # of the identity that it counts by
    int count
    uint64_t period_ns          # 0: a lifetime
    uint64_t most               # the whole number
    uint64_t shares[MOST_SHARES]  # units from which each share is crossed, ascending
    bint tells_end              # the last share is the whole


@cython.final
@cython.auto_pickle(False)
cdef class Crossings(Picker):
    cdef int count
    cdef Notified notified[MOST_RULES]
    cdef tuple names
    cdef dict told              # by counter, the end of its window and how many of its shares were told
    cdef object waiting         # a deque of what crossed

    def __init__(self, notified, dict told not None, waiting, /):
        cdef Notified *one
        cdef int i
        if len(notified) > MOST_RULES or any([not 0 < len(each.units) <= MOST_SHARES for each in notified]):
            raise ValueError(f"there are at most {MOST_RULES} limits of {MOST_SHARES} shares in one plan")
        self.count, self.told, self.waiting = 0, told, waiting
        for each in notified:
            one = self.notified + self.count
            one.at, one.who, one.period_ns, one.most = each.at, each.who, each.period_ns, each.most
            if not 0 <= one.at < MOST_RULES or not 0 <= one.who < MOST_POSITIONS or not (
                one.period_ns >= SECOND or one.period_ns == 0
            ):
                raise IndexError(f"there are {MOST_RULES} limits, and at most {MOST_POSITIONS} identities")
            one.count, one.tells_end = <int>len(each.units), each.tells_end
            for i in range(one.count):
                one.shares[i] = each.units[i]
            self.count += 1
        self.names = tuple([each.name for each in notified])

    cdef int charged(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1:
        return self.look(ids, outcome, now_ns, False)

    cdef int refused(self, uint64_t *ids, object plan, object outcome, object now_ns) except -1:
        return self.look(ids, outcome, now_ns, True)

    def refuse(self, list row not None, plan, outcome, now_ns, /):
        cdef uint64_t ids[MOST_POSITIONS]
        fill(row, ids)
        self.refused(ids, plan, outcome, now_ns)

    cdef int look(self, uint64_t *ids, object outcome, object now_ns, bint is_refused) except -1:
        """Note the shares that a customer's use has crossed, once in this worker."""
        cdef Outcome seen
        cdef Notified *one
        cdef uint64_t left, used, key, now, end_s
        cdef int i, level, state
        for i in range(self.count):
            one = self.notified + i
            if type(outcome) is Outcome:
                seen = <Outcome>outcome
                if one.at >= seen.plan.setup.count:
                    continue
                state = seen.charges[one.at].state
                # A host's share, while the server is away, is no customer's number: its use counts there later.
                if state == SKIPPED or seen.plan.setup.quotas[one.at].share:
                    continue
                left = seen.remaining_of(one.at)
            else:
                state = outcome.state(one.at)
                if state == SKIPPED:
                    continue
                left = outcome.remaining(one.at)
            used = one.most - left if one.most > left else 0
            level = 0
            while level < one.count and used >= one.shares[level]:
                level += 1
            if state != ALLOWED and one.tells_end and level == one.count - 1:
                level = one.count  # what is left is too little for a request
            if level == 0:
                continue
            if type(outcome) is Outcome:
                key = seen.charges[one.at].key
                end_s = self.end_of(one, &seen.plan.setup.quotas[one.at], key, seen.now)
            else:
                if read_number(now_ns, &now) != WHOLE:
                    continue
                key, end_s = outcome.key(one.at), LAST_S
                if one.period_ns:
                    end_s = (now // one.period_ns + 1) * one.period_ns // SECOND
            if ids[one.who] != ABSENT_HASH:
                self.note(i, key, end_s, level, used, ids[one.who])
        return 0

    cdef uint64_t end_of(self, Notified *one, const Quota *q, uint64_t key, uint64_t now) noexcept:
        """Return the second in which a counter's window ends; noexcept: arithmetic over numbers that are there."""
        if q.kind == LIFETIME:
            return LAST_S
        if COUNTS <= q.kind < PAIRS:
            return (q.epoch_ns + window_end(q, key, now)) // SECOND
        # Without a window of its own: that of its period around now.
        return ((q.epoch_ns + now) // one.period_ns + 1) * one.period_ns // SECOND

    cdef int note(self, int i, uint64_t key, uint64_t end_s, int level, uint64_t used, uint64_t who) except -1:
        cdef PyObject *found
        cdef int before = 0
        counter = key
        found = PyDict_GetItemWithError(self.told, counter)
        if found != NULL:
            known_end, known = <object>found
            if known_end == end_s:
                before = known
            elif known_end > end_s:
                return 0  # by the clock of a request that was decided before others
        if before >= level or len(self.waiting) >= MOST_WAITING:
            return 0
        if len(self.told) >= MOST_TOLD:
            self.told.clear()
        self.told[counter] = end_s, level
        self.waiting.append(
            (self.names[i], counter, end_s, before, level, used, self.notified[i].most, who,
             self.notified[i].period_ns)
        )
        return 0
