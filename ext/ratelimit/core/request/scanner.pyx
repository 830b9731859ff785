"""A request's identities in one pass over its raw headers: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_SIZE, PyList_GetSlice
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ratelimit.core.request.address cimport MOST_TRANSLATIONS, Address, read_address, translate, write_prefix
from ratelimit.core.request.grammar cimport CREDENTIAL, FAULT, MALFORMED, RAW, TEXT, Form, credential_form, text_form
from ratelimit.core.memory.hashing cimport Hasher, hash_run
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.networks cimport Networks

from ratelimit.errors import UsageError

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size)
    void PyErr_Clear()

ABSENT = -1
REFUSED = -2
MALFORMED_IDENTITY = -3
FORWARDED = -1
FORM_TEXT = TEXT
FORM_CREDENTIAL = CREDENTIAL
FORM_RAW = RAW

cdef enum:
    AT_FORWARDED = -1        # in place of a position: such a header comes from a proxy
    MOST_LISTED = 2          # an address on both lists is allowed: see lists/access.py


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

    def read_address(self, str text not None, /):
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


def names_peer(headers, peer, /):
    cdef bytes text
    if type(peer) is not str or not peer:
        return False
    text = peer.encode("utf-8", "surrogatepass")
    for name, value in headers:
        if (name == b"x-forwarded-for" or name == b"forwarded") and text in value:
            return True
    return False


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
        self, Hasher hasher not None, wanted, Py_ssize_t longest, blanks, *, bint needs_peer, diagnose,
        malformed=(), guarded=(), Translations translations=None, Networks listed=None, Networks origins=None,
        int origin_at=-1,
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
            self.blanks[at].malformed = -1
            self.blanks[at].is_refused = otherwise == REFUSED
            self.blanks[at].otherwise = ABSENT_HASH if otherwise < 0 else <uint64_t>otherwise
            if not (0 <= self.blanks[at].v4 <= 32 and 0 <= self.blanks[at].v6 <= 128):
                raise ValueError("a prefix is at most 32 bits of IPv4 and 128 of IPv6")
        for at in range(self.size - 2, self.size):
            self.blanks[at] = Blank(-1, 0, 0, 0, -1, False)
        self.lengths = 0
        for name, slots in wanted.items():
            checked[bytes(name)] = tuple([(int(at), <uint32_t>kind, <Form>form) for at, kind, form in slots])
            for at, _, form in slots:
                if not AT_FORWARDED <= at < self.size:
                    raise IndexError(f"there are {self.size} positions")
                if form not in (TEXT, CREDENTIAL, RAW):
                    raise ValueError(f"{form} is not a form")
            self.lengths |= <uint64_t>1 << min(<Py_ssize_t>len(name), 63)
        for at, kind in malformed:
            if not 0 <= at < self.size - 2:
                raise IndexError(f"there are {self.size - 2} identities")
            self.blanks[at].malformed = <uint32_t>kind
        self.guarded = 0
        for at in guarded:
            self.guarded |= <uint64_t>1 << at
        self.hasher = hasher
        self.wanted = checked
        self.longest = longest
        self.needs_peer = self.reads_peer = needs_peer
        for at in range(self.size):
            if self.blanks[at].kind >= 0:
                self.reads_peer = True
        self.diagnose = diagnose
        self.translations = Translations() if translations is None else translations
        if not -1 <= origin_at < self.size - 2:
            raise IndexError(f"there are {self.size - 2} identities")
        self.listed, self.origins, self.origin_at = listed, origins, origin_at
        self.reads_peer = self.reads_peer or listed is not None or origins is not None

    def fill(self, headers, list template not None, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef Found found
        cdef list identities
        cdef int at
        if PyList_GET_SIZE(template) != self.size:
            raise ValueError(f"a template has {self.size} positions")
        self.gather(headers, ids, &found)
        identities = PyList_GetSlice(template, 0, self.size)
        for at in range(self.size):
            if found.filled >> at & 1:
                identities[at] = ids[at]
            elif found.malformed >> at & 1:
                identities[at] = MALFORMED_IDENTITY
        return identities

    def fill_for(self, headers, peer, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        cdef uint64_t malformed = self.identify(headers, peer, ids, &refused) & self.guarded
        cdef list identities = listed(ids, refused, self.size)
        cdef int at
        if malformed:
            for at in range(self.size):
                if malformed >> at & 1:
                    identities[at] = MALFORMED_IDENTITY
        return identities

    def template(self, int width, bytes client, bytes carrier=None, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        cdef Address address, written
        address.width, written.width = width, 0
        if width:
            if width not in (32, 128) or client is None or len(client) != width >> 3:
                raise ValueError("an address has 32 or 128 bits")
            memcpy(address.octets, PyBytes_AS_STRING(client), width >> 3)
        if carrier is not None:
            if len(carrier) != 16:
                raise ValueError("an address is carried in one of 128 bits")
            written.width = 128
            memcpy(written.octets, PyBytes_AS_STRING(carrier), 16)
        refused = self.leave_blank(&address, client, ids, 0)
        self.look_up(&address, &written, ids)
        return listed(ids, refused, self.size)

    cdef void look_up(self, const Address *address, const Address *written, uint64_t *ids) noexcept nogil:
        """Write what is declared of an address: the list that it is on, and from which network it is."""
        if self.listed is not None:
            ids[self.size - 1] = self.declared_at(self.size - 1, address, written)
        if self.origins is not None and self.origin_at >= 0:
            ids[self.origin_at] = self.declared_at(self.origin_at, address, written)

    cdef uint64_t declared_at(self, int position, const Address *address, const Address *written) noexcept nogil:
        """Return what is declared of an address that stands at a position, 0 where nothing is looked up."""
        cdef uint64_t origin
        if position == self.size - 1 and self.listed is not None:
            return min(self.listed.of(address, written), <uint64_t>MOST_LISTED)
        if position >= 0 and position == self.origin_at and self.origins is not None:
            origin = self.origins.of(address, written)
            return origin if origin else ABSENT_HASH
        return 0

    cdef int look_up_for(self, object peer, uint64_t *ids) except -1:
        """The same of a peer, as a server gives it."""
        cdef Address address, written
        name_of(peer, &address)
        self.read_peer(&address, &written)
        self.look_up(&address, &written, ids)
        return 0

    cdef void read_peer(self, Address *address, Address *written) noexcept nogil:
        """Put the address that another carries in its place, and that one beside it, of width 0 if there is none."""
        written[0] = address[0]
        if not translate(address, &self.translations.declared):
            written.width = 0

    cdef bint blank_for(self, int position, object peer, uint64_t *hashed) except? True:
        """Write what stands at one position where the headers say nothing of a peer; True if that is to be refused."""
        cdef Address address
        cdef bytes name = name_of(peer, &address)
        translate(&address, &self.translations.declared)
        return blank_hash(self.hasher, self.blanks + position, &address, name, hashed)

    cdef bint blank_at(self, int position, const Address *address, uint64_t *hashed):
        """The same of an address that was read and translated."""
        return blank_hash(self.hasher, self.blanks + position, address, None, hashed)

    cdef uint64_t identify(self, object headers, object peer, uint64_t *ids, uint64_t *refused) except? 1:
        """Fill an array with what a request's headers and peer say; return a bit for each malformed value.

        `refused` has a bit for each place that is to be refused. Its value is missing or malformed, nothing
        stands in for it, and the policy requires it.
        """
        cdef Address address, written
        cdef bytes name = None
        cdef Found found
        cdef int at
        cdef bint is_read = self.reads_peer or type(peer) is not str
        address.width = written.width = 0
        if is_read:
            name = name_of(peer, &address)
            self.read_peer(&address, &written)
        if self.needs_peer and address.width == 0 and name is None and not self.has_missed:
            self.has_missed = True
            self.diagnose("client-missing")
        self.gather(headers, ids, &found)
        refused[0] = self.leave_blank(&address, name, ids, found.filled)
        self.look_up(&address, &written, ids)
        if found.malformed:
            if not is_read:
                name = name_of(peer, &address)
                translate(&address, &self.translations.declared)
            for at in range(self.size):
                if found.malformed >> at & 1 and ids[at] == ABSENT_HASH:
                    refused[0] |= <uint64_t>self.stand_in(at, &address, name, ids + at) << at
        if found.is_forwarded and not names_peer(headers, peer):
            self.diagnose("undeclared-proxy")
        return found.malformed

    cdef uint64_t leave_blank(self, const Address *address, bytes name, uint64_t *ids, uint64_t filled):
        """Write what stands in at each place that is not filled; return a bit for each that is to be refused."""
        cdef uint64_t refused = 0
        cdef int i
        for i in range(self.size):
            if not filled >> i & 1:
                refused |= <uint64_t>blank_hash(self.hasher, self.blanks + i, address, name, ids + i) << i
        return refused

    cdef bint stand_in(self, int position, const Address *address, bytes name, uint64_t *hashed):
        """Write what stands in for a malformed value if nothing does for a missing one; True: refuse the request."""
        cdef Blank blank = self.blanks[position]
        blank.kind = blank.malformed
        blank.otherwise = ABSENT_HASH
        blank.is_refused = True
        return blank_hash(self.hasher, &blank, address, name, hashed)

    cdef int gather(self, object headers, uint64_t *ids, Found *told) except -1:
        """Hash the values of wanted headers into their places; mark what is filled and what is malformed."""
        cdef object lines = PySequence_Fast(headers, "headers are a sequence of pairs")
        cdef object pair, name, value, slot
        cdef uint64_t bit, spoken_for = 0
        cdef const uint8_t *form
        cdef PyObject *found
        cdef Py_ssize_t i = 0, length
        cdef int at
        told.filled = told.malformed = 0
        told.is_forwarded = False
        while i < PySequence_Fast_GET_SIZE(lines):  # asked again: a pair written in Python may take some out
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
            found = PyDict_GetItemWithError(self.wanted, name)  # borrowed from a dict that never changes
            if found == NULL:
                continue
            for slot in <tuple>found:
                at = slot[0]
                if at == AT_FORWARDED:
                    told.is_forwarded = True
                    continue
                bit = <uint64_t>1 << at
                if spoken_for & bit:
                    # Frameworks differ in which of two lines they read, or read both as one.
                    if <int>slot[2] != RAW:
                        told.filled &= ~bit
                        told.malformed |= bit
                    continue
                spoken_for |= bit
                length = self.form_of(value, slot[2], &form)
                if length > 0:
                    ids[at] = hash_run(self.hasher.k0, self.hasher.k1, slot[1], form, length)
                    told.filled |= bit
                elif length < 0:
                    told.malformed |= bit
        return 0

    cdef Py_ssize_t form_of(self, object value, int form, const uint8_t **at) except FAULT:
        """Point to the form of a header's value, inside of it; return its length, 0 for none, MALFORMED."""
        cdef Py_ssize_t size
        if not isinstance(value, bytes):
            raise TypeError(f"a header's value is bytes, not {type(value).__name__}")
        size = PyBytes_GET_SIZE(value)
        at[0] = <const uint8_t *>PyBytes_AS_STRING(value)
        if size > self.longest:
            return MALFORMED
        if form == TEXT:
            return text_form(at[0], size, at)
        return credential_form(at[0], size, at) if form == CREDENTIAL else size

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
