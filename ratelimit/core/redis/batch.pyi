"""One call to a server: the questions of many decisions, and the task that waits for each answer.

The questions are entries of a slot batch. An entry has three methods: `read_reply(said, at)` takes its numbers
of the answer and returns where the next begins, `tell()` lets its task go on, and `fail(error)` says that there
is no answer.
"""

from collections.abc import Collection
from typing import Any, Protocol, final

from typing_extensions import disjoint_base

from ratelimit.core.decision.engine import Outcome
from ratelimit.core.redis.remote import RemoteRules

MOST_ASKS: int
"""So many asks a call: half a millisecond of the server, while another pipeline is read and written."""

class _Future(Protocol):
    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...

class _Planned(Protocol):
    @property
    def rules(self) -> RemoteRules: ...
    @property
    def described(self) -> bytes | None: ...
    def describe(self) -> bytes: ...

@disjoint_base
class Decisive:
    """A decision that waits for its answer.

    Args:
        plan, outcome: what is asked, and where the answer goes.
        commit: False for a peek.
        future: done when the answer is here.
    """

    def __new__(cls, plan: _Planned, outcome: Outcome, commit: bool, future: _Future) -> Decisive: ...
    @property
    def plan(self) -> Any: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def commit(self) -> bool: ...
    @property
    def future(self) -> _Future: ...
    def read_reply(self, said: list[int], at: int, /) -> int:
        """Take the answer; return where the next begins."""
    def tell(self) -> None:
        """Let the task that asked go on; what was charged for one that has gone is taken back."""

@final
class SlotBatch:
    """Questions that are asked in one call."""

    def __new__(cls) -> SlotBatch: ...
    @property
    def keys(self) -> dict[bytes, int]:
        """The subjects of the question, numbered from one."""
    @property
    def items(self) -> list[int]: ...
    @property
    def entries(self) -> list[Any]: ...
    @property
    def corrections(self) -> dict[tuple[int, int], Any]:
        """Those of units, to be amended until they are sent."""
    @property
    def is_sent(self) -> bool: ...
    def base_of(self, plan: _Planned, /) -> int:
        """Return the number of a plan's first rule in this slot batch."""
    def call(
        self, worker: int, now_us: int | None, /
    ) -> tuple[Collection[bytes], tuple[int, ...], bytes, list[int]]:
        """Return what the script is run with."""
    def deliver(self, answer: object, /) -> int:
        """Give all tasks the answer; return how many they are.

        Raises:
            ValueError: it is no answer to these questions; those not answered yet remain to be failed.
        """
    def fail(self, error: Exception, /) -> None:
        """Tell all tasks that still wait that there is no answer."""

@final
class Batch:
    """The requests sent at one time: a slot batch, or for a cluster one for each slot."""

    sent: float
    is_over: bool
    is_overdue: bool
    pipeline: Any
    """What carries it, once it is sent."""

    def __new__(cls, begun: float, /) -> Batch: ...
    @property
    def begun(self) -> float: ...
    @property
    def slot_batches(self) -> dict[bytes, SlotBatch]: ...
    def slot_batch(self, tag: bytes = b"", /) -> SlotBatch:
        """Return the slot batch of a slot."""
    def calls(
        self, worker: int, now_us: int | None, /
    ) -> list[tuple[Collection[bytes], tuple[int, ...], bytes, list[int]]]:
        """Return what the script is run with, for each slot batch."""
    @property
    def is_full(self) -> bool:
        """True if no more should be added."""
    def fail(self, error: Exception, /) -> None:
        """Tell all tasks that still wait that there is no answer."""
