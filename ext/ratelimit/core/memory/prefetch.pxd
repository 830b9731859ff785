"""A hint to the processor that memory will be read soon: it changes no result, only how long one waits."""

cdef extern from *:
    """
    #define kin_look_ahead(at) __builtin_prefetch(at)
    """
    void prefetch "kin_look_ahead"(const void *at) noexcept nogil
