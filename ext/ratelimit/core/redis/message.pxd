from libc.stdint cimport uint8_t

cdef list numbers_of(bytes text)
cdef object string_of(const uint8_t *text, Py_ssize_t count)
