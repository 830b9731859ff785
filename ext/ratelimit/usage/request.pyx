"""A request's body, looked at for what it declares: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from ratelimit.usage.reader cimport Reader

import re as _re
from ratelimit.usage.shapes import compiled as _compiled

cdef enum:
    LONGEST = 128
    MOST_PATHS = 1024       # paths are remembered, so many of so many characters
    LONGEST_PATH = 256

cdef int64_t LARGEST = <int64_t>1 << 31
MOST_BODY = 1 << 20
MOST_DECLARED = LARGEST
LONGEST_MODEL = LONGEST

cdef object VERB = _re.compile(":[A-Za-z]+$")
cdef tuple FIELDS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "gemini",
    "bedrock",
    "ollama",
    "choices",
    "prompts",
    "stream",
    "echo",
)
cdef dict TABLE = {
    "max_tokens": "most max_tokens",
    "max_tokens_to_sample": "most max_tokens",
    "max_completion_tokens": "most max_completion_tokens",
    "max_output_tokens": "most max_output_tokens",
    "generationConfig.maxOutputTokens": "most gemini",
    "generation_config.max_output_tokens": "most gemini",
    "inferenceConfig.maxTokens": "most bedrock",
    "options.num_predict": "most ollama",
    "n": "most choices",
    "best_of": "most choices",
    "generationConfig.candidateCount": "most choices",
    "generation_config.candidate_count": "most choices",
    "prompt[]": "count prompts",
    "stream": "flag stream",
    "echo": "flag echo",
    "model": "name",
    "service_tier": "tier",
    "serviceTier": "tier",
    "serviceTier.type": "tier",
}
cdef object PATHS = _compiled(TABLE, FIELDS)

cdef enum:      # slots: the places of `FIELDS`
    MAX_TOKENS = 0
    MAX_COMPLETION_TOKENS = 1
    MAX_OUTPUT_TOKENS = 2
    GEMINI = 3
    BEDROCK = 4
    OLLAMA = 5
    CHOICES = 6     # the maxima stand before
    PROMPTS = 7
    STREAM = 8
    ECHO = 9
    ALL_MAXIMA = (1 << CHOICES) - 1

# By the end of a path: the maxima that its API has. It would heed no other, so another declares nothing.
cdef dict OF_ROUTES = {
    "completions": 1 << MAX_TOKENS | 1 << MAX_COMPLETION_TOKENS,
    "complete": 1 << MAX_TOKENS,
    "messages": 1 << MAX_TOKENS,
    "responses": 1 << MAX_OUTPUT_TOKENS,
    "generatecontent": 1 << GEMINI,
    "streamgeneratecontent": 1 << GEMINI,
    "converse": 1 << BEDROCK,
    "converse-stream": 1 << BEDROCK,
}
cdef dict _known_paths = {}

MAXIMA = {
    tuple(path.split(".")): FIELDS.index(meaning.split()[1])
    for path, meaning in TABLE.items()
    if meaning.startswith("most ") and FIELDS.index(meaning.split()[1]) < CHOICES
}
# By the end of a path: the maximum that is inserted where a body says none.
cdef dict MISSING = {
    "chat/completions": ("max_completion_tokens",),
    "completions": ("max_tokens",),
    "complete": ("max_tokens_to_sample",),
    "messages": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "generatecontent": ("generationConfig", "maxOutputTokens"),
    "streamgeneratecontent": ("generationConfig", "maxOutputTokens"),
    "converse": ("inferenceConfig", "maxTokens"),
    "converse-stream": ("inferenceConfig", "maxTokens"),
    "api/chat": ("options", "num_predict"),
    "api/generate": ("options", "num_predict"),
    "v2/chat": ("max_tokens",),
}


def missing_in(str path not None, int fields, str stated):
    """Return the maximum to insert in a body that says none: see the stub."""
    if stated is not None:
        found = tuple(stated.split("."))
        if found in MAXIMA and fields >> MAXIMA[found] & 1:
            return found
    before, _, last = path.rstrip("/").lower().rpartition("/")
    last = last.rpartition(":")[2]
    return MISSING.get(f"{before.rpartition('/')[2]}/{last}", MISSING.get(last))


@cython.final
@cython.auto_pickle(False)
@cython.freelist(16)
cdef class Declared:
    """The facts that a request states about itself: see the stub."""

    def __init__(self, output=None, model=None, bint is_stream=False, Py_ssize_t size=0, int by=0, tier=None):
        self.said = Said(-1 if output is None else output, size, by, 0, is_stream, False, 1, 0, -1, False)
        self.model, self.tier = model, tier

    @property
    def output(self):
        return None if self.said.output < 0 else self.said.output

    @property
    def is_stream(self):
        return self.said.is_stream

    @property
    def size(self):
        return self.said.size

    @property
    def by(self):
        return self.said.by

    @property
    def is_object(self):
        return self.said.is_object

    def __eq__(self, other):
        if type(other) is not Declared:
            return NotImplemented
        return (self.output, self.model, self.is_stream, self.size, self.tier) == (
            other.output, other.model, other.is_stream, other.size, other.tier
        )

    def __hash__(self):
        return hash((self.output, self.model, self.is_stream, self.size, self.tier))

    def __repr__(self):
        return f"Declared({self.output}, {self.model!r}, {self.is_stream}, {self.size}, {self.by})"

    def __reduce__(self):
        return Declared, (self.output, self.model, self.is_stream, self.size, self.by, self.tier)


def model_in_path(str segment not None):
    name = VERB.sub("", segment)
    return name if len(name) <= LONGEST else None


cpdef Declared named(Declared declared, str segment):
    """Return what was declared, of the model that a segment of the path names."""
    cdef Declared found = Declared.__new__(Declared)
    found.said, found.model, found.tier = declared.said, model_in_path(segment), declared.tier
    return found


def fields_of(str path not None):
    return fields_for(path)


cdef int fields_for(str path) except -1:
    cdef PyObject *known = PyDict_GetItemWithError(_known_paths, path)
    cdef int fields
    if known != NULL:
        return <object>known
    last = path.rstrip("/").rpartition("/")[2]
    fields = OF_ROUTES.get(last.rpartition(":")[2].lower(), ALL_MAXIMA)
    if len(path) <= LONGEST_PATH:
        if len(_known_paths) >= MOST_PATHS:
            _known_paths.clear()
        _known_paths[path] = fields
    return fields


@cython.final
@cython.auto_pickle(False)
cdef class Body:
    """A request's body on its way to the application: see the stub."""

    def __init__(self, Py_ssize_t most=MOST_BODY, int fields=ALL_MAXIMA):
        self.reader = Reader(PATHS, "json")
        self.most, self.fields = most, fields
        self.first = -1

    def feed(self, bytes chunk not None, /):
        return self.take(chunk)

    cdef bint take(self, bytes chunk) except -1:
        """Take the next bytes; return whether more would be looked at."""
        cdef const char *p = PyBytes_AS_STRING(chunk)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(chunk), i = 0
        cdef unsigned char c
        self.size += n
        if self.first < 0:
            while i < n and (p[i] == b" " or p[i] == b"\t" or p[i] == b"\r" or p[i] == b"\n"):
                i += 1
            if i < n:
                c = self.first = <unsigned char>p[i]
                # Of an object or array, and of one in UTF-16, UTF-32 or behind a mark.
                self.is_other = not (
                    c == b"{" or c == b"[" or c == 0x00 or c == 0xef or c == 0xfe or c == 0xff
                )
        if self.size <= self.most:
            self.reader.feed(chunk)
        return self.size < self.most and not self.is_other

    def declared(self, *, bint is_whole):
        return self.end(is_whole)

    cdef Declared end(self, bint is_whole):
        """Return what the body said; without its end, that cannot be known."""
        cdef Reader reader = self.reader
        cdef Declared found = Declared.__new__(Declared)
        found.said = Said(-1, self.size, 0, self.fields, False, False, 1, 0, -1, False)
        reader.feed_eof()
        if self.is_other or (is_whole and self.first < 0 and self.size <= self.most):
            return found
        found.said.output = LARGEST
        if (
            not is_whole
            or self.size > self.most
            or reader.malformed
            or reader.events != 1
            or not (reader.has_end or reader.is_whole)
            or self.first != b"{"
        ):
            return found
        found.said.is_object = True
        found.said.choices = min(LARGEST, several(reader, CHOICES))
        if reader.said.have >> PROMPTS & 1:
            found.said.prompts = min(LARGEST, several(reader, PROMPTS))
        if reader.names == 1:
            found.model = reader.name
        found.tier = reader.found_tier
        if not reader.odd:
            self.output(&found.said)
        found.said.is_stream = reader.said.have >> STREAM & 1 and reader.said.values[STREAM] != 0
        found.said.is_echo = reader.said.have >> ECHO & 1 and reader.said.values[ECHO] != 0
        return found

    cdef int output(self, Said *said) except -1:
        """Fill in the most that is declared, and by which fields."""
        cdef Reader reader = self.reader
        cdef int64_t most = 0
        cdef int slot
        # Which of several counts is up to the provider: so the largest does. To some 0 is no maximum.
        for slot in range(CHOICES):
            if self.fields >> slot & 1 and reader.said.have >> slot & 1 and reader.said.values[slot]:
                most = max(most, <int64_t>reader.said.values[slot])
                said.by |= 1 << slot
        if not said.by:
            said.output = -1
            return 0
        said.each = most
        # Each is at most 2**40, and what is beyond the largest maximum is cut before the next factor.
        most = min(most, LARGEST)
        most = min(most * said.choices, LARGEST)
        said.output = min(most * max(<int64_t>1, said.prompts), LARGEST)
        return 0

    def __reduce__(self):
        raise TypeError("a request under way is not pickled")


cdef inline int64_t several(Reader reader, int slot) noexcept:
    """Return how many a slot says there are, one at least."""
    return max(<int64_t>1, <int64_t>reader.said.values[slot]) if reader.said.have >> slot & 1 else 1


def unread(Py_ssize_t size=0):
    return Declared(LARGEST, size=size)
