"""A reader that watches an answer pass and remembers its reports: see the stub for the contract.

Theory of operation. A stream is cut into documents by its framing, and each document is
tokenized as it comes (`tokenizer.pxd`). What a document says counts once it is whole. An event is
at its empty line, a message of an AWS event stream with its right checksum. Nothing is kept of a stream but
the state of the tokenizer and one number a slot. So an event of 100 kB that ends with its usage costs
no more memory than any other.

In one file, since every form hands its bytes to the same document under way.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memset

from ratelimit.usage.event cimport MOST_SLOTS, forget
from ratelimit.usage.framing cimport (
    FIELD, MOST_FRAME_BYTES, MOST_HEADER_BYTES, OTHER, PAYLOAD, PRELUDE_BYTES, SPACE,
    big_endian, crc_more, kin_fill_crc,
)
from ratelimit.usage.paths cimport Paths
from ratelimit.usage.tokenizer cimport (
    BAD, DIGITS, DONE, begin, end_number, kin_fill, scan,
)

FORMS = {"": UNSEEN, "events": EVENTS, "json": JSON, "frames": FRAMES, "opaque": OPAQUE}
cdef dict FORM_NAMES = {form: name for name, form in FORMS.items()}

cdef enum Meaning:
    NOTHING         # an event of no type, or of another
    SPOKEN          # its `delta` is text of the answer
    FAILED          # the answer failed
    LAST            # the answer ends with it
    ONE_OF_MANY     # one of the responses of a connection ends with it

cdef enum Dialect:
    NO_DIALECT
    OPENAI
    RESPONSES
    ANTHROPIC
    GEMINI

cdef tuple DIALECTS = ("", "openai", "responses", "anthropic", "gemini")

cdef dict MEANINGS = {
    b"response.output_text.delta": SPOKEN,
    b"response.refusal.delta": SPOKEN,
    b"response.function_call_arguments.delta": SPOKEN,
    b"response.custom_tool_call_input.delta": SPOKEN,
    b"response.reasoning_text.delta": SPOKEN,
    b"response.reasoning_summary_text.delta": SPOKEN,
    b"response.text.delta": SPOKEN,
    b"response.audio_transcript.delta": SPOKEN,
    b"response.output_audio_transcript.delta": SPOKEN,
    b"response.completed": LAST,
    b"response.incomplete": LAST,
    b"response.failed": LAST,
    b"error": FAILED,
    b"message_stop": LAST,
    b"response.done": ONE_OF_MANY,
}

kin_fill()
kin_fill_crc()


@cython.final
@cython.auto_pickle(False)
cdef class Reader:
    """One answer, or one request's body: see the stub."""

    def __init__(self, Paths paths not None, str form=""):
        self.paths = paths
        self.way = FORMS[form]
        self.is_guessed = self.way == UNSEEN
        self.boundary = -1
        memset(&self.lines, 0, sizeof(self.lines))
        memset(&self.frames, 0, sizeof(self.frames))
        memset(&self.event, 0, sizeof(self.event))
        self.have = 0
        begin(&self.outer)
        begin(&self.inner)

    def feed(self, bytes chunk not None, /):
        self.boundary = -1
        self.take(<const uint8_t *>PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk))

    def message(self, message not None, /):
        cdef bytes whole = message.encode("utf-8", "replace") if isinstance(message, str) else message
        cdef uint64_t text = self.event.text
        self.drop()
        self.way = JSON
        self.take(<const uint8_t *>PyBytes_AS_STRING(whole), PyBytes_GET_SIZE(whole))
        if self.way == OPAQUE or self.outer.state != DONE:
            # Sound, perhaps: what is no document has no text.
            self.malformed += self.way != OPAQUE
            self.event.text = text
            self.drop()
            if isinstance(message, str):
                self.has_raw = True
                self.event.text += PyBytes_GET_SIZE(whole)
        self.way = JSON
        self.is_whole = False

    def feed_eof(self):
        # The last event of a stream may lack its empty line.
        if self.way == EVENTS and self.lines.has_data:
            if self.outer.state == DONE or memcmp(self.lines.head, b"[DONE]", 6) == 0:
                self.end_event()
        elif self.way == JSON and self.outer.state == BAD:
            self.malformed += 1
            self.way = OPAQUE
        self.drop()

    cdef int take(self, const uint8_t *p, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0
        if self.way == UNSEEN and n:
            if n >= 3 and p[0] == 0xEF and p[1] == 0xBB and p[2] == 0xBF:
                i = 3  # a byte order mark
            while i < n and (p[i] == b" " or p[i] == b"\n" or p[i] == b"\r" or p[i] == b"\t"):
                i += 1
            if i == n:
                return 0
            if p[i] == b"{" or p[i] == b"[":
                self.way = JSON
            elif p[i] == b":" or p[i] == b"d" or p[i] == b"e" or p[i] == b"i" or p[i] == b"r":
                self.way = EVENTS
            else:
                self.way = FRAMES if p[i] == 0 else OPAQUE
        if self.way == EVENTS:
            self.feed_lines(p, n)
        elif self.way == JSON:
            self.feed_json(p + i, n - i)
        elif self.way == FRAMES:
            self.feed_frames(p, n)
        else:
            self.event.text += n

    cdef int feed_lines(self, const uint8_t *p, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0, end
        cdef const uint8_t *found
        cdef uint8_t c
        while i < n:
            c = p[i]
            if self.lines.after_return:
                self.lines.after_return = 0
                if c == b"\n":
                    i += 1
                    if self.boundary == i - 1 or (i == 1 and self.lines.name_size == 0 and not self.lines.has_data):
                        self.boundary = i
                    continue
            if self.lines.line == FIELD:
                if n - i >= 5 and self.lines.name_size == 0 and memcmp(p + i, b"data:", 5) == 0:
                    self.lines.line = SPACE
                    i += 5
                    continue
                i += 1
                if c == b"\n" or c == b"\r":
                    self.lines.after_return = c == b"\r"
                    if self.lines.name_size == 0:
                        self.end_event()
                        self.boundary = i
                    self.lines.name_size = 0
                elif c == b":":
                    is_data = self.lines.name_size == 4 and memcmp(self.lines.name, b"data", 4) == 0
                    self.lines.line = SPACE if is_data else OTHER
                else:
                    if self.lines.name_size < 4:
                        self.lines.name[self.lines.name_size] = c
                    if c < 0x80:  # a byte order mark is no part of the first
                        self.lines.name_size = min(self.lines.name_size + 1, 5)
                continue
            if self.lines.line == SPACE:
                if self.lines.has_data:
                    self.feed_data(b"\n", 1)  # lines of one event are joined by line feeds
                self.lines.has_data = 1
                self.lines.line = PAYLOAD
                if c == b" ":
                    i += 1
                    continue
            found = <const uint8_t *>memchr(p + i, b"\n", n - i)
            end = n if found == NULL else found - p
            found = <const uint8_t *>memchr(p + i, b"\r", end - i)
            if found != NULL:
                end = found - p
            if self.lines.line == PAYLOAD:
                self.feed_data(p + i, end - i)
            i = end
            if i < n:
                self.lines.after_return = p[i] == b"\r"
                self.lines.line = FIELD
                self.lines.name_size = 0
                i += 1

    cdef void feed_data(self, const uint8_t *p, Py_ssize_t n) noexcept:
        cdef Py_ssize_t i = 0
        while i < n and self.lines.head_size < 6:
            self.lines.head[self.lines.head_size] = p[i]
            self.lines.head_size += 1
            i += 1
        self.lines.size += n
        i = 0
        while i < n and self.outer.state != BAD:
            if self.outer.state == DONE and not is_blank(p[i]):
                self.outer.state = BAD  # an event is one document
                return
            i += scan(&self.outer, &self.event, &self.paths.trie, &self.inner, p + i, n - i)

    cdef int end_event(self) except -1:
        if self.lines.has_data:
            if self.outer.state == DIGITS:
                end_number(&self.outer, &self.event)
            if self.outer.state == DONE:
                self.commit()
            elif self.lines.size == 6 and memcmp(self.lines.head, b"[DONE]", 6) == 0:
                self.has_end = True
            else:
                self.malformed += 1
                if self.lines.head[0] != b"{" and self.lines.head[0] != b"[":
                    self.has_raw = True  # text as it is
                    self.event.text += self.lines.size
        self.drop()
        self.lines.has_data = 0
        self.lines.head_size = 0
        self.lines.size = 0

    cdef int feed_json(self, const uint8_t *p, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0
        while i < n:
            if self.outer.state == BAD:
                self.malformed += 1
                self.way = OPAQUE
                self.event.text += n - i
                return 0
            if self.outer.state == DONE:
                if is_blank(p[i]):
                    i += 1
                    continue
                self.is_whole = False
                begin(&self.outer)
            i += scan(&self.outer, &self.event, &self.paths.trie, &self.inner, p + i, n - i)
            if self.outer.at_unit:
                self.outer.at_unit = 0
                self.is_whole = self.outer.state == DONE
                self.commit()
                forget(&self.event)

    cdef int feed_frames(self, const uint8_t *p, Py_ssize_t n) except -1:
        cdef Py_ssize_t i = 0, size
        cdef uint32_t headers
        while i < n:
            if self.frames.at < PRELUDE_BYTES:
                self.frames.prelude[self.frames.at] = p[i]
                self.frames.at += 1
                i += 1
                if self.frames.at < PRELUDE_BYTES:
                    continue
                self.frames.size = big_endian(self.frames.prelude)
                headers = big_endian(self.frames.prelude + 4)
                self.frames.crc = crc_more(0, self.frames.prelude, 8)
                if (
                    self.frames.crc != big_endian(self.frames.prelude + 8)
                    or headers > MOST_HEADER_BYTES
                    or self.frames.size > MOST_FRAME_BYTES
                    or self.frames.size < headers + PRELUDE_BYTES + 4
                ):
                    self.malformed += 1
                    self.way = OPAQUE
                    self.event.text += n - i
                    return 0
                self.frames.crc = crc_more(self.frames.crc, self.frames.prelude + 8, 4)
                self.frames.payload_from = PRELUDE_BYTES + headers
                self.frames.payload_to = self.frames.size - 4
                continue
            if self.frames.at < self.frames.payload_to:
                size = self.frames.payload_from if self.frames.at < self.frames.payload_from else self.frames.payload_to
                size = min(n - i, size - <Py_ssize_t>self.frames.at)
                self.frames.crc = crc_more(self.frames.crc, p + i, size)
                if self.frames.at >= self.frames.payload_from:
                    self.feed_data(p + i, size)
                self.frames.at += size
                i += size
                continue
            self.frames.check[self.frames.at - self.frames.payload_to] = p[i]
            self.frames.at += 1
            i += 1
            if self.frames.at == self.frames.size:
                if self.frames.crc != big_endian(self.frames.check):
                    self.malformed += 1
                elif self.outer.state == DONE:
                    self.commit()
                elif self.frames.payload_to > self.frames.payload_from:
                    self.malformed += 1
                self.drop()
                self.frames.at = 0
                self.boundary = i

    cdef void drop(self) noexcept:
        """Forget a document, whole or not, and be ready for another."""
        forget(&self.event)
        begin(&self.outer)
        begin(&self.inner)

    cdef int kind_of_event(self) noexcept:
        if self.event.type_size == 0 or self.event.type_size == sizeof(self.event.type):
            return NOTHING
        return MEANINGS.get(self.event.type[:self.event.type_size], NOTHING)

    cdef int commit(self) except -1:
        """Take over what a whole document says."""
        cdef int kind = self.kind_of_event()
        cdef int slot
        self.events += 1
        self.ignored += self.event.ignored
        self.odd += self.event.odd
        self.names += self.event.names
        if kind == SPOKEN and self.event.delta:
            self.event.text += self.event.delta
            self.event.spoken += 1
        if self.event.have:
            self.usage_event = self.events
            self.text_by_usage = self.event.text
            for slot in range(MOST_SLOTS):
                if self.event.have >> slot & 1:
                    # The last word counts; of the responses of one connection, the sum.
                    if kind != ONE_OF_MANY:
                        self.kept[slot] = 0
                    self.kept[slot] += self.event.values[slot]
            self.have |= self.event.have
        self.has_error = self.has_error or self.event.is_wrong or kind == FAILED
        if self.event.is_finished and not self.finish_event:
            self.finish_event = self.events
        if kind >= LAST:
            self.has_end = True
            if kind == ONE_OF_MANY:
                self.has_many = True
                self.early = self.event.text
        if self.event.name_size:
            self.found_name = self.event.name[:self.event.name_size]
        self.note_dialect()
        if self.event.is_closing and not self.event.has_choice:
            self.has_end = True

    cdef void note_dialect(self) noexcept:
        if self.event.has_choice:
            self.spoken = OPENAI
        elif self.event.type_size >= 9 and memcmp(self.event.type, b"response.", 9) == 0:
            self.spoken = RESPONSES
        elif (
            (self.event.type_size >= 8 and memcmp(self.event.type, b"message_", 8) == 0)
            or (self.event.type_size >= 14 and memcmp(self.event.type, b"content_block_", 14) == 0)
        ):
            self.spoken = ANTHROPIC
        elif self.event.type_size == 0 and self.spoken == NO_DIALECT and self.event.is_listed:
            self.spoken = GEMINI

    @property
    def dialect(self):
        return DIALECTS[self.spoken]

    @property
    def values(self):
        cdef int slot
        return tuple([self.kept[slot] if self.have >> slot & 1 else None for slot in range(MOST_SLOTS)])

    def value(self, int slot, /):
        if not 0 <= slot < MOST_SLOTS:
            raise IndexError(f"a slot is from 0 to {MOST_SLOTS - 1}")
        return self.kept[slot] if self.have >> slot & 1 else None

    @property
    def says_usage(self):
        return self.have != 0

    @property
    def name(self):
        return None if self.found_name is None else self.found_name.decode("utf-8", "replace")

    @property
    def form(self):
        return FORM_NAMES[self.way]

    @property
    def text(self):
        return self.event.text

    @property
    def spoken(self):
        return self.event.spoken

    @property
    def late_text(self):
        return self.event.text - self.text_by_usage

    @property
    def open_text(self):
        return self.event.text - self.early

    @property
    def is_ended(self):
        return self.has_end or self.is_whole

    @property
    def is_finished(self):
        return self.finish_event > 0 and self.usage_event >= self.finish_event

    def __reduce__(self):
        raise TypeError("an answer under way is not pickled")


cdef inline bint is_blank(uint8_t c) noexcept:
    return c == b" " or c == b"\n" or c == b"\r" or c == b"\t"
