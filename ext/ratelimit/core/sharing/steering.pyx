"""The inputs that steer the bounds in flight, in memory that workers share: see the stub.

Answers are in a ring that is overwritten, not emptied. The worker that takes the next step may be
another one, and looks back on what the last one saw.
"""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.memory.atomic cimport cas, fetch_add, load, store
from ratelimit.core.sharing.flight cimport (
    ANSWERS, FRESH_MS, LANES, MILLISECOND, PLACES, SILENT_MS, WORDS, FlightHeader, Seen, apart, instant,
)
from ratelimit.core.sharing.inflight cimport InFlight
from ratelimit.core.sharing.reserved cimport reserved
from ratelimit.core.sharing.room cimport may_wait, room_below

cdef uint64_t MOST_LOOKED_BACK = 1000     # nearly all that are kept, as most of them may be passed over
cdef uint64_t MOST_OBSERVED = 32          # first bytes of one step: some hundred a second say what all of them do
cdef uint64_t PASSED_OVER = 0xFF          # the mark of those that were not observed
cdef uint64_t MOST_INSTANT = 1 << 62      # what is later is no time

STEERING_WORDS = WORDS
REPORT_FRESH_NS = <uint64_t>FRESH_MS * MILLISECOND


@cython.final
@cython.auto_pickle(False)
cdef class Steering:
    cdef InFlight flight

    def __cinit__(self, InFlight flight not None):
        flight.check_open()
        self.flight = flight

    def answered(self, bint again=False, /):
        self.flight.check_open()
        cdef uint64_t head = load(&self.flight.header.head), tail = load(&self.flight.header.tail), at
        cdef uint64_t sequence, admitted, seen_ns, counts, failed, first, every
        cdef Seen *seen
        cdef list found = []
        if head - tail > ANSWERS:
            tail = head - ANSWERS if head > ANSWERS else 0  # overwritten, or damaged
        if again:
            head, at = tail, tail - MOST_LOOKED_BACK if tail > MOST_LOOKED_BACK else 0
        else:
            at = tail
        first, every = at, 1 if again else (head - at + MOST_OBSERVED - 1) // MOST_OBSERVED
        while at < head:
            seen = self.flight.answers + (at & (ANSWERS - 1))
            sequence = load(&seen.sequence)
            admitted, seen_ns = load(&seen.admitted_ns), load(&seen.seen_ns)
            counts, failed = load(&seen.counts), load(&seen.failed)
            if again and failed >> 1 == PASSED_OVER:
                at += 1
                continue
            # The first says how long nothing came, the last how it is now, and a refusal is a cut.
            if every > 1 and at != first and (head - 1 - at) % every and not failed & 1:
                if sequence == at + 1:
                    store(&seen.failed, PASSED_OVER << 1)
                at += 1
                continue
            # What is being written or was overwritten is passed over: one sample of many.
            if sequence == at + 1 and load(&seen.sequence) == sequence and seen_ns < MOST_INSTANT and admitted < MOST_INSTANT:
                found.append((admitted, seen_ns, counts >> 32, counts & 0xFFFFFFFF, failed & 1 != 0, failed >> 1 & 0xFF, at))
            at += 1
        if not again:
            store(&self.flight.header.tail, head)
        return found

    def mark(self, number, uint8_t mark, /):
        self.flight.check_open()
        cdef uint64_t at = number
        cdef Seen *seen = self.flight.answers + (at & (ANSWERS - 1))
        if load(&seen.sequence) == at + 1:
            store(&seen.failed, load(&seen.failed) & 1 | <uint64_t>mark << 1)

    def waiting(self, now_ns, int most, /):
        self.flight.check_open()
        cdef uint64_t now = instant(now_ns), lanes = load(&self.flight.header.most_lanes), places, since, i, at
        cdef list found = []
        for i in range(lanes if lanes < LANES else LANES):
            if <int>i != self.flight.lane and (
                load(&self.flight.lanes[i].pid) == 0 or load(&self.flight.lanes[i].unanswered) == 0
                or apart(now, load(&self.flight.lanes[i].beat_ns)) > <uint64_t>SILENT_MS * MILLISECOND
            ):
                continue
            places = load(&self.flight.lanes[i].most_places)
            for at in range(places if places < PLACES else PLACES):
                since = load(&self.flight.places[i * PLACES + at].since_ns)
                if since and since <= MOST_INSTANT:
                    found.append((since - 1, load(&self.flight.places[i * PLACES + at].queue) & 0xFFFFFFFF))
        found.sort()
        return found[:most]

    def peaks(self, now_ns, /):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        cdef uint64_t in_flight = load(&header.most_in_flight), unanswered = load(&header.most_unanswered)
        cdef uint64_t turned_away = load(&header.turned_away)
        self.flight.look(instant(now_ns))
        store(&header.most_in_flight, self.flight.sums.together)
        store(&header.most_unanswered, self.flight.sums.together_wait)
        cas(&header.turned_away, turned_away, 0)
        return (
            max(in_flight & 0xFFFFFFFF, self.flight.sums.together),
            max(unanswered & 0xFFFFFFFF, self.flight.sums.together_wait),
            turned_away
        )

    def publish(
        self, int kind, in_flight, free_bound, full_bound, full_from, patience_ns, places, beside,
        double pressure, target_ns, words, /,
    ):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        cdef int i
        if len(words) > WORDS:
            raise ValueError(f"a controller has at most {WORDS} words")
        store(&header.in_flight_bound, in_flight)
        store(&header.free_bound, free_bound)
        store(&header.full_bound, full_bound)
        store(&header.full_from, full_from)
        store(&header.patience_ns, patience_ns)
        store(&header.places, places)
        store(&header.beside, beside)
        store(&header.target_ns, target_ns)
        header.pressure = pressure
        for i in range(<int>len(words)):
            header.words[i] = words[i]
        store(&header.kind, kind)

    def said(self, now_ns, /):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        cdef uint64_t now = instant(now_ns), moved = load(&header.moved_ns), entered = load(&header.entered_ns)
        self.flight.look(now)
        return (
            self.flight.sums.in_flight, self.flight.sums.unanswered, self.flight.sums.held - self.flight.sums.held_over,
            load(&header.entered), load(&header.refused),
            now - moved if now > moved else 0, now - entered if now > entered else 0,
        )

    def heard(
        self, now_ns, elsewhere, elsewhere_waits, lease, lent, double part, still_ns, entered_ns, follows_ns,
        entered_more=0, /,
    ):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        cdef uint64_t now = instant(now_ns), moved = instant(now_ns - still_ns), entered = instant(now_ns - entered_ns)
        if not 0.0 < part <= 1.0:
            raise ValueError("a host has a part of one back end")
        store(&header.elsewhere, <uint64_t>elsewhere)
        store(&header.elsewhere_waits, <uint64_t>elsewhere_waits)
        store(&header.lease, <uint64_t>lease)
        store(&header.lent, <uint64_t>lent)
        fetch_add(&header.entered_elsewhere, <uint64_t>entered_more)
        header.part = part
        store(&header.follows_ns, instant(now_ns + follows_ns) if follows_ns else 0)
        if moved > load(&header.moved_ns):
            store(&header.moved_ns, moved)
        if entered > load(&header.entered_ns):
            store(&header.entered_ns, entered)
        store(&header.heard_ns, now if part < 1.0 else 0)

    @property
    def part(self):
        self.flight.check_open()
        cdef double part = self.flight.header.part
        return part if 0.0 < part <= 1.0 else 1.0

    @part.setter
    def part(self, double part):
        self.flight.check_open()
        if not 0.0 < part <= 1.0:
            raise ValueError("a host has a part of one back end")
        self.flight.header.part = part

    def observe(self, answers, /):
        self.flight.check_open()
        cdef uint64_t in_flight, unanswered
        for admitted_ns, seen_ns, in_flight, unanswered, failed in answers:
            self.flight.note(
                instant(admitted_ns), instant(seen_ns), (in_flight & 0xFFFFFFFF) << 32 | unanswered & 0xFFFFFFFF, failed,
            )

    def queue_at(self, now_ns, /):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        cdef uint64_t now = instant(now_ns), patience = load(&header.patience_ns), moved = load(&header.moved_ns)
        cdef uint64_t learned, bound, still = 0
        self.flight.look(now)
        bound = learned = may_wait(header, self.flight.sums.together - self.flight.sums.together_wait)
        if patience and self.flight.sums.together_wait and now > moved:
            still = now - moved
            bound = min(learned, max(<uint64_t>1, patience // still))
        return bound, learned, still

    def room_below(self, waiting, double share, double kept, int rank=0, /):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        return room_below(header, waiting, share, kept, reserved(header, rank, kept))

    @property
    def bounds(self):
        self.flight.check_open()
        cdef FlightHeader *header = self.flight.header
        return (
            load(&header.in_flight_bound), load(&header.free_bound), load(&header.full_bound),
            load(&header.full_from), load(&header.patience_ns), load(&header.places),
            load(&header.beside),
        )

    @property
    def pressure(self):
        self.flight.check_open()
        return self.flight.header.pressure

    @property
    def target_ns(self):
        self.flight.check_open()
        return load(&self.flight.header.target_ns)

    @property
    def kind(self):
        self.flight.check_open()
        return load(&self.flight.header.kind)

    @property
    def words(self):
        self.flight.check_open()
        return [self.flight.header.words[i] for i in range(WORDS)]

    def cap(self, at_ns, most, /):
        self.flight.check_open()
        cdef uint64_t at = instant(at_ns), bound = most
        if at < load(&self.flight.header.cap_at_ns):
            return False
        store(&self.flight.header.cap, bound)
        store(&self.flight.header.cap_at_ns, at)
        return True

    @property
    def cap_in_force(self):
        self.flight.check_open()
        return load(&self.flight.header.cap_at_ns), load(&self.flight.header.cap)

    def forget_stale(self, now_ns, /):
        """Count a report that no other followed in time, once, and forget it."""
        self.flight.check_open()
        cdef uint64_t at = load(&self.flight.header.cap_at_ns), now = instant(now_ns)
        if at and (at > now or now - at > <uint64_t>FRESH_MS * MILLISECOND) and cas(&self.flight.header.cap_at_ns, at, 0):
            fetch_add(&self.flight.header.stale, 1)

    @property
    def stale(self):
        self.flight.check_open()
        return load(&self.flight.header.stale)

    def __reduce__(self):
        raise TypeError("what steers is memory of this host and is not pickled")
