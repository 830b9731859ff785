"""The table over a mapping: format, attach, seats, counters. See the stub for the contract.

Nothing here opens a file or reads a clock: the store hands in memory and time.
In one file, since it is the format of the mapping, and all that may write its head.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ratelimit.core.memory.atomic cimport LOW32, SECOND, Pair, cas, fetch_add, load, load_pair, store
from ratelimit.core.memory.blocks cimport LARGEST_CLASS, count_blocks, count_workers
from ratelimit.core.memory.entries cimport PENDING, expiry, kind_of
from ratelimit.core.memory.hashing cimport hash_run
from ratelimit.core.memory.header cimport MAGIC, checked, end_owner, enter, is_other, is_sound, is_zero, placed
from ratelimit.core.memory.layout cimport (
    BUCKET_ENTRIES, COLUMNS, COPY_AT, HEADER_BYTES, LAYOUT, MAX_PAGES, PAGE_BYTES, COUNTERS, SEATS, SHAPES,
    REFUSALS, TAKINGS, Arena, Header, Identity, Refusal, Seat, Taking,
)

from ratelimit.errors import StoreError

cdef uint64_t SLACK_NS = 86400 * SECOND
cdef uint64_t QUIET_NS = 10 * SECOND  # five heartbeats of the middleware's
cdef uint64_t HOUR_NS = 3600 * SECOND
cdef uint64_t YEAR_S = 366 * 86400
cdef uint64_t FIXED_BYTES = (
    HEADER_BYTES + SHAPES * 8 + SEATS * sizeof(Seat) + 2560 + SEATS * COUNTERS * COLUMNS * 8
    + 2 * REFUSALS * sizeof(Refusal) + 2 * TAKINGS * sizeof(Taking)
)

LAYOUT_VERSION = LAYOUT
TABLE_HEADER_BYTES = HEADER_BYTES
ENTRY_BYTES = sizeof(Pair)
COUNTER_COLUMNS = COLUMNS
MOST_COUNTERS = COUNTERS
WORKER_SEATS = SEATS
LARGEST_BLOCK_BYTES = MAX_PAGES * PAGE_BYTES


def table_bytes(keys, block_bytes=0):
    if not 1 <= keys <= 1 << 32:
        raise ValueError(f"a table holds 1 to {1 << 32} keys, not {keys}")
    if not 0 <= block_bytes <= LARGEST_BLOCK_BYTES:
        raise ValueError(f"blocks take 0 to {LARGEST_BLOCK_BYTES} bytes, not {block_bytes}")
    # Two buckets of eight a key lose nothing up to 70 % full: fewer than one entry in
    # 10**6 finds sixteen live others. Decision 1 has the calculation.
    buckets = max(4, -(-keys * 10 // (7 * BUCKET_ENTRIES)))
    return FIXED_BYTES + buckets * BUCKET_ENTRIES * sizeof(Pair) + _pages_for(block_bytes) * PAGE_BYTES


def identity_in(bytes header not None):
    """Return size and clock anchor that a table's first bytes tell, damaged or not; None if they do not."""
    cdef Identity found[2]
    cdef const char *at = header
    cdef int i
    if len(header) < sizeof(Identity):
        return None
    memset(&found, 0, sizeof(found))
    memcpy(&found[0], at, sizeof(Identity))
    if len(header) >= HEADER_BYTES:
        memcpy(&found[1], at + COPY_AT, sizeof(Identity))
    for i in range(2):
        if is_sound(&found[i]) and found[i].version == LAYOUT:
            return found[i].total_bytes, <int64_t>found[i].anchor_ns
    return None


cdef uint64_t marked(const uint64_t *key, uint64_t part) noexcept nogil:
    """Return half of a key's mark: a keyed hash of nothing, of a kind that no identity has."""
    return hash_run(key[0], key[1], ~part, NULL, 0)


def _pages_for(block_bytes):
    return -(-block_bytes // PAGE_BYTES)


@cython.final
cdef class Table:
    def __cinit__(self):
        self.open = False
        self.seat_number = -1

    def __init__(
        self, memory, *, now_ns, bytes boot_id not None, anchor_ns, bytes key not None, block_bytes=0, epoch_ns=None
    ):
        if self.open:
            raise ValueError("this table is attached already")
        self.take_key(key)
        if not 0 <= block_bytes <= LARGEST_BLOCK_BYTES:
            raise ValueError(f"blocks take 0 to {LARGEST_BLOCK_BYTES} bytes, not {block_bytes}")
        if len(boot_id) > 64:
            raise ValueError("a boot id is at most 64 bytes")
        pages = _pages_for(block_bytes)
        PyObject_GetBuffer(memory, &self.buffer, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            self.attach(now_ns if epoch_ns is None else epoch_ns + SLACK_NS, boot_id.ljust(64, b"\0"), anchor_ns, pages)
        except BaseException:
            PyBuffer_Release(&self.buffer)
            raise
        self.memory = memory
        self.open = True

    cdef int attach(self, now_ns, bytes boot_id, anchor_ns, uint64_t pages) except -1:
        cdef uint64_t size = <uint64_t>self.buffer.len
        cdef uint8_t *base = <uint8_t *>self.buffer.buf
        cdef Header *header = <Header *>base
        cdef const char *bytes_at
        if <size_t>base % 64:
            raise ValueError("table memory is 64-byte aligned (an mmap is)")
        if size < FIXED_BYTES + 4 * BUCKET_ENTRIES * sizeof(Pair) + pages * PAGE_BYTES:
            raise StoreError(f"{size} bytes are too few for a table", code="table-size")
        self.arena.header = header
        self.arena.buckets = (size - FIXED_BYTES - pages * PAGE_BYTES) // (BUCKET_ENTRIES * sizeof(Pair))
        self.arena.pages = pages
        self.fresh = is_zero(base, HEADER_BYTES)
        if self.fresh:
            self.make(now_ns, boot_id, anchor_ns, pages)
        else:
            self.recognise(base)
        if self.identity.version != LAYOUT:
            refuse_version(self.identity.version)
        if self.identity.total_bytes != size or self.identity.block_bytes != pages * PAGE_BYTES:
            raise StoreError(
                f"the table was made with {self.identity.total_bytes} bytes ({self.identity.block_bytes} of them blocks), "
                f"this policy asks for {size} ({pages * PAGE_BYTES}); restart all workers together or give this one a "
                "path of its own",
                code="table-size",
            )
        bytes_at = boot_id
        if memcmp(self.identity.boot, bytes_at, 64):
            raise StoreError(
                "the table is from another boot of this host, whose clock means nothing now; delete the file",
                code="table-boot",
            )
        if not self.has_mark():
            raise StoreError(
                "the table was made with another hash key; restart all workers together, or delete the file "
                "when none is running",
                code="table-key",
            )
        self.arena.epoch_ns = self.identity.epoch_ns
        base += HEADER_BYTES
        self.arena.shapes = <uint64_t *>base
        base += SHAPES * 8
        self.arena.seats = <Seat *>base
        base += SEATS * sizeof(Seat)
        self.arena.names = <uint64_t *>base
        base += 2560
        self.arena.cells = <uint64_t *>base
        base += SEATS * COUNTERS * COLUMNS * 8
        self.arena.refusals = <Refusal *>base
        base += 2 * REFUSALS * sizeof(Refusal)
        self.arena.takings = <Taking *>base
        base += 2 * TAKINGS * sizeof(Taking)
        self.arena.entries = <Pair *>base
        base += self.arena.buckets * BUCKET_ENTRIES * sizeof(Pair)
        self.arena.blocks = base
        wrong = self.wrong()
        if wrong:
            raise StoreError(f"the table is damaged: {wrong}", code="table-damaged")
        return 0

    cdef int make(self, now_ns, bytes boot_id, anchor_ns, uint64_t pages) except -1:
        """Format memory that is all zeros."""
        cdef Identity *made = &self.identity
        cdef const char *bytes_at
        memset(made, 0, sizeof(Identity))
        made.magic = MAGIC
        made.version = LAYOUT
        made.total_bytes = <uint64_t>self.buffer.len
        made.block_bytes = pages * PAGE_BYTES
        made.buckets = self.arena.buckets
        # A day of slack: observations a little older than the table still have a time of their own.
        made.epoch_ns = max(0, (now_ns // SECOND) * SECOND - SLACK_NS)
        made.anchor_ns = <uint64_t>(<int64_t>anchor_ns)
        made.mark[0], made.mark[1] = marked(self.key, 0), marked(self.key, 1)
        bytes_at = boot_id
        memcpy(made.boot, bytes_at, 64)
        made.check = checked(made)
        memcpy(<uint8_t *>self.arena.header + COPY_AT, made, sizeof(Identity))
        memcpy(<uint8_t *>self.arena.header + 8, <uint8_t *>made + 8, sizeof(Identity) - 8)
        store(&self.arena.header.identity.magic, MAGIC)  # last: a worker that sees it sees the rest
        return 0

    cdef int take_key(self, bytes key) except -1:
        cdef const char *at = key
        if len(key) != 16:
            raise ValueError(f"a hash key is 16 bytes, not {len(key)}")
        memcpy(self.key, at, 16)
        return 0

    cdef bint has_mark(self) noexcept:
        return self.identity.mark[0] == marked(self.key, 0) and self.identity.mark[1] == marked(self.key, 1)

    cdef int recognise(self, const uint8_t *base) except -1:
        """Take over what both copies of the identity say."""
        cdef Identity first, second
        memcpy(&first, base, sizeof(Identity))
        memcpy(&second, base + COPY_AT, sizeof(Identity))
        if first.magic == MAGIC and first.check == checked(&first) and memcmp(&first, &second, sizeof(Identity)) == 0:
            self.identity = first
            return 0
        if is_sound(&first) or is_sound(&second):
            raise StoreError("the table is damaged: its header was overwritten", code="table-damaged")
        if first.magic != MAGIC:
            raise StoreError("the memory holds something that is not a table: refusing to touch it", code="table-foreign")
        if first.version & LOW32 != LAYOUT:
            refuse_version(first.version & LOW32)  # of a layout that has its check elsewhere
        raise StoreError("the table is damaged: its header was overwritten, and so was its copy", code="table-damaged")

    cdef str wrong(self):
        """Return what is wrong with the words that can be told to be wrong; None where nothing is."""
        cdef const uint8_t *base = <const uint8_t *>self.arena.header
        cdef uint64_t i, found, last = 1
        if memcmp(base, &self.identity, sizeof(Identity)) or memcmp(base + COPY_AT, &self.identity, sizeof(Identity)):
            return "its header was overwritten"
        for i in range(MAX_PAGES):
            found = load(&self.arena.header.page_class[i])
            if found > (LARGEST_CLASS if i < self.arena.pages else 0):
                return "a page is of a size that there is not"
        for i in range(SHAPES):
            found = load(self.arena.shapes + i)
            if found > YEAR_S or (found and not last):
                return "a window is of a length that there is not"
            last = found
        last = 1
        for i in range(COUNTERS):
            found = load(self.arena.names + i)
            if found and not (found & 1 and last):
                return "a counter has a name that there is not"
            last = found
        if is_other(self.arena.names, self.names, COUNTERS) or is_other(self.arena.shapes, self.shapes, SHAPES):
            return "counters or windows were overwritten"
        return None

    def damage(self):
        self.check_open()
        return self.wrong()

    def renew(self, now_ns, bytes key=None, /):
        self.check_open()
        if key is not None:
            self.take_key(key)
        self.recognise(<const uint8_t *>self.arena.header)
        self.arena.epoch_ns = self.identity.epoch_ns
        # Plans and counters have these places by number.
        enter(self.arena.shapes, self.shapes, SHAPES)
        enter(self.arena.names, self.names, COUNTERS)
        if self.seat_number >= 0:
            self.join(self.seat_pid, self.seat_start, now_ns)

    cdef int check_open(self) except -1:
        if not self.open:
            raise ValueError("the table is closed")
        return 0

    cdef uint64_t shape_of(self, uint64_t period_s) except? 0xFFFFFFFFFFFFFFFF:
        """Return where the table keeps this window length, adding it on first use."""
        cdef uint64_t i = placed(self.arena.shapes, self.shapes, SHAPES, period_s)
        if i < SHAPES or self.wrong():
            return i % SHAPES  # damaged: any will do until the memory is left
        raise StoreError(f"{SHAPES} different window lengths have been used; restart all workers", code="shapes-full")

    @property
    def key(self):
        self.check_open()
        return PyBytes_FromStringAndSize(<char *>self.key, 16)

    @property
    def anchor_ns(self):
        self.check_open()
        return <int64_t>self.identity.anchor_ns

    @property
    def epoch_ns(self):
        self.check_open()
        return self.identity.epoch_ns

    @property
    def capacity(self):
        self.check_open()
        return self.arena.buckets * BUCKET_ENTRIES

    @property
    def closed(self):
        return not self.open

    def stats(self, now_ns, /):
        self.check_open()
        cdef uint64_t now = relative(self, now_ns)
        cdef uint64_t used = 0, live = 0, blocks_used = 0, blocks = 0, i, workers = 0, away = 0
        cdef uint64_t total = self.arena.buckets * BUCKET_ENTRIES
        cdef Pair seen
        with nogil:
            for i in range(total):
                seen = load_pair(self.arena.entries + i)
                if seen.tag and kind_of(seen.tag) != PENDING:
                    used += 1
                    if expiry(&self.arena, seen.tag, seen.word, now) > now:
                        live += 1
            count_blocks(&self.arena, now, &blocks, &blocks_used)
            count_workers(&self.arena, now, &workers, &away)
        return {
            "capacity": total,
            "used": used,
            "live": live,
            "evictions": load(&self.arena.header.evictions),
            "blocks": blocks,
            "blocks_used": blocks_used,
            "block_evictions": load(&self.arena.header.block_evictions),
            "pages": self.arena.pages,
            "workers": workers,
            "away": away,
        }

    def join(self, pid, start, now_ns, /):
        self.check_open()
        cdef uint64_t mine = pid, since = start, now = relative(self, now_ns), i, holder, stale
        self.seat_pid, self.seat_start = mine, since
        for i in range(SEATS):
            if load(&self.arena.seats[i].pid) == mine and load(&self.arena.seats[i].start) == since:
                self.take_seat(<int>i, False)
                self.heartbeat(now_ns)
                return i
        # A seat is free if no process has it, or if its holder has been silent for long.
        # The counters stay: they are totals of the seat.
        for i in range(SEATS):
            holder = load(&self.arena.seats[i].pid)
            stale = load(&self.arena.seats[i].heartbeat)
            if holder == 0 or stale + 3600 * SECOND <= now:
                if cas(&self.arena.seats[i].pid, holder, mine):
                    return self.sit(i, since, now)
        # More workers than seats: share one. Shared counters are added to atomically.
        self.take_seat(<int>(mine % SEATS), True)
        return self.seat_number

    def leave(self):
        self.check_open()
        if self.has_seat():
            fetch_add(&self.arena.seats[self.seat_number].generation, 1)  # first, as for the dead
            cas(&self.arena.seats[self.seat_number].pid, self.seat_pid, 0)
        self.seat_number = -1
        self.counters = NULL
        self.names_callers = False

    def forget_callers(self):
        self.check_open()
        self.names_callers = False

    def release_seats(self, alive, now_ns=None, /):
        self.check_open()
        cdef uint64_t i, holder, beat_at, freed = 0, quiet_since = MAX_RELATIVE, latest = MAX_RELATIVE
        if now_ns is not None:
            quiet_since = relative(self, now_ns)
            latest = quiet_since + HOUR_NS  # what is further ahead is no worker's heartbeat
            quiet_since -= min(quiet_since, QUIET_NS)
        for i in range(SEATS):
            holder = load(&self.arena.seats[i].pid)
            beat_at = load(&self.arena.seats[i].heartbeat)
            if holder == 0 or quiet_since < beat_at <= latest:
                continue
            if not alive(holder, load(&self.arena.seats[i].start)):
                # The generation first: slots of the dead lapse before another process takes the seat.
                end_owner(&self.arena, i)
                if cas(&self.arena.seats[i].pid, holder, 0):
                    freed += 1
        return freed

    @property
    def seated(self):
        cdef uint64_t i, taken = 0
        self.check_open()
        for i in range(SEATS):
            taken += load(&self.arena.seats[i].pid) != 0
        return taken

    cdef bint has_seat(self) noexcept:
        cdef Seat *seat = self.arena.seats + self.seat_number
        if self.seat_number < 0 or self.seat_shared:
            return False
        return load(&seat.pid) == self.seat_pid and load(&seat.start) == self.seat_start

    cdef object sit(self, uint64_t i, uint64_t since, uint64_t now):
        store(&self.arena.seats[i].start, since)
        end_owner(&self.arena, i)
        store(&self.arena.seats[i].heartbeat, now)
        self.take_seat(<int>i, False)
        return i

    def heartbeat(self, now_ns, /, *, bint is_away=False):
        self.check_open()
        if self.seat_number >= 0 and not self.seat_shared and not self.has_seat():
            self.join(self.seat_pid, self.seat_start, now_ns)  # it was taken, or damaged
        self.beat(relative(self, now_ns))
        if self.has_seat():
            store(&self.arena.seats[self.seat_number].away, load(&self.arena.seats[self.seat_number].generation) * is_away)

    cdef void beat(self, uint64_t now) noexcept nogil:
        # noexcept, nogil: one store; only a process with a seat has anything to say.
        cdef uint64_t last
        if self.seat_number >= 0:
            last = load(&self.arena.seats[self.seat_number].heartbeat)
            if last < now or last > now + HOUR_NS:
                store(&self.arena.seats[self.seat_number].heartbeat, now)

    @property
    def seat(self):
        return self.seat_number

    def counter(self, str name not None, /):
        self.check_open()
        cdef uint64_t wanted = 0xCBF29CE484222325, i
        cdef unsigned char byte
        for byte in name.encode("utf-8"):
            wanted = (wanted ^ byte) * <uint64_t>0x100000001B3
        wanted |= 1
        i = placed(self.arena.names, self.names, COUNTERS, wanted)
        if i < COUNTERS or self.wrong():
            return i % COUNTERS  # damaged: any will do until the memory is left
        raise StoreError(f"all {COUNTERS} counters are taken by earlier limits; restart all workers", code="counters-full")

    cdef void take_seat(self, int seat, bint shared) noexcept:
        self.seat_number = seat
        self.seat_shared = shared
        self.counters = self.arena.cells + <uint64_t>seat * COUNTERS * COLUMNS
        self.names_callers = True

    def count(self, counter, column, amount=1, /):
        self.check_open()
        cdef uint64_t at = counter, of = column, more = amount
        if at >= COUNTERS or of >= COLUMNS:
            raise IndexError(f"there are {COUNTERS} counters of {COLUMNS} columns")
        bump(self, at, of, more)

    def totals(self, counter, /):
        self.check_open()
        cdef uint64_t at = counter, seat, column
        if at >= COUNTERS:
            raise IndexError(f"there are {COUNTERS} counters")
        sums = [0] * COLUMNS
        for seat in range(SEATS):
            for column in range(COLUMNS):
                sums[column] += load(self.arena.cells + ((seat * COUNTERS + at) * COLUMNS + column))
        return tuple(sums)

    def close(self):
        if self.open:
            self.open = False
            memset(&self.arena, 0, sizeof(Arena))
            self.counters = NULL
            self.names_callers = False
            PyBuffer_Release(&self.buffer)
            self.memory = None

    def __dealloc__(self):
        if self.open:
            PyBuffer_Release(&self.buffer)

    def __reduce__(self):
        raise TypeError("a Table is memory of this host and is not pickled; attach to its file instead")


cdef int refuse_version(uint64_t version) except -1:
    words = f"the table has layout {version}, this release uses {LAYOUT}"
    raise StoreError(
        f"{words}; stop the other release's workers or give this one a path of its own", code="table-version"
    )
