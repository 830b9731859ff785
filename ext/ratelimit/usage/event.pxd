# The readings of one document of an answer, or of a request's body.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    MOST_SLOTS = 32
    LONGEST_NAME = 128

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


cdef inline void speak(Event *e, Py_ssize_t n) noexcept nogil:
    """Count bytes of text."""
    e.text += n
    if not e.has_text:
        e.has_text = 1
        e.spoken += 1
