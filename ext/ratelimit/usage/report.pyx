"""The numbers that an answer said, in units that do not overlap: see the stub for the contract."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from ratelimit.usage.prices cimport Used
from ratelimit.usage.reader cimport Reader

from ratelimit.usage.shapes import FIELDS as _FIELDS, paths_of as _paths_of

cdef enum Slot:     # of what a reader keeps: the places of `FIELDS`
    INPUT_ALL
    CACHED
    CACHE_WRITTEN
    INPUT_FRESH
    INPUT_EITHER
    CACHE_READ
    CACHE_WRITE
    CACHE_WRITE_1H
    OUTPUT
    OUTPUT_EARLY
    OUTPUT_PART
    THOUGHTS
    TOOL_INPUT
    TOTAL

cdef tuple PLACES = (
    "input_all", "cached", "cache_written", "input_fresh", "input_either", "cache_read", "cache_write", "cache_write_1h",
    "output", "output_early", "output_part", "thoughts", "tool_input", "total",
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
        int64_t cache_write_1h=0,
    ):
        self.used = Used(fresh_input, cache_write, cache_read, output, cache_write_1h)

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
        return (
            self.used.fresh_input, self.used.cache_write, self.used.cache_read, self.used.output,
            self.used.cache_write_1h,
        )

    @property
    def units(self):
        read = self.used.fresh_input + self.used.cache_write + self.used.cache_read
        return dict(zip(UNITS, (*self.numbers[:4], read, read + self.used.output)))

    def __eq__(self, other):
        return self.numbers == other.numbers if type(other) is Usage else NotImplemented

    def __hash__(self):
        return hash(self.numbers)

    def __repr__(self):
        return f"Usage{self.numbers}"

    def __reduce__(self):
        return Usage, self.numbers


@cython.final
@cython.auto_pickle(False)
cdef class Reading:
    """The amount used, and its certainty: see the stub."""

    def __init__(self, str certainty not None, Usage usage not None, bint has_input=False):
        if certainty not in CERTAINTIES:
            raise ValueError(f"a reading is one of {CERTAINTIES}")
        self.certainty, self.usage, self.has_input = certainty, usage, has_input

    def __eq__(self, other):
        if type(other) is not Reading:
            return NotImplemented
        return (self.certainty, self.usage, self.has_input) == (other.certainty, other.usage, other.has_input)

    def __hash__(self):
        return hash((self.certainty, self.usage, self.has_input))

    def __repr__(self):
        return f"Reading({self.certainty!r}, {self.usage!r}, {self.has_input})"

    def __reduce__(self):
        return Reading, (self.certainty, self.usage, self.has_input)


UNKNOWN = Reading("unknown", Usage())


def reader_of(str shape, bytes content_type=b"", *, bint is_encoded=False):
    return reader_for(shape, content_type, is_encoded)


cdef Reader reader_for(str shape, bytes content_type, bint is_encoded):
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


def message_reader(str shape):
    return Reader(paths_for(shape), "json")


cdef object paths_for(str shape):
    found = _paths.get(shape)
    if found is None:
        found = _paths[shape] = _paths_of(shape)
    return found


cdef inline int64_t tokens(uint64_t size) noexcept:
    return size * TEXT_TOKENS // TEXT_BYTES


cdef inline bint has(Reader reader, int slot) noexcept:
    return reader.have >> slot & 1


cdef inline int64_t number(Reader reader, int slot) noexcept:
    """Return what stands in a slot; 0 where nothing does."""
    return reader.kept[slot] if reader.have >> slot & 1 else 0


cdef inline bint is_final(Reader reader) noexcept:
    # After a response that is done, another may be under way.
    return (
        (reader.has_end or reader.is_whole) and not (reader.has_many and reader.event.text != reader.early)
    ) or (reader.finish_event > 0 and reader.usage_event >= reader.finish_event)


cdef int64_t beyond_input(Reader reader) noexcept:
    """Return what the total has beyond the input: some count reasoning there alone. 0 where either is not known."""
    cdef Used used
    if not has(reader, TOTAL) or not split(reader, 0, &used):
        return 0
    return max(<int64_t>0, number(reader, TOTAL) - used.fresh_input - used.cache_write - used.cache_read)


cdef int64_t said_output(Reader reader) noexcept:
    """Return the output as the answer said it; -1 where it did not."""
    if has(reader, OUTPUT):
        return max(number(reader, OUTPUT), beyond_input(reader))
    if has(reader, OUTPUT_PART) or has(reader, THOUGHTS):
        # Gemini counts thoughts beside the candidates.
        return max(number(reader, OUTPUT_PART) + number(reader, THOUGHTS), beyond_input(reader))
    if not has(reader, TOTAL):
        return -1
    # Embeddings, and prompts that were refused, have no output to speak of.
    return max(<int64_t>0, number(reader, TOTAL) - number(reader, INPUT_ALL) - number(reader, TOOL_INPUT))


def seen_output(Reader reader not None):
    return output_so_far(reader)


cdef int64_t output_so_far(Reader reader) noexcept:
    """Return the output tokens that an answer under way has had at least."""
    cdef int64_t by_text = max(tokens(reader.event.text), <int64_t>reader.event.spoken)
    cdef int64_t said, early
    cdef uint64_t late
    if not reader.have:
        return by_text
    said, early = said_output(reader), number(reader, OUTPUT_EARLY)
    if said < 0 or reader.has_raw:
        return max(max(<int64_t>0, said), max(early, by_text))
    if reader.has_many:
        # Responses of a connection that are done have said theirs.
        return said + tokens(reader.event.text - reader.early)
    late = reader.event.text - reader.text_by_usage
    if is_final(reader) and not late:
        return max(said, early)
    return max(said + tokens(late), max(early, by_text))


def usage_so_far(Reader reader not None):
    cdef Usage usage = Usage.__new__(Usage)
    used_so_far(reader, &usage.used)
    return usage


cdef void used_so_far(Reader reader, Used *used) noexcept:
    """Fill in what an answer under way has used at least."""
    split(reader, output_so_far(reader), used)


def reading_of(Reader reader not None, *, bint is_complete, int64_t unread=0):
    cdef Usage usage = Usage.__new__(Usage)
    cdef bint has_input = False
    cdef int certainty = read_end(reader, is_complete, unread, &usage.used, &has_input)
    return Reading(CERTAINTIES[certainty], usage, has_input) if certainty else UNKNOWN


cdef int read_end(Reader reader, bint is_complete, int64_t unread, Used *used, bint *has_input) except -1:
    """Fill in what an answer that has ended used; return how sure that is."""
    cdef bint is_over, is_sure
    cdef int certainty = NOT_KNOWN
    reader.feed_eof()
    has_input[0] = split(reader, output_so_far(reader), used)
    # Gemini's chunks say what was used up to each, so theirs is exact only at a mark of the end.
    is_over = is_final(reader) or (is_complete and has(reader, OUTPUT) and not reader.has_many)
    is_sure = not (
        reader.is_guessed or reader.has_raw or (reader.event.text != reader.text_by_usage and not reader.has_many)
    )
    if said_output(reader) >= 0 and is_over and is_sure:
        certainty, has_input[0] = EXACT, True
    elif used.output or has_input[0]:
        certainty = AT_LEAST
    if unread:
        if certainty == NOT_KNOWN:
            used[0] = Used(0, 0, 0, 0, 0)
        used.output += tokens(unread)
        certainty = AT_LEAST
    return certainty


cdef bint split(Reader reader, int64_t output, Used *used) noexcept:
    """Fill in the four units; return whether the input is among what was said."""
    cdef int64_t all_of_it = -1, fresh = -1, reads, writes, hour
    used[0] = Used(0, 0, 0, output, 0)
    if not reader.have:
        return False
    if has(reader, INPUT_ALL):
        all_of_it = number(reader, INPUT_ALL)
    if has(reader, INPUT_FRESH):
        fresh = number(reader, INPUT_FRESH)
    if has(reader, INPUT_EITHER):
        # OpenAI always says beside it how much of it was cached; Anthropic never does.
        if has(reader, CACHED):
            all_of_it = number(reader, INPUT_EITHER)
        else:
            fresh = number(reader, INPUT_EITHER)
    hour = number(reader, CACHE_WRITE_1H)
    if all_of_it >= 0:
        reads = number(reader, CACHED if has(reader, CACHED) else CACHE_READ)
        writes = number(reader, CACHE_WRITTEN if has(reader, CACHE_WRITTEN) else CACHE_WRITE)
        used.fresh_input = max(<int64_t>0, all_of_it - reads - writes) + number(reader, TOOL_INPUT)
        used.cache_write, used.cache_read, used.cache_write_1h = writes, reads, min(hour, writes)
        return True
    used.fresh_input = max(<int64_t>0, fresh)
    used.cache_write, used.cache_write_1h = max(number(reader, CACHE_WRITE), hour), hour
    used.cache_read = number(reader, CACHE_READ)
    return fresh >= 0
