"""Envoy's calls read from their bytes: see the stub for the contract.

`CallReader` is an accelerator as `asgi/gate` is one: it reads what a proxy sends a million times, and turns
anything else away. `read_call` reads every call. It takes a text's bytes as they are. A client writes them, and
the protobuf library would refuse a whole call for one text that is not UTF-8.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint8_t, uint64_t

from ratelimit.policy.routing.request_line import read_method, read_target
from ratelimit.policy.routing.spellings import is_spelled
from ratelimit.policy.routing.target import UNKNOWN_BACK_END

cdef extern from "Python.h":
    void *PyUnicode_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

cdef enum:
    _MOST_DESCRIPTORS = 16
    _MOST_ENTRIES = 64
    _MOST_BYTES = 16384
    LONGEST_REQUEST_ID = 128    # as `descriptors` has it
    MOST_NESTED = 100       # groups in one another
    LONGEST_VALUE = 4096    # of an identity: `identity.fact` has it as well
    MOST_KEYS = 1024        # as many keys as a reader remembers: a proxy's configuration has a dozen

HANDSHAKE = ("upgrade", "sec-websocket-key")
MOST_DESCRIPTORS, MOST_ENTRIES, MOST_BYTES = _MOST_DESCRIPTORS, _MOST_ENTRIES, _MOST_BYTES

# Characters that are nothing but themselves, wherever they stand in a path.
cdef uint8_t IS_PLAIN[256]
for _code in range(256):
    IS_PLAIN[_code] = _code < 0x80 and not is_spelled(f"/{chr(_code)}a")

cdef enum Role:
    TURNED_AWAY = 0
    METHOD = 1
    PATH = 2
    ADDRESS = 3
    IDENTITY = 4
    HEADER = 5              # one that alone says identities
    UNREAD = 6              # one that nothing looks at
    REQUEST = 7

# Field numbers with their wire types, after envoy/service/ratelimit/v3/rls.proto and
# envoy/extensions/common/ratelimit/v3/ratelimit.proto.
cdef enum Tag:
    FIRST_TEXT = 0x0A       # domain; a descriptor's entry; an entry's key; a header's key
    SECOND_TEXT = 0x12      # a descriptor; an entry's value; a status; a header's value
    HITS = 0x18


@cython.final
@cython.auto_pickle(False)
cdef class Meaning:
    """The meaning of a key."""

    cdef Role role
    cdef tuple names        # of identities


@cython.final
@cython.auto_pickle(False)
cdef class CallReader:
    """Reads calls by one policy: see the stub."""

    cdef object identities
    cdef object alone
    cdef object looked_at   # None: any header may be
    cdef object formed
    cdef dict meanings

    def __init__(self, identities, alone, looked_at=None, formed=(), /):
        self.identities = frozenset(identities)
        self.formed = frozenset(formed)
        self.alone = dict(alone)
        self.looked_at = looked_at
        self.meanings = {}

    def read(self, bytes message not None, /):
        cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(message)
        cdef const uint8_t *end = at + PyBytes_GET_SIZE(message)
        cdef const uint8_t *inner
        cdef const uint8_t *key
        cdef const uint8_t *value
        cdef Py_ssize_t size, key_size, value_size
        cdef int descriptors = 0, entries = 0
        cdef uint8_t tag
        cdef dict identities = {}
        cdef dict unread = None
        cdef object method = None, path = None, client = None, request = None, text
        cdef Meaning meaning
        if end - at > _MOST_BYTES:
            return None
        while at < end:
            tag = at[0]
            at += 1
            if tag == HITS:
                if at == end or at[0] != 0:
                    return None
                at += 1
                continue
            if (tag != FIRST_TEXT and tag != SECOND_TEXT) or (size := run(&at, end)) < 0:
                return None
            if tag == FIRST_TEXT:
                if not is_ascii(at, size):
                    return None
                at += size
                continue
            descriptors += 1
            if descriptors > _MOST_DESCRIPTORS:
                return None
            inner = at + size
            while at < inner:
                if at[0] != FIRST_TEXT:
                    return None
                at += 1
                entries += 1
                if entries > _MOST_ENTRIES or (size := run(&at, inner)) < 0:
                    return None
                if not entry_of(at, at + size, &key, &key_size, &value, &value_size):
                    return None
                at += size
                meaning = self.meaning_of(key, key_size)
                text = PyUnicode_DecodeASCII(<const char *>value, value_size, NULL)
                if meaning.role == IDENTITY:
                    if value_size > LONGEST_VALUE or not is_plain(value, value_size):
                        return None
                    if identities.setdefault(meaning.names[0], text) != text:
                        return None
                elif meaning.role == HEADER:
                    if value_size > LONGEST_VALUE or not is_plain(value, value_size):
                        return None
                    for name in meaning.names:
                        if identities.setdefault(name, text) != text:
                            return None
                elif meaning.role == PATH:
                    if path is not None and path != text:
                        return None
                    path = text
                elif meaning.role == METHOD:
                    if method is not None and method != text:
                        return None
                    method = text
                elif meaning.role == ADDRESS:
                    if client is not None and client != text:
                        return None
                    client = text
                elif meaning.role == REQUEST:
                    if not 0 < value_size <= LONGEST_REQUEST_ID:
                        return None
                    if request is not None and request != text:
                        return None
                    request = text
                elif meaning.role == UNREAD:
                    if unread is None:
                        unread = {}
                    if unread.setdefault(meaning.names[0], text) != text:
                        return None
                else:
                    return None
        method = "GET" if method is None else read_method(method)
        return method, target_of(path) if path else "/", client, identities, descriptors, request

    cdef Meaning meaning_of(self, const uint8_t *key, Py_ssize_t size):
        cdef str name = PyUnicode_DecodeASCII(<const char *>key, size, NULL)
        cdef PyObject *found = PyDict_GetItem(self.meanings, name)
        cdef Meaning meaning
        if found != NULL:
            return <Meaning>found
        meaning = Meaning.__new__(Meaning)
        meaning.names = (name,)
        # In the order of `descriptors.facts_of`.
        if name == "done" or name == "unit" or name.lower() in HANDSHAKE or name in self.formed:
            meaning.role = TURNED_AWAY
        elif name in self.identities:
            meaning.role = IDENTITY
        elif name == "path":
            meaning.role = PATH
        elif name == "method":
            meaning.role = METHOD
        elif name == "remote_address":
            meaning.role = ADDRESS
        elif name == "request_id":
            meaning.role = REQUEST
        elif name.lower() in self.alone:
            meaning.role = HEADER
            meaning.names = tuple(self.alone[name.lower()])
        elif self.looked_at is not None and name.lower() not in self.looked_at:
            meaning.role = UNREAD
        if len(self.meanings) >= MOST_KEYS:
            self.meanings.clear()
        self.meanings[name] = meaning
        return meaning

    def __reduce__(self):
        raise TypeError("a reader of calls belongs to a policy in force and is not pickled")


cdef struct Field:
    uint64_t tag
    uint64_t number         # of a varint
    const uint8_t *at       # of what has a length
    const uint8_t *end


# Tags of a call, where its reader above does not name them.
cdef enum Part:
    OWN_LIMIT = 0x12        # of a descriptor
    OWN_HITS = 0x1A
    WRAPPED = 0x08          # of a UInt64Value
    LIMIT_PER_UNIT = 0x08   # of a limit of its own
    LIMIT_UNIT = 0x10


def read_call(bytes message not None, /):
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(message)
    cdef const uint8_t *end = at + PyBytes_GET_SIZE(message)
    cdef Field field
    cdef uint64_t hits = 0
    cdef bytes domain = b""
    cdef list descriptors = []
    while at < end:
        next_field(&at, end, &field)
        if field.tag == SECOND_TEXT:
            descriptors.append(descriptor_of(field.at, field.end))
        elif field.tag == HITS:
            hits = field.number & 0xFFFFFFFF
        elif field.tag == FIRST_TEXT:
            domain = field.at[: field.end - field.at]
    return domain, hits, descriptors


cdef tuple descriptor_of(const uint8_t *at, const uint8_t *end):
    cdef Field field, wrapped
    cdef list entries = []
    cdef tuple limit = None
    cdef uint64_t per_unit = 0, unit = 0
    cdef object hits = None
    while at < end:
        next_field(&at, end, &field)
        if field.tag == FIRST_TEXT:
            entries.append(pair_of(field.at, field.end))
        elif field.tag == OWN_LIMIT:
            while field.at < field.end:
                next_field(&field.at, field.end, &wrapped)
                if wrapped.tag == LIMIT_PER_UNIT:
                    per_unit = wrapped.number & 0xFFFFFFFF
                elif wrapped.tag == LIMIT_UNIT:
                    unit = wrapped.number & 0xFFFFFFFF
            limit = per_unit, unit
        elif field.tag == OWN_HITS:
            hits = 0 if hits is None else hits
            while field.at < field.end:
                next_field(&field.at, field.end, &wrapped)
                if wrapped.tag == WRAPPED:
                    hits = wrapped.number
    return entries, limit, hits


cdef tuple pair_of(const uint8_t *at, const uint8_t *end):
    cdef Field field
    cdef bytes key = b"", value = b""
    while at < end:
        next_field(&at, end, &field)
        if field.tag == FIRST_TEXT:
            key = field.at[: field.end - field.at]
        elif field.tag == SECOND_TEXT:
            value = field.at[: field.end - field.at]
    return key, value


cdef int next_field(const uint8_t **at, const uint8_t *end, Field *field, int depth=0) except -1:
    """Read one field, of any number and type; a group is passed over."""
    cdef uint64_t size, group
    cdef int kind
    if not varint(at, end, &field.tag):
        raise ValueError("a field's number is cut short")
    kind = field.tag & 7
    if kind == 0:
        if not varint(at, end, &field.number):
            raise ValueError("a number is cut short")
        return 0
    if kind == 2:
        if not varint(at, end, &size):
            raise ValueError("a length is cut short")
    elif kind == 1:
        size = 8
    elif kind == 5:
        size = 4
    elif kind == 3 and depth < MOST_NESTED:
        group = field.tag
        while field.tag != group + 1:
            if at[0] >= end:
                raise ValueError("a group has no end")
            next_field(at, end, field, depth + 1)
        field.tag = group
        return 0
    elif kind == 4 and depth > 0:
        return 0
    else:
        raise ValueError("a field is of a type that no call has")
    if size > <uint64_t>(end - at[0]):
        raise ValueError("a field is longer than its message")
    field.at = at[0]
    at[0] += size
    field.end = at[0]
    return 0


cdef inline bint varint(const uint8_t **at, const uint8_t *end, uint64_t *number) noexcept nogil:
    cdef int shift = 0
    number[0] = 0
    while at[0] < end and shift < 70:
        number[0] |= <uint64_t>(at[0][0] & 0x7F) << shift if shift < 64 else 0
        at[0] += 1
        if at[0][-1] < 0x80:
            return True
        shift += 7
    return False


cdef inline Py_ssize_t run(const uint8_t **at, const uint8_t *end) noexcept nogil:
    """Read the length of what follows, of three bytes at most; -1 where that is not there."""
    cdef Py_ssize_t size = 0
    cdef int shift = 0
    while at[0] < end and shift < 21:
        size |= <Py_ssize_t>(at[0][0] & 0x7F) << shift
        at[0] += 1
        if at[0][-1] < 0x80:
            return size if size <= end - at[0] else -1
        shift += 7
    return -1


cdef inline bint entry_of(
    const uint8_t *at, const uint8_t *end,
    const uint8_t **key, Py_ssize_t *key_size, const uint8_t **value, Py_ssize_t *value_size,
) noexcept nogil:
    """Find the two texts of an entry, each there once and plain; False where it is not so."""
    cdef uint8_t tag
    cdef Py_ssize_t size
    key[0] = value[0] = NULL
    while at < end:
        tag = at[0]
        at += 1
        size = run(&at, end)
        if size < 0 or not is_ascii(at, size):
            return False
        if tag == FIRST_TEXT and key[0] == NULL:
            key[0], key_size[0] = at, size
        elif tag == SECOND_TEXT and value[0] == NULL:
            value[0], value_size[0] = at, size
        else:
            return False
        at += size
    return key[0] != NULL and value[0] != NULL


cdef inline bint is_ascii(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    cdef uint8_t seen = 0
    cdef Py_ssize_t i
    for i in range(size):
        seen |= at[i]
    return seen < 0x80


cdef object target_of(str path):
    """Return what a path of ASCII asks for: see `request_line.read_target`, which this spares most calls."""
    cdef const uint8_t *at = <const uint8_t *>PyUnicode_DATA(path)
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(path)
    cdef Py_ssize_t i = 1
    if at[0] == c"/":
        while i < size and (IS_PLAIN[at[i]] or at[i] == c"/" and at[i - 1] != c"/"):
            i += 1
        if i == size:
            return path
        if at[i] == c"?":
            return path[:i]
    return read_target(path, None, "", UNKNOWN_BACK_END)


cdef inline bint is_plain(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """Return whether a value means the same by name and in a header: as `descriptors` has it."""
    cdef Py_ssize_t i
    cdef bint is_blank = size > 0
    for i in range(size):
        if not 0x20 <= at[i] < 0x7F:
            return False
        if at[i] != 0x20:
            is_blank = False
    return not is_blank
