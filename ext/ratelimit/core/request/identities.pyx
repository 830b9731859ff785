"""The identities of a request, from its headers, its peer and the application's state: see the stub."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memchr

from ratelimit.core.memory.hashing cimport hash_run
from ratelimit.core.memory.number cimport NEGATIVE, WHOLE, read_number
from ratelimit.core.memory.siphash cimport ABSENT_HASH
from ratelimit.core.request.grammar cimport LONGEST_FORM
from ratelimit.core.request.scanner cimport Found, MOST_POSITIONS, Scanner, listed

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    const uint8_t *PyUnicode_1BYTE_DATA(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept

    PyObject **PySequence_Fast_ITEMS(object sequence)
    object PySequence_Fast(object sequence, const char *message)
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence)

cdef enum:
    REFUSED_IDENTITY = 2     # -2, see identity/fact.py
    MOST_DIGITS = 10
    MOST_DECIMALS = 15       # a number of so many digits is exact as a float

cdef uint64_t MOST_SECONDS = 0xFFFFFFFF  # see facts/numbers.py
cdef uint64_t MOST_DOLLARS = 1_000_000_000
cdef uint64_t MICRO = 1_000_000
cdef uint64_t MOST_UNITS = <uint64_t>1 << 53

cdef extern from *:
    """
    /* One rounding after the other, as in Python: a fused multiplication and addition rounds once. */
    static inline unsigned long long kin_millionths(double dollars) {
        volatile double millionths = dollars * 1e6;
        return (unsigned long long)(millionths + 0.5);
    }
    """
    uint64_t millionths "kin_millionths"(double dollars) noexcept nogil


FORMS = {"seconds": SECONDS, "dollars": DOLLARS, "units": UNITS}  # see facts/numbers.py


@cython.final
@cython.auto_pickle(False)
cdef class StateField:
    def __init__(self, int position, kind, name, reader, *, bint follows=False):
        self.position, self.kind, self.name, self.reader, self.follows = position, kind, name, reader, follows


@cython.final
@cython.auto_pickle(False)
cdef class PathField:
    def __init__(self, int position, kind, name):
        self.position, self.kind, self.name = position, kind, name


@cython.final
@cython.auto_pickle(False)
cdef class NumberField:
    def __init__(
        self, int position, of, form, *, name=None, bytes header=None,
    ):
        self.position, self.of, self.name, self.header = position, of, name, header
        self.form = FORMS[form]


@cython.final
@cython.auto_pickle(False)
cdef class IdentityReader:
    def __cinit__(
        self, Scanner scanner not None, *, fields=(), paths=(), bint is_partial=False, template_of=None,
        numbers=(), lists=(),
    ):
        cdef int at = 0, last = scanner.size - 2
        cdef Listed value
        self.scanner = scanner
        self.fields, self.paths = tuple(fields), tuple(paths)
        for path in self.paths:
            if not 0 <= (<PathField?>path).position < last:
                raise IndexError(f"there are {last} identities")
        for field in self.fields:
            if not 0 <= (<StateField?>field).position < last:
                raise IndexError(f"there are {last} identities")
        self.numbers = tuple(numbers)
        for number in self.numbers:
            if not 0 <= (<NumberField?>number).position < last:
                raise IndexError(f"there are {last} identities")
            self.numbers_in_headers = self.numbers_in_headers or (<NumberField>number).header is not None
            self.numbers_in_state = self.numbers_in_state or (<NumberField>number).name is not None
        self.is_partial = is_partial
        self.template_of = template_of
        self.reads_state = bool(self.fields) or self.numbers_in_state
        # In the order of identity and value, so that a value is found by halving.
        ordered = sorted(lists)
        self.listed_count = <int>len(ordered)
        if self.listed_count:
            self.listed = <Listed *>PyMem_Malloc(self.listed_count * sizeof(Listed))
            if self.listed == NULL:
                raise MemoryError
        for value.position, value.value, value.access in ordered:
            if not 0 <= value.position < last:
                raise IndexError(f"there are {last} identities")
            self.listed[at] = value
            at += 1

    def __dealloc__(self):
        PyMem_Free(self.listed)

    def identities(self, headers, peer, state, params=None, /):
        cdef uint64_t ids[MOST_POSITIONS]
        cdef uint64_t refused
        if not self.read(headers, peer, state, params, False, ids, &refused):
            return None
        return listed(ids, refused, self.scanner.size)

    cdef bint read(
        self, object headers, object peer, object state, object params, bint is_live, uint64_t *ids, uint64_t *refused
    ) except -1:
        """Fill an array with the identities; False where it takes Python to tell them, and nothing was noted.

        `state` is None where there is none. `is_live`: it is a request's under way, so a value that is not in it
        may come too late. `refused` has a bit for each place whose value is required, and missing or malformed. The place of the
        lists has what they say.
        """
        cdef uint64_t malformed
        cdef NumberField number
        if self.is_partial and (is_live or state is not None or headers):
            return False
        if self.template_of is None:
            malformed = self.scanner.identify(headers, peer, ids, refused)
            if malformed & self.scanner.guarded and ids[self.scanner.size - 1] == NO_LIST:
                ids[self.scanner.size - 1] = ON_DENY_LIST
        elif not self.read_template(headers, peer, ids, refused):
            return False
        for number in self.numbers:
            ids[number.position] = ABSENT_HASH
            if number.header is not None and headers and not self.read_number_line(number, headers, ids):
                return False
        if self.reads_state and state is not None and not self.read_state(state, is_live, ids, refused):
            return False
        if self.paths and not self.read_path(params, ids, refused):
            return False
        if self.listed_count:
            self.look_up(ids)
        return True

    cdef bint read_path(self, object params, uint64_t *ids, uint64_t *refused) except -1:
        """Add the parameters of a path; False for a value that it takes Python to read."""
        cdef PathField path
        cdef PyObject *found
        cdef const uint8_t *written
        cdef Py_ssize_t length
        if type(params) is not dict:
            return False
        for path in self.paths:
            found = PyDict_GetItemWithError(params, path.name)
            if found == NULL:
                continue
            if type(<object>found) is not str or not PyUnicode_IS_COMPACT_ASCII(<object>found):
                return False
            written, length = PyUnicode_1BYTE_DATA(<object>found), PyUnicode_GET_LENGTH(<object>found)
            # A per cent sign may be an escape: see `grammar.segment`.
            if not 0 < length <= LONGEST_FORM or memchr(written, c"%", length) != NULL:
                return False
            ids[path.position] = hash_run(self.scanner.hasher.k0, self.scanner.hasher.k1, path.kind, written, length)
            refused[0] &= ~(<uint64_t>1 << path.position)
        return True

    cdef bint read_template(self, object headers, object peer, uint64_t *ids, uint64_t *refused) except -1:
        """Fill an array from what is known of a client, and from the headers; False for a malformed value."""
        cdef list template = self.template_of(peer, headers)
        cdef Found found
        cdef uint64_t number
        cdef int at, kind
        self.scanner.gather(headers, ids, &found)
        if found.malformed:
            return False
        refused[0] = 0
        if PyList_GET_SIZE(template) != self.scanner.size:
            raise ValueError(f"a template has {self.scanner.size} positions")
        for at in range(self.scanner.size):
            if found.filled >> at & 1:
                continue
            kind = read_number(<object>PyList_GET_ITEM(template, at), &number)
            ids[at] = number if kind == WHOLE else ABSENT_HASH
            if kind == NEGATIVE and number == REFUSED_IDENTITY:
                refused[0] |= <uint64_t>1 << at
        return True

    cdef bint read_state(self, object state, bint is_live, uint64_t *ids, uint64_t *refused) except -1:
        """Add what the application left; False for a value, or a state, that it takes Python to read."""
        cdef StateField field
        cdef NumberField counted
        cdef PyObject *found
        cdef object value
        cdef const uint8_t *written
        cdef Py_ssize_t length
        cdef uint64_t number
        cdef bint is_found = False
        if type(state) is not dict:
            return False
        for field in self.fields:
            if field.follows and is_found:
                continue
            is_found = False
            found = PyDict_GetItemWithError(state, field.name)
            if found == NULL or <object>found is None:
                if is_live and not field.is_settled and not self.settle(field):
                    return False
                continue
            value = <object>found
            if type(value) is str and PyUnicode_IS_COMPACT_ASCII(value):  # such text is its own UTF-8
                written, length = PyUnicode_1BYTE_DATA(value), PyUnicode_GET_LENGTH(value)
            elif type(value) is bytes:
                written, length = <const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
            elif type(value) is int and read_number(value, &number) == WHOLE:
                text = b"%d" % value
                written, length = <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
            else:
                return False
            if not 0 < length <= self.scanner.longest:
                return False
            if not field.is_settled:
                field.reader.settle()
                field.is_settled = True
            ids[field.position] = hash_run(self.scanner.hasher.k0, self.scanner.hasher.k1, field.kind, written, length)
            refused[0] &= ~(<uint64_t>1 << field.position)
            is_found = True
        if self.numbers_in_state:
            for counted in self.numbers:
                if counted.name is not None:
                    found = PyDict_GetItemWithError(state, counted.name)
                    if found != NULL:
                        self.put_number(counted, <object>found, ids)
        return True

    cdef bint read_number_line(self, NumberField field, object headers, uint64_t *ids) except -1:
        """Add a number that a header has; False for several lines, and for an instant that is not in digits alone."""
        cdef object lines = PySequence_Fast(headers, "headers are a sequence of pairs")
        cdef object name, value, line = None
        cdef uint64_t number
        cdef Py_ssize_t i = 0
        while i < PySequence_Fast_GET_SIZE(lines):
            name, value = <object>PySequence_Fast_ITEMS(lines)[i]
            i += 1
            if name == field.header:
                if line is not None:
                    return False
                line = value
        if line is None:
            return True
        if type(line) is not bytes:
            return False
        if field.form == UNITS:
            ids[field.position] = number_of(field.of(line))
            return True
        if field.form == DOLLARS:
            if not dollars_in(line, &number):
                return False
            ids[field.position] = number
            return True
        if not seconds_in(line, &number):
            return False
        ids[field.position] = number if number else ABSENT_HASH
        return True

    cdef int put_given(self, int position, object value, uint64_t *ids) except -1:
        """Write what a caller gives for the number at a position, if a number is there: see `Extractor.number`."""
        cdef NumberField number
        for number in self.numbers:
            if number.position == position:
                self.put_number(number, value, ids)
        return 0

    cdef int put_number(self, NumberField field, object value, uint64_t *ids) except -1:
        """Write a number by what is given for it: see `Extractor.number`."""
        cdef uint64_t number
        cdef double told
        if value is None:
            return 0
        if field.form == UNITS:
            if type(value) is not int or read_number(value, &number) != WHOLE or number > MOST_UNITS:
                number = number_of(field.of(value))
            ids[field.position] = number
            return 0
        if field.form == DOLLARS:
            if type(value) is float:
                told = value
                number = millionths(told) if 0 <= told <= <double>MOST_DOLLARS else number_of(field.of(value))
            elif type(value) is int:
                if read_number(value, &number) == WHOLE and number <= MOST_DOLLARS:
                    number *= MICRO
                else:
                    number = number_of(field.of(value))
            elif not dollars_in(value, &number):
                number = number_of(field.of(value))
            ids[field.position] = number
            return 0
        if type(value) is int:
            if read_number(value, &number) != WHOLE or number > MOST_SECONDS:
                number = number_of(field.of(value))
        elif type(value) is float:
            told = value
            number = <uint64_t>told if 0 <= told <= MOST_SECONDS else number_of(field.of(value))
        elif not seconds_in(value, &number):
            number = number_of(field.of(value))
        ids[field.position] = number if number else ABSENT_HASH
        return 0

    cdef bint settle(self, StateField field) except -1:
        """Return whether the reader of a field has seen enough, so that it need not be told of this request."""
        field.is_settled = not field.reader.is_noting
        return field.is_settled

    cdef void look_up(self, uint64_t *ids) noexcept:
        """Note which list a request is on; noexcept: compares numbers in memory that is there."""
        cdef int i, low, high, middle, position
        cdef uint64_t best = ids[self.scanner.size - 1]
        i = 0
        while i < self.listed_count:
            position = self.listed[i].position
            low, high = i, i
            while high < self.listed_count and self.listed[high].position == position:
                high += 1
            i = high
            while low < high:
                middle = (low + high) // 2
                if self.listed[middle].value < ids[position]:
                    low = middle + 1
                else:
                    high = middle
            # A value that is on both lists stands there twice, one behind the other.
            while low < i and self.listed[low].value == ids[position]:
                if <uint64_t>self.listed[low].access > best:
                    best = self.listed[low].access
                low += 1
        ids[self.scanner.size - 1] = best

    def __reduce__(self):
        raise TypeError("an IdentityReader holds the hash key and is not pickled")


cdef inline Py_ssize_t run_of(object text, const uint8_t **at) noexcept:
    """Point to the bytes of a text; return their number, -1 for what is neither bytes nor plain text."""
    if type(text) is str and PyUnicode_IS_COMPACT_ASCII(text):
        at[0] = PyUnicode_1BYTE_DATA(text)
        return PyUnicode_GET_LENGTH(text)
    if type(text) is bytes:
        at[0] = <const uint8_t *>PyBytes_AS_STRING(text)
        return PyBytes_GET_SIZE(text)
    return -1


cdef inline bint seconds_in(object text, uint64_t *number) except -1:
    """Read an instant that is written in digits alone; False for any other writing, and for one that is no instant."""
    cdef const uint8_t *at
    cdef Py_ssize_t i, length = run_of(text, &at)
    if not 0 < length <= MOST_DIGITS:
        return False
    number[0] = 0
    for i in range(length):
        if not c"0" <= at[i] <= c"9":
            return False
        number[0] = number[0] * 10 + (at[i] - <uint8_t>c"0")
    return number[0] <= MOST_SECONDS


cdef inline bint dollars_in(object text, uint64_t *number) except -1:
    """Read an amount in digits, perhaps with a point among them; False for any other writing."""
    cdef const uint8_t *at
    cdef Py_ssize_t i, length = run_of(text, &at), point = -1
    cdef double power = 1.0, dollars
    if not 0 < length <= MOST_DECIMALS:
        return False
    number[0] = 0
    for i in range(length):
        if at[i] == c"." and point < 0 < i < length - 1:
            point = i
            continue
        if not c"0" <= at[i] <= c"9":
            return False
        number[0] = number[0] * 10 + (at[i] - <uint8_t>c"0")
        if point >= 0:
            power *= 10.0
    dollars = <double>number[0] / power  # two exact floats: this is the float next to what is written
    if dollars > <double>MOST_DOLLARS:
        return False
    number[0] = millionths(dollars)
    return True


cdef inline uint64_t number_of(object told) except? 1:
    """Return the number that Python read; `ABSENT_HASH` for none."""
    cdef uint64_t number
    return number if read_number(told, &number) == WHOLE else ABSENT_HASH
