"""The one form of a value that a client writes: what the scanner and the slow path have in common.

A form is part of what was written, never a copy: a run of bytes inside the header's own.
"""

from libc.stdint cimport uint8_t

from ratelimit.core.request.signed cimport MALFORMED

cdef enum:
    LONGEST_FORM = 4096     # of a longer value nothing is looked at
    FAULT = -2              # in place of a length: an exception is set

cdef enum Form:
    TEXT = 0                # visible ASCII, blanks inside
    CREDENTIAL = 1          # a scheme and one token (RFC 9110, 11.4)
    RAW = 2                 # whatever it is


cdef Py_ssize_t text_form(const uint8_t *at, Py_ssize_t size, const uint8_t **form) noexcept nogil
cdef Py_ssize_t credential_form(const uint8_t *at, Py_ssize_t size, const uint8_t **form) except FAULT
