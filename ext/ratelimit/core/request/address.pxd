"""Client addresses read from text, compared by their bits and never by their spelling.

An IPv6 address that carries an IPv4 address is a client with that IPv4 address, and counts as
one. Else all clients of one translator would share one /64. See `translate`.

Leaf arithmetic on checked runs of bytes, hence `noexcept nogil` throughout. Strict where
parsers differ: no leading zeros in IPv4 (some take them for octal), groups of an IPv6
address of four digits at most. A test holds it equal to `ipaddress`.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy, memset

cdef struct Address:
    int width           # 32 or 128 bits; 0: none
    uint8_t octets[16]  # the first `width // 8` of them, in network order


cdef enum:
    MOST_TRANSLATIONS = 16

cdef struct Translation:
    int length          # of the prefix, in bits: 32, 40, 48, 56, 64 or 96
    uint8_t octets[16]

cdef struct Declared:
    int count
    Translation prefixes[MOST_TRANSLATIONS]  # the longest first


cdef inline Address read_address(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """Return the address that some UTF-8 text spells.

    Accepts a port, brackets, a zone, surrounding blanks and double quotes (as in
    `Forwarded`). An IPv4-mapped IPv6 address is the IPv4 address.
    """
    cdef Address found
    cdef Py_ssize_t i, end, colons = 0
    found.width = 0
    while size and (at[0] == c" " or at[0] == c"\t"):
        at += 1
        size -= 1
    while size and (at[size - 1] == c" " or at[size - 1] == c"\t"):
        size -= 1
    if size > 1 and at[0] == c'"' and at[size - 1] == c'"':
        at += 1
        size -= 2
    if size and at[0] == c"[":
        end = find_byte(at, size, c"]")
        if end < size and (end + 1 == size or is_port(at + end + 1, size - end - 1)):
            read_v6(at + 1, end - 1, &found)
        return found
    for i in range(size):
        colons += at[i] == c":"
    if colons > 1:
        read_v6(at, size, &found)
        return found
    end = find_byte(at, size, c":")
    if (end == size or is_port(at + end, size - end)) and read_v4(at, end, found.octets):
        found.width = 32
    return found


cdef inline Py_ssize_t find_byte(const uint8_t *at, Py_ssize_t size, uint8_t byte) noexcept nogil:
    """Return where a byte is first, `size` when it is nowhere."""
    cdef Py_ssize_t i = 0
    while i < size and at[i] != byte:
        i += 1
    return i


cdef inline bint is_port(const uint8_t *at, Py_ssize_t size) noexcept nogil:
    """Return whether this is a colon and one to five digits."""
    cdef Py_ssize_t i
    if size < 2 or size > 6 or at[0] != c":":
        return False
    for i in range(1, size):
        if not c"0" <= at[i] <= c"9":
            return False
    return True


cdef inline bint read_v4(const uint8_t *at, Py_ssize_t size, uint8_t *octets) noexcept nogil:
    """Fill four octets and return True, or return False: four decimal numbers with three dots."""
    cdef Py_ssize_t i = 0
    cdef int octet, value, digits
    for octet in range(4):
        value = 0
        digits = 0
        while i < size and digits < 3 and c"0" <= at[i] <= c"9":
            if digits and value == 0:
                return False  # a leading zero
            value = value * 10 + (at[i] - c"0")
            digits += 1
            i += 1
        if digits == 0 or value > 255:
            return False
        octets[octet] = <uint8_t>value
        if octet < 3:
            if i >= size or at[i] != c".":
                return False
            i += 1
    return i == size


cdef inline int hex_digit(uint8_t byte) noexcept nogil:
    if c"0" <= byte <= c"9":
        return byte - c"0"
    byte |= 0x20
    return byte - c"a" + 10 if c"a" <= byte <= c"f" else -1


cdef inline void read_v6(const uint8_t *at, Py_ssize_t size, Address *found) noexcept nogil:
    """Fill `found` with an IPv6 address, or with the IPv4 address it maps; leave it if it is none."""
    cdef uint8_t octets[16]
    cdef Py_ssize_t i = 0, start, end = find_byte(at, size, c"%")
    cdef int used = 0, gap = -1, digits, value
    if end + 1 == size:
        return  # a zone without a name
    # The zone names an interface of the host that wrote it: it says nothing here.
    if end and at[0] == c":":
        if end < 2 or at[1] != c":":
            return
        gap = 0
        i = 2
    while i < end:
        start = i
        value = 0
        digits = 0
        while i < end and digits < 4 and hex_digit(at[i]) >= 0:
            value = value << 4 | hex_digit(at[i])
            digits += 1
            i += 1
        if i < end and at[i] == c".":
            if used > 12 or not read_v4(at + start, end - start, octets + used):
                return
            used += 4
            break
        if digits == 0 or used > 14:
            return
        octets[used] = <uint8_t>(value >> 8)
        octets[used + 1] = <uint8_t>(value & 255)
        used += 2
        if i == end:
            break
        if at[i] != c":" or i + 1 == end:
            return
        i += 1
        if at[i] == c":":
            if gap >= 0:
                return
            gap = used
            i += 1
    if gap < 0:
        if used != 16:
            return
        gap = 16
    elif used > 14:
        return  # two colons stand for one group at least
    memset(found.octets, 0, 16)
    memcpy(found.octets, octets, gap)
    memcpy(found.octets + 16 - (used - gap), octets + gap, used - gap)
    found.width = 128
    for i in range(10):
        if found.octets[i]:
            return
    if found.octets[10] == 255 and found.octets[11] == 255:
        memcpy(found.octets, found.octets + 12, 4)
        found.width = 32


cdef inline bint carried(const uint8_t *octets, int length, uint8_t *v4) noexcept nogil:
    """Write the IPv4 address behind a translation prefix (RFC 6052, 2.2); False if octet 8 is not zero."""
    cdef int i, at = length >> 3
    if length < 96 and octets[8]:
        return False
    for i in range(4):
        at += at == 8  # bits 64 to 71 are left out
        v4[i] = octets[at]
        at += 1
    return True


cdef inline bint is_global(const uint8_t *v4) noexcept nogil:
    """Return whether an IPv4 address can be a tunnel's end: not this host's, private, link-local or multicast."""
    return not (
        v4[0] == 0 or v4[0] == 10 or v4[0] == 127 or v4[0] >= 224 or v4[0] == 169 and v4[1] == 254
        or v4[0] == 172 and v4[1] >> 4 == 1 or v4[0] == 192 and v4[1] == 168
    )


cdef inline int local_length(const uint8_t *octets) noexcept nogil:
    """Return where an address in 64:ff9b:1::/48 carries its IPv4 address; the policy may say it better.

    Of a prefix shorter than 96 bits what follows the IPv4 address is zero.
    """
    if octets[8] or octets[13] or octets[14] or octets[15]:
        return 96
    return 64 if octets[12] else 56 if octets[11] else 48


cdef inline bint carries(const uint8_t *octets, uint8_t *v4) noexcept nogil:
    """Write the IPv4 address that an IPv6 address is known to carry; False if it carries none."""
    cdef int i, zeros = 0
    if octets[0] == 0x20:
        if octets[1] == 0x02:  # 6to4 (RFC 3056): the site's own address, where answers are sent to
            memcpy(v4, octets + 2, 4)
            return is_global(v4)
        if octets[1] == 0x01 and octets[2] == 0 and octets[3] == 0:  # Teredo (RFC 4380): the client's, inverted
            for i in range(4):
                v4[i] = octets[12 + i] ^ 0xFF
            return is_global(v4)
        return False
    if octets[0]:
        return False
    while zeros < 12 and octets[zeros] == 0:
        zeros += 1
    if zeros == 12 and octets[12] or zeros == 8 and octets[8] == 0xFF and octets[9] == 0xFF and not (octets[10] or octets[11]):
        memcpy(v4, octets + 12, 4)  # IPv4-compatible (RFC 4291, 2.5.5.1), or IPv4-translated (RFC 2765)
        return True
    if octets[1] != 0x64 or octets[2] != 0xFF or octets[3] != 0x9B or octets[4]:
        return False
    if octets[5] == 1:  # local use (RFC 8215)
        return carried(octets, local_length(octets), v4)
    for i in range(5, 12):
        if octets[i]:
            return False
    memcpy(v4, octets + 12, 4)  # well-known (RFC 6052)
    return True


cdef inline bint translate(Address *address, const Declared *declared) noexcept nogil:
    """Replace an IPv6 address by the IPv4 address it carries; False if it carries none.

    Declared prefixes come first. Where the protocol has octet 8 zero and it is not, or a tunnel's
    end is no global address, nothing is carried.
    """
    cdef uint8_t v4[4]
    cdef const Translation *prefix
    cdef int i
    if address.width != 128:
        return False
    for i in range(declared.count):
        prefix = &declared.prefixes[i]
        if memcmp(prefix.octets, address.octets, prefix.length >> 3) == 0:
            if not carried(address.octets, prefix.length, v4):
                return False
            break
    else:
        if not carries(address.octets, v4):
            return False
    memcpy(address.octets, v4, 4)
    address.width = 32
    return True


cdef inline Py_ssize_t write_prefix(const Address *address, int v4, int v6, uint8_t *at) noexcept nogil:
    """Write the network an address is in, as bytes that differ between networks; return how many (at most 17).

    The prefix length comes first, so that a /24 never equals a /25.
    """
    cdef int length = v4 if address.width == 32 else v6
    cdef int size = address.width >> 3, whole = length >> 3
    at[0] = <uint8_t>length
    memset(at + 1, 0, size)
    memcpy(at + 1, address.octets, whole)
    if length & 7:
        at[1 + whole] = address.octets[whole] & <uint8_t>(0xFF00 >> (length & 7))
    return 1 + size
