"""Places of members in plain lines of NDJSON: see the stub for the contract.

Theory of operation. A line is *plain* if it is an object of numbers, nulls and ASCII text without escapes.
Most traces have no others. One pass finds where each wanted value stands, and makes no object for it: what
is hashed is hashed where it stands. At the first line that is not plain, the pass gives up the chunk, which
is then decoded as JSON. So nothing here says what is wrong with a line, and nothing here may accept what
the decoder does not.

A line mostly has the members of the line before, in their order: a name is compared with that one first.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from ratelimit.core.replay.spans cimport NUMBER, Span, Spans

cdef enum:
    MOST = 64
    MOST_BYTES = 1 << 30
    MOST_DIGITS = 18            # of a whole number: it fits 63 bits
    MOST_FRACTION = 22          # a power of ten up to this is exact as a float
    MOST_AMOUNT = 0x7FFFFFFF

    # What a member may be.
    UNWANTED = -1
    TIME = 0
    REQUIRED_TEXT = 1
    TEXT = 2                    # or null
    IDENTITY = 3                # or a whole number, or null
    AMOUNT = 4                  # a whole number that is a cost, or null
    WHOLE = 5                   # any whole number, or null
    NOTHING = 6                 # null
    DECIMAL = 7                 # any number that is exact as a float without its point, or null

cdef int64_t LATEST_S = 9_200_000_000
cdef uint64_t EXACT = 1 << 53   # whole numbers below are exact as floats

MOST_MEMBERS = MOST
FORMS = {
    "time": TIME, "required text": REQUIRED_TEXT, "text": TEXT, "identity": IDENTITY, "amount": AMOUNT, "whole": WHOLE,
    "nothing": NOTHING, "decimal": DECIMAL,
}

cdef struct Name:               # of a member of the line before
    uint32_t at
    uint32_t size
    int member

cdef struct Number:
    bint is_plain               # no sign, no exponent
    uint64_t digits             # without the point
    int count                   # of digits
    int fraction                # of those, behind the point

cdef uint8_t[256] PLAIN         # 1: stands in text for itself
cdef double[MOST_FRACTION + 1] POWERS


cdef void prepare():
    cdef int i
    for i in range(256):
        PLAIN[i] = 32 <= i < 128 and i != c'"' and i != c"\\"
    POWERS[0] = 1.0
    for i in range(MOST_FRACTION):
        POWERS[i + 1] = POWERS[i] * 10.0

prepare()


def count_lines(bytes chunk not None, /):
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(chunk)
    return newlines(at, PyBytes_GET_SIZE(chunk)) + (PyBytes_GET_SIZE(chunk) > 0 and chunk[-1] != c"\n")


cdef Py_ssize_t newlines(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    cdef const uint8_t *end = at + size
    cdef Py_ssize_t found = 0
    while at < end:
        at = <const uint8_t *>memchr(at, c"\n", end - at)
        if at == NULL:
            break
        found += 1
        at += 1
    return found


@cython.final
cdef class Members:
    cdef list names
    cdef int forms[MOST]
    cdef int time_at
    cdef uint64_t required
    cdef readonly int count

    def __init__(self, members, /):
        cdef int i = 0
        self.names = []
        self.time_at = -1
        self.required = 0
        for name, form in members:
            if i == MOST:
                raise ValueError(f"at most {MOST} members")
            self.names.append(name.encode())
            self.forms[i] = FORMS[form]
            if self.forms[i] == TIME:
                self.time_at = i
            if self.forms[i] <= REQUIRED_TEXT:
                self.required |= <uint64_t>1 << i
            i += 1
        self.count = i
        if self.time_at < 0:
            raise ValueError("a line has a time")

    def scan(self, bytes chunk not None, /):
        cdef Spans found
        cdef Py_ssize_t size = PyBytes_GET_SIZE(chunk)
        if not 0 < size < MOST_BYTES:
            return None
        found = Spans.__new__(Spans)
        found.chunk = chunk
        found.text = <const uint8_t *>PyBytes_AS_STRING(chunk)
        found.size = found.rows = count_lines(chunk)
        found.width = self.count
        found.take_memory()
        if not self.read(found):
            return None
        return found

    cdef bint read(self, Spans found):
        """Fill in where everything stands; False at the first line that is not plain."""
        cdef const uint8_t *text = found.text
        cdef Name[MOST] before
        cdef Name name
        cdef Number number
        cdef Span *span
        cdef Span span_of_value
        cdef Py_ssize_t row, at = 0, start, end = PyBytes_GET_SIZE(found.chunk)
        cdef int nth, known = 0
        cdef uint64_t seen
        cdef int form
        cdef uint8_t first
        for row in range(found.rows):
            found.starts[row] = <uint32_t>at
            at = blanks(text, at)
            if text[at] != c"{":
                return False
            at += 1
            seen = 0
            nth = 0
            while True:
                at = blanks(text, at)
                if text[at] != c'"':
                    return False
                at += 1
                if nth < known and is_written(text, at, end, text + before[nth].at, before[nth].size + 1):
                    name = before[nth]
                    at += name.size
                else:
                    start = at
                    at = plain_end(text, at, end)
                    if text[at] != c'"':
                        return False
                    name.at = <uint32_t>start
                    name.size = <uint32_t>(at - start)
                    name.member = self.member(text + start, at - start)
                    if nth < MOST:
                        before[nth] = name
                        known = nth + 1
                nth += 1
                at = blanks(text, at + 1)
                if text[at] != c":":
                    return False
                at = blanks(text, at + 1)
                form = UNWANTED
                if name.member >= 0:
                    form = self.forms[name.member]
                    if seen >> name.member & 1:
                        return False  # the decoder goes by the last of two
                    seen |= <uint64_t>1 << name.member
                span = &span_of_value
                if name.member >= 0:
                    span = found.spans + name.member * found.rows + row
                first = text[at]
                if first == c'"':
                    at += 1
                    start = at
                    at = plain_end(text, at, end)
                    if text[at] != c'"':
                        return False
                    span.at = <uint32_t>start
                    span.size = <int32_t>(at - start)
                    at += 1
                    if form > IDENTITY or form == TIME:
                        return False
                elif c"0" <= first <= c"9" or first == c"-":
                    start = at
                    at = read_number(text, at, &number)
                    if at < 0:
                        return False
                    if form == UNWANTED:
                        pass
                    elif not number.is_plain:
                        return False
                    elif form == TIME:
                        if not instant(&number, found.instants + row):
                            return False
                    elif form == DECIMAL:
                        if number.count > MOST_DIGITS or number.digits >= EXACT:
                            return False
                    elif form < IDENTITY or form == NOTHING or number.fraction or number.count > MOST_DIGITS:
                        return False
                    elif form == AMOUNT and number.digits > MOST_AMOUNT:
                        return False
                    span.at = <uint32_t>start | <uint32_t>NUMBER
                    span.size = <int32_t>(at - start)
                elif is_written(text, at, end, <const uint8_t *>b"null", 4):
                    if form == TIME or form == REQUIRED_TEXT:
                        return False
                    at += 4
                elif form == UNWANTED and is_written(text, at, end, <const uint8_t *>b"true", 4):
                    at += 4
                elif form == UNWANTED and is_written(text, at, end, <const uint8_t *>b"false", 5):
                    at += 5
                else:
                    return False
                at = blanks(text, at)
                if text[at] == c",":
                    at += 1
                elif text[at] == c"}":
                    at += 1
                    break
                else:
                    return False
            if seen & self.required != self.required:
                return False
            at = blanks(text, at)
            if text[at] == c"\n":
                at += 1
            elif row + 1 < found.rows:
                return False
        found.starts[found.rows] = <uint32_t>at
        return at == end

    cdef int member(self, const uint8_t *at, Py_ssize_t size):
        cdef int i
        cdef bytes name
        for i in range(self.count):
            name = <bytes>self.names[i]
            if PyBytes_GET_SIZE(name) == size and memcmp(PyBytes_AS_STRING(name), at, size) == 0:
                return i
        return UNWANTED


cdef inline Py_ssize_t blanks(const uint8_t *text, Py_ssize_t at) noexcept nogil:
    # A chunk ends with a zero that is not part of it, at which all of these stop.
    while text[at] == c" " or text[at] == c"\t" or text[at] == c"\r":
        at += 1
    return at


cdef extern from *:
    """
    /* How many bytes of eight stand for themselves in text, up to the first that does not. A byte that is taken
       from another borrows only from those behind it, so the first that is marked is marked rightly. */
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define KIN_EACH(byte) (0x0101010101010101ULL * (byte))
    static inline int kin_plain_run(const unsigned char *at)
    {
        uint64_t eight, quotes, slashes, others;
        memcpy(&eight, at, 8);
        quotes = eight ^ KIN_EACH(34) /* a quote */;
        slashes = eight ^ KIN_EACH(92) /* a backslash */;
        others = ((quotes - KIN_EACH(1)) & ~quotes) | ((slashes - KIN_EACH(1)) & ~slashes)
            | (eight - KIN_EACH(32)) | eight;
        others &= KIN_EACH(128);
        return others ? __builtin_ctzll(others) >> 3 : 8;
    }
    #else
    #define kin_plain_run(at) 0
    #endif
    """
    int plain_run "kin_plain_run"(const uint8_t *at) noexcept nogil


cdef inline Py_ssize_t plain_end(const uint8_t *text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Return where the first byte is that does not stand for itself in text."""
    cdef int run = 8
    while run == 8 and at + 8 <= end:
        run = plain_run(text + at)
        at += run
    while PLAIN[text[at]]:
        at += 1
    return at


cdef inline bint is_written(
    const uint8_t *text, Py_ssize_t at, Py_ssize_t end, const uint8_t *word, Py_ssize_t size
) noexcept nogil:
    """Return whether a word stands somewhere before the end."""
    return at + size <= end and memcmp(text + at, word, size) == 0


cdef inline bint is_digit(uint8_t byte) noexcept nogil:
    return c"0" <= byte <= c"9"


cdef inline Py_ssize_t read_number(const uint8_t *text, Py_ssize_t at, Number *number) noexcept nogil:
    """Read a number as JSON has it; return where it ends, -1 if it is none."""
    number.is_plain = text[at] != c"-"
    number.digits = 0
    number.count = 0
    number.fraction = 0
    at += not number.is_plain
    if not is_digit(text[at]) or text[at] == c"0" and is_digit(text[at + 1]):
        return -1
    while is_digit(text[at]):
        number.digits = number.digits * 10 + (text[at] - c"0")  # what is too long for it is told by `count`
        number.count += 1
        at += 1
    if text[at] == c".":
        at += 1
        if not is_digit(text[at]):
            return -1
        while is_digit(text[at]):
            number.digits = number.digits * 10 + (text[at] - c"0")
            number.count += 1
            number.fraction += 1
            at += 1
    if text[at] == c"e" or text[at] == c"E":
        number.is_plain = False
        at += 1
        at += text[at] == c"-" or text[at] == c"+"
        if not is_digit(text[at]):
            return -1
        while is_digit(text[at]):
            at += 1
    return at


cdef extern from *:
    """
    /* One rounding after the other, as in Python: a fused multiplication and addition rounds once. */
    static inline long long kin_nanoseconds(double seconds) {
        volatile double microseconds = seconds * 1e6;
        return (long long)(microseconds + 0.5) * 1000;
    }
    """
    int64_t nanoseconds_of "kin_nanoseconds"(double seconds) noexcept nogil


cdef inline bint instant(const Number *number, int64_t *found) noexcept nogil:
    """Write the nanoseconds of a time in seconds as `lab.records` reads it; False where it must look itself."""
    cdef double seconds
    if number.count > MOST_DIGITS or number.digits >= EXACT or number.fraction > MOST_FRACTION:
        return False
    if not number.fraction:
        found[0] = <int64_t>number.digits * 1_000_000_000
        return number.digits < <uint64_t>LATEST_S
    # Two exact floats: their quotient is the float next to what is written.
    seconds = <double>number.digits / POWERS[number.fraction]
    if seconds >= <double>LATEST_S:
        return False
    found[0] = nanoseconds_of(seconds)
    return True
