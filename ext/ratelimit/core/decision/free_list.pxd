"""Memory for the charges of one decision, taken and given back: see `spare.h`."""

from cpython.mem cimport PyMem_Free, PyMem_Malloc

from ratelimit.core.algorithms.setup cimport Charge

cdef extern from "ratelimit/core/decision/free_list.h":
    enum:
        MOST_SPARE "KIN_MOST_SPARE"
    void *spare "kin_spare"[MOST_SPARE]
    int spares "kin_spares"

cdef enum:
    POOLED_RULES = 6        # decisions of up to so many rules allocate nothing


cdef inline Charge *take_charges(int count) except NULL:
    """Return room for this many charges, with anything in it."""
    global spares
    cdef Charge *charges
    if count <= POOLED_RULES and spares:
        spares -= 1
        return <Charge *>spare[spares]
    charges = <Charge *>PyMem_Malloc((count if count > POOLED_RULES else <int>POOLED_RULES) * sizeof(Charge))
    if charges == NULL:
        raise MemoryError
    return charges


cdef inline void give_charges(Charge *charges, int count) noexcept:
    """Take back what `take_charges` returned for the same count."""
    global spares
    if count <= POOLED_RULES and spares < MOST_SPARE:
        spare[spares] = charges
        spares += 1
    else:
        PyMem_Free(charges)
