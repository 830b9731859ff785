"""The one form of a value that a client writes: see the stub for the contract.

Theory of operation. Every byte has a kind, looked up in one table. A run of bytes is of a kind if
each of its bytes is, which is one pass without a branch. What is decoded (base64, percent
signs) is decoded at most once, and only after its length was found to be allowed.

In one file, since every form of a value is read by the same table of bytes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr

from ratelimit.core.request.signed cimport MALFORMED, NO_SEXTET, signed_form

import re
from unicodedata import is_normalized, normalize
from uuid import UUID

MALFORMED_VALUE = b""
FORMS = ("text", "credential", "int", "float", "uuid", "caseless")

cdef object INT = re.compile(rb"-?[0-9]+")
cdef object FLOAT = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
cdef object UUIDS = re.compile(rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

cdef enum:
    VISIBLE = 1     # visible ASCII, and the space
    TOKEN = 2       # RFC 9110, 5.6.2: names of schemes
    TOKEN68 = 4     # RFC 9110, 11.2, and b64token of RFC 6750, 2.1; without the `=` at its end
    OCTET = 8       # RFC 6265, 4.1.1: cookie-octet
    BLANK = 32      # what `str.strip` takes off a header that was decoded as Latin-1
    LONGEST_DECODED = 512   # bytes of what is read as a number, or normalised: that takes more than a pass

cdef uint8_t KINDS[256]
cdef uint8_t SEXTETS[256]       # values of RFC 4648, 4: base64
cdef uint8_t SEXTETS_URL[256]   # values of RFC 4648, 5: base64url

cdef int fill_tables() except -1:
    cdef int byte
    cdef object blanks = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"  # an object: C's characters have signs
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    for byte in range(256):
        KINDS[byte] = 0
        if 0x20 <= byte < 0x7F:
            KINDS[byte] |= VISIBLE
            if byte in letters + b"!#$%&'*+-.^_`|~":
                KINDS[byte] |= TOKEN
            if byte in letters + b"-._~+/":
                KINDS[byte] |= TOKEN68
            if byte not in b' ",;\\':
                KINDS[byte] |= OCTET
        if <object>byte in blanks:
            KINDS[byte] |= BLANK
        SEXTETS[byte] = SEXTETS_URL[byte] = NO_SEXTET
    for byte, letter in enumerate(letters + b"+/"):
        SEXTETS[<int>letter] = byte
    for byte, letter in enumerate(letters + b"-_"):
        SEXTETS_URL[<int>letter] = byte

fill_tables()


cdef inline bint is_all(const uint8_t *at, Py_ssize_t size, uint8_t kind) noexcept nogil:
    """Return whether each of these bytes is of a kind."""
    cdef uint8_t kinds = kind
    cdef Py_ssize_t i
    for i in range(size):
        kinds &= KINDS[at[i]]
    return kinds != 0


cdef inline Py_ssize_t trim(const uint8_t **at, Py_ssize_t size) noexcept nogil:
    """Leave out the blanks around a field's value, which are no part of it (RFC 9110, 5.5)."""
    while size and (at[0][0] == c" " or at[0][0] == c"\t"):
        at[0] += 1
        size -= 1
    while size and (at[0][size - 1] == c" " or at[0][size - 1] == c"\t"):
        size -= 1
    return size


cdef Py_ssize_t text_form(const uint8_t *at, Py_ssize_t size, const uint8_t **form) noexcept nogil:
    """Point to a header's value; return its length, 0 for an empty one, MALFORMED for what is not plain text."""
    cdef Py_ssize_t word
    if size > LONGEST_FORM:
        return MALFORMED
    form[0] = at
    size = trim(form, size)
    if not is_all(form[0], size, VISIBLE):
        return MALFORMED
    # Behind a scheme, too: a credential may be read as text.
    for word in range(size, 0, -1):
        if form[0][word - 1] == c" ":
            size = signed_form(form[0] + word, size - word, SEXTETS_URL)
            return size + word if size >= 0 else MALFORMED
    return signed_form(form[0], size, SEXTETS_URL)


cdef Py_ssize_t credential_form(const uint8_t *at, Py_ssize_t size, const uint8_t **form) except FAULT:
    """Point to the token of a credential; return its length, 0 for an empty line, or MALFORMED.

    The scheme is no part of it. Some frameworks read the token whatever the scheme, so each word in
    front of a token would otherwise be a caller of its own.
    """
    cdef Py_ssize_t scheme = 0, length
    if size > LONGEST_FORM:
        return MALFORMED
    form[0] = at
    size = trim(form, size)
    if size == 0:
        return 0
    at = form[0]
    while scheme < size and KINDS[at[scheme]] & TOKEN:
        scheme += 1
    if scheme == 0 or scheme == size or at[scheme] != c" ":
        return MALFORMED
    form[0] = at + scheme
    size -= scheme
    while form[0][0] == c" ":  # ends before the line's end, which is no space
        form[0] += 1
        size -= 1
    length = size
    while length and form[0][length - 1] == c"=":
        length -= 1
    if length == 0 or not is_all(form[0], length, TOKEN68):
        return MALFORMED
    if scheme == 5 and is_basic(at):
        return size if is_user_pass(form[0], size) else MALFORMED
    return signed_form(form[0], size, SEXTETS_URL)


cdef inline bint is_basic(const uint8_t *at) noexcept nogil:
    return (
        at[0] | 32 == c"b" and at[1] | 32 == c"a" and at[2] | 32 == c"s" and at[3] | 32 == c"i" and at[4] | 32 == c"c"
    )


cdef int is_user_pass(const uint8_t *at, Py_ssize_t size) except -1:
    """Return whether this is the base64 of a user and a password (RFC 7617, 2), spelled in the only way there is."""
    cdef uint8_t decoded[LONGEST_FORM]
    cdef uint8_t a, b, c, d
    cdef Py_ssize_t i, length = 0
    cdef bint has_colon = False, is_ascii = True
    if size & 3:
        return False
    for i in range(0, size, 4):
        a, b, c, d = SEXTETS[at[i]], SEXTETS[at[i + 1]], SEXTETS[at[i + 2]], SEXTETS[at[i + 3]]
        if (a | b) & NO_SEXTET:
            return False
        decoded[length] = a << 2 | b >> 4
        length += 1
        if (c | d) & NO_SEXTET:
            # Padding: at the end only, and no bits left over that a decoder drops.
            if i + 4 != size or at[i + 3] != c"=":
                return False
            if at[i + 2] == c"=":
                if b & 15:
                    return False
                break
            if c & (NO_SEXTET | 3):
                return False
            decoded[length] = (b & 15) << 4 | c >> 2
            length += 1
            break
        decoded[length] = (b & 15) << 4 | c >> 2
        decoded[length + 1] = (c & 3) << 6 | d
        length += 2
    for i in range(length):
        if decoded[i] < 0x20 or decoded[i] == 0x7F:
            return False  # RFC 7617: no control characters
        has_colon |= decoded[i] == c":"
        is_ascii &= decoded[i] < 0x80
    if not has_colon:
        return False
    return is_ascii or is_composed(PyBytes_FromStringAndSize(<char *>decoded, length))


cdef bint is_composed(bytes written):
    """Return whether this is text that frameworks, which normalise names, leave as it is."""
    if len(written) > LONGEST_DECODED:
        return False
    try:
        text = written.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return is_normalized("NFKC", text)


def text(bytes line not None, /):
    cdef const uint8_t *form = NULL
    cdef Py_ssize_t length = text_form(<const uint8_t *>PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), &form)
    return made(form, length)


def credential(bytes line not None, /):
    cdef const uint8_t *form = NULL
    cdef Py_ssize_t length = credential_form(<const uint8_t *>PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), &form)
    return made(form, length)


cdef inline object made(const uint8_t *form, Py_ssize_t length):
    if length == 0:
        return None
    return MALFORMED_VALUE if length < 0 else PyBytes_FromStringAndSize(<const char *>form, length)


def cookie(lines, bytes name not None, /):
    cdef const uint8_t *at
    cdef const uint8_t *end
    cdef const uint8_t *stop
    cdef const uint8_t *equals
    cdef const uint8_t *value = NULL
    cdef Py_ssize_t length = 0
    cdef bytes line
    cdef int found = 0, named
    for line in lines:
        at = <const uint8_t *>PyBytes_AS_STRING(line)
        end = at + PyBytes_GET_SIZE(line)
        while at < end:
            stop = <const uint8_t *>memchr(at, c";", end - at)
            if stop == NULL:
                stop = end
            equals = <const uint8_t *>memchr(at, c"=", stop - at)
            if equals != NULL:
                named = is_named(at, equals, name)
                if named:
                    if found or named < 0:
                        return MALFORMED_VALUE
                    found = 1
                    value = equals + 1
                    length = trim(&value, stop - value)
            at = stop + 1
    if not found:
        return None
    return cookie_form(value, length)  # inside one of `lines`, which the caller holds


cdef int is_named(const uint8_t *at, const uint8_t *end, bytes name):
    """Return 1 for a cookie's name as it is, -1 for one that only some frameworks read as this one, else 0.

    Some frameworks decode percent signs, some take off more than the spaces that a cookie may have
    around it. Each byte of what was written is looked at once, and no more of them than the name has.
    """
    cdef const uint8_t *wanted = <const uint8_t *>PyBytes_AS_STRING(name)
    cdef const uint8_t *last = wanted + PyBytes_GET_SIZE(name)
    cdef bint is_plain = True
    cdef int high, low
    cdef uint8_t byte
    while at < end and KINDS[at[0]] & BLANK:
        is_plain &= at[0] == c" " or at[0] == c"\t"
        at += 1
    while end > at and KINDS[end[-1]] & BLANK:
        is_plain &= end[-1] == c" " or end[-1] == c"\t"
        end -= 1
    while at < end and wanted < last:
        byte = at[0]
        at += 1
        if byte == c"%" and end - at >= 2:
            high, low = digit(at[0]), digit(at[1])
            if high >= 0 and low >= 0 and not (wanted[0] == c"%" and high << 4 | low != c"%"):
                byte = high << 4 | low
                at += 2
                is_plain = False
        if byte != wanted[0]:
            return 0
        wanted += 1
    if at != end or wanted != last:
        return 0
    return 1 if is_plain else -1


cdef inline int digit(uint8_t byte) noexcept nogil:
    """Return what a hexadecimal digit stands for, -1 for another byte."""
    if c"0" <= byte <= c"9":
        return byte - c"0"
    byte |= 32
    return byte - c"a" + 10 if c"a" <= byte <= c"f" else -1


def cookie_value(bytes written not None, /):
    return cookie_form(<const uint8_t *>PyBytes_AS_STRING(written), PyBytes_GET_SIZE(written))


cdef object cookie_form(const uint8_t *at, Py_ssize_t size):
    """Return a cookie's value without its quotes, percent signs decoded once; None for an empty one."""
    cdef bytes decoded
    if size > LONGEST_FORM:
        return MALFORMED_VALUE
    if size > 1 and at[0] == c'"' == at[size - 1]:
        at += 1
        size -= 2
    if size == 0:
        return None
    if not is_all(at, size, OCTET):
        return MALFORMED_VALUE
    if memchr(at, c"%", size) == NULL:
        size = signed_form(at, size, SEXTETS_URL)
        return MALFORMED_VALUE if size < 0 else PyBytes_FromStringAndSize(<const char *>at, size)
    decoded = unescaped(at, size)
    size = signed_form(<const uint8_t *>PyBytes_AS_STRING(decoded), PyBytes_GET_SIZE(decoded), SEXTETS_URL)
    if size < 0:
        return MALFORMED_VALUE
    decoded = decoded[:size]
    # Some frameworks take the quotes for a part of the value: these would be two spellings again.
    if decoded[0] == c'"' == decoded[-1]:
        return MALFORMED_VALUE
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError:
        return MALFORMED_VALUE  # frameworks put one character in place of all that is not UTF-8
    return decoded


cdef bytes unescaped(const uint8_t *at, Py_ssize_t size):
    """Return bytes with their percent escapes decoded once; what is no escape stays as it is."""
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef uint8_t *into = <uint8_t *>PyBytes_AS_STRING(made)  # no other code has it before it is filled
    cdef Py_ssize_t i = 0, length = 0
    while i < size:
        into[length] = at[i]
        if at[i] == c"%" and i + 2 < size and digit(at[i + 1]) >= 0 and digit(at[i + 2]) >= 0:
            into[length] = digit(at[i + 1]) << 4 | digit(at[i + 2])
            i += 2
        length += 1
        i += 1
    return made if length == size else made[:length]


def unescape(bytes value not None, /):
    return unescaped(<const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


def segment(bytes value not None, /):
    if len(value) > LONGEST_FORM:
        return MALFORMED_VALUE
    # Decoded once, by the server. Some frameworks decode once more what is left.
    return MALFORMED_VALUE if unescaped(<const uint8_t *>PyBytes_AS_STRING(value), len(value)) != value else value


def formed(bytes value not None, str form not None, /):
    if form == "text" or form == "credential":
        return value if len(value) <= LONGEST_FORM else MALFORMED_VALUE
    if len(value) > LONGEST_DECODED:
        return MALFORMED_VALUE
    if form == "int":
        return int_form(value)
    if form == "float":
        return float_form(value)
    if form == "uuid":
        return str(UUID(value.decode("ascii"))).encode("ascii") if UUIDS.fullmatch(value) else MALFORMED_VALUE
    if form == "caseless":
        return caseless_form(value)
    raise ValueError(f"`{form}` is not a form")


def canonical(str reading not None, str form not None, bytes value not None, /):
    found = value
    if reading == "line" and form == "credential":
        found = credential(value) or credential(b"token " + value)  # written with its scheme or without
    elif reading == "line":
        found = text(value)
    elif reading == "cookie":
        found = cookie_value(value) or value
    elif reading == "segment":
        found = segment(value)
    return formed(found, form) if found else MALFORMED_VALUE


cdef bytes int_form(bytes value):
    # Not by way of a number: Python refuses to make one of thousands of digits, and takes long for hundreds.
    if INT.fullmatch(value) is None:
        return MALFORMED_VALUE
    digits = value.lstrip(b"-0")
    if not digits:
        return b"0"
    return b"-" + digits if value[0] == c"-" else digits


cdef bytes float_form(bytes value):
    if FLOAT.fullmatch(value) is None:
        return MALFORMED_VALUE
    number = float(value) + 0.0  # there is one zero
    return MALFORMED_VALUE if number - number else repr(number).encode("ascii")


cdef bytes caseless_form(bytes value):
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return MALFORMED_VALUE
    if not text or text != text.strip():
        return MALFORMED_VALUE  # databases that ignore case ignore blanks at the end, too
    return normalize("NFKC", normalize("NFKC", text).casefold()).encode("utf-8")
