"""Payers: their accounts, their best days, and what they paid for a month: see the stub for the contract.

Theory of operation. All that is remembered moves one way: a first day only earlier, a level only up, what was
paid in a period only down, a newest period only on. So each change is a join of a record with what is known, put in
place by one compare-and-swap of its 16 bytes: workers that race both have their say, and one that is killed leaves
the record as it was or as it is.
A key lies in its own bucket alone. Two workers that add one key at one instant may add it twice; the first
record in the bucket is the key's from then on, and at most one raise is lost.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from ratelimit.allowance.record cimport (
    BACK, ESTABLISHED, FINGER_BITS, KEY_BITS, LAST_DAY, LEVELS_MASK, MOST_PAID, NO_WORTH, PAID, PAIRS, PAYERS, PERIOD_DAYS,
    PERIODS, REGIONS, YOUNG_DAYS, Record, counting, day_of, join, key_at, key_of, least_paid, lift, packed, pair_of, place_of,
    unpacked, worth_of,
)
from ratelimit.core.memory.atomic cimport Pair, cas, cas_pair, fetch_add, load, load_pair, store
from ratelimit.core.memory.prefetch cimport prefetch
from ratelimit.core.memory.siphash cimport ABSENT_HASH

from ratelimit.errors import StoreError

cdef extern from *:
    """
    #define kin_floor_log2(number) (63 - __builtin_clzll(number))
    """
    int floor_log2 "kin_floor_log2"(uint64_t number) noexcept nogil  # of 1 and more

cdef uint64_t MAGIC = 0x53444345524E494B  # "KINRECDS", little-endian
cdef enum:
    ACCOUNT = 1
    PLACE = 2
    FOUNDER = 3             # an account of the payer's first month, and
    FOUNDED = 4             # a place where one was: known as long as that month is the payer's first
    CENT = 10_000           # millionths of a dollar: a level is of whole cents
    LEVELS = 256
    TRIES = 64              # of a compare-and-swap that others win
    ITEM = 24               # bytes of a record that travels: key and region, days, levels
    NOT_TOLD = 0
    IN_TIME = 1             # what changed is told to other hosts from a key's second day on
    AT_ONCE = 2
    SLICES = 16             # looks in which all records are looked at

RECORDS_VERSION = RECORDS_LAYOUT
REGION = 3                  # the bits of a record that travels which say what it is of
OF_PAYER = PAYERS
OF_PAIR = PAIRS
RECORD_BYTES = ITEM
PAIRS_EACH = 4

# The least whole number of each level: the eighth roots of powers of two, rounded up, so that a level
# never says more than was used.
cdef uint64_t[LEVELS] FLOORS


def _root(object level):
    """Return the least n with n ** 8 >= 2 ** (level - 1), exactly."""
    power = 1 << (level - 1)
    least = int(2.0 ** ((level - 1) / 8))
    while least**8 >= power:
        least -= 1
    while least**8 < power:
        least += 1
    return least


FLOORS[0] = 0
for _level in range(1, LEVELS):
    FLOORS[_level] = _root(_level)


cdef uint64_t level_at(double used) noexcept nogil:
    """Return the highest level that is at most `used`; 0 for less than 1, and for no number."""
    cdef uint64_t low, high, middle
    if not used >= 1.0:
        return 0
    if used >= <double>FLOORS[LEVELS - 1]:
        return LEVELS - 1
    # Eight levels begin at each power of two: its own is one of those of the highest power within.
    low = 1 + 8 * <uint64_t>floor_log2(<uint64_t>used)
    high = min(low + 7, <uint64_t>(LEVELS - 1))
    while low < high:
        middle = (low + high + 1) // 2
        if <double>FLOORS[middle] <= used:
            low = middle
        else:
            high = middle - 1
    return low


def level_of(double used, /):
    return level_at(used)


def floor_of(int level, /):
    if not 0 <= level < LEVELS:
        raise ValueError("a level is 0 to 255")
    return FLOORS[level]


cdef uint64_t buckets_for(uint64_t records) noexcept nogil:
    # At two thirds full one bucket in thirty has no room left.
    return max(<uint64_t>LEAST_BUCKETS, (records * 3 // 2 + BUCKET - 1) // BUCKET)


def records_bytes(uint64_t payers, /):
    if not 1 <= payers <= <uint64_t>100_000_000:
        raise ValueError("a memory of allowances has room for 1 to 100,000,000 payers")
    return (
        RECORDS_HEADER_BYTES + CHANGES * 8
        + (2 * buckets_for(payers) + buckets_for(PAIRS_EACH * payers)) * BUCKET * sizeof(Pair)
    )


cdef inline uint64_t sealed(uint64_t day) noexcept nogil:
    return day | (~day & 0xFFFF) << 16


cdef inline bint is_sealed(uint64_t word) noexcept nogil:
    return word == 0 or word == sealed(word & 0xFFFF)


cdef inline void lower(uint64_t *at, uint64_t day) noexcept nogil:
    """Set a sealed day, or move it to an earlier one."""
    cdef uint64_t seen = load(at)
    cdef int _tries
    for _tries in range(TRIES):
        if (seen != 0 and (seen & 0xFFFF) <= day) or cas(at, seen, sealed(day)):
            return
        seen = load(at)


@cython.final
@cython.auto_pickle(False)
cdef class Records:
    def __cinit__(self):
        self.open = False

    def __init__(self, memory, *, uint64_t payers, bytes fingerprint not None):
        if self.open:
            raise ValueError("this memory is attached already")
        if len(fingerprint) != 16:
            raise ValueError("a fingerprint is 16 bytes")
        cdef uint64_t size = records_bytes(payers)
        self.buckets[PAYERS] = buckets_for(payers)
        self.buckets[PAIRS] = buckets_for(PAIRS_EACH * payers)
        self.buckets[PAID] = self.buckets[PAYERS]
        PyObject_GetBuffer(memory, &self.buffer, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            if <uint64_t>self.buffer.len < size:
                raise StoreError(f"{self.buffer.len} bytes are too few", code="table-size")
            self.attach(fingerprint)
        except BaseException:
            PyBuffer_Release(&self.buffer)
            raise
        self.memory = memory
        self.open = True

    cdef int attach(self, bytes fingerprint) except -1:
        cdef uint8_t *base = <uint8_t *>self.buffer.buf
        cdef const char *at = fingerprint
        cdef uint64_t i
        if <size_t>base % 64:
            raise ValueError("this memory is 64-byte aligned (an mmap is)")
        self.header = <RecordsHeader *>base
        self.changes = <uint64_t *>(base + RECORDS_HEADER_BYTES)
        self.regions[PAYERS] = <Pair *>(base + RECORDS_HEADER_BYTES + CHANGES * 8)
        self.regions[PAIRS] = self.regions[PAYERS] + self.buckets[PAYERS] * BUCKET
        self.regions[PAID] = self.regions[PAIRS] + self.buckets[PAIRS] * BUCKET
        memcpy(self.fingerprint, at, 16)
        memset(self.found, 0, sizeof(self.found))
        if load(&self.header.magic) == 0:
            for i in range(RECORDS_HEADER_BYTES):
                if base[i]:
                    raise StoreError("the memory is not empty and not ours: refusing to overwrite it", code="table-foreign")
            self.header.version = RECORDS_LAYOUT
            self.header.total_bytes = <uint64_t>self.buffer.len
            for i in range(REGIONS):
                self.header.buckets[i] = self.buckets[i]
            memcpy(self.header.fingerprint, self.fingerprint, 16)
            store(&self.header.magic, MAGIC)  # last: what sees it sees the rest
        wrong = self.wrong()
        if wrong:
            raise StoreError(f"the memory of allowances cannot be read: {wrong}", code="table-damaged")
        return 0

    cdef str wrong(self):
        cdef RecordsHeader *header = self.header
        if (
            load(&header.magic) != MAGIC or header.version != RECORDS_LAYOUT
            or header.total_bytes != <uint64_t>self.buffer.len
            or memcmp(header.buckets, self.buckets, sizeof(self.buckets))
            or memcmp(header.fingerprint, self.fingerprint, 16)
            or not is_sealed(load(&header.since)) or not is_sealed(load(&header.own))
        ):
            return "its header was overwritten"
        return None

    cdef uint64_t damaged(self, uint64_t start, uint64_t stop) noexcept nogil:
        """Return how many records are none that a worker wrote; the regions lie one behind the other."""
        cdef uint64_t i, count = 0
        cdef Record record
        cdef Pair seen
        for i in range(start, stop):
            seen = load_pair(self.regions[PAYERS] + i)
            if (seen.tag or seen.word) and not unpacked(seen, &record):
                # Again: a pair is read word by word, and may have been written between two.
                seen = load_pair(self.regions[PAYERS] + i)
                if not unpacked(seen, &record):
                    count += 1
        return count

    def damage(self):
        cdef uint64_t records, step, start, count
        self.check_open()
        wrong = self.wrong()
        if wrong:
            return wrong
        records = (self.buckets[PAYERS] + self.buckets[PAIRS] + self.buckets[PAID]) * BUCKET
        step = (records + SLICES - 1) // SLICES
        start, self.looked_at = self.looked_at, (self.looked_at + 1) % SLICES
        with nogil:
            count = self.damaged(min(start * step, records), min((start + 1) * step, records))
        return "its records were overwritten" if count else None

    cdef int check_open(self) except -1:
        if not self.open:
            raise ValueError("the memory of allowances is closed")
        return 0

    cdef void begin(self, uint64_t day) noexcept nogil:
        """Let the limiter's own time begin, if it has not."""
        if load(&self.header.own) == 0:
            cas(&self.header.own, 0, sealed(day))
        if load(&self.header.since) == 0:
            cas(&self.header.since, 0, sealed(day))

    cdef Pair *find(self, uint64_t region, uint64_t key, Pair *seen, Record *record) noexcept nogil:
        """Return where a key's record lies, NULL for none; of a damaged one nothing is known."""
        cdef Pair *bucket = self.regions[region] + place_of(key, self.buckets[region]) * BUCKET
        cdef uint64_t finger = key & ((<uint64_t>1 << FINGER_BITS) - 1)
        cdef int i
        for i in range(BUCKET):
            if load(&bucket[i].tag) >> 27 == finger:
                seen[0] = load_pair(bucket + i)
                if seen.tag >> 27 == finger and unpacked(seen[0], record):
                    return bucket + i
        return NULL

    cdef Pair *find_payer(self, uint64_t key, Pair *seen, Record *record) noexcept nogil:
        """Do the same for a payer's; one that was found before, and is as it was then, is not looked for."""
        cdef Found *found
        cdef int i
        for i in range(MOST_FOUND):
            found = self.found + i
            if found.key == key and found.at != NULL:
                seen[0] = load_pair(found.at)
                if seen.tag == found.seen.tag and seen.word == found.seen.word:
                    record[0] = found.record
                    return found.at
                break
        else:
            found = self.found + self.next_found
            self.next_found = (self.next_found + 1) % MOST_FOUND
        found.key, found.at = key, self.find(PAYERS, key, seen, record)
        if found.at != NULL:
            found.seen, found.record = seen[0], record[0]
        return found.at

    cdef void look_ahead(
        self, uint64_t payer, uint64_t account, uint64_t place, int64_t created_s, bint is_paid
    ) noexcept nogil:
        """Have what `see` will most likely read fetched: a bucket is four lines, and most fill the first two."""
        cdef bint is_founding
        if not self.open or payer == 0 or payer == ABSENT_HASH:
            return
        is_founding = self.is_infant(self.day) and not self.is_old(created_s, self.day)
        self.fetch(PAYERS, key_of(payer))
        if is_paid:
            self.fetch(PAID, key_of(payer))
        if account != 0 and account != ABSENT_HASH:
            self.fetch(PAIRS, pair_of(payer, account, FOUNDER if is_founding else ACCOUNT))
            if place != 0 and place != ABSENT_HASH:
                self.fetch(PAIRS, pair_of(payer, place, FOUNDED if is_founding else PLACE))

    cdef void await_payer(self, uint64_t payer) noexcept nogil:
        """Do the same for what `best` will read."""
        if self.open and payer != 0 and payer != ABSENT_HASH:
            self.fetch(PAYERS, key_of(payer))

    cdef void fetch(self, uint64_t region, uint64_t key) noexcept nogil:
        cdef Pair *bucket = self.regions[region] + place_of(key, self.buckets[region]) * BUCKET
        prefetch(bucket)
        prefetch(bucket + BUCKET // 4)

    cdef Record amend(self, uint64_t region, uint64_t key, Record other, uint64_t day, int told) noexcept nogil:
        """Join what is known into a key's record, made if there is room; return it."""
        cdef Record record, before
        cdef Pair seen, fresh
        cdef Pair *at
        cdef int _tries
        for _tries in range(TRIES):
            if region == PAYERS:
                at = self.find_payer(key, &seen, &record)
            else:
                at = self.find(region, key, &seen, &record)
            if at == NULL:
                if self.add(region, key, other, day, told):
                    return other
                continue
            before = record
            join(&record, other, region)
            if record.first == before.first and record.newest == before.newest and record.levels == before.levels:
                return record
            fresh = packed(key, record)
            if cas_pair(at, seen.tag, seen.word, fresh.tag, fresh.word):
                # That a pair was seen again today is told on its second day, and then once in a period.
                if self.is_news(record, day, told) and (
                    region != PAIRS or before.first != record.first or before.levels == before.first
                    or before.levels // PERIOD_DAYS != record.levels // PERIOD_DAYS
                ):
                    self.tell(region, key)
                return record
        return other

    cdef bint add(self, uint64_t region, uint64_t key, Record record, uint64_t day, int told) noexcept nogil:
        """Put a new record in place of the one that is worth least; False where another worker was faster.

        One that is established is displaced only by one from elsewhere that is worth more, never by a new key.
        """
        cdef Pair *bucket = self.regions[region] + place_of(key, self.buckets[region]) * BUCKET
        cdef Pair fresh = packed(key, record), seen, least_seen
        cdef Record other
        cdef uint64_t least = NO_WORTH, worth
        cdef int i, chosen = 0
        for i in range(BUCKET):
            seen = load_pair(bucket + i)
            worth = worth_of(other, region, day) if unpacked(seen, &other) else 0
            if worth < least:
                least, chosen, least_seen = worth, i, seen
        if least >= ESTABLISHED and (told or worth_of(record, region, day) <= least):
            fetch_add(&self.header.refused, 1)
            return True
        if not cas_pair(bucket + chosen, least_seen.tag, least_seen.word, fresh.tag, fresh.word):
            return False
        if least == 0:
            fetch_add(&self.header.used[region], 1)
        elif least >= ESTABLISHED:
            fetch_add(&self.header.displaced, 1)
        else:
            fetch_add(&self.header.evicted, 1)
        if self.is_news(record, day, told):
            self.tell(region, key)
        return True

    cdef bint is_news(self, Record record, uint64_t day, int told) noexcept nogil:
        """Return whether other hosts are told: of a key from its second day on, so that a flood of fresh ones stays here."""
        return told == AT_ONCE or (told == IN_TIME and record.first < day)

    cdef void tell(self, uint64_t region, uint64_t key) noexcept nogil:
        """Leave a change for the one who tells other hosts; it finds out if it was overtaken."""
        cdef uint64_t ticket = fetch_add(&self.header.head, 1)
        store(&self.changes[ticket % CHANGES], ((ticket // CHANGES + 1) & 0xFFF) << 52 | key << 2 | region)

    cdef bint knows(self, uint64_t pair) noexcept nogil:
        cdef Pair seen
        cdef Record record
        return self.find(PAIRS, pair, &seen, &record) != NULL

    cdef bint founded(self, uint64_t pair, uint64_t first) noexcept nogil:
        """Return whether a founder, or a place of one, is of the first month of a payer.

        An older account of that payer may ask later, and then its first month was an earlier one: what came in the
        meantime founded nothing.
        """
        cdef Pair seen
        cdef Record record
        return self.find(PAIRS, pair, &seen, &record) != NULL and record.first < first + YOUNG_DAYS

    cdef bint is_infant(self, uint64_t day) noexcept nogil:
        """Return whether the records are younger than 30 days."""
        return day < (load(&self.header.since) & 0xFFFF) + YOUNG_DAYS

    cdef bint is_old(self, int64_t created_s, uint64_t day) noexcept nogil:
        """Return whether an account counts as older than records that are younger than a month.

        Nothing is known that says that an account of unknown age is younger than a month. By its age an account is
        known if it was a month older than the records: one that is opened before a limiter does not grow into it.
        """
        return created_s <= 0 or min(day, day_of(created_s)) + YOUNG_DAYS <= load(&self.header.since) & 0xFFFF

    cpdef int see(self, uint64_t payer, uint64_t account, uint64_t place, int64_t created_s, int64_t now_s) noexcept nogil:
        cdef uint64_t day = day_of(now_s), counted = day, pair, at_place = 0
        cdef bint is_infant, is_old, is_founding, is_known = False, is_place = False
        cdef int flags, told
        cdef Record known
        if not self.open or payer == 0 or payer == ABSENT_HASH:
            return 0
        self.begin(day)
        self.day = day
        is_infant = self.is_infant(day)
        if is_infant and created_s > 0:
            counted = min(day, day_of(created_s))
        is_old = is_infant and self.is_old(created_s, day)
        flags = UNSETTLED_COUNTS if is_old else 0
        known.first, known.newest, known.levels = counted, day // PERIOD_DAYS, 0
        known = self.amend(PAYERS, key_of(payer), known, day, IN_TIME)
        if account == 0 or account == ABSENT_HASH:
            return flags
        is_founding = not is_old and day < known.first + YOUNG_DAYS
        pair = pair_of(payer, account, FOUNDER if is_founding else ACCOUNT)
        if place != 0 and place != ABSENT_HASH:
            at_place = pair_of(payer, place, FOUNDED if is_founding else PLACE)
        if not (is_old or is_founding):
            is_known = self.knows(pair)
            if not is_known and self.founded(pair_of(payer, account, FOUNDER), known.first):
                is_known, pair = True, pair_of(payer, account, FOUNDER)
            if at_place:
                is_place = self.knows(at_place)
                if not is_place and self.founded(pair_of(payer, place, FOUNDED), known.first):
                    is_place, at_place = True, pair_of(payer, place, FOUNDED)
            if not (is_known or is_place):
                return flags | ELSEWHERE
        known.first, known.newest, known.levels = day, 0, day
        self.amend(PAIRS, pair, known, day, IN_TIME)
        if at_place:
            # A flood of fresh payers stays on its host with their places.
            told = IN_TIME if is_infant or is_founding else AT_ONCE
            self.amend(PAIRS, at_place, known, day, told)
        return flags

    cpdef void see_paid(self, uint64_t payer, int64_t paid_micros, int flags, int64_t now_s) noexcept nogil:
        cdef uint64_t day = day_of(now_s), period, level, age
        cdef Record known
        if not self.open or payer == 0 or payer == ABSENT_HASH or paid_micros < 0:
            return
        self.begin(day)
        period = day // PERIOD_DAYS
        level = MOST_PAID + 1 - min(<uint64_t>MOST_PAID, level_at(<double>(paid_micros // CENT)))
        known.first, known.newest, known.levels = day, period, level
        if flags & UNSETTLED_COUNTS:
            # The account is older than the records: its payer is taken to have paid as much a month ago.
            known.first = max(day, YOUNG_DAYS + 1) - YOUNG_DAYS
            for age in range(1, min(<uint64_t>BACK, period) + 1):
                known.levels |= level << 8 * age
        self.amend(PAID, key_of(payer), known, day, IN_TIME)

    cpdef uint64_t settled(self, uint64_t payer, int64_t now_s) noexcept nogil:
        cdef Pair seen
        cdef Record record
        cdef uint64_t kept
        if not self.open or payer == 0 or payer == ABSENT_HASH:
            return 0
        if self.find(PAID, key_of(payer), &seen, &record) == NULL:
            return 0
        kept = least_paid(record, day_of(now_s))
        return FLOORS[MOST_PAID + 1 - kept] * CENT if kept else 0

    cpdef void note(self, uint64_t payer, double used, int64_t now_s) noexcept nogil:
        cdef uint64_t day = day_of(now_s), key = key_of(payer)
        cdef Pair seen
        cdef Record known
        if not self.open or payer == 0 or payer == ABSENT_HASH:
            return
        if self.find_payer(key, &seen, &known) != NULL and known.first <= day and known.newest == day // PERIOD_DAYS:
            if used < <double>FLOORS[min((known.levels & 0xFF) + 1, <uint64_t>(LEVELS - 1))]:
                return  # the record says as much
        self.begin(day)
        known.first, known.newest, known.levels = day, day // PERIOD_DAYS, level_at(used)
        self.amend(PAYERS, key, known, day, IN_TIME)

    cpdef double best(self, uint64_t payer, int64_t now_s) noexcept nogil:
        cdef Pair seen
        cdef Record record
        if not self.open or payer == 0 or payer == ABSENT_HASH:
            return 0.0
        if self.find_payer(key_of(payer), &seen, &record) == NULL:
            return 0.0
        return <double>FLOORS[counting(record, day_of(now_s), load(&self.header.own) & 0xFFFF)]

    cpdef void import_day(self, uint64_t payer, int64_t day, double used, int64_t now_s) noexcept nogil:
        cdef uint64_t now = day_of(now_s)
        cdef Record known
        if not self.open or payer == 0 or payer == ABSENT_HASH or day < 1 or <uint64_t>day > now:
            return
        self.begin(now)
        known.first, known.newest, known.levels = <uint64_t>day, <uint64_t>day // PERIOD_DAYS, level_at(used)
        if known.first < (load(&self.header.own) & 0xFFFF):
            before(&known, (load(&self.header.own) & 0xFFFF) // PERIOD_DAYS)
        self.amend(PAYERS, key_of(payer), known, now, IN_TIME)

    def born(self, since, own, /):
        cdef uint64_t day
        self.check_open()
        if since is not None:
            day = min(max(<int64_t>since, 1), LAST_DAY)
            lower(&self.header.since, day)
        if own is not None:
            day = min(max(<int64_t>own, 1), LAST_DAY)
            lower(&self.header.own, day)
            lower(&self.header.since, day)

    @property
    def days(self):
        self.check_open()
        return load(&self.header.since) & 0xFFFF, load(&self.header.own) & 0xFFFF

    def export(self, uint64_t region, uint64_t start, uint64_t count, /):
        cdef uint64_t records, i
        self.check_open()
        if region >= REGIONS:
            raise ValueError("a region is 0, 1 or 2")
        records = self.buckets[region] * BUCKET
        start = min(start, records)
        count = min(count, records - start)
        found = PyBytes_FromStringAndSize(NULL, count * ITEM)
        cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(found)
        cdef Pair seen
        cdef Record record
        for i in range(start, start + count):
            seen = load_pair(self.regions[region] + i)
            if unpacked(seen, &record):
                write(at, region, key_at(i // BUCKET, self.buckets[region], seen.tag >> 27), record)
                at += ITEM
        return found[: at - <uint8_t *>PyBytes_AS_STRING(found)]

    def changed(self, uint64_t position, uint64_t most, /):
        cdef uint64_t head, cell, key, region, start = position
        cdef uint8_t item[ITEM]
        cdef Pair seen
        cdef Record record
        self.check_open()
        head = load(&self.header.head)
        if position > head or head - position > CHANGES:
            return head, b"", True
        found = bytearray()
        while position < head and <uint64_t>len(found) < most * ITEM:
            cell = load(&self.changes[position % CHANGES])
            if cell >> 52 == ((position // CHANGES + 2) & 0xFFF):
                return head, b"", True
            if cell >> 52 != ((position // CHANGES + 1) & 0xFFF):
                # A worker is about to write it; or it was killed first, if it is so with the next call still.
                if position != start:
                    break
                position += 1
                continue
            key, region = cell >> 2 & ((<uint64_t>1 << KEY_BITS) - 1), cell & 3
            if region < REGIONS and self.find(region, key, &seen, &record) != NULL:
                write(item, region, key, record)
                found += (<char *>item)[:ITEM]
            position += 1
        return position, bytes(found), False

    def take_in(self, const uint8_t[::1] items, now_s, /, *, until=None, bint is_told=False):
        cdef uint64_t day = day_of(now_s), born = 0, key, region, i, count = 0
        cdef Record record
        self.check_open()
        if until is not None:
            self.begin(day)
            if <int64_t>until < <int64_t>(load(&self.header.own) & 0xFFFF):
                born = (load(&self.header.own) & 0xFFFF) // PERIOD_DAYS
        if items.shape[0] % ITEM:
            raise ValueError(f"records are {ITEM} bytes each")
        for i in range(0, <uint64_t>items.shape[0], ITEM):
            if not read(&items[i], &region, &key, &record):
                continue
            if region == PAYERS and born:
                before(&record, born)
            self.amend(region, key, record, day, IN_TIME if is_told else NOT_TOLD)
            count += 1
        return count

    def note_imported(self, uint64_t payers, /):
        self.check_open()
        store(&self.header.imported, payers)

    @property
    def counts(self):
        cdef RecordsHeader *header = self.header
        self.check_open()
        return (
            load(&header.used[PAYERS]), load(&header.used[PAIRS]), load(&header.evicted), load(&header.displaced),
            load(&header.refused), load(&header.imported),
        )

    @property
    def slots(self):
        return self.buckets[PAYERS] * BUCKET, self.buckets[PAIRS] * BUCKET, self.buckets[PAID] * BUCKET

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
        if self.open:
            PyBuffer_Release(&self.buffer)

    def __reduce__(self):
        raise TypeError("allowances are in memory of this host and are not pickled")


cdef void before(Record *record, uint64_t born) noexcept nogil:
    """Put the days of the period that the limiter was born in into the one before: they lie before it, and count at once."""
    cdef uint64_t newest = record.newest, levels = record.levels, age, level
    if newest < born or born == 0:
        return
    record.newest, record.levels = born - 1, 0
    for age in range(min(<uint64_t>PERIODS, newest + 1)):
        level = levels >> 8 * age & 0xFF
        lift(record, min(newest - age, born - 1), level)


cdef void write(uint8_t *at, uint64_t region, uint64_t key, Record record) noexcept nogil:
    cdef uint64_t words[3]
    words[0], words[1], words[2] = key << 2 | region, record.first << 16 | record.newest, record.levels
    memcpy(at, words, ITEM)


cdef bint read(const uint8_t *at, uint64_t *region, uint64_t *key, Record *record) noexcept nogil:
    """Read a record that travelled; False for one that no worker can have written."""
    cdef uint64_t words[3]
    memcpy(words, at, ITEM)
    region[0], key[0] = words[0] & 3, words[0] >> 2
    record.first, record.newest, record.levels = words[1] >> 16, words[1] & 0xFFFF, words[2]
    return (
        region[0] < REGIONS and key[0] >> KEY_BITS == 0 and 0 < record.first <= LAST_DAY
        and record.newest <= LAST_DAY // PERIOD_DAYS
        and record.levels <= (LEVELS_MASK if region[0] != PAIRS else <uint64_t>LAST_DAY)
        and (region[0] != PAIRS or record.newest == 0)
    )
