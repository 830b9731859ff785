"""The layout of the memory that correlation shares: header, ring, two halves of a table.

    header | cells of the ring | half 0 | half 1; a half: entries | identities

Change anything here and `BOARD_LAYOUT` must change too. Workers of an old and a new
release may meet on one file, and must refuse each other.
"""

from libc.stdint cimport uint8_t, uint64_t

from ratelimit.core.clusters.records cimport KINDS

cdef enum:
    BOARD_LAYOUT = 7
    BOARD_HEADER_BYTES = 4096
    NUMBERS = 32            # gauges; their writer says what they mean
    MOST_ROOMS = 0x7FFE     # an entry has fifteen bits for which identity it is

    # An entry is 48 bits of a principal's key, its verdict, and the place of its cluster's identity.
    MOST_PROBES = 256       # at four fifths full hardly one entry in a million lies so far from home
    PLACE_BITS = 16         # of an entry: verdict, and place + 1 of its identity
    PLACE = 0x7FFF
    NOWHERE = 0x7FFF        # or this, for no cluster; 0 in an empty slot alone

cdef extern from *:
    """
    /* Spreads keys over any number of slots: the high word of a product. */
    static inline uint64_t kin_scale(uint64_t key, uint64_t slots)
    {
        return (uint64_t)(((unsigned __int128)key * slots) >> 64);
    }
    """
    uint64_t scale "kin_scale"(uint64_t key, uint64_t slots) noexcept nogil

cdef struct BoardHeader:
    uint64_t magic
    uint64_t version
    uint64_t total_bytes
    uint64_t cells           # of the ring: a power of two
    uint64_t slots           # entries of each half
    uint64_t rooms           # identities of each half
    uint64_t fingerprint[2]  # of the hash key, which is not repeated here
    uint8_t boot[64]
    uint64_t term            # counts writers; one that finds another than its own is no writer any more
    uint64_t writer          # process that has it
    uint64_t heartbeat_ns
    uint64_t generation      # its lowest bit says which half is in force
    uint64_t assigned        # entries in that half
    uint64_t overflowed      # assignments there was no room for
    uint64_t taken           # sightings
    uint64_t abandoned       # places of the ring that a producer died or slept in the midst of writing
    uint64_t torn            # sightings that two producers had written to
    uint64_t numbers[NUMBERS]
    # Producers and consumer each get a cache line of their own.
    uint64_t line1[8]
    uint64_t head            # next ticket of a producer
    uint64_t line2[8]
    uint64_t tail            # next ticket of the consumer
    uint64_t line3[8]
    uint64_t dropped         # sightings that found the ring full
    uint64_t line4[8]

cdef struct Cell:
    uint64_t sequence        # ticket: free; ticket + 1: published; ticket + cells: free for the next round
    uint64_t principal
    uint64_t kinds[KINDS]
    uint64_t created         # when the account was created, 0 for not known
    uint64_t when            # seconds << 1 | free
    uint64_t check           # of all words above and the ticket


cdef inline uint64_t home_of(uint64_t key, uint64_t slots) noexcept nogil:
    """Return where an entry is looked for first."""
    return scale(key << PLACE_BITS, slots)


cdef inline uint64_t half_bytes(uint64_t slots, uint64_t rooms) noexcept nogil:
    return 8 * (slots + rooms)


cdef class Board:
    cdef Py_buffer buffer
    cdef object memory
    cdef BoardHeader *header
    cdef Cell *cells
    cdef uint64_t *halves[2]        # entries
    cdef uint64_t *identities[2]    # NO_IDENTITY where there is none
    # What loops and masks trust: as this process asked for, never read from the mapping again.
    cdef uint64_t cells_count       # a power of two
    cdef uint64_t slots
    cdef uint64_t rooms
    cdef uint64_t fingerprint[2]
    cdef uint8_t boot[64]
    cdef uint64_t looked_at         # the entry that the next look begins with
    cdef readonly bint open

    cdef int check_open(self) except -1
    cdef str wrong(self)
    cdef bint has_odd_cells(self, uint64_t head) noexcept nogil
    cdef bint has_odd_entries(self) noexcept nogil
    cdef int attach(self, uint64_t cells, uint64_t slots, uint64_t rooms, bytes boot_id, bytes fingerprint) except -1
