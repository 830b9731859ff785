"""The count for one charge, corrected so that the last of many reports stands.

A charge is settled as often as its application reports. Each report is compared with what is
counted (`held`) and not with the report before. Part of that may have been forgiven, beyond the
debt that a key may have. Part may not have been given back: it had drained, or left its window.
Of what is counted, only what can still be taken back (`live`) ever is: never another charge's.
A report that repeats the last one changes nothing.
"""

from libc.stdint cimport int64_t, uint64_t

from ratelimit.core.algorithms.setup cimport Charge


cdef inline void open_receipt(Charge *charge) noexcept nogil:
    """Begin for a charge that a store elsewhere is asked for: nothing is counted yet."""
    charge.held = charge.live = 0
    charge.aim = charge.settled = charge.cost
    charge.is_underway = False


cdef inline int64_t owed(const Charge *charge, uint64_t actual) noexcept nogil:
    """Return how many units more, or fewer, are to be counted for a charge that really cost `actual`."""
    cdef uint64_t less
    if actual >= charge.held:
        return <int64_t>(actual - charge.held)
    less = charge.held - actual
    return -<int64_t>(less if less < charge.live else charge.live)


cdef inline void corrected_by(Charge *charge, int64_t asked, int64_t moved) noexcept nogil:
    """Note that the store was asked for a correction, and how much of it took effect."""
    charge.held += <uint64_t>moved
    if asked < 0 and moved > asked or charge.live < <uint64_t>(-moved) and moved < 0:
        charge.live = 0  # what was not given back has drained, or left its window
    else:
        charge.live += <uint64_t>moved


cdef inline void doubt(Charge *charge, int64_t asked) noexcept nogil:
    """Note that it is not known whether a correction was made: what it charged is never taken back.

    And what it gave back counts as given back: charged once more rather than not at all.
    """
    charge.held += <uint64_t>asked
    if asked < 0:
        charge.live += <uint64_t>asked
