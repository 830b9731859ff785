"""The first message of a request, taken without switching tasks if it is there: see the stub for the contract."""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cdef extern from "Python.h":
    # Both as of Python 3.10.
    int PYGEN_RETURN
    int PyIter_Send(object iterator, object value, PyObject **result) except -1
    bint PyCoro_CheckExact(object call) noexcept


cdef enum:
    SMALL_BYTES = 16 << 10

SMALL = SMALL_BYTES


cdef int promised(object scope) except -1:
    """Return what the headers of a request promise: a body, one that is compressed, one of few bytes."""
    cdef bint has_body = False, is_compressed = False, is_small = False
    if scope["type"] != "http":
        return IS_SMALL
    if not scope.get("http_version", "1.1").startswith("1"):
        # Without a promise HTTP/2 may have one all the same; one that is empty costs a message to find out.
        has_body = scope["method"] not in ("GET", "HEAD")
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = value.strip()
            has_body = has_body or length != b"0"
            is_small = length.isdigit() and len(length) < 6 and int(length) <= SMALL_BYTES
        elif name == b"transfer-encoding":
            has_body = True
        elif name == b"content-encoding":
            is_compressed = is_compressed or value.strip().lower() not in (b"", b"identity")
    return has_body * HAS_BODY | is_compressed * IS_COMPRESSED | is_small * IS_SMALL


def promise_of(scope, /):
    cdef int promise = promised(scope)
    return promise & HAS_BODY != 0, promise & IS_COMPRESSED != 0, promise & IS_SMALL != 0


@cython.final
@cython.auto_pickle(False)
cdef class Begun:
    """The first call of a server's `receive`: see the stub."""

    cdef int begin(self, object receive) except -1:
        """Call `receive` up to where it would wait; return whether its message is there."""
        cdef PyObject *result = NULL
        cdef int how
        self.call = receive()
        if not PyCoro_CheckExact(self.call):
            return False  # it is awaited as it is
        how = PyIter_Send(self.call, None, &result)
        if how == PYGEN_RETURN:
            self.call, self.message = None, <object>result
        else:
            self.waits = <object>result
            self.is_waiting = True
        Py_DECREF(<object>result)
        return how == PYGEN_RETURN

    @property
    def is_there(self):
        return self.call is None

    def __await__(self):
        return self if self.is_waiting else self.call.__await__()

    def __iter__(self):
        return self

    def __next__(self):
        return self.go_on(None)

    def send(self, value, /):
        return self.go_on(value)

    def throw(self, *error):
        self.waits = None
        return self.call.throw(*error)

    def close(self):
        self.waits = None
        self.call.close()

    cdef object go_on(self, object value):
        """Say what the call waits for; then hand it what its waiting brought."""
        if self.waits is not None:
            waits, self.waits = self.waits, None
            return waits
        return self.call.send(value)

    def __reduce__(self):
        raise TypeError("a call under way is not pickled")
