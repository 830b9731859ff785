"""A `send` that reads an answer as it passes: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from ratelimit.core.algorithms.setup cimport ALLOWED, MOST_RULES
from ratelimit.usage.prices cimport Used
from ratelimit.usage.reader cimport EVENTS, JSON, Reader
from ratelimit.usage.report cimport AT_LEAST, EXACT, output_so_far, read_end, reader_for, used_so_far
from ratelimit.usage.request cimport Declared
from ratelimit.usage.rules cimport MeteredRules, Use
from ratelimit.usage.settling cimport correct, cost_of, state_of
from ratelimit.usage.unsettled cimport Reservation

from ratelimit.usage.ending import (
    AnswerCut as _AnswerCut, Numbering as _Numbering, close_after as _close_after, error_event as _error_event,
)
from ratelimit.usage.inflating import INFLATED as _INFLATED, Inflating as _Inflating
from ratelimit.usage.report import message_reader as _message_reader
from ratelimit.usage.shapes import headers_of as _headers_of, is_number as _is_number, scaled as _scaled

cdef enum:
    AT_ONCE = 1 << 18

cdef enum Ending:
    OF_CONNECTION       # a WebSocket's, which may end at any time
    RETURNED            # the application is done
    LEFT                # the client is gone
    FAILED              # the application raised

cdef tuple CERTAINTIES = ("unknown", "at_least", "exact")
ENDINGS = {"connection": OF_CONNECTION, "returned": RETURNED, "left": LEFT, "failed": FAILED}


@cython.final
@cython.auto_pickle(False)
@cython.freelist(8)
cdef class Answer:
    """One answer on its way, of a request that was allowed: see the stub."""

    def __cinit__(self, Use use not None, plan, outcome, send, now_ns):
        self.use, self.plan, self.outcome = use, plan, outcome
        self.forward, self.now_ns = send, now_ns
        self.told = _headers_of(use.rules.shape)
        self.begin_budget()

    cdef int begin_budget(self) except -1:
        cdef MeteredRules rules = self.use.rules
        cdef int at
        self.cuts = rules.has_cuts and self.plan is not None
        self.least = -1
        if not self.cuts:
            return 0
        is_away = self.plan.here is None
        if is_away:
            self.begin_ns = self.now_ns()
        for at in range(rules.count):
            if not rules.meters[at].cuts:
                continue
            if rules.counts_output:
                self.least = cost_of(self.outcome, at) if self.least < 0 else min(self.least, cost_of(self.outcome, at))
            if is_away:
                self.allowed[at] = cost_of(self.outcome, at) + self.outcome.remaining(at)
        return 0

    def send(self, message, /):
        cdef Reader reader
        if self.is_cut:
            raise _AnswerCut("the stream was cut: its budget is used up")
        kind = message["type"]
        if kind == "http.response.body":
            reader = self.reader
            if reader is not None:
                chunk = field(message, "body")
                if chunk:
                    self.read(chunk if type(chunk) is bytes else bytes(chunk))
                if self.cuts:
                    self.is_over = self.is_over or not self.has_room()
                    if self.is_over:
                        return self.cut(message)
                    self.number(chunk)
            elif self.status < 400 and field(message, "body"):
                self.is_unreadable = True
            if not field(message, "more_body"):
                self.is_complete = True
        elif kind == "http.response.start":
            self.begin(message)
        elif kind == "websocket.send":
            self.see_message(message)
            if self.is_over:
                self.is_cut = True
                return _close_after(self.forward, message, self.reader.dialect)
        return self.forward(message)

    cdef int begin(self, object message) except -1:
        cdef bytes content_type = b"", encoding = b""
        cdef bint has_length = False
        cdef list told = []
        self.status = message["status"]
        headers = field(message, "headers")
        for name, value in () if headers is None else headers:
            lower = name.lower()
            if lower == b"content-type":
                content_type = bytes(value)
            elif lower == b"content-encoding":
                encoding = bytes(value).strip().lower()
            elif lower == b"content-length":
                has_length = True
            elif self.told is not None and lower in self.told:
                told.append((self.told[lower], bytes(value)))
        if encoding in _INFLATED:
            self.inflating, self.cuts, encoding = _Inflating(), False, b""
        self.is_hidden = encoding != b"" and encoding != b"identity"
        self.reader = reader_for(self.use.rules.shape, content_type, self.is_hidden)
        if self.reader is not None:
            self.expect()
            for (slot, factor), value in told:
                if _is_number(value):
                    self.reader.foretell(slot, _scaled(value, factor))
        if self.status >= 400 and self.reader is not None and self.reader.way != JSON:
            self.reader = None  # the words of a refusal are no output of a model
        if has_length or self.reader is None or self.reader.way != EVENTS:
            self.cuts = False
        return 0

    cdef int expect(self) except -1:
        """Let the reader know what the request asked for."""
        cdef Declared declared = self.use.declared
        if declared is not None:
            self.reader.expect_of(
                declared.said.choices, declared.said.prompts, declared.said.each, declared.said.size,
                declared.said.is_echo,
            )
        return 0

    cdef int read(self, bytes chunk) except -1:
        cdef Py_ssize_t at
        if self.inflating is not None:
            self.inflating.feed(self.reader, chunk)
        elif len(chunk) <= AT_ONCE or self.cuts:
            self.reader.feed(chunk)
        else:
            # Receipts are taken on the way: a file of a batch may have any number of them.
            for at in range(0, len(chunk), AT_ONCE):
                self.reader.feed(chunk[at:at + AT_ONCE])
                self.use.take_receipts(self.reader)
        if self.reader.receipts is not None:
            self.use.take_receipts(self.reader)
        return 0

    cdef bint has_room(self) except -1:
        """Return whether what was seen so far leaves room; charges it where it is more than was charged."""
        cdef MeteredRules rules = self.use.rules
        cdef int64_t found[MOST_RULES]
        cdef Used used
        cdef int at
        if not self.reader.said.have and not self.reader.receipt_count and output_so_far(self.reader) <= self.least:
            return True  # as most chunks of most answers
        used_so_far(self.reader, &used)
        self.use.amounts(self.reader, &used, False, found)
        for at in range(rules.count):
            if (
                not rules.meters[at].cuts or state_of(self.outcome, at) != ALLOWED
                or found[at] <= cost_of(self.outcome, at)
            ):
                continue
            now_ns = self.now_ns()
            if self.plan.here is None:
                if self.is_beyond(at, found[at], now_ns):
                    return False
            else:
                correct(self.outcome, at, found[at], now_ns)
                if self.outcome.remaining(at) == 0:
                    return False
        return True

    cdef int see_message(self, object message) except -1:
        said = message.get("text")
        if said is None:
            said = message.get("bytes")
        if said:
            if self.reader is None:
                self.reader = _message_reader(self.use.rules.shape)
            self.reader.message(said)
            if self.reader.receipts is not None:
                self.charge()
        return 0

    cdef int charge(self) except -1:
        """Charge what a connection's responses used that are done, where it is more than was charged."""
        cdef MeteredRules rules = self.use.rules
        cdef int64_t found[MOST_RULES]
        cdef Used used
        cdef int at
        used_so_far(self.reader, &used)
        self.use.amounts(self.reader, &used, False, found)
        self.use.take_receipts(self.reader)
        now_ns = self.now_ns()
        for at in range(rules.count):
            if (
                not rules.meters[at].is_read or state_of(self.outcome, at) != ALLOWED
                or found[at] <= cost_of(self.outcome, at)
                or (self.exchange is not None and rules.units[at] in self.exchange.settled_units)
            ):
                continue
            correct(self.outcome, at, found[at], now_ns)
            if self.cuts and rules.meters[at].cuts:
                if self.plan.here is None:
                    self.is_over = self.is_over or self.is_beyond(at, found[at], now_ns)
                else:
                    self.is_over = self.is_over or self.outcome.remaining(at) == 0
        return 0

    cdef bint is_beyond(self, int at, int64_t found, object now_ns) except -1:
        """Return whether so much is more than a limit that a server keeps can have had room for."""
        rule = self.plan.rules[at]
        since_ns = max(0, now_ns - self.begin_ns)
        return found > self.allowed[at] + rule.quota * since_ns // rule.period_ns

    cdef object cut(self, object message):
        """Send the last chunk of a stream without a budget, up to the end of its last event."""
        cdef Reader reader = self.reader
        if not field(message, "more_body"):
            self.is_complete = True  # it has ended by itself
        elif reader.boundary >= 0:
            self.is_cut = True
            last = bytes(message.get("body", b""))[:reader.boundary]
            self.number(last)
            last += _error_event(reader.dialect, 0 if self.numbering is None else self.numbering.next)
            message = {**message, "body": last, "more_body": False}
        else:  # in the middle of an event, of which the client is owed the rest
            self.number(message.get("body", b""))
        return self.forward(message)

    cdef int number(self, object chunk) except -1:
        """Follow the numbers of events, where an error event would need the next."""
        if self.reader.dialect == "responses":
            if self.numbering is None:
                self.numbering = _Numbering()
            self.numbering.see(bytes(chunk or b""))
        return 0

    @property
    def template(self):
        return self.use.template

    @property
    def certainty(self):
        return CERTAINTIES[self.certain]

    def settle(self, reservation, reported, now_ns, ending="returned", /):
        return self.end(reservation, reported, now_ns, ENDINGS[ending])

    cdef bint end(self, Reservation reservation, object reported, object now_ns, int ending) except -1:
        cdef Used used
        cdef bint has_input = False, has_failed, is_broken
        cdef int64_t unread
        cdef int certainty = 0
        if self.reader is not None:
            unread = 0 if self.inflating is None else self.inflating.unread
            certainty = self.certain = read_end(self.reader, self.is_complete, unread, &used, &has_input)
        has_failed = (
            (ending == FAILED and not self.is_complete) or self.status >= 400
            or (self.reader is not None and self.reader.has_error)
        )
        is_broken = False
        if ending != OF_CONNECTION and not self.is_cut:
            is_broken = has_failed or not self.is_complete
            # Each client that leaves is charged what was seen, and an account with clients that always do is not.
            if self.use.ended(is_broken and not has_failed) or self.is_unreadable or self.is_hidden:
                is_broken = False
        if is_broken and certainty < AT_LEAST:
            self.use.settle_nothing(self.plan, self.outcome, reported, now_ns)
            return True
        if self.reader is not None:
            self.use.settle(
                self.plan, self.outcome, reservation, reported, certainty, &used, self.reader,
                is_broken and certainty != EXACT, self.is_hidden, now_ns,
            )
        return False

    def __reduce__(self):
        raise TypeError("an answer under way is not pickled")


cdef inline object field(object message, str name):
    """Return a field of a message; None where it is not there."""
    cdef PyObject *found
    if type(message) is not dict:
        return message.get(name)
    found = PyDict_GetItemWithError(message, name)
    return None if found == NULL else <object>found
