"""Signs of a signed value (a JWT, a session of itsdangerous, a PASETO): see `grammar`.

`sextets` is the table of base64url: the value of each letter, `NO_SEXTET` for all other bytes.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp

cdef enum:
    NO_SEXTET = 64
    MALFORMED = -1          # in place of a length


cdef inline bint is_base64url(const uint8_t *at, Py_ssize_t size, const uint8_t *sextets) noexcept nogil:
    """Return whether bytes are encoded here, without padding, and no bits are left over."""
    cdef uint8_t last = sextets[at[size - 1]], seen = 0
    cdef Py_ssize_t i
    if size & 3 == 1:
        return False
    for i in range(size):
        seen |= sextets[at[i]]
    return not seen & NO_SEXTET and not last & (15 if size & 3 == 2 else 3 if size & 3 == 3 else 0)


cdef inline bint begins_as_json(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """Return whether this is base64 of a `{` and what may follow it in JSON; or a session that is compressed."""
    if size < 4:
        return False
    if at[0] == c".":
        return at[1] == c"e" and at[2] == c"J"
    if at[0] != c"e":
        return False
    if at[1] == c"y":
        return at[2] == c"J" or at[2] == c"A"
    return at[1] == c"w" and (at[2] == c"o" or at[2] == c"0" or at[2] == c"k")


cdef inline Py_ssize_t unique_part(Py_ssize_t size) noexcept nogil:
    """Return how many letters of a signature's base64url are of r alone; 0 where it is no pair."""
    if size == 86:      # ES256, ES256K, Ed25519: 64 bytes; the letter between r and s has bits of both
        return 42
    if size == 128:     # ES384: 96 bytes
        return 64
    if size == 152:     # Ed448: 114 bytes
        return 76
    if size == 176:     # ES512: 132 bytes
        return 88
    return 0


cdef inline bint is_paseto(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """Return whether this begins as `v4.public.` or `v4.local.` does, of any version."""
    if size < 9 or at[0] != c"v" or not c"1" <= at[1] <= c"4" or at[2] != c".":
        return False
    return memcmp(at + 3, b"local.", 6) == 0 or size > 9 and memcmp(at + 3, b"public.", 7) == 0


cdef inline Py_ssize_t paseto_form(const uint8_t *at, Py_ssize_t size, const uint8_t *sextets) noexcept nogil:
    """Return what `signed_form` does of a PASETO: payload and signature are one part, and a footer may follow.

    What is signed is what was decoded. So each part is held to its one spelling.
    """
    cdef Py_ssize_t begin = 10 if at[3] == c"p" else 9, end, second
    end = begin
    while end < size and at[end] != c".":
        end += 1
    if end == begin or not is_base64url(at + begin, end - begin, sextets):
        return MALFORMED
    if end < size and (end + 1 == size or not is_base64url(at + end + 1, size - end - 1, sextets)):
        return MALFORMED
    if at[3] != c"p" or at[1] == c"1":
        return size  # encrypted, or signed by RSA
    second = 48 if at[1] == c"3" else 32
    if (end - begin) * 3 // 4 < 2 * second:
        return MALFORMED
    # Without s, and the footer behind it, which is signed.
    return begin + ((end - begin) * 3 // 4 - second) * 4 // 3


cdef inline Py_ssize_t signed_form(const uint8_t *at, Py_ssize_t size, const uint8_t *sextets) noexcept nogil:
    """Return how much of a value tells it from others; MALFORMED for a signed one with a second spelling.

    Libraries decode signatures leniently, and ignore junk, padding and the bits that are left over in
    the last letter. So one token has thousands of spellings. What is signed has one: base64url.

    An elliptic curve's signature is a pair, (r, s), and verifiers take n - s for s as well (of Ed25519 some take
    s + n). So s is left out. What stays, r, cannot be guessed either, and no two tokens of one text
    have the same r. Where a signature of that length is no pair (HS512), half of it still tells as much.
    """
    cdef Py_ssize_t i, begin, part = 0, kept
    if is_paseto(at, size):
        return paseto_form(at, size, sextets)
    if not begins_as_json(at, size):
        return size
    begin = size
    for i in range(1, size):
        if at[i] == c".":
            if i > begin and not is_base64url(at + begin, i - begin, sextets):
                return MALFORMED
            begin = i + 1
            part += 1
    if begin < size and not is_base64url(at + begin, size - begin, sextets):
        return MALFORMED
    if part != 2:
        return size  # encrypted, and so not to be changed; or no token
    kept = unique_part(size - begin)
    return begin + kept if kept else size
