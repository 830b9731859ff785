# A JSON tokenizer that is fed in pieces and keeps nothing but where it is.
#
# Theory of operation. A stack says for each open object or array which node of the trie it is,
# -1 where the trie knows nothing there. Strings at such places are only looked through for their
# end. Values at the others go into an `Event`, which means nothing until its document is whole.
# The reader takes it over then, or throws it away. So what stands in a string is never read as a
# key. A document may be cut at any byte, and takes the same memory at any length.
#
# RFC 8259 but for numbers, which may begin with zeros. Strings are checked to be UTF-8. A number may stand in a
# string, as Google's mapping of 64 bits has it. Anything else in the place of a number is strange.
#
# In one file, since every state is entered from others, and inlined where a byte is read.

from libc.stdint cimport int16_t, uint8_t, uint16_t, uint32_t, uint64_t

from ratelimit.usage.event cimport LONGEST_NAME, LONGEST_PART_NAME, LONGEST_TIER, PART_NUMBERS, Event, begin_part, end_part, speak
from ratelimit.usage.paths cimport (
    ADDED, CANDIDATE, CHOICE, CLOSING, COUNT, DELTA, FINISH, FLAG, IDENTITY, INDEX, INNER, LARGEST_OF, LONGEST_KEY,
    MARK, MOST, NAME, NUMBER, OF_PART, PART, PART_NAME, SORT, SORT_COUNT, SORTED, TEXT, TIER, TURN, TURN_OF_MANY, TYPE,
    WRONG, Trie, child_of,
)

cdef enum:
    MOST_DEPTH = 256
    KEY = 64            # a string's use, beside the kinds of nodes
    SKIPPED = 65
    NO_NUMBER = 255     # of a string: it is none

cdef enum State:
    VALUE           # a value comes
    FIRST_VALUE     # likewise, or the end of the array
    FIRST_KEY       # a key comes, or the end of the object
    NEXT_KEY
    COLON
    AFTER           # a comma, or the end of what is open
    STRING
    ESCAPE
    HEX
    DIGITS
    LITERAL
    DONE            # the document is whole
    BAD             # it is no JSON

cdef struct Scan:
    uint8_t state
    uint8_t use             # of the string, number or literal under way
    uint8_t slot
    uint8_t need            # bytes that complete a character,
    uint8_t low             # and the range of the next one
    uint8_t high
    uint8_t hex_count
    uint8_t sextet_count
    uint8_t is_negative
    uint8_t is_broken       # the number has a fraction or an exponent,
    uint8_t part            # and which of the two is under way: 0 neither, 1 the fraction, 2 the exponent
    uint8_t is_small        # the exponent is negative
    uint8_t has_more        # digits that are beyond what is kept
    uint8_t lacks           # what the number needs next: 1 a digit, 2 a digit or a sign, 0 nothing; NO_NUMBER
    uint8_t reason          # bytes of a reason to finish that are those of one by its maximum; 255: not
    int16_t exponent
    int16_t places          # digits behind the point
    uint8_t key_size
    uint8_t at_unit         # a document, or an element of a list of documents, has just ended
    uint8_t literal_at
    uint8_t literal         # its first letter
    uint16_t depth
    int16_t node            # of the value to come
    uint64_t factor         # millionths that the number under way is multiplied with; 0: none
    uint32_t code
    uint32_t sextets
    uint64_t number
    int16_t nodes[MOST_DEPTH]
    uint8_t lists[MOST_DEPTH]
    char key[LONGEST_KEY]

cdef extern from *:
    """
    #define KIN_MOST_NUMBER ((uint64_t)1 << 40)
    #define KIN_MOST_SCALED ((uint64_t)1 << 60)
    /* A decimal number times millionths, rounded up. */
    static uint64_t kin_scaled(uint64_t digits, int power, uint64_t millionths, uint64_t most) {
        unsigned __int128 value = (unsigned __int128)digits * (millionths ? millionths : 1);
        if (!millionths)
            power += 6;
        power -= 6;
        for (; power > 0 && value <= (unsigned __int128)most; power--)
            value *= 10;
        for (; power < 0 && value > 1; power++)
            value = (value + 9) / 10;
        return value > (unsigned __int128)most ? most : (uint64_t)value;
    }
    /* Whether a key names tokens. */
    static int kin_of_tokens(const char *key, int size) {
        return (size >= 6 && !memcmp(key + size - 5, "okens", 5))
            || (size >= 10 && (!memcmp(key + size - 10, "TokenCount", 10) || !memcmp(key + size - 10, "oken_count", 10)));
    }
    static int kin_of_details(const char *key, int size) {
        return size >= 8 && (!memcmp(key + size - 6, "etails", 6) || !memcmp(key + size - 8, "modality", 8));
    }
    static const char *kin_literal(unsigned char first) {
        return first == 't' ? "true" : first == 'f' ? "false" : "null";
    }
    static const char *kin_length(void) {
        return "length";
    }
    /* 1: a plain byte of a string. */
    static unsigned char kin_plain[256];
    static unsigned char kin_sextet[256];
    static void kin_fill(void) {
        const char *letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        int at;
        for (at = 0; at < 256; at++) {
            kin_plain[at] = at >= 0x20 && at < 0x80 && at != '"' && at != '\\\\';
            kin_sextet[at] = 64;
        }
        for (at = 0; at < 64; at++)
            kin_sextet[(unsigned char)letters[at]] = (unsigned char)at;
    }
    """
    uint64_t MOST_NUMBER "KIN_MOST_NUMBER"
    uint64_t MOST_SCALED "KIN_MOST_SCALED"
    uint64_t kin_scaled(uint64_t digits, int power, uint64_t millionths, uint64_t most) noexcept nogil
    bint kin_of_tokens(const char *key, int size) noexcept nogil
    bint kin_of_details(const char *key, int size) noexcept nogil
    const char *kin_literal(unsigned char first) noexcept nogil
    const char *kin_length() noexcept nogil
    uint8_t kin_plain[256]
    uint8_t kin_sextet[256]
    void kin_fill() noexcept nogil


# noexcept nogil, all of them: they touch C structures alone, and check their sizes here.

cdef inline void begin(Scan *s) noexcept nogil:
    s.state = VALUE
    s.depth = 0
    s.node = 0
    s.need = 0
    s.at_unit = 0


cdef inline void end_value(Scan *s) noexcept nogil:
    if s.depth == 0:
        s.state = DONE
        s.at_unit = 1
    else:
        s.state = AFTER
        if s.depth == 1 and s.lists[0] and s.nodes[0] == 0:
            s.at_unit = 1


cdef inline void push(Scan *s, uint8_t is_list) noexcept nogil:
    if s.depth >= MOST_DEPTH:
        s.state = BAD
        return
    s.nodes[s.depth] = s.node
    s.lists[s.depth] = is_list
    s.depth += 1
    s.state = FIRST_VALUE if is_list else FIRST_KEY


cdef inline void begin_value(Scan *s, Event *e, const Trie *t, Scan *inner, uint8_t c) noexcept nogil:
    cdef uint8_t kind = 0
    if s.node >= 0:
        kind = t.nodes[s.node].kind
        s.slot = t.nodes[s.node].slot
        if kind == CHOICE:
            e.has_choice = 1
        elif kind == CANDIDATE:
            e.is_listed = 1
        elif kind == WRONG:
            e.is_wrong |= c == b'{' or c == b'"'
        elif kind == MOST:
            e.odd += c != b'n' and not b'0' <= c <= b'9'
        elif kind == COUNT and (c == b'"' or c == b'[' or c == b'{'):
            if not e.have >> s.slot & 1:
                e.values[s.slot] = 0
                e.have |= <uint32_t>1 << s.slot
            e.values[s.slot] += 1
        elif kind == MARK:
            e.values[s.slot] = 1
            e.have |= <uint32_t>1 << s.slot
    elif s.depth and not s.lists[s.depth - 1] and s.nodes[s.depth - 1] >= 0 and t.nodes[s.nodes[s.depth - 1]].is_usage:
        # What else stands beside the numbers of a usage may be more of it.
        if b'1' <= c <= b'9':
            e.strange |= kin_of_tokens(s.key, s.key_size)
        elif c == b'[' and s.key_size <= LONGEST_KEY:
            e.strange |= not kin_of_details(s.key, s.key_size)
    s.use = SKIPPED
    if is_numeric(kind):
        # A cost may be a number, or an object with costs.
        e.strange |= c == b't' or c == b'f' or c == b'[' or (c == b'{' and not t.nodes[s.node].has_keys)
    if c == b'"':
        s.state = STRING
        if TEXT <= kind <= INNER or kind == IDENTITY or kind == PART_NAME or kind == TIER or kind == SORT:
            s.use = kind
        elif is_numeric(kind):
            s.use = kind
            begin_number(s, t.nodes[s.node].factor)
        if kind == TYPE:
            e.type_size = 0
        elif kind == TIER:
            e.tier_size = 0
        elif kind == SORT:
            e.sort = 0
        elif kind == NAME:
            e.name_size = 0
            e.names += 1
        elif kind == FINISH:
            e.is_finished = 1
            e.finishes += e.finishes < 255
            s.reason = 0
        elif kind == IDENTITY:
            s.number = <uint64_t>0xCBF29CE484222325
        elif kind == INNER:
            s.sextet_count = 0
            s.sextets = 0
            if inner != NULL:
                begin(inner)
    elif c == b'{':
        if kind == PART:
            begin_part(e)
        elif kind == SORTED:
            e.sort = 0
            e.sort_count = 0
        push(s, 0)
    elif c == b'[':
        push(s, 1)
        s.node = t.nodes[s.node].element if s.node >= 0 else -1
    elif c == b'-' or b'0' <= c <= b'9':
        s.state = DIGITS
        s.use = kind
        begin_number(s, t.nodes[s.node].factor if kind else 0)
        s.is_negative = c == b'-'
        if not s.is_negative:
            take_digit(s, c)
    elif c == b't' or c == b'f' or c == b'n':
        s.state = LITERAL
        s.use = kind
        s.literal = c
        s.literal_at = 1
    else:
        s.state = BAD


cdef inline bint is_numeric(uint8_t kind) noexcept nogil:
    """Return whether the places of a kind have the numbers of a usage."""
    return NUMBER <= kind <= LARGEST_OF or kind == OF_PART or kind == SORT_COUNT


cdef inline void begin_number(Scan *s, uint64_t factor) noexcept nogil:
    s.is_negative = s.is_broken = s.part = s.is_small = s.has_more = 0
    s.exponent = s.places = 0
    s.number = 0
    s.factor = factor
    s.lacks = 1


cdef inline bint take_digit(Scan *s, uint8_t c) noexcept nogil:
    """Take a byte of a number; return whether it can be one."""
    if b'0' <= c <= b'9':
        if not s.part:
            s.number = min(s.number * 10 + (c - <uint8_t>b'0'), MOST_NUMBER)
        elif s.part == 2:
            s.exponent = min(<int16_t>(s.exponent * 10 + (c - <uint8_t>b'0')), <int16_t>999)
        elif s.number < <uint64_t>1 << 56:
            s.number = s.number * 10 + (c - <uint8_t>b'0')
            s.places += 1
        else:
            s.has_more |= c != b'0'
        s.lacks = 0
        return True
    if c == b'.' and not s.part and not s.lacks:
        s.is_broken = s.part = s.lacks = 1
        return True
    if (c == b'e' or c == b'E') and s.part < 2 and not s.lacks:
        s.is_broken = 1
        s.part = s.lacks = 2
        return True
    if (c == b'-' or c == b'+') and s.lacks == 2:
        s.is_small = c == b'-'
        s.lacks = 1
        return True
    return False


cdef inline void end_number(Scan *s, Event *e) noexcept nogil:
    cdef uint64_t number = s.number
    if s.use and s.use < KEY:
        if s.is_broken or s.factor:
            number = kin_scaled(
                number + s.has_more, (-s.exponent if s.is_small else s.exponent) - s.places, s.factor,
                MOST_SCALED if s.factor else MOST_NUMBER,
            )
        if s.is_negative or (s.is_broken and s.use == MOST):
            e.ignored += s.use != INDEX
            e.odd += s.use == MOST and not s.is_negative
            e.strange |= is_numeric(s.use)
        elif is_numeric(s.use) and number >= (MOST_SCALED if s.factor else MOST_NUMBER):
            e.ignored += 1
            e.strange = 1
        elif s.use == INDEX:
            e.has_index = 1
            e.index = <uint32_t>min(number, <uint64_t>0xFFFFFFFF)
        elif s.use == IDENTITY:
            name_it(s, e, number + 1)
        elif s.use == OF_PART:
            if s.slot < PART_NUMBERS:
                e.part.numbers[s.slot] = number
        elif s.use == SORT_COUNT:
            e.sort_count = number
        elif s.use == NUMBER or s.use == CLOSING or s.use == MOST or s.use == ADDED or s.use == LARGEST_OF:
            if s.use == ADDED and e.have >> s.slot & 1:
                e.values[s.slot] = min(e.values[s.slot] + number, MOST_SCALED)
            elif s.use < ADDED or not e.have >> s.slot & 1 or e.values[s.slot] < number:
                e.values[s.slot] = number
            e.is_closing |= s.use == CLOSING
            e.have |= <uint32_t>1 << s.slot
    end_value(s)


cdef inline void end_sorted(Event *e, uint8_t slot) noexcept nogil:
    """Add what was counted of one modality: sounds and pictures, and caches that are kept for an hour."""
    cdef char sort = e.sort | 0x20 if e.sort >= <char>65 else e.sort
    cdef uint32_t bit
    if sort == b'i':
        slot += 1
    elif sort != b'a' and sort != b'1':
        return
    bit = <uint32_t>1 << slot
    if not e.have & bit:
        e.values[slot] = 0
    e.values[slot] = min(e.values[slot] + e.sort_count, MOST_SCALED)
    e.have |= bit


cdef inline void name_it(Scan *s, Event *e, uint64_t hashed) noexcept nogil:
    """Note which response a document is about."""
    if s.slot == TURN_OF_MANY:
        e.turn = hashed
    elif not e.identity or s.slot > e.whose:
        e.identity = hashed
        e.whose = s.slot


cdef inline void end_literal(Scan *s, Event *e) noexcept nogil:
    if s.literal != b'n':
        if s.use == FLAG:
            e.values[s.slot] = s.literal == b't'
            e.have |= <uint32_t>1 << s.slot
        elif s.use == FINISH and s.literal == b't':
            e.is_finished = 1
            e.finishes += e.finishes < 255
        elif s.use == TURN and s.literal == b't':
            e.is_turn = 1
    end_value(s)


cdef inline void feed_inner(Scan *s, Event *e, const Trie *t, Scan *inner, const uint8_t *p, Py_ssize_t n) noexcept nogil:
    """Decode base64 and scan what it is, as a document of its own."""
    cdef uint8_t buffer[96]
    cdef Py_ssize_t i, size = 0
    cdef uint8_t sextet
    if inner == NULL or inner.state == BAD:
        return
    for i in range(n):
        sextet = kin_sextet[p[i]]
        if sextet == 64:
            if p[i] != b'=':
                inner.state = BAD
                return
            continue
        s.sextets = (s.sextets << 6 | sextet) & 0xFFFFFF
        s.sextet_count += 1
        if s.sextet_count > 1:
            buffer[size] = <uint8_t>(s.sextets >> (6 - 2 * (s.sextet_count - 1)))
            size += 1
            if s.sextet_count == 4:
                s.sextet_count = 0
        if size >= 93:
            scan_all(inner, e, t, buffer, size)
            size = 0
    scan_all(inner, e, t, buffer, size)


cdef inline void scan_all(Scan *s, Event *e, const Trie *t, const uint8_t *p, Py_ssize_t n) noexcept nogil:
    """Scan one document inside another, which itself has none inside."""
    cdef Py_ssize_t i = 0
    while i < n and s.state != BAD:
        if s.state == DONE and p[i] != b' ' and p[i] != b'\n' and p[i] != b'\r' and p[i] != b'\t':
            s.state = BAD
            return
        i += scan(s, e, t, NULL, p + i, n - i)


cdef inline void run(Scan *s, Event *e, const Trie *t, Scan *inner, const uint8_t *p, Py_ssize_t n) noexcept nogil:
    """Take some bytes of a string."""
    cdef Py_ssize_t i
    if s.use == SKIPPED:
        return
    if s.use == TEXT:
        speak(e, n)
    elif s.use == DELTA:
        e.delta += n
    elif s.use == KEY:
        if s.key_size + n > LONGEST_KEY:
            s.key_size = LONGEST_KEY + 1    # no key we know is that long
            return
        for i in range(n):
            s.key[s.key_size + i] = p[i]
        s.key_size += n
    elif s.use == TYPE:
        for i in range(n):
            if e.type_size < sizeof(e.type):
                e.type[e.type_size] = p[i]
                e.type_size += 1
    elif s.use == NAME:
        for i in range(n):
            if e.name_size < LONGEST_NAME:
                e.name[e.name_size] = p[i]
                e.name_size += 1
            else:
                e.names += 1
    elif s.use == IDENTITY:
        for i in range(n):
            s.number = (s.number ^ p[i]) * <uint64_t>0x100000001B3
    elif s.use == FINISH:
        for i in range(n):
            s.reason = s.reason + 1 if s.reason < 6 and p[i] == <uint8_t>kin_length()[s.reason] else 255
    elif s.use == TIER:
        for i in range(n):
            if e.tier_size < LONGEST_TIER:
                e.tier[e.tier_size] = p[i]
                e.tier_size += 1
    elif s.use == SORT:
        if not e.sort:
            e.sort = p[0]
    elif is_numeric(s.use):
        for i in range(n):
            if s.lacks == NO_NUMBER or not take_digit(s, p[i]):
                s.lacks = NO_NUMBER
                return
    elif s.use == PART_NAME:
        for i in range(n):
            if e.part.name_size < LONGEST_PART_NAME:
                e.part.name[e.part.name_size] = p[i]
                e.part.name_size += 1
    elif s.use == INNER:
        feed_inner(s, e, t, inner, p, n)


cdef inline void character(Scan *s, Event *e, const Trie *t, Scan *inner, uint32_t code) noexcept nogil:
    """Take a character that was written as an escape."""
    cdef uint8_t one = <uint8_t>code
    cdef uint8_t more[3]
    cdef int size = 1 if code < 0x80 else 2 if code < 0x800 or 0xD800 <= code < 0xE000 else 3
    if size == 1:
        run(s, e, t, inner, &one, 1)
    elif s.use == TEXT:
        speak(e, size)
    elif s.use == DELTA:
        e.delta += size
    elif s.use == NAME:
        # Half of a surrogate pair is no character of its own: it is not decoded either.
        more[0] = <uint8_t>(0xC0 | code >> 6) if size == 2 else <uint8_t>(0xE0 | code >> 12)
        more[1] = <uint8_t>(0x80 | (code >> 6 if size == 3 else code) & 0x3F)
        more[2] = <uint8_t>(0x80 | code & 0x3F)
        run(s, e, t, inner, more, size)
    elif s.use == KEY:
        s.key_size = LONGEST_KEY + 1    # no key we know has such a character
    elif s.use == INNER and inner != NULL:
        inner.state = BAD
    else:
        s.lacks = NO_NUMBER


cdef inline void end_string(Scan *s, Event *e, const Trie *t, Scan *inner) noexcept nogil:
    cdef int16_t node
    if s.state == BAD:
        return
    if s.use == KEY:
        node = s.nodes[s.depth - 1]
        s.node = -1
        if node >= 0 and 0 < s.key_size <= LONGEST_KEY:
            s.node = child_of(t, node, s.key, s.key_size)
        s.state = COLON
        return
    if is_numeric(s.use):
        if s.lacks:
            e.ignored += 1
            e.strange = 1
        else:
            end_number(s, e)
            return
    elif s.use == IDENTITY:
        name_it(s, e, s.number | 1)
    elif s.use == FINISH:
        e.lengths += s.reason == 6 and e.lengths < 255
    if s.use == INNER and inner != NULL and inner.state != DONE:
        s.state = BAD
        return
    end_value(s)


cdef inline Py_ssize_t scan(
    Scan *s, Event *e, const Trie *t, Scan *inner, const uint8_t *p, Py_ssize_t n
) noexcept nogil:
    """Scan bytes up to the end of a document, or of an element of a list of them; return how many."""
    cdef Py_ssize_t i = 0, j
    cdef uint8_t c
    s.at_unit = 0
    while i < n:
        c = p[i]
        if s.state == STRING:
            if s.need:
                if not s.low <= c <= s.high:
                    s.state = BAD
                    return i
                s.need -= 1
                s.low, s.high = 0x80, 0xBF
                run(s, e, t, inner, p + i, 1)
                i += 1
                continue
            j = i
            while j < n and kin_plain[p[j]]:
                j += 1
            if j > i:
                run(s, e, t, inner, p + i, j - i)
                i = j
                continue
            i += 1
            if c == b'"':
                end_string(s, e, t, inner)
            elif c == b'\\':
                s.state = ESCAPE
            elif c >= 0xC2 and c <= 0xF4:
                s.low, s.high = 0x80, 0xBF
                if c < 0xE0:
                    s.need = 1
                elif c < 0xF0:
                    s.need = 2
                    if c == 0xE0:
                        s.low = 0xA0
                    elif c == 0xED:
                        s.high = 0x9F
                else:
                    s.need = 3
                    if c == 0xF0:
                        s.low = 0x90
                    elif c == 0xF4:
                        s.high = 0x8F
                run(s, e, t, inner, p + i - 1, 1)
            else:
                s.state = BAD
        elif s.state == ESCAPE:
            i += 1
            s.state = STRING
            if c == b'u':
                s.state = HEX
                s.hex_count = 0
                s.code = 0
            elif c == b'"' or c == b'\\' or c == b'/':
                character(s, e, t, inner, c)
            elif c == b'n' or c == b't' or c == b'r' or c == b'b' or c == b'f':
                character(s, e, t, inner, 10)
            else:
                s.state = BAD
        elif s.state == HEX:
            i += 1
            if b'0' <= c <= b'9':
                s.code = s.code << 4 | (c - <uint8_t>b'0')
            elif b'a' <= (c | 0x20) <= b'f':
                s.code = s.code << 4 | ((c | 0x20) - <uint8_t>b'a' + 10)
            else:
                s.state = BAD
                return i
            s.hex_count += 1
            if s.hex_count == 4:
                s.state = STRING
                character(s, e, t, inner, s.code)
        elif s.state == DIGITS:
            if take_digit(s, c):
                i += 1
            elif s.lacks or c == b'.' or c == b'e' or c == b'E' or c == b'+' or c == b'-':
                s.state = BAD
            else:
                end_number(s, e)    # and look at this byte again
        elif s.state == LITERAL:
            if c != kin_literal(s.literal)[s.literal_at]:
                s.state = BAD
                return i
            i += 1
            s.literal_at += 1
            if kin_literal(s.literal)[s.literal_at] == 0:
                end_literal(s, e)
        elif c == b' ' or c == b'\n' or c == b'\r' or c == b'\t':
            i += 1
        elif s.state == VALUE or s.state == FIRST_VALUE:
            i += 1
            if c == b']' and s.state == FIRST_VALUE:
                s.depth -= 1
                end_value(s)
            else:
                begin_value(s, e, t, inner, c)
        elif s.state == FIRST_KEY or s.state == NEXT_KEY:
            i += 1
            if c == b'"':
                s.state = STRING
                s.use = KEY
                s.key_size = 0 if s.nodes[s.depth - 1] >= 0 else LONGEST_KEY + 1
            elif c == b'}' and s.state == FIRST_KEY:
                s.depth -= 1
                end_value(s)
            else:
                s.state = BAD
        elif s.state == COLON:
            i += 1
            s.state = VALUE if c == b':' else BAD
        elif s.state == AFTER:
            i += 1
            if c == b',':
                if s.lists[s.depth - 1]:
                    s.state = VALUE
                    s.node = t.nodes[s.nodes[s.depth - 1]].element if s.nodes[s.depth - 1] >= 0 else -1
                else:
                    s.state = NEXT_KEY
            elif (c == b']' and s.lists[s.depth - 1]) or (c == b'}' and not s.lists[s.depth - 1]):
                s.depth -= 1
                if c == b'}' and s.nodes[s.depth] >= 0:
                    if t.nodes[s.nodes[s.depth]].kind == PART:
                        end_part(e)
                    elif t.nodes[s.nodes[s.depth]].kind == SORTED:
                        end_sorted(e, t.nodes[s.nodes[s.depth]].slot)
                end_value(s)
            else:
                s.state = BAD
        else:
            return i    # DONE: another document follows, which is for the caller to begin
        if s.at_unit or s.state == BAD:
            return i
    return n
