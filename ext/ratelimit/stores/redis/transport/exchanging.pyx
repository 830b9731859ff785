"""The halves of a connection and of a server's client that every decision passes: see the stub for the contract."""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

from ratelimit.core.redis.message cimport call_text, string_of

cdef enum:
    BUFFER_BYTES = 65_536


@cython.auto_pickle(False)
cdef class QuestionLink:
    cdef public object done
    cdef public Py_ssize_t wanted
    cdef public bytes greeting
    cdef public bytes rest
    cdef public list replies
    cdef public object transport
    cdef bytearray space
    cdef readonly object buffer

    def __cinit__(self, bytes greeting not None, Py_ssize_t count, done, /):
        # From the start, as a server that takes no more clients says so unasked.
        self.greeting, self.wanted, self.done = greeting, count, done
        self.replies, self.rest = [], b""
        self.space = bytearray(BUFFER_BYTES)
        self.buffer = memoryview(self.space)

    cdef bint can_ask(self) except -1:
        return self.transport is not None and not self.transport.is_closing()

    @property
    def is_open(self):
        return self.can_ask()

    def ask(self, commands, Py_ssize_t count, done, /):
        self.put(commands, count, done)

    cdef int put(self, object commands, Py_ssize_t count, object done) except -1:
        assert self.done is None, "a connection is used by one call at a time"
        assert self.transport is not None
        self.done, self.wanted = done, count
        self.transport.write(commands)
        return 0

    def get_buffer(self, size, /):
        return self.buffer

    def buffer_updated(self, Py_ssize_t count, /):
        cdef object reply = None
        if not 0 <= count <= PyByteArray_GET_SIZE(self.space):
            raise ValueError("more than there is room for")
        if self.wanted == 1 and not self.rest and not self.greeting:
            reply = string_of(<const uint8_t *>PyByteArray_AS_STRING(self.space), count)  # of the script, as a rule
        if reply is None:
            self.read_replies(PyBytes_FromStringAndSize(PyByteArray_AS_STRING(self.space), count))
            return
        done, self.done = self.done, None
        self.wanted = 0
        if done is not None:
            done([reply])

    def __reduce__(self):
        raise TypeError("a connection is not pickled")


@cython.auto_pickle(False)
cdef class ScriptPoster:
    cdef public object link
    cdef bytes posted
    cdef object done
    cdef bytes head

    def __init__(self, bytes head not None, /):
        self.head = head

    @property
    def is_open(self):
        return self.link is not None and (<QuestionLink?>self.link).can_ask()

    def post(self, calls, done, /):
        assert self.link is not None
        (call,) = calls
        keys, opening, described, items = call
        self.posted = call_text(self.head, keys, opening, described, items)
        self.done = done
        (<QuestionLink?>self.link).put(self.posted, 1, self.answered)

    def answered(self, replies, /):
        if type(replies) is list and len(<list>replies) == 1 and type((<list>replies)[0]) is bytes:
            self.done(replies)
        else:
            self.read_refusal(self.posted, replies, self.done)

    def __reduce__(self):
        raise TypeError("a connection is not pickled")
