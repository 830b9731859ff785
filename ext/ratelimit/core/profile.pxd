"""A cluster's profile, and how well a principal fits it.

Theory of operation. Naive Bayes by family: for each thing a principal was seen with,
how much more often do the cluster's *other* members have it than everybody outside of
clusters? The logarithms are added up within a family and capped, so that no single
identifier and no single family can carry a principal into a cluster.
"""

from libc.math cimport log
from libc.stdint cimport uint16_t, uint32_t, uint64_t

from ratelimit.core.traits cimport (
    CLIENT, CLIENT_AT, EDGES, EXTRA, EXTRA_AT, EXTRAS, FINE, FINE_EDGES, HOURS, OCTAVE, PAYMENT, PAYMENT_AT,
    TURNED, Edge, Identifier, Principal, count_for, hours_left, refused_of, resolve,
)

cdef enum:
    CLIENTS = 32            # a profile remembers this many clients
    ROAMING = 4             # grades
    VOLUMES = 20            # half-octaves of requests a day
    MOVINGS = 5             # grades of how often a request comes from another network than the one before
    FOLLOWINGS = 4          # grades of how often it comes soon after it
    RHYTHMS = MOVINGS * FOLLOWINGS
    RESTS = 4               # grades of the longest silence in a day
    LENGTHS = 16            # octaves of how long its answers are, in the geometric mean
    INSISTENCES = 4         # grades of how often it asks again at once after a refusal
    AGES = 6                # since a principal was first seen, each four times as long as the one before
    RESTED_LEAST = 8        # requests a day before a silence says anything
    BEHAVIOUR_LEAST = 4     # requests before a principal's behaviour says anything
    RHYTHM_LEAST = 3        # and before its rhythm does: it has moved twice, or not
    ANSWERS_LEAST = 3       # answers before their length says anything
    REFUSALS_LEAST = 4      # refusals before what follows them does
    BEHAVIOUR_LATELY = 2    # what is left of them by now, before their rhythm does

cdef extern from *:
    """
    #define KIN_NEARBY 0.7
    #define KIN_SPEAKS 1.5
    """
    # What an address' network says of it at most, as part of what the address itself does.
    const double NEARBY "KIN_NEARBY"
    # From how much on a family, or a manner, speaks for a cluster.
    const double SPEAKS "KIN_SPEAKS"

cdef struct Manners:
    double lengths[LENGTHS]
    double answered
    double insistences[INSISTENCES]
    double refused

cdef struct Background:
    double size             # principals outside clusters
    double edges            # their edges to addresses
    double with_client
    double roamings[ROAMING]
    double volumes[VOLUMES]
    double rhythms[RHYTHMS]
    double rests[RESTS]
    double ages[AGES]
    double rested
    double behaved
    double suspects         # whose payment method several have
    Manners manners

cdef struct Profile:
    double size
    double edges
    double paying           # members with a payment method
    double sharing          # of those, whose payment method another member has too
    double with_client
    # Counts by grade: whole numbers and halves, which a float has exactly up to eight million.
    uint32_t clients[CLIENTS]      # refs
    float client_counts[CLIENTS]
    float roamings[ROAMING]
    float volumes[VOLUMES]
    float rhythms[RHYTHMS]
    float rests[RESTS]
    float ages[AGES]
    double rested
    double behaved
    Manners manners
    # What the last assignment saw, for the judgement of the whole.
    double networks         # sums over members of independent shared networks
    double network_score
    double payment_score
    double client_score
    double extra_score
    double rhythm_score
    double rates            # of volumes: sum, sum of squares, sum of counting noise, how many
    double squares
    double noise
    double rated
    double counted
    double moving           # moves a request, summed over the rated
    double roaming          # members who roam
    uint32_t payments       # payment methods that several members have
    uint32_t meetings       # independent networks where members of different ones meet
    double held             # edges of members who pay as others do, and those of them that lead to meetings
    double meeting
    uint32_t rival          # the cluster that most members would fit as well, by all but payment
    uint32_t rivals         # and how many of them
    # Kept from one count to the next.
    uint32_t needs          # independent networks a member must share
    uint32_t first_s        # when it was opened
    double met              # log odds of an edge that leads to a meeting, and of one that does not
    double unmet
    bint live
    bint waits              # most of its members are dormant: those awake stay until more are

cdef struct Fit:
    double network
    double payment
    double client
    double volume           # how much it asks
    double roaming          # over how many providers it does
    double rhythm           # how often it moves, and how soon one request follows another
    double rest             # how long it is silent in a day
    double age              # since when it is there
    double length           # how long its answers are
    double insistence       # how often it asks again at once when it is refused
    double extra
    double total            # and the cluster's share of all, within bounds
    double owned            # log odds that who shares its payment method is a member
    int networks            # independent networks shared with the cluster
    int families            # that speak for it


cdef inline double clip(double value, double low, double high) noexcept nogil:
    return low if value < low else high if value > high else value


cdef extern from "<math.h>" nogil:
    double exp2(double)


cdef inline double span_of(Principal *p, uint32_t now_s) noexcept nogil:
    """Return the days that `volume` effectively sums over: the integral of the daily halving."""
    cdef double span = 1.4426950408889634 * (1.0 - exp2(-<double>(now_s - p.first_s) / 86400.0))
    return span if span > 0.0417 else 0.0417  # an hour at least, lest two requests be a torrent


cdef inline double volume_of(Principal *p, uint32_t now_s) noexcept nogil:
    return p.volume * exp2(-<double>(now_s - p.last_s) / 86400.0)


cdef inline double rate_of(Principal *p, uint32_t now_s) noexcept nogil:
    """Return requests a day."""
    return volume_of(p, now_s) / span_of(p, now_s)


cdef inline double noise_of(Principal *p, double rate, uint32_t now_s) noexcept nogil:
    """Return what of the variance of `rate` is counting noise, if requests come at random."""
    cdef double span = span_of(p, now_s)
    return rate * 0.7213475204444817 * (1.0 - exp2(-2.0 * <double>(now_s - p.first_s) / 86400.0)) / (span * span)


cdef inline int volume_bin(Principal *p, uint32_t now_s) noexcept nogil:
    """Return how much a principal asks, in half-octaves; -1 while too little is known."""
    cdef int volume
    if p.requests < BEHAVIOUR_LEAST:
        return -1
    volume = <int>(2.0 * log(rate_of(p, now_s) + 1.0) / 0.6931471805599453)
    return volume if volume < VOLUMES else VOLUMES - 1


cdef inline int rhythm_bin(Principal *p) noexcept nogil:
    """Return how a principal moves between networks and how its requests follow each other; -1 while too little is known."""
    cdef double steps, moving, following
    if p.requests < RHYTHM_LEAST or p.volume < BEHAVIOUR_LATELY:
        return -1
    # From one request to the next: the first one of all followed none.
    steps = p.volume - exp2(-<double>(p.last_s - p.first_s) / 86400.0)
    moving = p.moves / steps
    following = p.follows / steps
    return (
        FOLLOWINGS * ((moving >= 0.25) + (moving >= 0.5) + (moving >= 0.75) + (moving >= 0.9))
        + (following >= 0.15) + (following >= 0.4) + (following >= 0.7)
    )


cdef inline int rest_bin(Principal *p, uint32_t now_s) noexcept nogil:
    """Return how long a principal's longest silence in the last day was; -1 while too little is known."""
    cdef uint64_t silent, four, seven
    if now_s - p.first_s < 86400 or volume_of(p, now_s) < RESTED_LEAST:
        return -1
    # Twice the day, for a silence that goes on past its end. A bit is left where as many silent hours follow.
    silent = ~hours_left(p.hours, p.last_s, now_s) & HOURS
    silent |= silent << 24
    four = silent & silent >> 1
    four &= four >> 2
    seven = four & four >> 3
    return (four != 0) + (seven != 0) + ((seven & seven >> 3) != 0)


cdef inline int age_bin(Principal *p, uint32_t now_s) noexcept nogil:
    """Return for how long a principal has been there: under 1, 4, 16, 64, 256 hours, or longer."""
    cdef uint32_t hours = (now_s - p.first_s) // 3600
    return (hours >= 1) + (hours >= 4) + (hours >= 16) + (hours >= 64) + (hours >= 256)


cdef inline int length_bin(Principal *p) noexcept nogil:
    """Return how long a principal's answers are, in octaves; -1 while too little is known."""
    cdef int octaves
    if p.answers < ANSWERS_LEAST:
        return -1
    octaves = (<int>p.lengths / p.answers - 1) / OCTAVE
    return octaves if octaves < LENGTHS else LENGTHS - 1


cdef inline int insistence_bin(Principal *p) noexcept nogil:
    """Return how often a principal asks again at once when it is refused; -1 while too little is known."""
    cdef double refused = refused_of(p) - (p.refused & TURNED != 0)   # what follows the last is not known yet
    if refused < REFUSALS_LEAST:
        return -1
    return (p.again >= 0.25 * refused) + (p.again >= 0.5 * refused) + (p.again >= 0.8 * refused)


cdef inline void count_manners(Manners *manners, Principal *p, double change) noexcept nogil:
    cdef int at = length_bin(p)
    if at >= 0:
        manners.lengths[at] = max(0.0, manners.lengths[at] + change)
        manners.answered = max(0.0, manners.answered + change)
    at = insistence_bin(p)
    if at >= 0:
        manners.insistences[at] = max(0.0, manners.insistences[at] + change)
        manners.refused = max(0.0, manners.refused + change)


cdef inline double habits(const Fit *fit) noexcept nogil:
    """Return what all of a principal's behaviour says together.

    Long answers are no reason to belong, since agents that many use get them as well: where all else
    speaks for a cluster they tell its members from their neighbours (`manner`).
    """
    return fit.volume + fit.roaming + fit.rhythm + fit.rest + fit.age + min(0.0, fit.length) + fit.insistence


cdef inline double manner(const Fit *fit) noexcept nogil:
    """Return what is said by how a principal asks and what it gets: nobody else's affair, unlike where it is."""
    return fit.rhythm + fit.length


cdef inline double unlikeness(const Fit *fit) noexcept nogil:
    """Return what of a principal's behaviour speaks against it, as a positive number."""
    return -min(0.0, fit.volume) - min(0.0, fit.rhythm) - min(0.0, fit.length)


cdef inline double behaviour(double member, double members, double other, double others) noexcept nogil:
    """Return the log-likelihood ratio of one bin; a bin's worth of doubt is spread over all."""
    # Between rebuilds a member may not have been counted yet, or be dormant.
    return log((max(0.0, member) + 0.25) / (max(0.0, members) + 2.0)) - log((other + 0.25) / (others + 2.0))


cdef inline double concentration(Profile *c) noexcept nogil:
    """Return the largest part of the members whose volumes lie within a factor of four of each other."""
    cdef double most = 0.0
    cdef int first
    if c.behaved < 1.0:
        return 0.0
    for first in range(VOLUMES - 3):
        most = max(most, c.volumes[first] + c.volumes[first + 1] + c.volumes[first + 2] + c.volumes[first + 3])
    return most / c.behaved
