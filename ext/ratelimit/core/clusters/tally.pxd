"""The tally of one group."""

from libc.stdint cimport uint32_t

cdef enum:
    WEIGHTS = 20        # octaves of visits to one exit
    PARTS_OF_DAY = 4

cdef struct Tally:
    uint32_t members
    uint32_t methods        # payment methods that are proven
    uint32_t loners         # members that pay by themselves
    uint32_t homed
    uint32_t seen           # members that would have come home by now
    uint32_t fresh          # known to be new
    uint32_t old
    uint32_t settled
    uint32_t active[PARTS_OF_DAY]
    double visits           # at exits that are mostly the group's
    float weighed[WEIGHTS]  # of those visits, by the octave of an exit's own
    float squares[WEIGHTS]
    double exclusive        # of each visit the part of the accounts there that are members, or are no witnesses
    double residential     # of those visits, in blocks where people live
    uint32_t exits
    uint32_t capped         # no more than 256 of a network
    uint32_t sole           # exits that no witness uses
    double in_networks      # visits in networks where most are the group's; and their squares, by network
    double network_squares
    bint is_fleet           # on one payment method, which meets no other
    double rate             # requests a day
    uint32_t former         # the cluster that most members were in
    uint32_t votes


cdef inline int octave_of(uint32_t visits) noexcept nogil:
    cdef int octave = 0
    while visits > 1 and octave < WEIGHTS - 1:
        visits >>= 1
        octave += 1
    return octave


cdef inline double exits_of(const Tally *t) noexcept nogil:
    """Return how many exits there are: twice the inverse Simpson index of the half of the visits at the least used.

    So half of its traffic through one exit does not make a pool look like an office.
    """
    cdef double half = 0.5 * t.visits, taken = 0.0, squares = 0.0, part
    cdef int octave
    for octave in range(WEIGHTS):
        if t.weighed[octave] == 0.0:
            continue
        part = min(1.0, (half - taken) / t.weighed[octave])
        taken += part * t.weighed[octave]
        squares += part * t.squares[octave]
        if taken >= half:
            break
    return 2.0 * taken * taken / squares if squares else 0.0
