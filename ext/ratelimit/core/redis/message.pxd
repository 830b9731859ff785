from libc.stdint cimport uint8_t

cdef bytes call_text(bytes head, object keys, tuple opening, bytes described, list items)
cdef list numbers_of(bytes text)
cdef object string_of(const uint8_t *text, Py_ssize_t count)
