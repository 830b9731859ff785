"""The operator's overrides on principals: see the stub for the contract."""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.stdint cimport uint32_t, uint64_t

from ratelimit.core.clusters.keymap cimport keymap_close, keymap_get, keymap_open, keymap_put


@cython.final
cdef class Overrides:
    def __cinit__(self):
        self.overrides = NULL
        self.apart_keys = NULL
        self.labels = NULL

    def __init__(self, exempt=(), together=(), apart=(), confirm=(), clear=()):
        cdef uint32_t number
        cdef Override *override
        if self.overrides != NULL:
            raise ValueError("overrides are set up once")
        self.exempt = frozenset(exempt)
        self.together = tuple([tuple(group) for group in together])
        self.apart = tuple([tuple(group) for group in apart])
        self.confirm = dict(confirm)
        self.clear = dict(clear)
        others = {}
        for group in self.apart:
            for at, key in enumerate(group):
                # The later yields: it is kept away from those before it.
                others.setdefault(key, []).extend(group[:at])
        groups = {key: number for number, group in enumerate(self.together, 1) for key in group}
        keys = sorted(self.exempt | others.keys() | groups.keys() | self.confirm.keys() | self.clear.keys())
        self.overrides = <Override *>PyMem_RawCalloc(len(keys) + 1, sizeof(Override))
        self.apart_keys = <uint64_t *>PyMem_RawCalloc(sum(map(len, others.values())) + 1, sizeof(uint64_t))
        self.labels = <uint32_t *>PyMem_RawCalloc(len(self.together) + 1, sizeof(uint32_t))
        if self.overrides == NULL or self.apart_keys == NULL or self.labels == NULL:
            raise MemoryError
        keymap_open(&self.places, len(keys))
        filled = 0
        for number, key in enumerate(keys, 1):
            keymap_put(&self.places, key, number)
            override = self.overrides + number
            override.exempt = key in self.exempt
            override.on_cluster = CLEARED if key in self.clear else CONFIRMED if key in self.confirm else NOT_SET
            override.group = groups.get(key, 0)
            override.first = filled
            for other in others.get(key, ()):
                self.apart_keys[filled] = other
                filled += 1
            override.count = filled - override.first

    def __dealloc__(self):
        PyMem_RawFree(self.overrides)
        PyMem_RawFree(self.apart_keys)
        PyMem_RawFree(self.labels)
        keymap_close(&self.places)

    cdef Override *find(self, uint64_t key) noexcept nogil:
        """Return what is said of a principal, NULL for nothing."""
        cdef uint32_t place = keymap_get(&self.places, key)
        return self.overrides + place if place else NULL

    def bind(self, Py_ssize_t group, uint32_t label):
        if not 0 <= group < len(self.together):
            raise IndexError(f"no group {group}")
        if label > MOST_OVERRIDDEN:
            raise IndexError(f"no cluster {label}")
        self.labels[group + 1] = label

    def label(self, Py_ssize_t group):
        if not 0 <= group < len(self.together):
            raise IndexError(f"no group {group}")
        return self.labels[group + 1]

    def set_declared_only(self, uint32_t label, bint declared_only):
        if label > MOST_OVERRIDDEN:
            raise IndexError(f"no cluster {label}")
        self.declared_only[label] = declared_only

    def is_declared_only(self, uint32_t label):
        return label <= MOST_OVERRIDDEN and self.declared_only[label] != 0

    def set_clusters(self, confirmed, cleared):
        cdef uint32_t label
        for label in range(MOST_OVERRIDDEN + 1):
            self.by_label[label] = NOT_SET
        # Of a cluster that is said to be both, it is what is inferred that counts.
        for label in frozenset(confirmed) ^ frozenset(cleared):
            if 0 < label <= MOST_OVERRIDDEN:
                self.by_label[label] = CONFIRMED if label in confirmed else CLEARED

    def override_of_cluster(self, uint32_t label):
        return (None, "clear", "confirm")[self.by_label[label]] if label <= MOST_OVERRIDDEN else None

    def __reduce__(self):
        raise TypeError("overrides are made from a policy and are not pickled")
