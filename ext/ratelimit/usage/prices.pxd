from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

cdef enum Kind:
    # What is priced by the token. The first four, and those of an hour among the writes, are all of an answer; the
    # others are shares of them.
    FRESH
    OUT
    READ
    WRITE
    WRITE_1H
    AUDIO_IN        # of the fresh input
    AUDIO_READ      # of the cache's reads
    AUDIO_OUT       # of the output
    IMAGE_IN        # of the fresh input
    IMAGE_OUT       # of the output
    KINDS

cdef enum Fee:
    OF_REQUEST
    OF_SEARCH
    OF_IMAGE
    FEES

cdef enum:
    MOST_BANDS = 9          # the price of short inputs, and eight of longer ones
    NUMBERS = 12            # of a use

cdef struct Used:
    # What an answer used, in tokens. The cache's writes have those for an hour among them; sounds and pictures are
    # shares of what stands before them. Behind them, pieces.
    int64_t fresh_input
    int64_t cache_write
    int64_t cache_read
    int64_t output
    int64_t cache_write_1h
    int64_t audio_input
    int64_t audio_read
    int64_t audio_output
    int64_t image_input
    int64_t image_output
    int64_t searches
    int64_t images


cdef class Price:
    cdef uint64_t rates[MOST_BANDS][KINDS]      # nano-dollars for a thousand tokens,
    cdef uint64_t above[MOST_BANDS]             # of requests with more input than this
    cdef int bands
    cdef uint64_t fees[FEES]                    # nano-dollars
    cdef dict tiers                             # millionths by the name of a service tier
    cdef int64_t other_tier                     # of one that has none
    cdef int64_t dearest_tier
    cdef uint64_t worst_input                   # of any input, in any band
    cdef uint64_t worst_output
    cdef object compared
    cdef Py_hash_t hashed

    cdef int64_t factor(self, object tier) except -1
    cdef int64_t cost(self, const Used *used, int64_t millionths) noexcept
    cdef int64_t worst(self, int64_t of_input, int64_t output, int64_t images) noexcept
    cdef int complete(self) except -1


cdef Used used_of_numbers(object numbers)


cdef class PriceList:
    cdef dict prices            # by name
    cdef dict plain             # by name without case
    cdef list patterns          # of names, with prices; the longest first
    cdef dict known             # what was found for other names; bounded
    cdef readonly Price dearest
    cdef readonly bint has_free

    cdef Price of(self, object model)


# noexcept, all of them: they add up numbers of at most 2**60.

cdef inline Used of_tokens(
    int64_t fresh_input, int64_t cache_write=0, int64_t cache_read=0, int64_t output=0, int64_t cache_write_1h=0
) noexcept:
    cdef Used used
    memset(&used, 0, sizeof(used))
    used.fresh_input, used.cache_write, used.cache_read = fresh_input, cache_write, cache_read
    used.output, used.cache_write_1h = output, cache_write_1h
    return used


cdef inline bint is_nothing(const Used *used) noexcept:
    """Return whether no tokens were used and nothing was counted by the piece."""
    return not (
        used.fresh_input + used.cache_write + used.cache_read + used.output + used.searches + used.images
    )


cdef inline void add_used(Used *sum, const Used *more) noexcept:
    sum.fresh_input += more.fresh_input
    sum.cache_write += more.cache_write
    sum.cache_read += more.cache_read
    sum.output += more.output
    sum.cache_write_1h += more.cache_write_1h
    sum.audio_input += more.audio_input
    sum.audio_read += more.audio_read
    sum.audio_output += more.audio_output
    sum.image_input += more.image_input
    sum.image_output += more.image_output
    sum.searches += more.searches
    sum.images += more.images


cdef inline int64_t beyond(int64_t number, int64_t less) noexcept:
    return max(<int64_t>0, number - less)


cdef inline Used without(const Used *used, const Used *less) noexcept:
    """Return what is left of a use; nothing is below 0."""
    cdef Used rest
    rest.fresh_input = beyond(used.fresh_input, less.fresh_input)
    rest.cache_write = beyond(used.cache_write, less.cache_write)
    rest.cache_read = beyond(used.cache_read, less.cache_read)
    rest.output = beyond(used.output, less.output)
    rest.cache_write_1h = min(rest.cache_write, beyond(used.cache_write_1h, less.cache_write_1h))
    rest.audio_input = beyond(used.audio_input, less.audio_input)
    rest.audio_read = beyond(used.audio_read, less.audio_read)
    rest.audio_output = beyond(used.audio_output, less.audio_output)
    rest.image_input = beyond(used.image_input, less.image_input)
    rest.image_output = beyond(used.image_output, less.image_output)
    rest.searches = beyond(used.searches, less.searches)
    rest.images = beyond(used.images, less.images)
    return rest
