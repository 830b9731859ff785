"""Sightings counted together, on their way to another host: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from ratelimit.core.sharing.assignments cimport Assignments
from ratelimit.core.memory.atomic cimport fetch_add
from ratelimit.core.clusters.cluster_index cimport ClusterIndex
from ratelimit.core.sharing.ring cimport NOTHING, TAKEN, Ring
from ratelimit.core.clusters.sighting cimport Sighting
from ratelimit.core.clusters.records cimport KINDS

cdef extern from "ratelimit/core/threads/handover.h":
    pass

cdef enum:
    MOST_ROOM = 32768

BUNDLE_RECORD_BYTES = LARGEST_RECORD


cdef inline uint32_t spread(const Sighting *seen, uint64_t time_s) noexcept nogil:
    # All are keyed hashes already; this only folds them.
    cdef uint64_t h = seen.principal ^ time_s
    cdef int i
    for i in range(KINDS):
        h = (h ^ seen.kinds[i]) * <uint64_t>0x9E3779B97F4A7C15
    return <uint32_t>(h >> 32)


cdef inline bint same(const Counted *record, const Sighting *seen, uint64_t time_s) noexcept nogil:
    cdef int i
    if record.principal != seen.principal or record.time_s != time_s or record.count == MOST_COUNT:
        return False
    if record.created_s != seen.created_s:
        return False
    for i in range(KINDS):
        if record.kinds[i] != seen.kinds[i]:
            return False
    return True


cdef inline uint8_t *put(uint8_t *at, uint64_t value, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        at[i] = <uint8_t>(value >> 8 * i)
    return at + size


cdef inline uint64_t got(const uint8_t *at, int size) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value |= <uint64_t>at[i] << 8 * i
    return value


cdef inline int kinds_in(uint8_t mask) noexcept nogil:
    cdef int count = 0
    while mask:
        count += mask & 1
        mask >>= 1
    return count


@cython.final
cdef class Bundle:
    def __cinit__(self):
        self.records = NULL
        self.index = NULL

    def __init__(self, room):
        cdef uint32_t slots = 4
        if not 1 <= room <= MOST_ROOM:
            raise ValueError(f"a bundle has room for 1 to {MOST_ROOM} records")
        if self.records != NULL:
            raise ValueError("a Bundle is set up once")
        while slots < 2 * <uint32_t>room:
            slots *= 2
        self.records = <Counted *>PyMem_RawCalloc(room, sizeof(Counted))
        self.index = <uint16_t *>PyMem_RawCalloc(slots, sizeof(uint16_t))
        if self.records == NULL or self.index == NULL:
            raise MemoryError("no room for a bundle")
        self.room = room
        self.mask = slots - 1

    def __dealloc__(self):
        PyMem_RawFree(self.records)
        PyMem_RawFree(self.index)

    cdef int check_ready(self) except -1:
        if self.index == NULL or self.records == NULL:
            raise ValueError("this bundle was never initialised")
        return 0

    @property
    def is_full(self):
        return self.held == self.room

    cdef void add(self, const Sighting *seen, uint64_t time_s) noexcept nogil:
        """Count a sighting; the caller sees that there is room for another record."""
        cdef uint32_t at = spread(seen, time_s) & self.mask
        cdef Counted *record
        while self.index[at]:
            record = self.records + self.index[at] - 1
            if same(record, seen, time_s):
                break
            at = (at + 1) & self.mask
        else:
            record = self.begin(seen, time_s)
            self.index[at] = <uint16_t>self.held
        record.count += 1
        record.free += seen.free != 0
        self.sightings += 1

    cdef Counted *begin(self, const Sighting *seen, uint64_t time_s) noexcept nogil:
        """Return another record, with nothing counted."""
        cdef Counted *record = self.records + self.held
        cdef int i
        record.principal = seen.principal
        for i in range(KINDS):
            record.kinds[i] = seen.kinds[i]
        record.time_s = <uint32_t>time_s
        record.created_s = seen.created_s
        record.count = record.free = 0
        self.held += 1
        return record

    def drain(self, Ring ring not None, most, now_ns, /):
        self.check_ready()
        ring.check_ready()
        cdef uint64_t limit = most, now = now_ns, time_s = 0, taken = 0
        cdef Sighting seen
        cdef int what
        with nogil:
            while taken < limit and self.held < self.room:
                what = ring.pop(&seen, &time_s, now)
                if what == NOTHING:
                    break
                if what == TAKEN:
                    taken += 1
                    self.add(&seen, time_s)
            if taken:
                fetch_add(&ring.board.header.taken, taken)
        return taken

    def pack(self):
        self.check_ready()
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, self.held * LARGEST_RECORD)
        cdef uint8_t *start = <uint8_t *>PyBytes_AS_STRING(packed)
        cdef uint8_t *at = start
        cdef uint8_t *mask
        cdef Counted *record
        cdef uint32_t number
        cdef int i
        for number in range(self.held):
            record = self.records + number
            at = put(at, record.principal, 8)
            at = put(at, record.time_s, 4)
            at = put(at, record.count | (CREATED if record.created_s else 0), 2)
            at = put(at, record.free, 2)
            mask = at
            mask[0] = 0
            at += 1
            for i in range(KINDS):
                if record.kinds[i]:
                    mask[0] |= <uint8_t>(1 << i)
                    at = put(at, record.kinds[i], 8)
            if record.created_s:
                at = put(at, record.created_s, 4)
        self.held = 0
        self.sightings = 0
        memset(self.index, 0, (self.mask + 1) * sizeof(uint16_t))
        return packed[:at - start]

    def __reduce__(self):
        raise TypeError("a Bundle is pickled by `pack`")


cdef int64_t weighed(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """Return how many sightings there are in records, -1 if they are not whole."""
    cdef int64_t total = 0
    cdef Py_ssize_t length
    cdef uint64_t count
    while size:
        if size < LEAST_RECORD:
            return -1
        count = got(at + 12, 2)
        length = LEAST_RECORD + 8 * kinds_in(at[16]) + (4 if count & CREATED else 0)
        count &= MOST_COUNT
        if length > size or got(at, 8) == 0 or count == 0 or got(at + 14, 2) > count:
            return -1
        total += <int64_t>count
        at += length
        size -= length
    return total


def sightings_in(bytes records not None, /):
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(records)
    cdef int64_t total = weighed(at, len(records))
    if total < 0:
        raise ValueError("records of sightings are cut short or make no sense")
    return total


def unpack(bytes records not None, ClusterIndex cluster_index not None, latest_s, Assignments assignments=None, /):
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(records)
    cdef Py_ssize_t left = len(records)
    cdef int64_t latest = latest_s, time_s, total = sightings_in(records)
    cdef Sighting seen
    cdef uint64_t count, free, each
    cdef uint8_t mask
    cdef int i
    if assignments is not None:
        assignments.check_ready()
    with nogil:
        while left:
            seen.principal = got(at, 8)
            # Another host's clock may be ahead: it does not move this one's.
            time_s = min(<int64_t>got(at + 8, 4), latest)
            count, free, mask = got(at + 12, 2), got(at + 14, 2), at[16]
            at += LEAST_RECORD
            left -= LEAST_RECORD
            for i in range(KINDS):
                seen.kinds[i] = 0
                if mask >> i & 1:
                    seen.kinds[i] = got(at, 8)
                    at += 8
                    left -= 8
            seen.created_s = 0
            if count & CREATED:
                seen.created_s = <uint32_t>got(at, 4)
                at += 4
                left -= 4
            count &= MOST_COUNT
            for each in range(count):
                seen.free = each >= count - free
                cluster_index.note(&seen, time_s)
            if assignments is not None:
                assignments.follow(cluster_index, seen.principal)
    return total
