"""Scratch memory of a long job that runs in slices: zeroed when it is taken, and given back piece by piece.

Theory of operation. Tens of megabytes are no slice to the C library. It frees an array as a whole, or keeps it and
clears all of it when the next is asked for, as it has learnt from what else the process freed. So each array is a
mapping of its own: the system clears what is touched, page by page, and what is no longer wanted is cut off its end.
A small array is left to the library: it is cleared in no time, and to map its pages anew for each job takes longer.
"""

from libc.stddef cimport size_t

cdef extern from *:
    """
    #include <sys/mman.h>

    #ifndef KIN_SCRATCH
    #define KIN_SCRATCH
    #define KIN_SCRATCH_DOMAIN 0x6b696e /* so that tracemalloc counts it */
    #define KIN_SMALL ((size_t)256 << 10) /* bytes; what is left of a larger one is more */

    static void *kin_map(size_t size)
    {
        if (size <= KIN_SMALL)
            return PyMem_RawCalloc(1, size);
        void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED)
            return NULL;
        PyTraceMalloc_Track(KIN_SCRATCH_DOMAIN, (uintptr_t)at, size);
        return at;
    }

    static void kin_cut(void *at, size_t size, size_t left)
    {
        if (size <= KIN_SMALL) {
            PyMem_RawFree(at);
            return;
        }
        munmap((char *)at + left, size - left);
        if (left)
            PyTraceMalloc_Track(KIN_SCRATCH_DOMAIN, (uintptr_t)at, left);
        else
            PyTraceMalloc_Untrack(KIN_SCRATCH_DOMAIN, (uintptr_t)at);
    }
    #endif
    """
    void *map_zeroed "kin_map"(size_t size) noexcept
    void cut "kin_cut"(void *at, size_t size, size_t left) noexcept

cdef enum:
    MOST_ARRAYS = 6
    PIECE = 4 << 20             # bytes that one slice gives back: any size of page divides it

cdef struct Array:
    void *at
    size_t size

cdef struct Scratch:
    Array arrays[MOST_ARRAYS]
    int count


cdef inline void *take_zeroed(Scratch *scratch, size_t count, size_t size) noexcept:
    """Return room for so many items, NULL where there is none; in one scratch there are `MOST_ARRAYS` at most."""
    cdef void *at = map_zeroed(count * size) if scratch.count < MOST_ARRAYS else NULL
    if at != NULL:
        scratch.arrays[scratch.count].at = at
        scratch.arrays[scratch.count].size = count * size
        scratch.count += 1
    return at


cdef inline bint give_back(Scratch *scratch) noexcept:
    """Give one piece back, at most; return whether there is more. Nothing of it all may be used from then on."""
    cdef Array *last
    cdef size_t left
    if scratch.count:
        last = &scratch.arrays[scratch.count - 1]
        left = (last.size - 1) // PIECE * PIECE
        cut(last.at, last.size, left)
        last.size = left
        scratch.count -= left == 0
    return scratch.count > 0


cdef inline void give_all_back(Scratch *scratch) noexcept:
    while give_back(scratch):
        pass
