"""The requests in flight of all workers of a host: see the stub for the contract.

Theory of operation. Each worker has a lane, which it alone writes: how much it has in flight, and
since when each request waits. The load is the sum over the lanes of workers that gave a sign of life
lately. So a worker that was killed takes its part with it. Counts are kept in the process and only
repeated in the lane: memory that was damaged or lost is right again with the next request.

Room is asked for first and taken later, when limits have allowed the request. So workers that ask at
one instant can together be over the bound by one request each. Asked the other way around, they could
turn a request away while there is room.

The steps of the controller are taken by whichever worker has a request when one is due; it leads until
another does. Where there are many answers the leader goes first, and another one takes a step half a step
later. What a leader needs to go on is here: the controller's words, and the last answers. So a step comes when
it would with one worker, and a worker that dies leaves nothing that has to lapse.
In one file, since the lanes, the sum over them and the step of the controller are one memory's layout.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from ratelimit.core.memory.atomic cimport cas, fetch_add, load, store
from ratelimit.core.sharing.flight cimport (
    ANSWERS, FLIGHT_HEADER_BYTES, FLIGHT_LAYOUT, HOSTS_MS, LANES, MILLISECOND, PLACES, RANKS, SILENT_MS,
    FlightHeader, Lane, Minute, Place, Seen, ShareMemory, ShedMemory, Ticket, apart, instant, is_of, put_together, raise_to,
    repeat, repeat_ranks, set_up,
)
from ratelimit.core.sharing.flight_damage cimport are_shares, are_shed, is_minute
from ratelimit.core.sharing.reserved cimport lower
from ratelimit.core.sharing.room cimport LONG, earn, has_room

from ratelimit.errors import StoreError

cdef uint64_t MOST_COUNT = 1 << 20        # more in one lane is no worker's
cdef uint32_t NONE = 0xFFFFFFFF

cdef enum:
    WAITS = 1           # states of a ticket; 0 is free
    ANSWERED = 2
    BUSY = 32           # answers since the last step: each of some workers had one of them

FLIGHT_VERSION = FLIGHT_LAYOUT
FLIGHT_LANES = LANES


def flight_bytes():
    return (
        FLIGHT_HEADER_BYTES + LANES * sizeof(Lane) + LANES * PLACES * sizeof(Place) + ANSWERS * sizeof(Seen)
        + sizeof(ShedMemory) + 2 * sizeof(Minute) + sizeof(ShareMemory)
    )


cdef enum:
    MOST_UNITS = 64         # no request counts for more
cdef double MOVED = 0.02    # how far one request moves the work of one in the middle
cdef double MOST_WORK = 1e15


@cython.final
@cython.auto_pickle(False)
cdef class InFlight:
    def __cinit__(self):
        self.open = False
        self.lane = -1
        self.tickets = NULL
        self.free_places = NULL
        self.first_free = NONE

    def __init__(self, memory, *, bytes boot_id not None, bytes fingerprint not None, int floor, step_ns):
        if self.open:
            raise ValueError("this memory is attached already")
        if len(fingerprint) != 16:
            raise ValueError(f"a fingerprint is 16 bytes, not {len(fingerprint)}")
        if len(boot_id) > 64:
            raise ValueError("a boot id is at most 64 bytes")
        PyObject_GetBuffer(memory, &self.buffer, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            self.attach(boot_id.ljust(64, b"\0"), fingerprint)
        except BaseException:
            PyBuffer_Release(&self.buffer)
            raise
        self.memory = memory
        self.open = True
        self.adjust(floor, step_ns)

    cdef int attach(self, bytes boot_id, bytes fingerprint) except -1:
        cdef uint64_t size = <uint64_t>self.buffer.len, wanted = flight_bytes(), i
        cdef uint8_t *base = <uint8_t *>self.buffer.buf
        cdef FlightHeader *header = <FlightHeader *>base
        if <size_t>base % 64:
            raise ValueError("this memory is 64-byte aligned (an mmap is)")
        if size < wanted:
            raise StoreError(f"{size} bytes are too few", code="table-size")
        self.header = header
        self.lanes = <Lane *>(base + FLIGHT_HEADER_BYTES)
        self.places = <Place *>(base + FLIGHT_HEADER_BYTES + LANES * sizeof(Lane))
        self.answers = <Seen *>(base + FLIGHT_HEADER_BYTES + LANES * sizeof(Lane) + LANES * PLACES * sizeof(Place))
        self.shed = <ShedMemory *>(self.answers + ANSWERS)
        self.minutes = <Minute *>(self.shed + 1)
        self.shares = <ShareMemory *>(self.minutes + 2)
        memcpy(self.fingerprint, <const char *>fingerprint, 16)
        memcpy(self.boot, <const char *>boot_id, 64)
        if load(&header.magic) == 0:
            for i in range(FLIGHT_HEADER_BYTES):
                if base[i]:
                    raise StoreError("the memory is not empty and not ours: refusing to overwrite it", code="table-foreign")
            set_up(header, size, self.fingerprint, self.boot)
        wrong = self.wrong()
        if wrong:
            raise StoreError(f"what is in flight cannot be read: {wrong}", code="table-damaged")
        return 0

    cdef str wrong(self):
        """Return what is wrong with the words that can be told to be wrong; None where nothing is."""
        cdef int i
        if not is_of(self.header, <uint64_t>self.buffer.len, self.fingerprint, self.boot):
            return "its header was overwritten"
        if load(&self.header.most_lanes) > LANES:
            return "it has more lanes than there are"
        for i in range(LANES):
            if load(&self.lanes[i].most_places) > PLACES:
                return "a lane has more places than there are"
        if not are_shed(self.shed):
            return "its accounts that were shed were overwritten"
        if not are_shares(self.shares):
            return "its shares of accounts were overwritten"
        if not is_minute(self.minutes, 0) or not is_minute(self.minutes + 1, 1):
            return "its use of the last minutes was overwritten"
        return None

    def damage(self):
        self.check_open()
        return self.wrong()

    cdef int check_open(self) except -1:
        if not self.open:
            raise ValueError("what is in flight is closed")
        return 0

    def adjust(self, int floor, step_ns, /):
        cdef uint64_t step = step_ns
        if floor < 1 or step < 1:
            raise ValueError("a floor and a step are positive")
        self.floor = floor
        self.step_ns = step

    # -- lanes ------------------------------------------------------------------------------------

    def join(self, pid, start, now_ns, alive, /):
        self.check_open()
        cdef uint64_t mine = pid, since = start, now = instant(now_ns), holder, beat
        cdef int i, before = self.lane  # of one process each limiter has a lane
        if mine != self.pid or since != self.start:
            self.forget()
            before = -1
        self.pid, self.start = mine, since
        self.lane = -1
        self.leads = False
        self.next_look_ns = 0  # the memory may be another one
        if before >= 0 and load(&self.lanes[before].pid) == mine and load(&self.lanes[before].start) == since:
            self.take_lane(before, now)
            return before
        for i in range(LANES):
            holder = load(&self.lanes[i].pid)
            beat = load(&self.lanes[i].beat_ns)
            # A process of another container has a number that means nothing here, but it beats.
            if holder and (
                apart(now, beat) <= <uint64_t>SILENT_MS * MILLISECOND
                or (holder != mine and alive(holder, load(&self.lanes[i].start)))
            ):
                continue
            if cas(&self.lanes[i].pid, holder, mine):
                store(&self.lanes[i].start, since)
                self.take_lane(i, now)
                return i
        return -1

    cdef void take_lane(self, int lane, uint64_t now) noexcept:
        cdef Lane *mine = self.lanes + lane
        cdef uint64_t most
        cdef uint32_t i
        self.lane = lane
        memset(self.places + lane * PLACES, 0, PLACES * sizeof(Place))
        store(&mine.most_places, 0)
        for i in range(PLACES):
            self.free_places[i] = PLACES - 1 - i
        self.places_free = PLACES
        for i in range(self.room_for):
            self.tickets[i].place = -1  # it was in another lane, or is not to be found any more
        repeat(self.lanes, self.lane, &self.sums, now)
        repeat_ranks(self.lanes, self.lane, self.ranks)
        most = load(&self.header.most_lanes)
        while most < <uint64_t>lane + 1 and not cas(&self.header.most_lanes, most, <uint64_t>lane + 1):
            most = load(&self.header.most_lanes)

    def beat(self, now_ns, /):
        self.check_open()
        cdef uint64_t now = instant(now_ns)
        if self.lane < 0 or load(&self.lanes[self.lane].pid) != self.pid:
            return False
        repeat(self.lanes, self.lane, &self.sums, now)
        repeat_ranks(self.lanes, self.lane, self.ranks)
        return True

    def leave(self):
        self.check_open()
        if self.lane >= 0:
            store(&self.lanes[self.lane].in_flight, 0)  # the others bound the rest by this
            cas(&self.lanes[self.lane].pid, self.pid, 0)
        self.lane = -1
        self.leads = False

    def forget(self):
        cdef uint32_t i
        if self.free_places == NULL:
            self.free_places = <uint32_t *>realloc(NULL, PLACES * sizeof(uint32_t))
            if self.free_places == NULL:
                raise MemoryError
        self.places_free = 0
        self.sums.own_in_flight = self.sums.own_unanswered = self.sums.own_held = self.sums.own_held_over = 0
        memset(self.ranks, 0, sizeof(self.ranks))
        self.first_free = NONE
        for i in range(self.room_for):
            self.tickets[i].state = 0
            self.tickets[i].generation += 1
            self.tickets[i].place = -1
            self.tickets[i].next_free = self.first_free
            self.first_free = i

    # -- requests ---------------------------------------------------------------------------------

    cdef void look(self, uint64_t now) noexcept:
        # noexcept: loads of counts that are bounded, whatever they say
        cdef uint64_t in_flight = self.sums.own_in_flight, unanswered = self.sums.own_unanswered, found, waits, holds
        cdef uint64_t held = self.sums.own_held, over = self.sums.own_held_over, most_over
        cdef uint64_t most = load(&self.header.most_lanes), i
        for i in range(most if most < LANES else LANES):
            if <int>i == self.lane:
                continue
            found, holds = load(&self.lanes[i].in_flight), load(&self.lanes[i].held)
            if found + holds == 0 or found > MOST_COUNT or holds > MOST_COUNT or load(&self.lanes[i].pid) == 0:
                continue
            if apart(now, load(&self.lanes[i].beat_ns)) > <uint64_t>SILENT_MS * MILLISECOND:
                continue
            waits = load(&self.lanes[i].unanswered)
            waits = waits if waits < found else found
            in_flight += found
            unanswered += waits
            held += holds
            most_over = load(&self.lanes[i].held_over)
            over += most_over if most_over < holds else holds
        self.sums.in_flight = in_flight
        self.sums.unanswered = unanswered
        self.sums.held = held
        self.sums.held_over = over
        put_together(self.header, &self.sums, now)

    cdef bint room(self, uint64_t now, double share, double kept, int rank, uint64_t units=1) noexcept:
        self.look(now)
        return has_room(self.header, &self.sums, now, <uint64_t>self.floor, share, kept, rank, units)

    cdef uint64_t units(self, double work) noexcept:
        """Return how many requests in the middle a request is as much work as; noexcept: arithmetic that is bounded."""
        cdef double unit = self.header.unit, units
        if not (unit > 0.0 and work > 0.0):
            return 1
        units = work / unit + 0.5
        return <uint64_t>MOST_UNITS if units >= MOST_UNITS else <uint64_t>units if units >= 1.0 else 1

    cdef void learn_unit(self, double work) noexcept:
        """Move the work of a request in the middle towards one that goes on; noexcept: as `units`."""
        cdef double unit = self.header.unit
        if not work > 0.0:
            return
        if not (unit > 0.0 and unit < MOST_WORK):
            unit = work
        elif work > unit:
            unit *= 1.0 + MOVED
        else:
            unit /= 1.0 + MOVED
        self.header.unit = min(max(unit, 1.0), MOST_WORK)

    cdef int64_t admit(self, uint64_t now, int rank, uint64_t units=1) except -2:
        cdef Ticket *ticket
        cdef Place *place
        cdef Lane *mine
        cdef uint32_t at
        if self.first_free == NONE:
            self.grow()
        at = self.first_free
        ticket = self.tickets + at
        self.first_free = ticket.next_free
        self.entered += 1
        # While it waits it counts as much as its work; then it is one answer under way.
        self.sums.own_in_flight += units
        self.sums.own_unanswered += units
        rank = min(rank, RANKS - 1)
        self.ranks[rank] += 1
        self.look(now)
        ticket.since_ns = now
        ticket.in_flight = <uint32_t>self.sums.together
        ticket.unanswered = <uint32_t>self.sums.together_wait
        ticket.state = WAITS
        ticket.rank = <uint8_t>rank
        ticket.units = <uint16_t>units
        ticket.place = -1
        if self.sums.unanswered == units and (not self.sums.is_shared or self.sums.together_wait == units):
            store(&self.header.moved_ns, now)
        if self.lane >= 0:
            mine = self.lanes + self.lane
            if self.places_free:
                self.places_free -= 1
                ticket.place = <int32_t>self.free_places[self.places_free]
                place = self.places + self.lane * PLACES + ticket.place
                store(&place.queue, ticket.unanswered)
                store(&place.since_ns, now + 1)
                if <uint64_t>ticket.place >= load(&mine.most_places):
                    store(&mine.most_places, <uint64_t>ticket.place + 1)
            repeat(self.lanes, self.lane, &self.sums, now)
            store(&mine.ranks[rank], self.ranks[rank])
        if load(&self.header.reserve[rank]):
            lower(&self.header.reserve[rank])
        store(&self.header.entered_ns, now)
        fetch_add(&self.header.entered, 1)
        earn(self.header, units, now)
        raise_to(&self.header.most_in_flight, self.sums.together)
        raise_to(&self.header.most_unanswered, self.sums.together_wait)
        return <int64_t>ticket.generation << 32 | <int64_t>at

    cdef void went_on(self, int rank) noexcept:
        self.entered_by[min(max(rank, 0), RANKS - 1)] += 1

    def take_entered(self):
        cdef list found = []
        cdef int rank
        for rank in range(RANKS):
            if self.entered_by[rank]:
                found.append((rank, self.entered_by[rank]))
                self.entered_by[rank] = 0
        return found

    cdef int grow(self) except -1:
        cdef uint32_t before = self.room_for, i
        cdef uint32_t after = 256 if before == 0 else before * 2
        cdef Ticket *larger = <Ticket *>realloc(self.tickets, after * sizeof(Ticket))
        if larger == NULL:
            raise MemoryError
        memset(larger + before, 0, (after - before) * sizeof(Ticket))
        self.tickets = larger
        self.room_for = after
        for i in range(before, after):
            larger[i].place = -1
            larger[i].next_free = self.first_free
            self.first_free = i
        return 0

    cdef Ticket *known(self, int64_t ticket) noexcept:
        cdef uint32_t at = <uint32_t>ticket  # the lower half: a mask of 32 bits would be an object of Python's
        if ticket < 0 or at >= self.room_for:
            return NULL
        if self.tickets[at].state == 0 or self.tickets[at].generation != <uint32_t>(ticket >> 32):
            return NULL
        return self.tickets + at

    cdef void leave_place(self, Ticket *ticket) noexcept:
        if ticket.units >= LONG and load(&self.header.long_ns) == ticket.since_ns:
            store(&self.header.long_units, 0)
        self.sums.own_unanswered -= ticket.units
        self.sums.own_in_flight -= ticket.units - 1
        if self.lane >= 0:
            if ticket.place >= 0:
                store(&self.places[self.lane * PLACES + ticket.place].since_ns, 0)
                self.free_places[self.places_free] = <uint32_t>ticket.place
                self.places_free += 1
        ticket.place = -1

    cdef void begin(self, int64_t number, uint64_t now, bint failed) noexcept:
        cdef Ticket *ticket = self.known(number)
        if ticket == NULL or ticket.state == ANSWERED:
            return
        ticket.state = ANSWERED
        self.leave_place(ticket)
        if load(&self.header.moved_ns) < now or load(&self.header.moved_ns) - now > <uint64_t>HOSTS_MS * MILLISECOND:
            store(&self.header.moved_ns, now)  # others' first bytes count as lasting until they are heard again
        repeat(self.lanes, self.lane, &self.sums, now)
        self.note(ticket.since_ns, now, <uint64_t>ticket.in_flight << 32 | ticket.unanswered, failed)

    cdef void note(self, uint64_t admitted, uint64_t now, uint64_t counts, bint failed) noexcept:
        # noexcept: plain stores
        cdef uint64_t sequence = fetch_add(&self.header.head, 1)
        cdef Seen *seen = self.answers + (sequence & (ANSWERS - 1))
        store(&seen.sequence, 0)
        store(&seen.admitted_ns, admitted)
        store(&seen.seen_ns, now)
        store(&seen.counts, counts)
        store(&seen.failed, <uint64_t>failed)
        store(&seen.sequence, sequence + 1)

    cdef void end(self, int64_t number, uint64_t now) noexcept:
        cdef Ticket *ticket = self.known(number)
        if ticket == NULL:
            return
        if ticket.state != ANSWERED:
            self.leave_place(ticket)
        ticket.state = 0
        ticket.generation = (ticket.generation + 1) & 0x7FFFFFFF
        ticket.next_free = self.first_free
        self.first_free = <uint32_t>number
        self.sums.own_in_flight -= 1
        self.ranks[ticket.rank] -= 1
        repeat(self.lanes, self.lane, &self.sums, now)
        if self.lane >= 0:
            store(&self.lanes[self.lane].ranks[ticket.rank], self.ranks[ticket.rank])

    def has_room(self, now_ns, double share=1.0, double kept=0.0, int rank=0, int units=1, /):
        self.check_open()
        return self.room(instant(now_ns), share, kept, rank, min(max(units, 1), MOST_UNITS))

    def enter(self, now_ns, int rank=0, int units=1, /):
        self.check_open()
        if rank < 0:
            raise ValueError(f"a rank is not below 0, as {rank} is")
        return self.admit(instant(now_ns), rank, min(max(units, 1), MOST_UNITS))

    def units_of(self, double work, /):
        self.check_open()
        return self.units(work)

    def learn(self, double work, /):
        self.check_open()
        self.learn_unit(work)

    def hold(self, int more, now_ns, bint is_over=False, /):
        self.check_open()
        if more < 0 and <uint64_t>-more > self.sums.own_held:
            raise ValueError(f"{-more} are not held, but {self.sums.own_held}")
        self.sums.own_held += more
        if is_over and (more > 0 or self.sums.own_held_over >= <uint64_t>-more):
            self.sums.own_held_over += more
        repeat(self.lanes, self.lane, &self.sums, instant(now_ns))

    def held(self, now_ns, /):
        self.counts(now_ns)
        return self.sums.held

    def turn_away(self, elsewhere=0, /):
        self.check_open()
        cdef uint64_t others = elsewhere
        fetch_add(&self.header.turned_away, others if others else 1)
        if others == 0:
            fetch_add(&self.header.refused, 1)

    def first_byte(self, int64_t ticket, now_ns, bint failed=False, /):
        self.check_open()
        self.begin(ticket, instant(now_ns), failed)

    def finished(self, int64_t ticket, now_ns, /):
        self.check_open()
        self.end(ticket, instant(now_ns))

    def counts(self, now_ns, /):
        self.check_open()
        self.look(instant(now_ns))
        return self.sums.in_flight, self.sums.unanswered

    def together(self, now_ns, /):
        self.check_open()
        self.look(instant(now_ns))
        return self.sums.together, self.sums.together_wait

    def entries(self, now_ns, /):
        self.check_open()
        cdef double part = self.header.part
        self.look(instant(now_ns))
        return (
            self.entered, load(&self.header.entered), load(&self.header.entered_elsewhere),
            part if self.sums.is_shared and 0.0 < part < 1.0 else 1.0,
        )

    # -- the steps --------------------------------------------------------------------------------

    cdef bint is_due(self, uint64_t now) noexcept:
        cdef uint64_t word, last, wait = self.step_ns
        if self.next_look_ns > now and self.next_look_ns - now <= 2 * self.step_ns:
            return False
        word = load(&self.header.leader)
        last = (word >> 8) * 1_000
        # Taking over costs as much as ten steps. Where the last one will soon have a request, too, it goes first.
        if word & 0xFF != <uint64_t>(self.lane + 1) and load(&self.header.head) - load(&self.header.tail) >= BUSY:
            wait += wait // 2
        if word and apart(now, last) < wait:
            self.next_look_ns = last + wait
            return False
        self.next_look_ns = now + self.step_ns
        if self.lane < 0 or not cas(&self.header.leader, word, (now // 1_000) << 8 | <uint64_t>(self.lane + 1)):
            return False
        if word & 0xFF != <uint64_t>(self.lane + 1):
            self.leads = False
        return True

    def due(self, now_ns, /):
        self.check_open()
        return self.is_due(instant(now_ns))

    @property
    def is_leader(self):
        self.check_open()
        return self.leads and load(&self.header.leader) & 0xFF == <uint64_t>(self.lane + 1)

    def take_over(self):
        self.leads = True

    def follows(self, now_ns, /):
        self.check_open()
        cdef uint64_t until = load(&self.header.follows_ns), now = instant(now_ns)
        if now < until and until - now <= 2 * <uint64_t>HOSTS_MS * MILLISECOND:
            self.leads = False
            return True
        return False

    @property
    def closed(self):
        return not self.open

    def close(self):
        if self.open:
            self.open = False
            self.header = NULL
            PyBuffer_Release(&self.buffer)
            self.memory = None

    def __dealloc__(self):
        free(self.tickets)
        free(self.free_places)
        if self.open:
            PyBuffer_Release(&self.buffer)

    def __reduce__(self):
        raise TypeError("what is in flight is memory of this host and is not pickled")
