"""The test for room for one more in flight, by the sums of the last look at all lanes."""

from libc.stdint cimport uint64_t

from ratelimit.core.memory.atomic cimport load, store
from ratelimit.core.sharing.flight cimport FRESH_MS, MILLISECOND, FlightHeader, Sums
from ratelimit.core.sharing.reserved cimport places_of, reserved

cdef extern from *:
    const double OF_QUEUE "0.8"       # what waits is to leave so much of the queue free for a request that is as large
    const double PATIENCE "1.5"       # as `first_byte.PATIENCE`: what a place takes at most while the queue stands still
    const double MOST_READ "0.9"      # of a long one: the rest is there until its first byte
    const double PAUSED "0.75"        # of the target: about so long a request waits for its first byte
    const double DOUBTED_BELOW "0.5"  # a report of saturation while fewer of those that may wait do


cdef enum:
    LONG = 8                # a request with so much work is long
    MOST_EARNED = 128       # twice the most that one counts for


cdef inline void earn(FlightHeader *header, uint64_t units, uint64_t now) noexcept:
    """Book the work of one that goes on; noexcept: plain stores, and workers that meet lose a little of it."""
    cdef uint64_t earned = load(&header.earned)
    if units < LONG:
        if earned < MOST_EARNED:
            store(&header.earned, earned + units)
        return
    store(&header.earned, earned - units if earned > units else 0)
    if units > load(&header.long_units):
        store(&header.long_units, units)
        store(&header.long_ns, now)


cdef inline uint64_t may_wait(FlightHeader *header, uint64_t running) noexcept:
    """Return how many may wait with so many answers under way, as `Bounds.at`; noexcept: compares words."""
    cdef uint64_t full = load(&header.full_bound), free = load(&header.free_bound), places = load(&header.places)
    if running >= load(&header.full_from):
        return full
    if places == 0:
        return free
    return min(free, full + (places - running if places > running else 0))


cdef inline uint64_t left_of(uint64_t places, double kept) noexcept:
    """Return the places that a lower class may take, half of them at least; noexcept: arithmetic.

    One is kept for a request of a higher class that comes, and one for the next, on a small server, too.
    """
    cdef uint64_t free = <uint64_t>(kept * <double>places + 0.999)
    free = min(free if free > 2 else 2, places // 2)
    return places - free if places > free else 1


cdef inline uint64_t without(uint64_t places, double reserve) noexcept:
    """Return the places that are left without a share of them, perhaps none; noexcept: arithmetic."""
    cdef uint64_t free = <uint64_t>(reserve * <double>places + 0.999)
    return places - free if places > free else 0


cdef inline uint64_t room_below(
    FlightHeader *header, uint64_t waiting, double share, double kept, double reserve
) noexcept:
    """Return below how many without a first byte there is room for what may fill a share of the queue.

    Those that are worked on are no queue. Of these a lower class leaves some free. noexcept: arithmetic.
    """
    cdef uint64_t beside, part
    if share >= 1.0:
        return waiting
    if reserve > 0.0:
        waiting = without(waiting, reserve)
    beside = min(load(&header.beside), waiting)
    if beside and kept > 0.0:
        beside = left_of(beside, kept)
    part = beside + <uint64_t>(share * <double>(waiting - beside) + 0.5)
    return part if part > 1 else 1


cdef inline bint is_turn(FlightHeader *header, Sums *sums, uint64_t units) noexcept:
    """Return whether room before the back end is this host's to take; noexcept: compares words.

    What the others have is known as of the last exchange. So hosts that all saw the same room would all take it: it is leased.
    """
    return (
        sums.unanswered + units <= load(&header.lease)
        or (sums.together_wait + units <= load(&header.lent) and sums.unanswered + units <= load(&header.lease) + 1)
    )


cdef inline bint is_between(FlightHeader *header, Sums *sums, uint64_t now, double may_wait) noexcept:
    """Return whether a host that hears no others has to pause: its part is less than one request.

    It lets one go on so seldom that on average no more than its part waits. noexcept: arithmetic.
    """
    cdef double part = header.part
    cdef uint64_t entered = load(&header.entered_ns)
    if sums.is_shared or not (part > 1e-3 and part < 1.0) or may_wait * part >= 1.0 or may_wait < 1.0 or now <= entered:
        return False
    return <double>(now - entered) < PAUSED * <double>load(&header.target_ns) / (may_wait * part)


cdef inline uint64_t read_of(
    FlightHeader *header, uint64_t now, uint64_t moved, uint64_t patience, uint64_t *stands
) noexcept:
    """Return how much of the longest request that waits was done meanwhile, at the pace that the limit goes by.

    One that holds the others up is no standstill: `stands` is how long it takes. noexcept: arithmetic that is bounded.
    """
    cdef uint64_t units = load(&header.long_units), since = max(load(&header.long_ns), moved)
    cdef double each, done
    stands[0] = 0
    if units <= 1 or patience == 0 or now <= since:
        return 0
    each = <double>patience / (PATIENCE * <double>max(load(&header.full_bound), <uint64_t>1))
    done = <double>(now - since) / each
    if done > 2.0 * <double>units:  # its worker is gone, or the queue stands still after all
        return 0
    stands[0] = min(now - since, <uint64_t>(<double>units * each))
    return <uint64_t>min(done, MOST_READ * <double>units)


cdef inline bint has_room(
    FlightHeader *header, Sums *sums, uint64_t now, uint64_t floor, double share, double kept, int rank, uint64_t units
) noexcept:
    """Return whether one more request may be in flight, as `InFlight.has_room`; noexcept: compares words."""
    cdef uint64_t bound, waiting, waits, part, places, at, patience, moved, still = 0, stands, more
    cdef double reserve = 0.0
    bound, waiting = load(&header.in_flight_bound), may_wait(header, sums.together - sums.together_wait)
    if is_between(header, sums, now, <double>max(waiting, floor)):
        return False
    if sums.together < floor:
        return True
    at = load(&header.cap_at_ns)
    if (at and at <= now and now - at <= <uint64_t>FRESH_MS * MILLISECOND
            and sums.together_wait >= DOUBTED_BELOW * <double>waiting):
        bound = min(bound, load(&header.cap))
    places = load(&header.places)
    if rank:
        reserve = reserved(header, rank, kept)
    patience, moved = load(&header.patience_ns), load(&header.moved_ns)
    waits = sums.together_wait
    waits -= min(waits, read_of(header, now, moved, patience, &stands))
    if patience and waits and now > moved + stands:
        still = now - moved - stands
        part = patience // still
        if kept >= 0.0:  # the first class of several keeps the queue that was learned
            waiting = min(waiting, part if part > 1 else 1)
    waiting = room_below(header, waiting, share, kept, reserve)
    if kept > 0.0 and places:
        bound = min(bound, left_of(places, kept))
    if reserve > 0.0:
        bound = min(bound, without(places_of(header), reserve))
    if sums.together >= bound:
        return False
    more = units - 1 if units > 1 else 0
    if more:
        # It has to fit, but for what is beyond a part of all that may wait: else it would never go on. Such a one is
        # no more work than others that went on, unless nothing waits.
        part = <uint64_t>(OF_QUEUE * <double>waiting)
        if more > part and sums.together_wait and load(&header.earned) < units:
            return False
        more = min(more, part)
    if waits + more < waiting:
        return not sums.is_shared or is_turn(header, sums, units)
    if more:
        return False
    # What waits may hang alone. So one goes on now and then, ever more seldom, to see.
    at = load(&header.entered_ns)
    return still > patience and at < now and now - at > still // 2
