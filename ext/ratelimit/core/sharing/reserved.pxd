"""Places that lower classes leave free for a class that would lose requests otherwise: the arithmetic.

Theory of operation. Requests of lower classes fill the back end up to the places that they leave free. A request
of a higher class that comes then needs one of these, or one that gets free before it has waited too long.
Say that its class and those above take a part r of the places, and k are left free. All k are taken
about r^k of the time. So k has to grow as r / (1 - r) does, the odds that a place is taken. The factor before
it depends on the back end, and is learned from what is lost. It is the word of the class.

While requests of a lower class are in flight, a loss doubles the word. One that goes on after it was held for long
raises it by a quarter. Each request that goes on lowers it a little. So it stands still at one share of losses,
whatever the back end is: quantile tracking by Robbins and Monro. And it fades with time.
Once a word rose it rises no more for as long as the target: places that are kept free since are still taken.
So requests that are lost together count once. Of three together it is one in a thousand that is lost.
"""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport cas, load
from ratelimit.core.sharing.flight cimport MOST_TRIES, RANKS, FlightHeader

cdef enum:
    ONE = 1 << 20           # a factor of one
    LEAST = 8 << 20         # after the first loss; with three tenths of the places taken 3.4 are kept free then
    MOST = 64 << 20
    LOST = 0                # raises a word by 1 / 2^this of itself
    LATE = 2
    GOES_ON = 12            # and lowers it: ln 2 for each loss is 1 / 4,096 for each of 2,800 that go on


cdef inline void raise_by(uint64_t *at, int shift) noexcept:
    """Raise a word, up to its bound; noexcept: after some lost races others have raised it.

    Where all that is held goes on late, none may be lost. So what is late raises it to twice the least at most.
    """
    cdef uint64_t most = MOST if shift == LOST else 2 * LEAST
    cdef uint64_t seen, more
    cdef int _try
    for _try in range(MOST_TRIES):
        seen = load(at)
        more = min(seen, MOST)
        if shift != LOST and more >= most:
            return
        more = min(max(more + (more >> shift), LEAST), most)
        if cas(at, seen, more):
            return


cdef inline void lower(uint64_t *at) noexcept:
    """Lower a word that is not 0 for a request that goes on; noexcept: as `raise_by`."""
    cdef uint64_t seen, less
    cdef int _try
    for _try in range(MOST_TRIES):
        seen = load(at)
        less = min(seen, MOST)
        if seen == 0 or cas(at, seen, less - (less >> GOES_ON) - 1):
            return


cdef inline uint64_t places_of(FlightHeader *header) noexcept:
    """Return how many places there are, as far as it is known; noexcept: loads."""
    cdef uint64_t places = load(&header.places)
    return places if places else load(&header.lost_at)


cdef inline double reserved(FlightHeader *header, int rank, double kept) noexcept:
    """Return the share of the places that a class leaves free for those above; 0 where `kept` is as much.

    noexcept: arithmetic on words that are bounded.
    """
    cdef double most = 0.0
    cdef uint64_t word, above, places = places_of(header)
    cdef int at
    for at in range(min(rank, RANKS)):
        word = load(&header.reserve[at])
        if word == 0:
            continue
        above = load(&header.above[at])
        if above >= places:
            return 1.0
        most = max(most, <double>min(word, MOST) / ONE * (<double>above + 1.0) / <double>(places - above) / <double>places)
    return 0.0 if most <= kept else min(1.0, most)
