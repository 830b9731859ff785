from libc.stdint cimport uint64_t

from ratelimit.core.decision.engine cimport Outcome, Plan
from ratelimit.core.memory.quota cimport Quota
from ratelimit.core.algorithms.setup cimport MOST_RULES, Charge


cdef class RemoteRules:
    cdef readonly Plan plan
    cdef bytes prefix
    cdef bint is_tagged
    cdef uint64_t kinds[MOST_RULES]

    cdef Outcome asked(
        self, uint64_t *ids, uint64_t *amounts, bint commit, int base, dict keys, list items, object ledger
    )
    cdef Py_ssize_t read(
        self, Outcome outcome, list said, Py_ssize_t at, object now_us, bint commit, bint apart
    ) except -1
    cdef uint64_t digest(self, int index, uint64_t key) noexcept
    cdef bytes key_of(self, int index, uint64_t key)
    cdef bytes name_of(self, uint64_t digest)
    cdef int check_lifetime(self, int index) except -1
    cdef object recalled(self, int index, uint64_t key)
    cdef Py_ssize_t read_balance(self, int index, Charge *charge, list said, Py_ssize_t at, uint64_t now) except -1


cdef Py_ssize_t read_word(Charge *charge, const Quota *q, list said, Py_ssize_t at) except -1
cdef uint64_t read_grant(const Quota *q, said) except? 1
cdef uint64_t read_span(said) except? 1
cdef object number_of(dict keys, bytes name)
cdef object told_mark(const Quota *q, uint64_t mark)
cdef uint64_t read_mark(const Quota *q, object said) except? 0xFFFFFFFFFFFFFFFF
