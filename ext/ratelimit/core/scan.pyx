"""A request's identities in one pass over its raw headers: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_SIZE, PyList_GetSlice
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.address cimport MOST_TRANSLATIONS, Address, read_address, translate, write_prefix
from ratelimit.core.hashing cimport Hasher, hash_run, hash_value
from ratelimit.core.setup cimport ABSENT_HASH

from ratelimit.errors import UsageError

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size)
    void PyErr_Clear()

ABSENT = -1
REFUSED = -2
FORWARDED = -1

cdef enum:
    LONGEST = 100            # characters of a peer
    AT_FORWARDED = -1        # in place of a position: such a header comes from a proxy


@cython.final
@cython.auto_pickle(False)
cdef class Translations:
    def __init__(self, prefixes=()):
        cdef int i, length
        cdef bytes octets
        ordered = sorted(prefixes, key=longest_first)
        if len(ordered) > MOST_TRANSLATIONS:
            raise ValueError(f"at most {MOST_TRANSLATIONS} translation prefixes are declared")
        for i, (octets, length) in enumerate(ordered):
            if length not in LENGTHS or len(octets) != 16:
                raise ValueError("a translation prefix has 32, 40, 48, 56, 64 or 96 bits of 16 octets")
            self.declared.prefixes[i].length = length
            memcpy(self.declared.prefixes[i].octets, PyBytes_AS_STRING(octets), 16)
        self.declared.count = len(ordered)

    def read(self, str text not None, /):
        cdef Address address = address_of(text)
        if address.width == 0:
            return None
        written = bits_of(&address)
        if not translate(&address, &self.declared):
            return address.width, written, None
        return address.width, bits_of(&address), written

    def __reduce__(self):
        raise TypeError("translations are made anew from their prefixes")


LENGTHS = (32, 40, 48, 56, 64, 96)
MOST_PREFIXES = MOST_TRANSLATIONS


cdef object bits_of(const Address *address):
    return int.from_bytes((<const char *>address.octets)[:address.width >> 3], "big")


def longest_first(prefix):
    return -prefix[1]


cdef Address address_of(str text):
    """Return the address that a text spells; of width 0 if it spells none or is too long."""
    cdef Address none
    cdef Py_ssize_t size
    cdef const char *at
    none.width = 0
    if len(text) > LONGEST:
        return none
    at = PyUnicode_AsUTF8AndSize(text, &size)  # cached inside the str; borrowed while `text` lives
    if at == NULL:
        PyErr_Clear()
        spelled = text.encode("utf-8", "surrogatepass")
        return read_address(<const uint8_t *>PyBytes_AS_STRING(spelled), PyBytes_GET_SIZE(spelled))
    return read_address(<const uint8_t *>at, size)


@cython.final
cdef class Scanner:
    def __init__(
        self, Hasher hasher not None, wanted, Py_ssize_t longest, blanks, *, bint needs_peer, notice,
        Translations translations=None,
    ):
        cdef int at
        checked = {}
        if len(blanks) + 2 > MOST_POSITIONS:
            raise UsageError(
                f"a policy has at most {MOST_POSITIONS - 2} identities, not {len(blanks)}", code="plan-identities"
            )
        self.size = <int>len(blanks) + 2
        for at in range(self.size - 2):
            kind, self.blanks[at].v4, self.blanks[at].v6, otherwise = blanks[at]
            self.blanks[at].kind = -1 if kind is None else <uint32_t>kind
            self.blanks[at].is_refused = otherwise == REFUSED
            self.blanks[at].otherwise = ABSENT_HASH if otherwise < 0 else <uint64_t>otherwise
            if not (0 <= self.blanks[at].v4 <= 32 and 0 <= self.blanks[at].v6 <= 128):
                raise ValueError("a prefix is at most 32 bits of IPv4 and 128 of IPv6")
        for at in range(self.size - 2, self.size):
            self.blanks[at] = Blank(-1, 0, 0, 0, False)
        self.lengths = 0
        for name, slots in wanted.items():
            checked[bytes(name)] = tuple([(int(at), <uint32_t>kind, change) for at, kind, change in slots])
            for at, _, _ in slots:
                if not AT_FORWARDED <= at < self.size:
                    raise IndexError(f"there are {self.size} positions")
            self.lengths |= <uint64_t>1 << min(<Py_ssize_t>len(name), 63)
        self.hasher = hasher
        self.wanted = checked
        self.longest = longest
        self.needs_peer = needs_peer
        self.notice = notice
        self.translations = Translations() if translations is None else translations

    def fill(self, headers, list template not None, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t filled = 0
        cdef bint is_forwarded = False
        cdef list identities
        cdef int at
        if PyList_GET_SIZE(template) != self.size:
            raise ValueError(f"a template has {self.size} positions")
        self.gather(headers, ids, &filled, &is_forwarded)
        identities = PyList_GetSlice(template, 0, self.size)
        for at in range(self.size):
            if filled >> at & 1:
                identities[at] = ids[at]
        return identities

    def fill_for(self, headers, peer, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        self.identify(headers, peer, ids, &refused)
        return listed(ids, refused, self.size)

    def template(self, int width, bytes client, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        cdef Address address
        address.width = width
        if width:
            if width not in (32, 128) or client is None or len(client) != width >> 3:
                raise ValueError("an address has 32 or 128 bits")
            memcpy(address.octets, PyBytes_AS_STRING(client), width >> 3)
        self.leave_blank(&address, client, ids, &refused)
        return listed(ids, refused, self.size)

    cdef bint blank_for(self, int position, object peer, uint64_t *hashed) except? True:
        """Write what stands at one position for a peer whose headers say nothing; True if that is to be refused."""
        cdef Address address
        cdef bytes name = name_of(peer, &address)
        translate(&address, &self.translations.declared)
        return blank_hash(self.hasher, self.blanks + position, &address, name, hashed)

    cdef int identify(self, object headers, object peer, uint64_t *ids, uint64_t *refused) except -1:
        """Fill an array with what a request's headers and peer say; `refused` has a bit for each gap to refuse."""
        cdef Address address
        cdef bytes name = name_of(peer, &address)
        cdef uint64_t filled = 0
        cdef bint is_forwarded = False
        translate(&address, &self.translations.declared)
        if self.needs_peer and address.width == 0 and name is None:
            self.notice("client-missing")
        self.leave_blank(&address, name, ids, refused)
        self.gather(headers, ids, &filled, &is_forwarded)
        refused[0] &= ~filled
        if is_forwarded:
            self.notice("undeclared-proxy")
        return 0

    cdef void leave_blank(self, const Address *address, bytes name, uint64_t *ids, uint64_t *refused):
        cdef int i
        refused[0] = 0
        for i in range(self.size):
            refused[0] |= <uint64_t>blank_hash(self.hasher, self.blanks + i, address, name, ids + i) << i

    cdef int gather(self, object headers, uint64_t *ids, uint64_t *filled, bint *is_forwarded) except -1:
        """Hash the values of wanted headers into their places, the first line of each name; mark those places."""
        cdef object lines = PySequence_Fast(headers, "headers are a sequence of pairs")
        cdef object pair, name, value, slot, change
        cdef uint64_t spoken_for = 0
        cdef PyObject *found
        cdef Py_ssize_t i = 0, length
        cdef int at
        while i < PySequence_Fast_GET_SIZE(lines):  # asked again: a `change` written in Python may take some out
            pair = <object>PySequence_Fast_ITEMS(lines)[i]
            i += 1
            if type(pair) is tuple and PyTuple_GET_SIZE(pair) == 2:
                name = <object>PyTuple_GET_ITEM(pair, 0)
                value = <object>PyTuple_GET_ITEM(pair, 1)
            else:
                name, value = pair
            if type(name) is bytes:
                length = PyBytes_GET_SIZE(name)
                if not self.lengths >> (length if length < 63 else 63) & 1:
                    continue
            found = PyDict_GetItem(self.wanted, name)  # borrowed from a dict that never changes
            if found == NULL:
                continue
            for slot in <tuple>found:
                at = slot[0]
                if at == AT_FORWARDED:
                    is_forwarded[0] = True
                    continue
                if spoken_for >> at & 1:
                    continue
                spoken_for |= <uint64_t>1 << at
                change = slot[2]
                if 0 < len(value) <= self.longest:
                    ids[at] = hash_value(
                        self.hasher, slot[1], value if change is None else change(value)
                    )
                    filled[0] |= <uint64_t>1 << at
        return 0

    def __reduce__(self):
        raise TypeError("a Scanner holds the hash key and is not pickled")


cdef inline bytes name_of(object peer, Address *address):
    """Fill in the address that a server gives as peer; return what is hashed in its place if it is a name."""
    address.width = 0
    if peer is None:
        return None
    if type(peer) is not str and isinstance(peer, str):
        peer = str(peer)  # a kind of text
    address[0] = address_of(peer)
    if address.width or not 0 < len(<str>peer) <= LONGEST:
        return None
    return b"\xff" + (<str>peer).encode("utf-8", "surrogatepass")


cdef inline bint blank_hash(Hasher hasher, const Blank *blank, const Address *address, bytes name, uint64_t *hashed):
    """Write what stands in for one identity of a client; return whether that is to be refused."""
    cdef uint8_t network[17]
    if blank.kind >= 0 and address.width:
        hashed[0] = hash_run(
            hasher.k0, hasher.k1, <uint64_t>blank.kind, network, write_prefix(address, blank.v4, blank.v6, network)
        )
        return False
    if blank.kind >= 0 and name is not None:
        hashed[0] = hash_run(
            hasher.k0, hasher.k1, <uint64_t>blank.kind, <const uint8_t *>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
        )
        return False
    hashed[0] = blank.otherwise
    return blank.is_refused


cdef list listed(uint64_t *ids, uint64_t refused, int size):
    """Return identities as Python lists them."""
    cdef int at
    return [
        REFUSED if refused >> at & 1 else ABSENT if ids[at] == ABSENT_HASH else ids[at] for at in range(size)
    ]
