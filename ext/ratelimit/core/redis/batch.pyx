"""One call to a server, and the owner of each part of the answer: see the stub for the contract."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from ratelimit.core.decision.engine cimport Outcome
from ratelimit.core.memory.number cimport WHOLE, read_number
from ratelimit.core.redis.message cimport numbers_of
from ratelimit.core.redis.remote cimport RemoteRules

cdef enum:
    ASKS = 96               # so many a call: half a millisecond of the server, while another pipeline is read and written
    MOST_NUMBERS = 6 * ASKS  # what they take in items, with the head of each decision of two or three

MOST_ASKS = ASKS
cdef uint64_t MOST_US = <uint64_t>1 << 53  # as far as the script's numbers are whole: until the year 2255


@cython.auto_pickle(False)
cdef class Decisive:
    def __cinit__(self, plan, Outcome outcome not None, bint commit, future):
        self.plan, self.outcome, self.commit, self.future = plan, outcome, commit, future
        self.rules = <RemoteRules?>plan.rules

    cdef Py_ssize_t read(self, list said, Py_ssize_t at) except -1:
        return self.rules.read(self.outcome, said, at, said[0], self.commit, False)

    def read_reply(self, list said not None, Py_ssize_t at, /):
        return self.read(said, at)

    def tell(self):
        if not self.future.done():
            self.future.set_result(None)
        elif self.commit and self.outcome.allowed:
            self.outcome.undo(0)  # the task has gone: nothing is held on its behalf

    def __reduce__(self):
        raise TypeError("a question under way is not pickled")


cdef bytes description_of(plan):
    text = plan.described
    return <bytes?>(plan.describe() if text is None else text)


@cython.final
@cython.auto_pickle(False)
cdef class SlotBatch:
    def __cinit__(self):
        self.keys, self.items, self.entries = {}, [], []
        self.described = b""

    def base_of(self, plan, /):
        return self.first_of(plan)

    cdef int first_of(self, plan) except -1:
        """Return the number of a plan's first rule in this slot batch."""
        cdef PyObject *found
        cdef int base = self.rules
        if plan is self.first:
            return 0
        if self.first is None:  # most batches have one plan's questions
            self.first = plan
            self.described = description_of(plan)
        else:
            if self.bases is None:
                self.bases = {}
            found = PyDict_GetItemWithError(self.bases, plan)
            if found != NULL:
                return <object>found
            self.bases[plan] = base
            self.described += description_of(plan)
        self.rules += (<RemoteRules?>plan.rules).plan.setup.count
        return base

    @property
    def corrections(self):
        if self.amendable is None:
            self.amendable = {}
        return self.amendable

    def call(self, worker, now_us, /):
        return self.call_of(worker, now_us)

    cdef tuple call_of(self, worker, now_us):
        """Return what the script is run with, and note that nothing joins any more."""
        self.is_sent = True
        return self.keys, (False if now_us is None else now_us, worker, self.rules), self.described, self.items

    def deliver(self, answer, /):
        return self.give(answer)

    cdef Py_ssize_t give(self, answer) except -1:
        """Give all tasks the answer; return how many they are."""
        cdef list said
        cdef Py_ssize_t at = 1
        cdef uint64_t now_us
        if not isinstance(answer, bytes):
            raise ValueError(f"an answer of type {type(answer).__name__}")
        said = numbers_of(answer)
        if not said or read_number(said[0], &now_us) != WHOLE or now_us >= MOST_US:
            raise ValueError("an answer of no time")
        try:
            for entry in self.entries:
                if isinstance(entry, Decisive):
                    at = (<Decisive>entry).read(said, at)
                else:
                    at = entry.read_reply(said, at)
        except (IndexError, TypeError, OverflowError) as error:
            raise ValueError(f"an answer of {len(said)} numbers ends too early: {error}") from error
        if at != PyList_GET_SIZE(said):
            raise ValueError(f"an answer of {len(said)} numbers, {at} were asked for")
        # No task is told before all of it made sense.
        for entry in self.entries:
            entry.tell()
        return len(self.entries)

    def fail(self, error, /):
        for entry in self.entries:
            entry.fail(error)

    def __reduce__(self):
        raise TypeError("questions under way are not pickled")


@cython.final
@cython.auto_pickle(False)
cdef class Batch:
    def __cinit__(self, double begun, /):
        self.begun = self.sent = begun
        self.slot_batches = {}

    def slot_batch(self, bytes tag=b"", /):
        return self.of_slot(tag)

    cdef SlotBatch of_slot(self, bytes tag):
        """Return the slot batch of a slot."""
        cdef PyObject *found = PyDict_GetItemWithError(self.slot_batches, tag)
        if found != NULL:
            return <SlotBatch><object>found
        made = self.slot_batches[tag] = SlotBatch.__new__(SlotBatch)
        return made

    def calls(self, worker, now_us, /):
        return self.calls_of(worker, now_us)

    cdef list calls_of(self, worker, now_us):
        """Return what the script is run with, for each slot batch that has a question."""
        return [
            (<SlotBatch>slot_batch).call_of(worker, now_us)
            for slot_batch in self.slot_batches.values() if (<SlotBatch>slot_batch).keys
        ]

    @property
    def is_full(self):
        cdef Py_ssize_t numbers = 0
        for slot_batch in self.slot_batches.values():
            numbers += PyList_GET_SIZE((<SlotBatch>slot_batch).items)
        return numbers >= MOST_NUMBERS

    def fail(self, error, /):
        self.is_over = True
        for slot_batch in self.slot_batches.values():
            slot_batch.fail(error)

    def __reduce__(self):
        raise TypeError("questions under way are not pickled")
