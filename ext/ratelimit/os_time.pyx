"""The operating system's clocks: see the stub for the contract."""

cimport cython
from libc.stdint cimport int64_t

from ratelimit.os_time cimport kin_civil, kin_monotonic, kin_processor


@cython.auto_pickle(False)
cdef class HostClock:
    def __init__(self, int64_t anchor_ns):
        self.anchor_ns = anchor_ns

    def now_ns(self):
        return kin_monotonic() + self.anchor_ns + self.moved_ns


def monotonic_ns():
    return kin_monotonic()


def civil_ns():
    return kin_civil()


def processor_ns():
    return kin_processor()
