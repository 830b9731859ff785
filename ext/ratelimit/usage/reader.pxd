from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ratelimit.usage.event cimport MOST_SLOTS, Event
from ratelimit.usage.framing cimport Frames, Lines
from ratelimit.usage.paths cimport Paths
from ratelimit.usage.tokenizer cimport Scan

cdef enum Form:
    UNSEEN      # to be told from the first byte
    EVENTS      # server-sent events
    JSON        # one document, or several one after another
    FRAMES      # AWS event stream
    OPAQUE      # nothing that can be read

cdef class Reader:
    cdef Paths paths
    cdef Scan outer
    cdef Scan inner
    cdef Event event
    cdef Lines lines
    cdef Frames frames
    cdef uint8_t way
    cdef bint has_end           # a mark of the end was there
    cdef readonly bint has_many     # responses of one connection, one after another
    cdef readonly bint has_error    # a document says that the answer failed
    cdef bint is_whole          # the last document of a body in JSON is whole
    cdef readonly unsigned long events
    cdef readonly unsigned long malformed
    cdef readonly unsigned long ignored
    cdef readonly unsigned long odd
    cdef readonly unsigned long names
    cdef unsigned long usage_event      # the last event with usage, from 1 on
    cdef unsigned long finish_event     # the first that says the answer is finished
    cdef uint64_t kept[MOST_SLOTS]
    cdef uint32_t have
    cdef uint64_t text_by_usage         # bytes of text up to the last document with usage
    cdef readonly bint is_guessed       # the form was told from the first byte
    cdef readonly bint has_raw          # some of what was sent was text as it is
    cdef uint64_t early         # bytes of text before the last response that is done
    cdef readonly Py_ssize_t boundary
    cdef uint8_t spoken         # which provider's events they are
    cdef bytes found_name

    cdef int take(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int feed_lines(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef void feed_data(self, const uint8_t *p, Py_ssize_t n) noexcept
    cdef int end_event(self) except -1
    cdef int feed_json(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int feed_frames(self, const uint8_t *p, Py_ssize_t n) except -1
    cdef int commit(self) except -1
    cdef void drop(self) noexcept
    cdef void note_dialect(self) noexcept
    cdef int kind_of_event(self) noexcept
