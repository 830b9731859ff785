"""A file as memory that outlives the loss of the file's contents. See the stub for the contract.

Opens no file: the store hands in a descriptor.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.errno cimport errno

cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ
    int PROT_WRITE
    int MAP_SHARED
    int MAP_FIXED
    void *MAP_FAILED
    void *mmap(void *at, size_t size, int protection, int flags, int descriptor, long offset)
    int munmap(void *at, size_t size)

cdef extern from "ratelimit/core/memory/fault.h":
    ctypedef struct Range "kin_range":
        pass

    int stand_guard "kin_stand_guard"()
    Range *register_range "kin_register"(void *at, size_t size)
    void unregister_range "kin_unregister"(Range *range)
    void mend_range "kin_mend"(Range *range)
    void break_range "kin_break"(Range *range)
    bint range_is_broken "kin_is_broken"(Range *range)


def guard():
    if stand_guard():
        raise OSError(errno, "SIGBUS cannot be handled")


@cython.final
cdef class FileMemory:
    cdef void *at
    cdef size_t size
    cdef Range *range
    cdef int exports        # buffers that are in use
    cdef bint broken        # as it was when it was closed

    def __init__(self, int descriptor, size_t size, /):
        cdef void *at
        if self.at != NULL or size == 0:
            raise ValueError("a FileMemory is set up once, and is not empty")
        guard()
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        if at == MAP_FAILED:
            raise OSError(errno, "the file cannot be mapped")
        self.range = register_range(at, size)
        if self.range == NULL:
            munmap(at, size)
            raise MemoryError
        self.at = at
        self.size = size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if self.at == NULL:
            raise ValueError("this memory is closed")
        PyBuffer_FillInfo(buffer, self, self.at, <Py_ssize_t>self.size, False, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1

    def __len__(self):
        return self.size if self.at != NULL else 0

    @property
    def is_broken(self):
        return range_is_broken(self.range) if self.at != NULL else self.broken

    def replace(self, int descriptor, /):
        if self.at == NULL:
            raise ValueError("this memory is closed")
        mend_range(self.range)
        # In one step: each thread that works on it finds the one file or the other.
        if mmap(self.at, self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0) == MAP_FAILED:
            break_range(self.range)
            raise OSError(errno, "the file cannot be mapped")

    def close(self):
        if self.exports:
            raise BufferError("this memory is in use")
        self.let_go()

    cdef void let_go(self) noexcept:
        if self.at != NULL:
            self.broken = range_is_broken(self.range)
            # Before the memory goes: another mapping may have the address next.
            unregister_range(self.range)
            munmap(self.at, self.size)
            self.at = NULL

    def __dealloc__(self):
        self.let_go()

    def __reduce__(self):
        raise TypeError("a FileMemory is memory of this host and is not pickled")
