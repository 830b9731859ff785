"""The operator's rulings on principals: see the stub for the contract."""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport keymap_close, keymap_get, keymap_open, keymap_put


@cython.final
cdef class Rulings:
    def __cinit__(self):
        self.rulings = NULL
        self.apart_keys = NULL
        self.labels = NULL

    def __init__(self, exempt=(), together=(), apart=(), confirm=(), clear=()):
        cdef uint32_t number
        cdef Ruling *ruling
        if self.rulings != NULL:
            raise ValueError("rulings are set up once")
        self.exempt = frozenset(exempt)
        self.together = tuple([tuple(group) for group in together])
        self.apart = tuple([tuple(group) for group in apart])
        self.confirm = frozenset(confirm)
        self.clear = frozenset(clear)
        others = {}
        for group in self.apart:
            for at, key in enumerate(group):
                # The later yields: it is kept away from those before it.
                others.setdefault(key, []).extend(group[:at])
        groups = {key: number for number, group in enumerate(self.together, 1) for key in group}
        keys = sorted(self.exempt | others.keys() | groups.keys() | self.confirm | self.clear)
        self.rulings = <Ruling *>PyMem_RawCalloc(len(keys) + 1, sizeof(Ruling))
        self.apart_keys = <uint64_t *>PyMem_RawCalloc(sum(map(len, others.values())) + 1, sizeof(uint64_t))
        self.labels = <uint32_t *>PyMem_RawCalloc(len(self.together) + 1, sizeof(uint32_t))
        if self.rulings == NULL or self.apart_keys == NULL or self.labels == NULL:
            raise MemoryError
        keymap_open(&self.places, len(keys))
        filled = 0
        for number, key in enumerate(keys, 1):
            keymap_put(&self.places, key, number)
            ruling = self.rulings + number
            ruling.exempt = key in self.exempt
            ruling.decree = CLEARED if key in self.clear else CONFIRMED if key in self.confirm else UNSAID
            ruling.group = groups.get(key, 0)
            ruling.first = filled
            for other in others.get(key, ()):
                self.apart_keys[filled] = other
                filled += 1
            ruling.count = filled - ruling.first

    def __dealloc__(self):
        PyMem_RawFree(self.rulings)
        PyMem_RawFree(self.apart_keys)
        PyMem_RawFree(self.labels)
        keymap_close(&self.places)

    cdef Ruling *find(self, uint64_t key) noexcept nogil:
        """Return what is said of a principal, NULL for nothing."""
        cdef uint32_t place = keymap_get(&self.places, key)
        return self.rulings + place if place else NULL

    def bind(self, Py_ssize_t group, uint32_t label):
        if not 0 <= group < len(self.together):
            raise IndexError(f"no group {group}")
        if label > MOST_RULED_LABELS:
            raise IndexError(f"no cluster {label}")
        self.labels[group + 1] = label

    def label(self, Py_ssize_t group):
        if not 0 <= group < len(self.together):
            raise IndexError(f"no group {group}")
        return self.labels[group + 1]

    def seal(self, uint32_t label, bint sealed):
        if label > MOST_RULED_LABELS:
            raise IndexError(f"no cluster {label}")
        self.sealed[label] = sealed

    def is_sealed(self, uint32_t label):
        return label <= MOST_RULED_LABELS and self.sealed[label] != 0

    def decree(self, confirmed, cleared):
        cdef uint32_t label
        for label in range(MOST_RULED_LABELS + 1):
            self.decrees[label] = UNSAID
        # Of a cluster that is said to be both, it is what is inferred that counts.
        for label in frozenset(confirmed) ^ frozenset(cleared):
            if 0 < label <= MOST_RULED_LABELS:
                self.decrees[label] = CONFIRMED if label in confirmed else CLEARED

    def decree_of(self, uint32_t label):
        return (None, "clear", "confirm")[self.decrees[label]] if label <= MOST_RULED_LABELS else None

    def __reduce__(self):
        raise TypeError("rulings are made from a policy and are not pickled")
