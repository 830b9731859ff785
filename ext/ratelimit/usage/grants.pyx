"""A request's own maximum in its body, found and lowered: see the stub for the contract."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t

from ratelimit.parsing.json import read_json as _read_json
from ratelimit.usage.request import MAXIMA as _MAXIMA, missing_in as _missing_in

cdef enum:
    LONGEST_KEY = 240       # of one that is looked at: 40 characters, each of them escaped
    MOST_PLACES = 64        # maxima of one body
    MOST_KEYS = 1000        # keys that are decoded: an honest body has some dozens
    MOST_DIGITS = 10

cdef int64_t LARGEST = <int64_t>1 << 31
cdef tuple THINKING = ("thinking", "budget_tokens")
# Parsers of some languages take keys whatever their case, and two letters beside those of ASCII.
cdef dict FOLDED = str.maketrans({"\u017f": "s", "\u212a": "k"})
cdef dict TOP = {}          # by key in lower case: the path that it is
cdef dict PARENTS = {}      # by key of an object in lower case: likewise, of the keys in it
# What multiplies a maximum is read as its API writes it. In another case it is a number that was not counted.
cdef dict TIMES = {
    "": {"n": ("n",), "best_of": ("best_of",), "prompt": ("prompt",)},
    "generationconfig": {"candidatecount": ("candidateCount",), "candidate_count": ()},
    "generation_config": {"candidate_count": ("candidate_count",), "candidatecount": ()},
}
cdef tuple SPELLINGS = ("generationconfig", "generation_config")    # one object


def _fill():
    for path in (*_MAXIMA, THINKING):
        known = TOP if len(path) == 1 else PARENTS.setdefault(folded(path[0]), {})
        known[folded(path[-1])] = path
    both = {**PARENTS[SPELLINGS[0]], **PARENTS[SPELLINGS[1]]}
    PARENTS[SPELLINGS[0]] = PARENTS[SPELLINGS[1]] = both  # either spelling is taken at either place


cdef str folded(str key):
    return key.translate(FOLDED).lower()


_fill()


@cython.final
@cython.auto_pickle(False)
cdef class Places:
    """Where a body has its maxima: see the stub."""

    cpdef bytes written(self, int64_t most):
        cdef list edits = [], pieces = []
        cdef bytes number = b"%d" % most
        cdef bint is_said = self.says(), is_counted
        cdef Py_ssize_t at = 0
        cdef int64_t value
        # Of keys that are there and say no maximum, one gets it.
        chosen = None
        for key in self.values:
            if chosen is None and not is_said and self.is_exact(key):
                chosen = key
        for key, values in self.values.items():
            # Beside one that says a maximum, another of its name that says none may be the one that counts.
            is_counted = key == chosen or any([value >= 0 for _, _, value, _ in values])
            for start, end, value, _ in values:
                if value > most or value < 0 and is_counted:
                    edits.append((start, end, number))
        if not is_said and chosen is None and self.missing is not None:
            edits.append(self.insertion(number))
        for start, end, text in sorted(edits):
            pieces += (self.body[at:start], text)
            at = end
        pieces.append(self.body[at:])
        return b"".join(pieces)

    cpdef bint says(self) except -1:
        return any([exact and value >= 0 for values in self.values.values() for _, _, value, exact in values])

    cdef bint is_exact(self, str key) except -1:
        """Return whether a key is there as its API writes it."""
        return any([exact for _, _, _, exact in self.values[key]])

    @property
    def can_write(self):
        return self.missing is not None or any([self.is_exact(key) for key in self.values])

    cdef tuple insertion(self, bytes number):
        """Return the edit that inserts the missing key, as the first of its object."""
        cdef tuple path = self.missing
        text = b'"%b":%b' % (path[len(path) - 1].encode(), number)
        at, is_empty = self.openings[""]
        if len(path) == 2:
            if path[0] in self.openings:
                at, is_empty = self.openings[path[0]]
            else:
                text = b'"%b":{%b}' % (path[0].encode(), text)
        return at, at, (text if is_empty else text + b",")

    cdef bint read(self, Py_ssize_t i, int fields, str parent, dict known, Py_ssize_t *end) except -1:
        """Read an object from behind its brace to behind its end; False where it is ambiguous."""
        cdef const char *p = PyBytes_AS_STRING(self.body)
        cdef Py_ssize_t n = PyBytes_GET_SIZE(self.body), start
        cdef str key, name
        cdef dict times = TIMES.get(folded(parent))
        i = blanks(p, n, i)
        self.openings[parent] = (i, i < n and p[i] == b"}")
        while i < n and p[i] != b"}":
            start, i = i, string_end(p, n, i)
            key = name = None
            if i - start <= LONGEST_KEY:
                key = p[start + 1:i - 1].decode("utf-8", "replace")
                if "\\" in key:
                    key = unescaped(key)
                name = folded(key)
                self.keys += 1
                if self.keys > MOST_KEYS or times is not None and name in times and key not in times[name]:
                    return False
            i = blanks(p, n, blanks(p, n, i) + 1)   # behind the colon
            path = None if name is None else known.get(name)
            start = i
            if path is not None and (path is THINKING or fields >> _MAXIMA[path] & 1):
                i = value_end(p, n, i)
                if not self.take(name, path, start, i, path == ((parent, key) if parent else (key,))):
                    return False
            elif not parent and name in PARENTS and is_of(PARENTS[name], fields):
                if self.has_opened(name):
                    return False        # which of the two counts is not known
                if p[i] == b"{":
                    if not self.read(i + 1, fields, key, PARENTS[name], &i):
                        return False
                elif name == THINKING[0]:
                    i = value_end(p, n, i)
                else:
                    return False
            else:
                i = value_end(p, n, i)
            i = blanks(p, n, i)
            if i < n and p[i] == b",":
                i = blanks(p, n, i + 1)
        end[0] = i + 1
        return True

    cdef bint has_opened(self, str name) except -1:
        """Return whether an object of this name was there before, in either of its spellings."""
        names = SPELLINGS if name in SPELLINGS else (name,)
        return any([folded(key) in names for key in self.openings])

    cdef bint take(self, str key, object path, Py_ssize_t start, Py_ssize_t end, bint is_exact) except -1:
        """Note what a maximum says, -1 for none; False where it is no whole number, or there are too many."""
        cdef bytes value = self.body[start:end]
        cdef bytes digits = value[1:] if value.startswith(b"-") else value
        cdef int64_t number = -1
        if value != b"null":
            if not digits.isdigit():
                return path is THINKING     # that is the provider's to complain of
            if digits == value:
                number = LARGEST if len(value) > MOST_DIGITS else min(int(value), LARGEST)
        if path is THINKING:
            self.least = max(self.least, number)
            return True
        values = self.values.setdefault(key, [])
        values.append((start, end, number or -1, is_exact))     # 0 is no maximum to some
        if is_exact:
            self.by |= 1 << <int>_MAXIMA[path]
        return len(values) <= MOST_PLACES

    def __reduce__(self):
        raise TypeError("places are of one body")


cpdef Places places_of(bytes body, int fields, str path, str stated):
    cdef Places places = Places.__new__(Places)
    cdef Py_ssize_t i = blanks(PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), 0)
    places.body, places.values, places.openings = body, {}, {}
    if i >= len(body) or body[i] != b"{"[0]:
        return None
    if not places.read(i + 1, fields, "", TOP, &i):
        return None
    if not places.by:
        places.missing = _missing_in(path, fields, stated)
        if places.missing is not None:
            places.by = 1 << <int>_MAXIMA[places.missing]
            if places.missing[0] == "generationConfig" and "generation_config" in places.openings:
                places.missing = ("generation_config", "max_output_tokens")
    return places


cdef str unescaped(str key):
    """Return what a key with escapes says; "" where it has half of a character, as none of ours does."""
    try:
        return _read_json(f'"{key}"')
    except ValueError:
        return ""


cdef bint is_of(dict keys, int fields) except -1:
    """Return whether an object has keys that count."""
    return any([path is THINKING or fields >> _MAXIMA[path] & 1 for path in keys.values()])


cdef inline Py_ssize_t blanks(const char *p, Py_ssize_t n, Py_ssize_t i) noexcept:
    # noexcept, here and below: looks at bytes within their size.
    while i < n and (p[i] == b" " or p[i] == b"\t" or p[i] == b"\r" or p[i] == b"\n"):
        i += 1
    return i


cdef inline Py_ssize_t string_end(const char *p, Py_ssize_t n, Py_ssize_t i) noexcept:
    """Return what lies behind a string that begins here."""
    i += 1
    while i < n and p[i] != b'"':
        i += 2 if p[i] == b"\\" else 1
    return min(i + 1, n)


cdef inline Py_ssize_t value_end(const char *p, Py_ssize_t n, Py_ssize_t i) noexcept:
    """Return what lies behind a value that begins here."""
    cdef Py_ssize_t depth = 0
    cdef char c
    while i < n:
        c = p[i]
        if c == b'"':
            i = string_end(p, n, i)
        elif c == b"{" or c == b"[":
            depth += 1
            i += 1
            continue
        elif c == b"}" or c == b"]":
            if depth == 0:
                return i
            depth -= 1
            i += 1
        elif depth == 0 and (c == b"," or c == b" " or c == b"\t" or c == b"\r" or c == b"\n"):
            return i
        else:
            i += 1
            continue
        if depth == 0:
            return i
    return n
