"""The numbers that an answer said, in units that do not overlap: see the stub for the contract."""

cimport cython
from libc.stdint cimport int64_t

from ratelimit.usage.prices cimport NUMBERS, Used, add_used, of_tokens
from ratelimit.usage.reader cimport JSON, Reader, are_all_cut, has_doubts, is_final, open_text, output_of, used_of
from ratelimit.usage.units cimport OUTPUT, has, said_output, tokens

from ratelimit.usage.shapes import FIELDS as _FIELDS, paths_of as _paths_of

cdef tuple PLACES = (
    "input_all", "cached", "cache_written", "input_fresh", "input_either", "cache_read", "cache_write", "cache_write_1h",
    "output", "output_early", "output_part", "thoughts", "tool_input", "total", "beside_input", "beside_output",
    "reasoning", "citations", "other_input", "other_output", "cost", "inert", "audio_input", "image_input",
    "audio_cached", "image_cached", "audio_output", "image_output", "searches", "images", "of_one", "audio_seconds",
)
if _FIELDS != PLACES:
    raise ImportError("a reader's slots and what is read from them are in step")

cdef tuple CERTAINTIES = ("unknown", "at_least", "exact")
UNITS = (
    "fresh_input_tokens",
    "cache_write_tokens",
    "cache_read_tokens",
    "output_tokens",
    "input_tokens",
    "total_tokens",
)
OF_OUTPUT = frozenset({"output_tokens", "total_tokens", "usd"})
cdef dict _paths = {}


@cython.final
@cython.auto_pickle(False)
cdef class Usage:
    """The use of one answer, in tokens: see the stub."""

    def __init__(
        self, int64_t fresh_input=0, int64_t cache_write=0, int64_t cache_read=0, int64_t output=0,
        int64_t cache_write_1h=0, int64_t audio_input=0, int64_t audio_cache_read=0, int64_t audio_output=0,
        int64_t image_input=0, int64_t image_output=0, int64_t searches=0, int64_t images=0,
    ):
        self.used = of_tokens(fresh_input, cache_write, cache_read, output, cache_write_1h)
        self.used.audio_input, self.used.audio_read, self.used.audio_output = audio_input, audio_cache_read, audio_output
        self.used.image_input, self.used.image_output = image_input, image_output
        self.used.searches, self.used.images = searches, images

    @property
    def fresh_input(self):
        return self.used.fresh_input

    @property
    def cache_write(self):
        return self.used.cache_write

    @property
    def cache_read(self):
        return self.used.cache_read

    @property
    def output(self):
        return self.used.output

    @property
    def cache_write_1h(self):
        return self.used.cache_write_1h

    @property
    def numbers(self):
        cdef const int64_t *number = <const int64_t *>&self.used
        cdef int at
        return tuple([number[at] for at in range(NUMBERS)])

    @property
    def audio_input(self):
        return self.used.audio_input

    @property
    def audio_cache_read(self):
        return self.used.audio_read

    @property
    def audio_output(self):
        return self.used.audio_output

    @property
    def image_input(self):
        return self.used.image_input

    @property
    def image_output(self):
        return self.used.image_output

    @property
    def searches(self):
        return self.used.searches

    @property
    def images(self):
        return self.used.images

    @property
    def units(self):
        read = self.used.fresh_input + self.used.cache_write + self.used.cache_read
        return dict(zip(UNITS, (*self.numbers[:4], read, read + self.used.output)))

    def __eq__(self, other):
        return self.numbers == other.numbers if type(other) is Usage else NotImplemented

    def __hash__(self):
        return hash(self.numbers)

    def __repr__(self):
        numbers = list(self.numbers)
        while len(numbers) > 5 and not numbers[len(numbers) - 1]:
            numbers.pop()
        return f"Usage{tuple(numbers)}"

    def __reduce__(self):
        return Usage, self.numbers


@cython.final
@cython.auto_pickle(False)
cdef class UsageReading:
    """The amount used, and its certainty: see the stub."""

    def __init__(self, str certainty not None, Usage usage not None, bint has_input=False):
        if certainty not in CERTAINTIES:
            raise ValueError(f"a reading is one of {CERTAINTIES}")
        self.certainty, self.usage, self.has_input = certainty, usage, has_input

    def __eq__(self, other):
        if type(other) is not UsageReading:
            return NotImplemented
        return (self.certainty, self.usage, self.has_input) == (other.certainty, other.usage, other.has_input)

    def __hash__(self):
        return hash((self.certainty, self.usage, self.has_input))

    def __repr__(self):
        return f"UsageReading({self.certainty!r}, {self.usage!r}, {self.has_input})"

    def __reduce__(self):
        return UsageReading, (self.certainty, self.usage, self.has_input)


UNKNOWN = UsageReading("unknown", Usage())


def reader_of(shape, bytes content_type=b"", *, bint is_encoded=False):
    return reader_for(shape, content_type, is_encoded)


cdef Reader reader_for(object shape, bytes content_type, bint is_encoded):
    cdef str form = ""
    cdef bytes media = content_type
    if media == b"application/json":
        form = "json"
    elif media == b"text/event-stream":
        form = "events"
    else:
        media = media.partition(b";")[0].strip().lower()
        if media == b"text/event-stream":
            form = "events"
        elif media == b"application/vnd.amazon.eventstream":
            form = "frames"
        elif media == b"application/json" or media.endswith((b"+json", b"/x-ndjson", b"/jsonl")):
            form = "json"
        elif media and not media.startswith(b"text/") and media != b"application/octet-stream":
            return None
    return Reader(paths_for(shape), "opaque" if is_encoded else form)


def message_reader(shape):
    return Reader(paths_for(shape), "json")


cdef object paths_for(object shape):
    found = _paths.get(shape)
    if found is None:
        found = _paths[shape] = _paths_of(shape)
    return found


def seen_output(Reader reader not None):
    return output_so_far(reader)


cdef int64_t output_so_far(Reader reader) noexcept:
    """Return the output tokens that an answer under way has had at least."""
    return reader.settled.output + output_of(reader)


def usage_so_far(Reader reader not None):
    cdef Usage usage = Usage.__new__(Usage)
    used_so_far(reader, &usage.used)
    return usage


cdef bint used_so_far(Reader reader, Used *used) noexcept:
    """Fill in what an answer under way has used at least; return whether all input was said."""
    cdef bint has_input = used_of(reader, used)
    has_input = has_input or reader.receipt_count > 0
    add_used(used, &reader.settled)
    return has_input


cdef inline bint is_open(Reader reader) noexcept:
    """Return whether a response is under way that is not settled."""
    return reader.said.have or reader.has_begun or open_text(reader) > 0


def reading_of(Reader reader not None, *, bint is_complete, int64_t unread=0):
    cdef Usage usage = Usage.__new__(Usage)
    cdef bint has_input = False
    cdef int certainty = read_end(reader, is_complete, unread, &usage.used, &has_input)
    return UsageReading(CERTAINTIES[certainty], usage, has_input) if certainty else UNKNOWN


cdef int read_end(Reader reader, bint is_complete, int64_t unread, Used *used, bint *has_input) except -1:
    """Fill in what an answer that has ended used; return how sure that is."""
    cdef bint is_over, is_sure, is_counted
    cdef int certainty = NOT_KNOWN
    reader.feed_eof()
    if reader.foretold.have and is_complete:
        reader.take_foretold()
    if is_complete and not reader.is_connection and has(&reader.said, OUTPUT):
        reader.has_end = True
    has_input[0] = used_so_far(reader, used)
    is_counted = not (reader.is_guessed or reader.has_raw or reader.has_doubt)
    if reader.receipt_count and not is_open(reader):
        is_over = reader.is_connection or reader.has_end or (is_complete and reader.is_whole)
    else:
        # Gemini's chunks say what was used up to each, so theirs is exact only at a mark of the end.
        is_over = said_output(&reader.said) >= 0 and is_final(reader)
        is_counted = is_counted and reader.event.text == reader.text_by_usage
        if reader.identity and reader.way == JSON and not reader.is_connection:
            is_over = is_over and reader.is_whole   # others may follow in its list
    is_sure = is_counted and not has_doubts(reader)
    reader.is_output_sure = is_over and not unread and (
        is_sure or (is_counted and not reader.is_strange and are_all_cut(reader, said_output(&reader.said)))
    )
    if is_over and is_sure and has_input[0]:
        certainty = EXACT
    elif used.output or has_input[0] or used.searches or used.images:
        certainty = AT_LEAST
    if unread:
        if certainty == NOT_KNOWN:
            used[0] = of_tokens(0)
        used.output += tokens(unread)
        certainty = AT_LEAST
    return certainty
