"""The layout of the mapping, and the numbers that fix it.

    header | shapes | seats | counter names | counter cells | refusals | takings | entries | blocks

Change anything here and `LAYOUT_VERSION` must change too. Workers of an old and
a new release may meet on one mapping, and must refuse each other.

What a loop, a shift, a division or an address trusts is never read from the mapping. It is in
the `Arena`, which is this process' own and was checked when it attached, or in a rule's own
numbers. Any other word may hold anything, and only what is counted is wrong then.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.core.memory.atomic cimport Pair

cdef enum:
    LAYOUT = 8
    BUCKET_ENTRIES = 8     # two adjacent cache lines, which the hardware fetches together
    SHAPES = 512           # distinct window lengths ever seen by this mapping; a power of two
    SEATS = 32             # worker processes with counters of their own
    COUNTERS = 288         # of 256 limits, and the library's own
    COLUMNS = 8
    REFUSAL_SETS = 512
    REFUSAL_WAYS = 8       # callers of one set: see `refusals`
    REFUSALS = 4096        # places: sets x callers; as many again are of limits in shadow
    TAKING_SETS = 256
    TAKING_WAYS = 8        # callers of one set: see `takings`
    TAKINGS = 2048         # places of one hour; as many are of the hour before
    HEADER_BYTES = 12288
    COPY_AT = 12032        # of the identity, in another page than itself
    PAGE_BYTES = 131072    # blocks of one size class share a page
    BLOCK_HEAD_BYTES = 64
    SMALLEST_BLOCK_BITS = 7
    MAX_PAGES = 1024       # 128 MiB: what a block's 20-bit number reaches

cdef struct Identity:        # what never changes; it is there twice
    uint64_t magic
    uint64_t version
    uint64_t total_bytes
    uint64_t block_bytes
    uint64_t buckets
    uint64_t epoch_ns
    uint64_t anchor_ns       # two's complement; the difference may be negative
    uint64_t mark[2]         # says which hash key is used; the key itself is not in the memory
    uint8_t boot[64]
    uint64_t check           # of all words above

cdef struct Header:
    Identity identity
    uint64_t evictions       # live entries overwritten
    uint64_t block_evictions
    uint64_t nonce           # makes each insertion's pending word unlike any other
    uint64_t block_cursor
    uint64_t page_class[MAX_PAGES]  # 0 free, else size class + 1
    uint64_t host            # names this memory to a server that many hosts share; 0 until it is asked for
    uint64_t hosts           # so many share that server, as one of the workers last heard; 0 is not known
    uint64_t orphans         # so many counters' use was lost with workers that ended

cdef struct Seat:
    uint64_t pid
    uint64_t start           # tells a reused pid from the process that had it
    uint64_t generation      # counts owners; a slot held by an older one has lapsed
    uint64_t heartbeat       # ns since the table's epoch
    uint64_t away            # its generation while its owner does not ask the store's server
    uint64_t owing           # so many counters' use is to be handed over to the server
    uint64_t reserved[2]

cdef struct Block:
    Pair owner               # tag: key hash (0 free); word: generation 35 bits | expiry 29 bits
    uint64_t kind            # what the body is
    uint64_t size            # of the body, in 16-byte units; a rule knows it of its own blocks, and goes by that
    uint64_t lease_ns
    uint64_t head            # log: index of the next record (a hint, may lag); distinct: members
    uint64_t base            # log: sequence number of record 0; sketch: bits in use
    uint64_t window          # sketch: end of the window it counts, in ns since the epoch

cdef struct Refusal:
    Pair who                 # the caller's hash; the limit's counter + 1. 0: free.
    uint64_t counts          # Low half: refusals; high half: perhaps other callers'.
    uint64_t times           # Of the first in the low half, of the last in the high half; s since the epoch
    uint64_t minutes         # From below: refusals in a minute 22 bits, in the one before 22 bits; its number 20 bits
    uint64_t reserved        # `who` lies on a border of 16 bytes

cdef struct Taking:
    Pair who                 # the caller's hash; the limit's counter + 1, and the hour above it. 0: free.
    uint64_t units           # taken since the caller has this place
    uint64_t weight          # the same in shares of the limit, with those of callers that had it before

cdef struct Arena:
    Header *header
    uint64_t *shapes
    Seat *seats
    uint64_t *names
    uint64_t *cells
    Refusal *refusals
    Taking *takings
    Pair *entries
    uint64_t buckets
    uint64_t epoch_ns
    uint8_t *blocks
    uint64_t pages
