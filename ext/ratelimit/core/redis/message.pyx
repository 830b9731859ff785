"""A call of a script as bytes: numbers as MessagePack, words as the server's protocol. See the stub for the contract."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Keys
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from ratelimit.core.memory.number cimport NEGATIVE, NO_NUMBER, WHOLE, read_number

cdef enum:
    # First bytes of MessagePack's numbers; those up to 127, and down to -32, are their own.
    MOST_PLAIN = 0x7F
    LEAST_PLAIN = 32
    FALSE = 0xC2
    UNSIGNED = 0xCC  # of 1 byte; of 2, 4 and 8 with the three that follow
    SIGNED = 0xD0
    FEW = 0x90       # of a list of up to 15; of 2 and 4 bytes of length:
    MANY = 0xDC
    MOST_LISTED = 15


def script_call(bytes head not None, keys, tuple opening not None, bytes described not None, list items not None, /):
    return call_text(head, keys, opening, described, items)


cdef bytes call_text(bytes head, object keys, tuple opening, bytes described, list items):
    """Return a call of a script as bytes."""
    cdef list names = PyDict_Keys(keys) if type(keys) is dict else list(keys)
    cdef bytes name, text
    cdef char *to
    cdef Py_ssize_t count = len(names), payload, size
    if head is None or described is None:
        raise TypeError("what is sent is bytes")
    payload = PyBytes_GET_SIZE(described)
    # Nothing of Python's runs from here on: what is measured is what is written.
    for number in opening:
        payload += number_size(number)
    for number in items:
        payload += number_size(number)
    size = head_size(count + 4) + PyBytes_GET_SIZE(head) + word_size(digits_of(count)) + word_size(payload)
    for name in names:
        if name is None:
            raise TypeError("a key is bytes")
        size += word_size(PyBytes_GET_SIZE(name))
    text = PyBytes_FromStringAndSize(NULL, size)
    to = put_head(PyBytes_AS_STRING(text), c"*", count + 4)
    to = put(to, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
    to = put_head(to, c"$", digits_of(count))
    to = put_end(put_digits(to, count))
    for name in names:
        to = put_head(to, c"$", PyBytes_GET_SIZE(name))
        to = put_end(put(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)))
    to = put_head(to, c"$", payload)
    for number in opening:
        to = put_number(to, number)
    to = put(to, PyBytes_AS_STRING(described), PyBytes_GET_SIZE(described))
    for number in items:
        to = put_number(to, number)
    put_end(to)
    return text


# -- MessagePack ------------------------------------------------------------------------------------


def numbers_in(bytes text not None, /):
    return numbers_of(text)


cdef list numbers_of(bytes text):
    """Return the integers of a list; ValueError for anything else."""
    cdef const uint8_t *at = <const uint8_t *>PyBytes_AS_STRING(text)
    cdef const uint8_t *end = at + PyBytes_GET_SIZE(text)
    cdef uint64_t count, value
    cdef uint8_t first
    cdef int size
    cdef list found = []
    if at == end:
        raise ValueError("nothing")
    first = at[0]
    at += 1
    if FEW <= first < FEW + 16:
        count = first - FEW
    elif first == MANY or first == MANY + 1:
        size = 2 if first == MANY else 4
        if end - at < size:
            raise ValueError("a list that is cut short")
        count = big_endian(at, size)
        at += size
    else:
        raise ValueError("no list")
    if count > <uint64_t>(end - at):
        raise ValueError("a list that is cut short")
    while count:
        count -= 1
        if at == end:
            raise ValueError("a list that is cut short")
        first = at[0]
        at += 1
        if first <= MOST_PLAIN:
            found.append(first)
        elif first >= 256 - LEAST_PLAIN:
            found.append(<int>first - 256)
        elif UNSIGNED <= first < SIGNED + 4:
            size = 1 << ((first - UNSIGNED) & 3)
            if end - at < size:
                raise ValueError("a number that is cut short")
            value = big_endian(at, size)
            at += size
            if first < SIGNED:
                found.append(value)
            else:  # the sign is carried up to 64 bits
                found.append(<int64_t>(value << (64 - 8 * size)) >> (64 - 8 * size))
        else:
            raise ValueError("no integer")
    if at != end:
        raise ValueError("more than a list")
    return found


cdef inline uint64_t big_endian(const uint8_t *at, int size) noexcept:
    cdef uint64_t value = 0
    cdef int i
    for i in range(size):
        value = value << 8 | at[i]
    return value


cdef int number_size(object number) except -1:
    """Return how many bytes an integer of 64 bits takes, or False, or a list of up to 15 integers."""
    cdef uint64_t value
    cdef int kind, size = 1
    if number is False:
        return 1
    if type(number) is list:
        if len(<list>number) > MOST_LISTED:
            raise OverflowError("a list that is sent has 15 integers at most")
        for each in <list>number:
            size += number_size(each)
        return size
    kind = read_number(number, &value)
    if kind == NO_NUMBER:
        raise TypeError(f"an integer is sent, not {type(number).__name__}")
    if kind == WHOLE and value <= MOST_PLAIN or kind == NEGATIVE and 0 < value <= LEAST_PLAIN:
        return 1
    if kind != WHOLE and (kind != NEGATIVE or not 0 < value <= <uint64_t>1 << 63):
        raise OverflowError("an integer that is sent has 64 bits")
    return 1 + (1 << width_of(kind, value))


cdef inline int width_of(int kind, uint64_t value) noexcept:
    """Return how often 8 bits are doubled to hold a number."""
    if kind == NEGATIVE:
        value = (value - 1) << 1  # with its sign
    return (value > 0xFF) + (value > 0xFFFF) + (value > 0xFFFFFFFF)


cdef inline char *put_number(char *to, object number) noexcept:
    """Write a number that has a size."""
    cdef uint64_t value
    cdef int kind, width, i
    if number is False:
        to[0] = <char>FALSE
        return to + 1
    if type(number) is list:
        to[0] = <char>(FEW + len(<list>number))
        to += 1
        for each in <list>number:
            to = put_number(to, each)
        return to
    kind = read_number(number, &value)
    if kind == NEGATIVE and value > LEAST_PLAIN or kind == WHOLE and value > MOST_PLAIN:
        width = width_of(kind, value)
        to[0] = <char>((UNSIGNED if kind == WHOLE else SIGNED) + width)
        width = 1 << width
    else:
        width = 1
        to -= 1  # a number that is its own first byte
    if kind == NEGATIVE:
        value = 0 - value
    for i in range(width):
        to[width - i] = <char>(value & 0xFF)
        value >>= 8
    return to + 1 + width


# -- the server's protocol --------------------------------------------------------------------------


def whole_string(const uint8_t[::1] buffer not None, Py_ssize_t count, /):
    return None if count > buffer.shape[0] else string_of(&buffer[0], count)


cdef object string_of(const uint8_t *text, Py_ssize_t count):
    """Return the string of a reply of so many bytes, if they are one such reply and no more; else None."""
    cdef Py_ssize_t at = 1, size = 0
    if count <= 5 or text[0] != c"$":
        return None
    while at < count and at < 9 and c"0" <= text[at] <= c"9":
        size = size * 10 + (text[at] - c"0")
        at += 1
    if at == 1 or count != at + size + 4:
        return None
    if memcmp(text + at, b"\r\n", 2) != 0 or memcmp(text + count - 2, b"\r\n", 2) != 0:
        return None
    return PyBytes_FromStringAndSize(<const char *>text + at + 2, size)


cdef inline int digits_of(Py_ssize_t number) noexcept:
    cdef int digits = 1
    while number > 9:
        number //= 10
        digits += 1
    return digits


cdef inline Py_ssize_t head_size(Py_ssize_t number) noexcept:
    return 1 + digits_of(number) + 2


cdef inline Py_ssize_t word_size(Py_ssize_t size) noexcept:
    """Return how many bytes a word of so many takes."""
    return head_size(size) + size + 2


cdef inline char *put(char *to, const char *text, Py_ssize_t size) noexcept:
    memcpy(to, text, size)
    return to + size


cdef inline char *put_end(char *to) noexcept:
    return put(to, b"\r\n", 2)


cdef inline char *put_digits(char *to, Py_ssize_t number) noexcept:
    cdef int digits = digits_of(number)
    cdef int i
    for i in range(digits):
        to[digits - 1 - i] = <char>(c"0" + number % 10)
        number //= 10
    return to + digits


cdef inline char *put_head(char *to, char kind, Py_ssize_t number) noexcept:
    to[0] = kind
    return put_end(put_digits(to + 1, number))
