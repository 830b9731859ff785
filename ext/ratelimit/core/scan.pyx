"""One pass over a request's raw headers: see the stub for the contract."""

from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_SIZE, PyList_GetSlice
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint32_t

from ratelimit.core.hashing cimport Hasher

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)


cdef class Scanner:
    cdef Hasher hasher
    cdef dict wanted
    cdef Py_ssize_t longest
    cdef readonly dict templates

    def __init__(self, Hasher hasher not None, wanted, Py_ssize_t longest):
        checked = {}
        for name, slots in wanted.items():
            checked[bytes(name)] = tuple([(int(at), <uint32_t>kind, change) for at, kind, change in slots])
        self.hasher = hasher
        self.wanted = checked
        self.longest = longest
        self.templates = {}

    def fill(self, headers, list template not None, /):
        return self.scan(headers, template)

    def fill_for(self, headers, peer, /):
        cdef PyObject *template = PyDict_GetItem(self.templates, peer)
        if template == NULL:
            return None
        return self.scan(headers, <list>template)  # owned while it is scanned, whatever happens to the dict

    cdef list scan(self, object headers, list template):
        cdef Py_ssize_t size = PyList_GET_SIZE(template), i, at
        cdef list identities = PyList_GetSlice(template, 0, size)
        cdef object lines = PySequence_Fast(headers, "headers are a sequence of pairs")
        cdef object pair, name, value, slot, change
        cdef PyObject *found
        for i in range(PySequence_Fast_GET_SIZE(lines) - 1, -1, -1):
            if i >= PySequence_Fast_GET_SIZE(lines):
                continue  # somebody took headers out meanwhile, which a `change` written in Python allows
            pair = <object>PySequence_Fast_ITEMS(lines)[i]
            if type(pair) is tuple and PyTuple_GET_SIZE(pair) == 2:
                name = <object>PyTuple_GET_ITEM(pair, 0)
                value = <object>PyTuple_GET_ITEM(pair, 1)
            else:
                name, value = pair
            found = PyDict_GetItem(self.wanted, name)  # borrowed from a dict that never changes
            if found == NULL:
                continue
            for slot in <tuple>found:
                at = slot[0]
                change = slot[2]
                if 0 < len(value) <= self.longest:
                    identities[at] = self.hasher.hash_value(slot[1], value if change is None else change(value))
                else:
                    identities[at] = template[at]
        return identities

    def __reduce__(self):
        raise TypeError("a Scanner holds the hash key and is not pickled")
