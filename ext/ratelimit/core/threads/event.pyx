"""An event that a thread waits for beside a busy loop. See the stub for the contract, `handover.h` for the reason."""

cimport cython
from cpython.pythread cimport (
    NOWAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    PyThread_type_lock,
)

cdef extern from "<pythread.h>" nogil:
    int PY_LOCK_ACQUIRED
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int ends_by_signal)

cdef extern from "ratelimit/core/threads/handover.h":
    int ask "kin_ask"() nogil
    void has_it "kin_has_it"() nogil
    bint knows_main_thread "kin_knows_main_thread"() nogil
    bint is_breath_due "kin_is_breath_due"() nogil
    void pause "kin_breathe"() nogil

cdef extern from *:
    """
    #define KIN_SET_ONCE(flag) (!__atomic_exchange_n(flag, 1, __ATOMIC_ACQ_REL))
    """
    bint set_once "KIN_SET_ONCE"(int *flag) nogil

cdef double LONGEST_S = 86_400


def promptly(function, /, *arguments):
    # The main thread would wait for itself. An earlier wait has found out which thread that is.
    cdef bint asked = knows_main_thread() and ask()
    try:
        return function(*arguments)
    finally:
        if asked:
            has_it()


def breathe():
    if is_breath_due():
        with nogil:
            pause()


@cython.final
cdef class PromptEvent:
    cdef PyThread_type_lock lock    # held until the event is set
    cdef int happened

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError
        PyThread_acquire_lock(self.lock, NOWAIT_LOCK)

    def wait(self, double seconds, /):
        # Not a number counts as no time; a day is longer than any pause here.
        cdef long long microseconds = <long long>(1e6 * min(seconds, LONGEST_S)) if seconds > 0 else 0
        cdef bint is_over
        with nogil:
            is_over = PyThread_acquire_lock_timed(self.lock, microseconds, 0) == PY_LOCK_ACQUIRED
            if is_over:
                PyThread_release_lock(self.lock)  # for the next that waits
        return is_over

    def set(self):
        if set_once(&self.happened):
            PyThread_release_lock(self.lock)

    def is_set(self):
        return self.happened != 0

    def __dealloc__(self):
        if self.lock != NULL:
            if set_once(&self.happened):
                PyThread_release_lock(self.lock)
            PyThread_free_lock(self.lock)

    def __reduce__(self):
        raise TypeError("an event is of the threads of this process and is not pickled")
