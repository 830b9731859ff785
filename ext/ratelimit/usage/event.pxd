# The readings of one document of an answer, or of a request's body.

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

cdef enum:
    MOST_SLOTS = 32
    LONGEST_NAME = 128
    MOST_PARTS = 3          # models that have shares of one usage
    LONGEST_PART_NAME = 64
    LONGEST_TIER = 24
    PART_NUMBERS = 5

cdef struct Part:
    # A share of one usage, by a model: fresh input, cache reads, cache writes, those for an hour, output.
    uint64_t numbers[PART_NUMBERS]
    char name[LONGEST_PART_NAME]
    uint8_t name_size

cdef struct Said:
    # One response's usage, by a provider's own convention.
    uint64_t values[MOST_SLOTS]
    uint32_t have
    Part parts[MOST_PARTS]
    uint8_t part_count

cdef struct Event:
    # What one document says, before it is known to be whole.
    uint64_t values[MOST_SLOTS]
    uint32_t have           # a bit a slot
    uint64_t text           # bytes of the answer's text; counts whether or not the document is whole
    uint64_t delta          # bytes that are text if the type says so
    uint64_t spoken         # documents with text; likewise whole or not
    uint8_t has_text
    uint32_t ignored        # numbers that are none: negative, with a fraction or an exponent
    uint32_t odd            # values at a MOST that are no numbers at all, or such ones
    uint32_t names          # strings at a NAME; one that is too long counts twice
    uint8_t has_choice
    uint8_t is_listed       # there is a CANDIDATE
    uint8_t is_finished
    uint8_t is_closing
    uint8_t is_wrong
    char type[48]
    uint8_t type_size
    char name[LONGEST_NAME]
    uint8_t name_size
    uint8_t finishes        # how many choices are finished,
    uint8_t lengths         # and how many by their maximum
    uint8_t has_index
    uint8_t is_turn
    uint8_t whose           # one of `Whose`, of `identity`
    uint8_t part_count
    char tier[LONGEST_TIER]
    uint8_t tier_size
    char sort               # of the tokens counted in the object under way: the first letter of its modality
    uint64_t sort_count
    uint8_t strange         # numbers of tokens that the table does not know
    uint32_t index          # the choice that it is about
    uint64_t identity       # a hash of the response that it is about; 0: none is named
    uint64_t turn           # likewise, where one response may have several
    Part part               # the share under way
    Part parts[MOST_PARTS]


# noexcept nogil, both: they touch a C structure alone.

cdef inline void forget(Event *e) noexcept nogil:
    e.have = 0
    e.delta = 0
    e.has_text = 0
    e.ignored = 0
    e.odd = 0
    e.names = 0
    e.has_choice = 0
    e.is_listed = 0
    e.is_finished = 0
    e.is_closing = 0
    e.is_wrong = 0
    e.type_size = 0
    e.name_size = 0
    e.finishes = 0
    e.lengths = 0
    e.has_index = 0
    e.is_turn = 0
    e.whose = 0
    e.part_count = 0
    e.tier_size = 0
    e.strange = 0
    e.identity = 0
    e.turn = 0


cdef inline void speak(Event *e, Py_ssize_t n) noexcept nogil:
    """Count bytes of text."""
    e.text += n
    if not e.has_text:
        e.has_text = 1
        e.spoken += 1


cdef inline void begin_part(Event *e) noexcept nogil:
    memset(&e.part, 0, sizeof(Part))


cdef inline void end_part(Event *e) noexcept nogil:
    """Add a share to those of its model; beyond `MOST_PARTS` models, to the last one."""
    cdef int at = 0, i
    while at < e.part_count and (
        e.parts[at].name_size != e.part.name_size or memcmp(e.parts[at].name, e.part.name, e.part.name_size) != 0
    ):
        at += 1
    if at == MOST_PARTS:
        at = MOST_PARTS - 1
    if at == e.part_count:
        e.parts[at] = e.part
        e.part_count += 1
        return
    for i in range(PART_NUMBERS):
        e.parts[at].numbers[i] += e.part.numbers[i]
