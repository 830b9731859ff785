"""The memory that correlation shares, whole: format, attach, writer, gauges. See the stub.

Nothing here opens a file or reads a clock: the owner hands in memory and time.
"""

from math import isqrt

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from ratelimit.core.memory.atomic cimport cas, load, store
from ratelimit.core.clusters.cluster_index cimport MOST_LABELS

from ratelimit.errors import StoreError

cdef uint64_t MAGIC = 0x4452414F424E494B  # "KINBOARD", little-endian
cdef uint64_t NO_IDENTITY = 0xFFFFFFFFFFFFFFFF
cdef uint64_t MOST_ENTRIES = 1 << 28      # of either part; sizes stay far from overflow
cdef uint64_t MOST_LOOKED_AT = 1 << 20    # entries in one look for damage: a millisecond or two
cdef uint64_t FEW = 4

BOARD_VERSION = BOARD_LAYOUT
SIGHTING_BYTES = sizeof(Cell)
BOARD_NUMBERS = NUMBERS


def board_bytes(principals, sightings):
    cells, slots, rooms = _sizes(principals, sightings)
    return BOARD_HEADER_BYTES + cells * sizeof(Cell) + 2 * half_bytes(slots, rooms)


def _sizes(principals, sightings):
    if not 1 <= principals <= MOST_ENTRIES or not 1 <= sightings <= MOST_ENTRIES:
        raise ValueError(f"a board has room for 1 to {MOST_ENTRIES} principals and sightings")
    # A cluster of n members has at most √n budgets, since confidence is half or more. So all
    # clusters together have at most so many identities (Cauchy and Schwarz).
    identities = min(principals, isqrt(MOST_LABELS * principals))
    # Both tables are four fifths full when every principal is in a cluster. Cells are a power of
    # two, so that a ticket finds its cell by a mask also after it has wrapped around.
    return (
        1 << max(3, (sightings - 1).bit_length()),
        max(64, -(-principals * 5 // 4)),
        min(MOST_ROOMS, max(64, -(-identities * 5 // 4))),
    )


@cython.final
cdef class Board:
    def __cinit__(self):
        self.open = False

    def __init__(self, memory, *, principals, sightings, bytes boot_id not None, bytes fingerprint not None):
        if self.open:
            raise ValueError("this board is attached already")
        if len(fingerprint) != 16:
            raise ValueError(f"a fingerprint is 16 bytes, not {len(fingerprint)}")
        if len(boot_id) > 64:
            raise ValueError("a boot id is at most 64 bytes")
        cells, slots, rooms = _sizes(principals, sightings)
        PyObject_GetBuffer(memory, &self.buffer, PyBUF_SIMPLE | PyBUF_WRITABLE)
        try:
            self.attach(cells, slots, rooms, boot_id.ljust(64, b"\0"), fingerprint)
        except BaseException:
            PyBuffer_Release(&self.buffer)
            raise
        self.memory = memory
        self.open = True

    cdef int attach(self, uint64_t cells, uint64_t slots, uint64_t rooms, bytes boot_id, bytes fingerprint) except -1:
        cdef uint64_t size = <uint64_t>self.buffer.len, i
        cdef uint8_t *base = <uint8_t *>self.buffer.buf
        cdef BoardHeader *header = <BoardHeader *>base
        cdef uint64_t magic
        cdef const char *bytes_at
        if <size_t>base % 64:
            raise ValueError("a board's memory is 64-byte aligned (an mmap is)")
        if size < BOARD_HEADER_BYTES + cells * sizeof(Cell) + 2 * half_bytes(slots, rooms):
            raise StoreError(f"{size} bytes are too few for a board", code="table-size")
        self.header = header
        self.cells_count, self.slots, self.rooms = cells, slots, rooms
        bytes_at = fingerprint
        memcpy(self.fingerprint, bytes_at, 16)
        bytes_at = boot_id
        memcpy(self.boot, bytes_at, 64)
        self.cells = <Cell *>(base + BOARD_HEADER_BYTES)
        self.halves[0] = <uint64_t *>(base + BOARD_HEADER_BYTES + cells * sizeof(Cell))
        self.identities[0] = self.halves[0] + slots
        self.halves[1] = self.identities[0] + rooms
        self.identities[1] = self.halves[1] + slots
        magic = load(&header.magic)
        if magic == 0:
            for i in range(BOARD_HEADER_BYTES):
                if base[i]:
                    raise StoreError("the memory is not empty and not a board: refusing to overwrite it", code="table-foreign")
            header.version = BOARD_LAYOUT
            header.total_bytes = size
            header.cells = cells
            header.slots = slots
            header.rooms = rooms
            bytes_at = fingerprint
            memcpy(header.fingerprint, bytes_at, 16)
            bytes_at = boot_id
            memcpy(header.boot, bytes_at, 64)
            for i in range(cells):
                self.cells[i].sequence = i
            for i in range(2 * rooms):
                self.identities[i % 2][i // 2] = NO_IDENTITY
            store(&header.magic, MAGIC)  # last: a worker that sees it sees the rest
        elif magic != MAGIC:
            raise StoreError("the memory holds something that is not a board: refusing to touch it", code="table-foreign")
        if header.version != BOARD_LAYOUT:
            raise StoreError(
                f"the board has layout {header.version}, this release uses {BOARD_LAYOUT}; stop the other release's "
                "workers or give this one a path of its own",
                code="table-version",
            )
        if header.total_bytes != size or header.cells != cells or header.slots != slots or header.rooms != rooms:
            raise StoreError(
                f"the board was made with {header.total_bytes} bytes, this policy asks for {size}; "
                "restart all workers together or give this one a path of its own",
                code="table-size",
            )
        bytes_at = boot_id
        if memcmp(header.boot, bytes_at, 64):
            raise StoreError(
                "the board is from another boot of this host, whose clock means nothing now; delete the file",
                code="table-boot",
            )
        bytes_at = fingerprint
        if memcmp(header.fingerprint, bytes_at, 16):
            raise StoreError(
                "the board was made with another hash key; restart all workers together, or delete the file "
                "when none is running",
                code="table-key",
            )
        wrong = self.wrong()
        if wrong:
            raise StoreError(f"the board is damaged: {wrong}", code="table-damaged")
        return 0

    cdef str wrong(self):
        """Return what is wrong with the words that can be told to be wrong; None where nothing is."""
        cdef BoardHeader *header = self.header
        cdef uint64_t tail = load(&header.tail), head = load(&header.head), mask = self.cells_count - 1
        cdef uint64_t first = load(&self.cells[tail & mask].sequence), last = load(&self.cells[head & mask].sequence)
        if (
            load(&header.magic) != MAGIC or header.version != BOARD_LAYOUT
            or header.total_bytes != <uint64_t>self.buffer.len
            or header.cells != self.cells_count or header.slots != self.slots or header.rooms != self.rooms
            or memcmp(header.fingerprint, self.fingerprint, 16) or memcmp(header.boot, self.boot, 64)
        ):
            return "its header was overwritten"
        if load(&header.assigned) > self.slots:
            return "it counts more assignments than there is room for"
        if load(&header.tail) != tail or load(&header.head) != head:
            return None  # it is being used: the rest can be told at another time.
        # A tail that lags by one cell is what a consumer leaves that was killed.
        if head - tail > self.cells_count + 1 or <int64_t>(first - tail) < 0 or <int64_t>(last - head) > 0:
            return "its ring's places are not in order"
        if self.has_odd_cells(head):
            return "its ring was overwritten"
        if self.has_odd_entries():
            return "its assignments were overwritten"
        return None

    cdef bint has_odd_cells(self, uint64_t head) noexcept nogil:
        """Return whether a cell is at no turn that it could be at: its sequence names the cell, and is near the head."""
        cdef uint64_t i, sequence, mask = self.cells_count - 1
        cdef int64_t ahead, most = 2 * <int64_t>self.cells_count  # others move the head meanwhile
        for i in range(self.cells_count):
            sequence = load(&self.cells[i].sequence)
            ahead = <int64_t>(sequence - head)
            if (sequence - i) & mask > 1 or ahead > most or ahead < -most:
                return True
        return False

    cdef bint has_odd_entries(self) noexcept nogil:
        """Return whether entries in force lie where no look-up finds them, or name identities that there are not."""
        cdef uint64_t generation = load(&self.header.generation), entry, place, at, odd = 0, _look
        cdef const uint64_t *entries = self.halves[generation & 1]
        cdef const uint64_t *identities = self.identities[generation & 1]
        for _look in range(min(self.slots, MOST_LOOKED_AT)):
            at = self.looked_at
            self.looked_at = at + 1 if at + 1 < self.slots else 0
            entry = load(entries + at)
            if entry == 0:
                continue
            place = entry & PLACE
            if place == 0 or (at + self.slots - home_of(entry >> PLACE_BITS, self.slots)) % self.slots >= MOST_PROBES:
                odd += 1
            elif place != NOWHERE and (place > self.rooms or load(identities + place - 1) == NO_IDENTITY):
                odd += 1
        # A half that was refilled meanwhile is not the one that was looked at. And a writer that slept until
        # it was replaced may leave an entry.
        return odd > FEW and load(&self.header.generation) == generation

    def damage(self):
        self.check_open()
        return self.wrong()

    cdef int check_open(self) except -1:
        if not self.open:
            raise ValueError("the board is closed")
        return 0

    # -- the writer ------------------------------------------------------------------------------

    @property
    def term(self):
        self.check_open()
        return load(&self.header.term)

    def claim(self, expected, pid, now_ns, /):
        self.check_open()
        cdef uint64_t term = expected, writer = pid, now = now_ns
        if not cas(&self.header.term, term, term + 1):
            return 0
        store(&self.header.writer, writer)
        store(&self.header.heartbeat_ns, now)
        return term + 1

    def beat(self, now_ns, /):
        self.check_open()
        store(&self.header.heartbeat_ns, <uint64_t>now_ns)

    @property
    def heartbeat_ns(self):
        self.check_open()
        return load(&self.header.heartbeat_ns)

    @property
    def writer(self):
        self.check_open()
        return load(&self.header.writer)

    # -- what any worker can export ---------------------------------------------------------------

    def number(self, index, /):
        self.check_open()
        cdef uint64_t at = index
        if at >= NUMBERS:
            raise IndexError(f"a board has {NUMBERS} numbers")
        return load(&self.header.numbers[at])

    def set_number(self, index, value, /):
        self.check_open()
        cdef uint64_t at = index, number = value
        if at >= NUMBERS:
            raise IndexError(f"a board has {NUMBERS} numbers")
        store(&self.header.numbers[at], number)

    def stats(self):
        self.check_open()
        cdef uint64_t tail = load(&self.header.tail)
        return {
            "cells": self.cells_count,
            "waiting": load(&self.header.head) - tail,
            "taken": load(&self.header.taken),
            "dropped": load(&self.header.dropped),
            "abandoned": load(&self.header.abandoned),
            "torn": load(&self.header.torn),
            "slots": self.slots,
            "assigned": load(&self.header.assigned),
            "overflowed": load(&self.header.overflowed),
            "generation": load(&self.header.generation),
            "term": load(&self.header.term),
            "writer": load(&self.header.writer),
            "heartbeat_ns": load(&self.header.heartbeat_ns),
        }

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
        raise TypeError("a Board is memory of this host and is not pickled; attach to its file instead")
