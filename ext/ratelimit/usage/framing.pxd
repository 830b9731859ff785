# Documents, cut out of a stream: lines of server-sent events, messages of AWS event streams.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum Line:
    FIELD       # a line's field name comes
    SPACE       # `data:` was there; one space may follow
    PAYLOAD     # what `data` says
    OTHER       # another field, or a comment

cdef struct Lines:
    # WHATWG HTML, 9.2.6: fields are lines, an empty line ends an event; CR, LF and CRLF end a line.
    uint8_t line
    uint8_t name_size
    char name[4]
    uint8_t after_return    # a CR was there: an LF belongs to it
    uint8_t has_data        # of the event under way
    uint8_t head_size
    char head[6]            # its first bytes: `[DONE]`
    uint64_t size           # and how many there are

cdef enum:
    PRELUDE_BYTES = 12
    MOST_HEADER_BYTES = 1 << 17     # what the AWS encoding allows,
    MOST_FRAME_BYTES = 1 << 25      # and twice the largest message

cdef struct Frames:
    # The AWS event stream encoding: a prelude of two sizes and their CRC, headers, payload, a CRC of all.
    uint8_t prelude[PRELUDE_BYTES]
    uint32_t at                 # bytes of the message so far
    uint32_t size
    uint32_t payload_from
    uint32_t payload_to
    uint32_t crc                # of the bytes so far
    uint8_t check[4]

cdef extern from *:
    """
    static uint32_t kin_crc_table[256];
    static void kin_fill_crc(void) {
        uint32_t at, bit, value;
        for (at = 0; at < 256; at++) {
            value = at;
            for (bit = 0; bit < 8; bit++)
                value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
            kin_crc_table[at] = value;
        }
    }
    """
    uint32_t kin_crc_table[256]
    void kin_fill_crc() noexcept nogil


cdef inline uint32_t crc_more(uint32_t crc, const uint8_t *p, Py_ssize_t n) noexcept nogil:
    """Return the CRC-32 (IEEE 802.3) of bytes that follow others."""
    cdef Py_ssize_t i
    crc = ~crc
    for i in range(n):
        crc = kin_crc_table[(crc ^ p[i]) & 0xFF] ^ (crc >> 8)
    return ~crc


cdef inline uint32_t big_endian(const uint8_t *p) noexcept nogil:
    return <uint32_t>p[0] << 24 | <uint32_t>p[1] << 16 | <uint32_t>p[2] << 8 | p[3]
