"""The conduct of accounts and clusters, as all workers of a host remember it: see the stub.

Theory of operation. A record belongs to a key for as long as it is there. What struck is one word,
changed by one compare-and-swap, so that a strike counts once whichever worker saw it. What counts
refusals is several words, and a race between workers loses a refusal: an error on the safe side.

Memory that was overwritten with zeros would look like records that are free. So each word is kept with some bits
turned (`SEAL`), and no word that was written here is zero.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport pow
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from ratelimit.core.memory.atomic cimport cas, load, store

from ratelimit.errors import StoreError

cdef uint64_t MAGIC = 0x5443444E434E494B  # "KINCNDCT", little-endian

cdef uint64_t HOUR_NS = 3_600_000_000_000
cdef enum:
    MOST_UNITS = (1 << 20) - 1
    MOST_HOUR = (1 << 24) - 1

# Of no value that is kept: as a time it is after the year 2050, as a count beyond what a round has.
cdef uint64_t SEAL = 0x9E3779B97F4A7C15

CONDUCT_VERSION = CONDUCT_LAYOUT


def conduct_bytes():
    return CONDUCT_HEADER_BYTES + BUCKETS * BUCKET_SIZE * sizeof(Record) + RAMP_BUCKETS * BUCKET_SIZE * sizeof(Ramp)


@cython.final
@cython.auto_pickle(False)
cdef class ConductMemory:
    def __cinit__(self):
        self.open = False

    def __init__(self, memory, *, bytes boot_id not None, bytes fingerprint not None):
        if self.open:
            raise ValueError("this memory is attached already")
        if len(fingerprint) != 16 or len(boot_id) > 64:
            raise ValueError("a fingerprint is 16 bytes, a boot id at most 64")
        PyObject_GetBuffer(memory, &self.buffer, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            self.attach(boot_id.ljust(64, b"\0"), fingerprint)
        except BaseException:
            PyBuffer_Release(&self.buffer)
            raise
        self.memory = memory
        self.open = True

    cdef int attach(self, bytes boot_id, bytes fingerprint) except -1:
        cdef uint64_t size = <uint64_t>self.buffer.len, i
        cdef uint8_t *base = <uint8_t *>self.buffer.buf
        cdef const char *bytes_at
        if <size_t>base % 64:
            raise ValueError("this memory is 64-byte aligned (an mmap is)")
        if size < conduct_bytes():
            raise StoreError(f"{size} bytes are too few", code="table-size")
        self.header = <ConductHeader *>base
        self.records = <Record *>(base + CONDUCT_HEADER_BYTES)
        self.ramps = <Ramp *>(self.records + BUCKETS * BUCKET_SIZE)
        bytes_at = fingerprint
        memcpy(self.fingerprint, bytes_at, 16)
        bytes_at = boot_id
        memcpy(self.boot, bytes_at, 64)
        if load(&self.header.magic) == 0:
            for i in range(CONDUCT_HEADER_BYTES):
                if base[i]:
                    raise StoreError("the memory is not empty and not ours: refusing to overwrite it", code="table-foreign")
            self.header.version = CONDUCT_LAYOUT
            self.header.total_bytes = size
            memcpy(self.header.fingerprint, self.fingerprint, 16)
            memcpy(self.header.boot, self.boot, 64)
            for i in range(BUCKETS * BUCKET_SIZE * RECORD_WORDS + RAMP_BUCKETS * BUCKET_SIZE * RAMP_WORDS):
                put(&self.records.key + i, 0)
            store(&self.header.magic, MAGIC)  # last: what sees it sees the rest
        wrong = self.wrong()
        if wrong:
            raise StoreError(f"the memory of conduct cannot be read: {wrong}", code="table-damaged")
        return 0

    cdef str wrong(self):
        cdef ConductHeader *header = self.header
        cdef uint64_t i, key
        if (
            load(&header.magic) != MAGIC or header.version != CONDUCT_LAYOUT
            or header.total_bytes != <uint64_t>self.buffer.len
            or memcmp(header.fingerprint, self.fingerprint, 16) or memcmp(header.boot, self.boot, 64)
        ):
            return "its header was overwritten"
        # No word is zero, and a key is put into its own bucket alone.
        for i in range(BUCKETS * BUCKET_SIZE):
            key = word_at(&self.records[i].key)
            if has_zero(&self.records[i].key, RECORD_WORDS) or key and place_of(key, BUCKETS) != i - i % BUCKET_SIZE:
                return "its records were overwritten"
        for i in range(RAMP_BUCKETS * BUCKET_SIZE):
            key = word_at(&self.ramps[i].key)
            if has_zero(&self.ramps[i].key, RAMP_WORDS) or key and place_of(key, RAMP_BUCKETS) != i - i % BUCKET_SIZE:
                return "its ramps were overwritten"
        return None

    def damage(self):
        self.check_open()
        return self.wrong()

    cdef int check_open(self) except -1:
        if not self.open:
            raise ValueError("the memory of conduct is closed")
        return 0

    cdef Record *find(self, uint64_t key) noexcept:
        """Return a key's record, NULL for none; noexcept: a look at four records that are there."""
        cdef Record *bucket = self.records + place_of(key, BUCKETS)
        cdef int i
        if key == 0:
            return NULL
        for i in range(BUCKET_SIZE):
            if word_at(&bucket[i].key) == key:
                return bucket + i
        return NULL

    cdef Record *make(self, uint64_t key) noexcept:
        """Return a key's record, made if need be: first in place of one that has nothing to remember."""
        cdef Record *bucket = self.records + place_of(key, BUCKETS)
        cdef Record *found = self.find(key)
        cdef Record *chosen = NULL
        cdef uint64_t best = 0, worth, was
        cdef int i
        if found != NULL or key == 0:
            return found
        for i in range(BUCKET_SIZE):
            was = word_at(&bucket[i].key)
            # Seconds of the last strike or refusal; a record that struck is worth a day more.
            worth = word_at(&bucket[i].began_ns) // 1_000_000_000
            if word_at(&bucket[i].word):
                worth = max(worth, word_at(&bucket[i].word) >> 32) + 86_400
            if was == 0:
                worth = 0
            if chosen == NULL or worth < best:
                chosen, best = bucket + i, worth
        was = word_at(&chosen.key)
        if not swap_word(&chosen.key, was, 0):
            return NULL
        put(&chosen.word, 0)
        put(&chosen.cluster, 0)
        put(&chosen.counts, 0)
        put(&chosen.began_ns, 0)
        put(&chosen.waits, 0)
        return chosen if swap_word(&chosen.key, 0, key) else NULL

    cdef bint is_marked(self, uint64_t key) noexcept:
        cdef Record *found = self.find(key)
        return found != NULL and word_at(&found.word) != 0

    def marked(self, uint64_t key, /):
        self.check_open()
        return self.is_marked(key)

    def word(self, uint64_t key, /):
        self.check_open()
        cdef Record *found = self.find(key)
        return 0 if found == NULL else word_at(&found.word)

    def swap(self, uint64_t key, uint64_t before, uint64_t after, /):
        self.check_open()
        cdef Record *found = self.make(key)
        return found != NULL and swap_word(&found.word, before, after)

    def cluster(self, uint64_t key, /):
        self.check_open()
        cdef Record *found = self.find(key)
        return 0 if found == NULL else word_at(&found.cluster)

    def set_cluster(self, uint64_t key, uint64_t cluster, /):
        self.check_open()
        cdef Record *found = self.make(key)
        if found != NULL:
            put(&found.cluster, cluster)

    def refusals(self, uint64_t key, /):
        self.check_open()
        cdef Record *found = self.find(key)
        cdef uint64_t counts, early, waits
        if found == NULL:
            return 0, 0, 0, 0, 0, 0, 0, 0
        counts, early, waits = word_at(&found.counts), word_at(&found.early), word_at(&found.waits)
        return (
            word_at(&found.began_ns), counts >> 32, counts & 0xFFFFFFFF, word_at(&found.second_ns),
            early >> 32, early & 0xFFFFFFFF, waits >> 32, waits & 0xFFFFFFFF,
        )

    def set_refusals(
        self, uint64_t key, uint64_t began_ns, uint64_t refused, uint64_t herd, uint64_t second_ns,
        uint64_t in_second, uint64_t early, uint64_t wait_s, uint64_t before_s, /,
    ):
        self.check_open()
        cdef Record *found = self.make(key)
        if found != NULL:
            put(&found.began_ns, began_ns)
            put(&found.counts, paired(refused, herd))
            put(&found.second_ns, second_ns)
            put(&found.early, paired(in_second, early))
            put(&found.waits, paired(wait_s, before_s))

    cdef Ramp *find_ramp(self, uint64_t key) noexcept:
        """Return a key's ramp, NULL for none; noexcept: a look at four ramps that are there."""
        cdef Ramp *bucket = self.ramps + place_of(key, RAMP_BUCKETS)
        cdef int i
        if key == 0:
            return NULL
        for i in range(BUCKET_SIZE):
            if word_at(&bucket[i].key) == key:
                return bucket + i
        return NULL

    cdef Ramp *make_ramp(self, uint64_t key, uint64_t now_ns) noexcept:
        """Return a key's ramp, made if need be: first in place of the one with the lowest hours."""
        cdef Ramp *bucket = self.ramps + place_of(key, RAMP_BUCKETS)
        cdef Ramp *found = self.find_ramp(key)
        cdef Ramp *chosen = NULL
        cdef uint64_t best = 0, worth, was, hour, past, used
        cdef int i
        if found != NULL or key == 0:
            return found
        for i in range(BUCKET_SIZE):
            parts(word_at(&bucket[i].word), now_ns, &hour, &past, &used)
            worth = 1 + max(past, used) if word_at(&bucket[i].key) else 0
            if chosen == NULL or worth < best:
                chosen, best = bucket + i, worth
        was = word_at(&chosen.key)
        if not swap_word(&chosen.key, was, 0):
            return NULL
        put(&chosen.word, 0)
        return chosen if swap_word(&chosen.key, 0, key) else NULL

    cdef uint64_t held_ns(self, uint64_t key, uint64_t now_ns, uint64_t usual) noexcept:
        """Return how long a request of a key is held back: `ratelimit.conduct.model.ramp` has the rule."""
        cdef Ramp *found = self.find_ramp(key)
        cdef uint64_t hour, past, used
        cdef double bound
        if found == NULL:
            return 0
        parts(word_at(&found.word), now_ns, &hour, &past, &used)
        bound = max(3.0 * <double>past, <double>usual)
        return 0 if <double>used <= bound else <uint64_t>(2e9 * (1.0 - bound / <double>used))

    cdef void note_use(self, uint64_t key, uint64_t now_ns) noexcept:
        """Count one of a key; one that another worker counts at the same instant comes after it."""
        cdef Ramp *found = self.make_ramp(key, now_ns)
        cdef uint64_t hour, past, used, word
        cdef int _tries
        if found == NULL:
            return
        for _tries in range(8):
            word = word_at(&found.word)
            parts(word, now_ns, &hour, &past, &used)
            if swap_word(&found.word, word, min(<uint64_t>MOST_UNITS, used + 1) | past << 20 | hour << 40):
                return

    def ramp(self, uint64_t key, /):
        self.check_open()
        cdef Ramp *found = self.find_ramp(key)
        return 0 if found == NULL else word_at(&found.word)

    def set_ramp(self, uint64_t key, uint64_t word, /):
        self.check_open()
        cdef Ramp *found = self.make_ramp(key, 0)
        if found != NULL:
            put(&found.word, word)

    def steep_ns(self, uint64_t key, uint64_t now_ns, uint64_t usual, /):
        self.check_open()
        return self.held_ns(key, now_ns, usual)

    def use(self, uint64_t key, uint64_t now_ns, /):
        self.check_open()
        self.note_use(key, now_ns)

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
        raise TypeError("conduct is in memory of this host and is not pickled")


cdef inline uint64_t word_at(const uint64_t *at) noexcept:
    """Return what a word of a record or a ramp says; noexcept: one load."""
    return load(at) ^ SEAL


cdef inline void put(uint64_t *at, uint64_t value) noexcept:
    store(at, value ^ SEAL)


cdef inline bint swap_word(uint64_t *at, uint64_t before, uint64_t after) noexcept:
    return cas(at, before ^ SEAL, after ^ SEAL)


cdef inline bint has_zero(const uint64_t *words, int count) noexcept:
    """Return whether zeros were written over one of some words; noexcept: loads of words that are there."""
    cdef int i
    for i in range(count):
        if load(words + i) == 0:
            return True
    return False


cdef inline uint64_t paired(uint64_t high, uint64_t low) noexcept:
    return min(high, <uint64_t>0xFFFFFFFF) << 32 | min(low, <uint64_t>0xFFFFFFFF)


cdef inline uint64_t place_of(uint64_t key, uint64_t buckets) noexcept:
    """Return where a key's bucket begins: by the highest bits of Knuth's multiplication."""
    return ((key * <uint64_t>0x9E3779B97F4A7C15 >> 32) * buckets >> 32) * BUCKET_SIZE


cdef inline void parts(uint64_t word, uint64_t now_ns, uint64_t *hour, uint64_t *past, uint64_t *used) noexcept:
    """Take a ramp's word apart, brought to now: see `ratelimit.conduct.model.ramp`."""
    cdef uint64_t now_hour = min(now_ns // HOUR_NS, <uint64_t>MOST_HOUR)
    used[0], past[0], hour[0] = word & MOST_UNITS, word >> 20 & MOST_UNITS, word >> 40 & MOST_HOUR
    if now_hour <= hour[0]:
        return
    past[0] = <uint64_t>(<double>max(past[0], used[0]) * pow(2.0, -(<double>(now_hour - hour[0]) / 168.0)))
    used[0] = 0
    hour[0] = now_hour
