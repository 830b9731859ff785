"""A reader that watches an answer pass and remembers its reports: see the stub for the contract.

Theory of operation. A stream is cut into documents by its framing, and each document is
tokenized as it comes (`tokenizer.pxd`). What a document says counts once it is whole. An event is
at its empty line, a message of an AWS event stream with its right checksum. Nothing is kept of a stream but
the state of the tokenizer and one number a slot. So an event of 100 kB that ends with its usage costs
no more memory than any other.

Usage of one response is *said*, and later words of it take the place of earlier ones. Responses that follow
each other on one stream are settled one by one, as *receipts*, which add up. The reasons for a receipt are:
another response is named, a response is done, or the document is a response by itself (a line of a batch).
Choices of one response add up as well, if each says a usage of its own: beside the choice that is finished, or
once more after another choice was.

In one file, since every form hands its bytes to the same document under way.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from ratelimit.usage.event cimport MOST_SLOTS, Event, Said, forget
from ratelimit.usage.framing cimport (
    FIELD, MOST_FRAME_BYTES, MOST_HEADER_BYTES, OTHER, PAYLOAD, PRELUDE_BYTES, SPACE,
    big_endian, crc_more, kin_fill_crc,
)
from ratelimit.usage.paths cimport ALONE, Paths
from ratelimit.usage.prices cimport add_used, of_tokens
from ratelimit.usage.tokenizer cimport (
    BAD, DIGITS, DONE, begin, end_number, kin_fill, scan,
)
from ratelimit.usage.units cimport (
    AUDIO_OUTPUT, COST, IMAGE_OUTPUT, IMAGES, OUTPUT, OUTPUT_PART, REASONING, SEARCHES, THOUGHTS, fold_total, has, number,
    said_output, split,
)

from ratelimit.usage.prices import PLAIN as _PLAIN

FORMS = {"": UNSEEN, "events": EVENTS, "json": JSON, "frames": FRAMES, "opaque": OPAQUE}
cdef dict FORM_NAMES = {form: name for name, form in FORMS.items()}

cdef enum Meaning:
    NOTHING         # an event of no type, or of another
    SPOKEN          # its `delta` is text of the answer
    FAILED          # the answer failed
    BEGUN           # a response begins
    ASIDE           # it is about another response than the one under way
    LAST            # a response ends with it

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
    b"transcript.text.delta": SPOKEN,
    b"transcript.text.done": LAST,
    b"speech.audio.done": LAST,
    b"image_generation.completed": LAST,
    b"image_edit.completed": LAST,
    b"response.output_audio_transcript.delta": SPOKEN,
    b"response.completed": LAST,
    b"response.incomplete": LAST,
    b"response.failed": LAST,
    b"error": FAILED,
    b"message_stop": LAST,
    b"response.done": LAST,
    b"response.created": BEGUN,
    b"conversation.item.input_audio_transcription": ASIDE,
}

kin_fill()
kin_fill_crc()


@cython.final
@cython.auto_pickle(False)
@cython.freelist(8)
cdef class Receipt:
    """The usage of one response that is settled: see the stub."""

    def __reduce__(self):
        raise TypeError("a receipt is of an answer under way")


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
        memset(&self.said, 0, sizeof(self.said))
        memset(&self.foretold, 0, sizeof(self.foretold))
        self.settled = of_tokens(0)
        begin(&self.outer)
        begin(&self.inner)

    def feed(self, bytes chunk not None, /):
        self.boundary = -1
        self.take(<const uint8_t *>PyBytes_AS_STRING(chunk), PyBytes_GET_SIZE(chunk))

    def expect(self, int64_t choices=1, int64_t prompts=0, int64_t output=-1, int64_t input=0, bint is_echo=False):
        self.expect_of(choices, prompts, output, input, is_echo)

    cdef void expect_of(
        self, int64_t choices, int64_t prompts, int64_t output, int64_t of_input, bint is_echo
    ) noexcept:
        self.asked_choices, self.asked_prompts, self.asked_output = choices, prompts, output
        self.asked_input, self.is_echo = of_input, is_echo

    def message(self, message not None, /):
        cdef bytes whole = message.encode("utf-8", "replace") if isinstance(message, str) else message
        cdef uint64_t text = self.event.text
        self.drop()
        self.way = JSON
        self.is_connection = True
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
                self.end_document()

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
        self.end_document()
        begin(&self.outer)
        begin(&self.inner)

    cdef void end_document(self) noexcept:
        forget(&self.event)
        self.text_so_far, self.spoken_so_far = self.event.text, self.event.spoken

    cdef int close_before(self) except -1:
        """Settle the response under way, to which the document's text does not belong."""
        cdef uint64_t text = self.event.text, spoken = self.event.spoken
        self.event.text, self.event.spoken = self.text_so_far, self.spoken_so_far
        self.close()
        self.event.text, self.event.spoken = text, spoken
        return 0

    cdef int kind_of_event(self) noexcept:
        cdef int size = self.event.type_size
        if size == 0:
            return NOTHING
        if size == sizeof(self.event.type):
            # Longer than all others: only its beginning is kept.
            size = 43
        return MEANINGS.get(self.event.type[:size], NOTHING)

    cdef int commit(self) except -1:
        """Take over what a whole document says."""
        cdef int kind = self.kind_of_event()
        cdef bint is_about_all = self.event.is_closing and not self.event.has_choice and not self.event.has_index
        cdef Said alone
        self.events += 1
        self.ignored += self.event.ignored
        self.odd += self.event.odd
        self.names += self.event.names
        if kind == SPOKEN and self.event.delta:
            self.event.text += self.event.delta
            self.event.spoken += 1
        # It may be about a response of its own: a line of a batch, or what another model heard.
        is_alone = self.event.identity and self.event.whose == ALONE
        is_aside = is_alone or kind == ASIDE
        self.has_error = self.has_error or (self.event.is_wrong and not is_alone) or kind == FAILED
        if not is_aside:
            self.begin_response()
            if self.event.name_size:
                self.found_name = self.event.name[:self.event.name_size]
            if self.event.tier_size:
                self.note_tier()
        if self.event.has_choice or self.event.is_listed or kind == BEGUN:
            self.has_begun = True
        if self.event.is_finished and not self.finish_event:
            self.finish_event = self.events
        if self.event.finishes:
            self.note_choices()
        if self.event.have or self.event.part_count:
            if is_aside:
                memset(&alone, 0, sizeof(alone))
                self.say(&alone)
                # Whole answers in a file are those of a batch, unless they say otherwise.
                self.append(
                    &alone, self.event.name[:self.event.name_size],
                    tier_of(&self.event) or ("batch" if is_alone else None),
                    said_output(&alone) >= 0 and not self.event.strange,
                )
            elif not (self.event.identity and self.was_named(self.event.identity)):
                self.take_usage(is_about_all)
        elif self.event.strange and not is_aside:
            self.is_strange = True
        if is_alone and not self.said.have:
            # Its text is part of it.
            self.has_begun = False
            self.text_before = self.text_by_usage = self.event.text
            self.spoken_before = self.event.spoken
            self.finish_event = 0
        self.note_dialect()
        if kind == LAST or (self.event.is_turn and self.said.have):
            self.has_end = True
            self.close()
            self.has_end = True
        if is_about_all and not is_alone and (self.finished_count or self.way != EVENTS):
            self.has_end = self.has_end or not lacks_choices(self)

    cdef int begin_response(self) except -1:
        """Settle the response under way if the document names another one."""
        cdef uint64_t identity = self.event.identity
        if self.is_connection and self.event.turn and self.event.turn != self.turn:
            if self.turn:
                self.close_before()
            self.turn = self.event.turn
        if identity and self.event.have and identity != self.identity and not self.was_named(identity):
            if self.said.have:
                self.close_before()
            self.identity = identity
        return 0

    cdef int note_tier(self) except -1:
        """Note the service tier. A plain one says nothing more where another was named."""
        cdef str tier
        if (
            self.event.tier_size == self.last_tier_size
            and memcmp(self.event.tier, self.last_tier, self.last_tier_size) == 0
        ):
            return 0
        memcpy(self.last_tier, self.event.tier, self.event.tier_size)
        self.last_tier_size = self.event.tier_size
        tier = tier_of(&self.event)
        if tier != self.found_tier and (self.found_tier is None or tier not in _PLAIN):
            self.found_tier = tier
        return 0

    cdef int note_choices(self) except -1:
        """Note which choices are finished."""
        cdef uint64_t bit
        cdef uint32_t word
        self.most_choices = max(self.most_choices, <int>self.event.finishes)
        self.length_count += self.event.lengths
        self.is_fresh = True
        if self.event.finishes > 1:
            self.finished_count += self.event.finishes
            self.fresh_count += self.event.finishes
            return 0
        word, bit = self.event.index // 64, <uint64_t>1 << self.event.index % 64
        if word < CHOICE_WORDS:
            self.is_fresh = not self.finished[word] & bit
            self.finished[word] |= bit
        self.finished_count += self.is_fresh
        self.fresh_count += self.is_fresh
        return 0

    cdef int take_usage(self, bint is_about_all) except -1:
        """Take over the usage of the response under way, or of one of its choices."""
        cdef bint adds = False
        if self.event.is_closing and is_about_all:
            # Said again after one more choice is finished, it is of that choice.
            adds = self.closings > 0 and self.fresh_count > 0
            if self.finished_count:
                self.closings += 1
            self.fresh_count = 0
        elif self.event.is_closing and self.event.finishes < 2:
            if self.event.finishes and self.is_fresh:
                adds = self.finals > 0 and self.closings == 0
                self.finals += 1
            elif self.finals > 1 or (self.finals and not self.event.finishes):
                return 0    # of one of several, and others have said theirs
        self.usage_event = self.events
        self.text_by_usage = self.event.text
        self.is_strange = self.is_strange or self.event.strange
        if adds:
            self.add()
        else:
            self.say(&self.said)
        return 0

    cdef int say(self, Said *said) except -1:
        """Let the document's words take the place of earlier ones."""
        cdef int slot
        for slot in range(MOST_SLOTS):
            # What goes on counting does not fall back to 0: such a 0 says nothing.
            if self.event.have >> slot & 1 and (self.event.values[slot] or not said.have >> slot & 1):
                said.values[slot] = self.event.values[slot]
        said.have |= self.event.have
        if self.event.part_count:
            said.part_count = self.event.part_count
            for slot in range(self.event.part_count):
                said.parts[slot] = self.event.parts[slot]
        return 0

    cdef int add(self) except -1:
        """Add one more choice's usage. Its input is the same, unless the request has several prompts."""
        cdef Said one
        cdef int slot
        cdef uint64_t value
        memset(&one, 0, sizeof(one))
        self.say(&one)
        # The total of several is of no use, as it has the input as often.
        fold_total(&one)
        fold_total(&self.said)
        for slot in range(MOST_SLOTS):
            if not one.have >> slot & 1:
                continue
            value = one.values[slot]
            if self.said.have >> slot & 1:
                if (
                    slot == OUTPUT or slot == OUTPUT_PART or slot == THOUGHTS or slot == REASONING or slot == COST
                    or slot == AUDIO_OUTPUT or slot == IMAGE_OUTPUT or slot == SEARCHES or slot == IMAGES
                ):
                    value += self.said.values[slot]
                elif self.asked_prompts > 1:
                    value += self.said.values[slot]
                else:
                    value = max(value, self.said.values[slot])
            self.said.values[slot] = value
        self.said.have |= one.have
        self.added += 1
        return 0

    cdef int close(self) except -1:
        """Settle the response under way, if there was any."""
        cdef bint is_exact
        if self.said.have or self.event.text > self.text_before:
            is_exact = said_output(&self.said) >= 0 and not (self.has_raw or has_doubts(self))
            self.append(&self.said, self.found_name, self.found_tier, is_exact)
        self.has_begun = self.has_end = self.is_strange = False
        self.finish_event = self.usage_event = 0
        self.text_before = self.text_by_usage = self.event.text
        self.spoken_before = self.event.spoken
        self.identity = 0
        memset(&self.said, 0, sizeof(self.said))
        memset(self.finished, 0, sizeof(self.finished))
        self.finished_count = self.fresh_count = self.length_count = self.finals = self.closings = self.added = 0
        self.most_choices = 0
        self.found_tier = None
        self.last_tier_size = 0
        return 0

    cdef int append(self, const Said *said, bytes name, str tier, bint is_exact) except -1:
        """Add a receipt."""
        cdef Receipt receipt = Receipt.__new__(Receipt)
        cdef int at
        if said == &self.said:
            used_of(self, &receipt.used)
            if self.identity:
                self.named[self.receipt_count % MOST_NAMED] = self.identity
        else:
            split(said, max(<int64_t>0, said_output(said)), &receipt.used)
        receipt.cost = number(said, COST) if has(said, COST) else -1
        receipt.is_exact = is_exact
        receipt.model = name or None
        receipt.tier = tier
        receipt.part_count = said.part_count
        for at in range(said.part_count):
            receipt.parts[at] = said.parts[at]
        add_used(&self.settled, &receipt.used)
        self.has_doubt = self.has_doubt or not is_exact
        self.receipt_count += 1
        if self.receipts is None:
            self.receipts = []
        self.receipts.append(receipt)
        return 0

    def end(self):
        self.has_end = True

    def foretell(self, int slot, uint64_t value):
        if not 0 <= slot < MOST_SLOTS:
            raise IndexError(f"a slot is from 0 to {MOST_SLOTS - 1}")
        self.foretold.values[slot] = value
        self.foretold.have |= <uint32_t>1 << slot

    cdef int take_foretold(self) except -1:
        """Take what headers said where the answer said less."""
        cdef uint32_t more = self.foretold.have & ~self.said.have
        cdef int slot
        if self.receipt_count:
            return 0
        if said_output(&self.said) < 0:
            self.text_by_usage = self.event.text
            self.usage_event = self.events
        else:
            more &= <uint32_t>1 << COST
        for slot in range(MOST_SLOTS):
            if more >> slot & 1:
                self.said.values[slot] = self.foretold.values[slot]
        self.said.have |= more
        return 0

    cdef bint was_named(self, uint64_t identity) noexcept:
        """Return whether a response of this name is settled."""
        cdef int at
        for at in range(MOST_NAMED):
            if self.named[at] == identity:
                return True
        return False

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
    def open_text(self):
        return self.event.text - self.text_before

    @property
    def open_spoken(self):
        return self.event.spoken - self.spoken_before

    @property
    def is_mute(self):
        return not self.said.have and not self.has_begun and self.event.text == self.text_before

    @property
    def parts(self):
        return tuple([
            (self.said.parts[at].numbers[0], self.said.parts[at].numbers[1], self.said.parts[at].numbers[2],
             self.said.parts[at].numbers[3], self.said.parts[at].numbers[4])
            for at in range(self.said.part_count)
        ])

    @property
    def settled_usage(self):
        return (
            self.settled.fresh_input, self.settled.cache_write, self.settled.cache_read, self.settled.output,
            self.settled.cache_write_1h,
        )

    @property
    def ends_whole(self):
        return self.is_whole

    @property
    def is_named(self):
        return self.identity != 0

    @property
    def tier(self):
        return self.found_tier

    @property
    def dialect(self):
        return DIALECTS[self.spoken]

    @property
    def values(self):
        cdef int slot
        return tuple([self.said.values[slot] if self.said.have >> slot & 1 else None for slot in range(MOST_SLOTS)])

    def value(self, int slot, /):
        if not 0 <= slot < MOST_SLOTS:
            raise IndexError(f"a slot is from 0 to {MOST_SLOTS - 1}")
        return self.said.values[slot] if self.said.have >> slot & 1 else None

    @property
    def says_usage(self):
        return self.said.have != 0

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
    def is_ended(self):
        return self.has_end or self.is_whole

    @property
    def is_finished(self):
        return self.finish_event > 0 and self.usage_event >= self.finish_event and not lacks_choices(self)

    def __reduce__(self):
        raise TypeError("an answer under way is not pickled")


cdef str tier_of(const Event *event):
    """Return the service tier that a document names, in lower case; None without one."""
    if not event.tier_size:
        return None
    return event.tier[:event.tier_size].decode("utf-8", "replace").strip().casefold()


cdef inline bint is_blank(uint8_t c) noexcept:
    return c == b" " or c == b"\n" or c == b"\r" or c == b"\t"
