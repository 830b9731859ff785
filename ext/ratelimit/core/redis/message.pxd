cdef list numbers_of(bytes text)
