"""What a decision holds, where making it costs little."""

from typing import Generic, TypeVar

from typing_extensions import disjoint_base

_Reason = TypeVar("_Reason")
_Ledger = TypeVar("_Ledger")
_Verdict = TypeVar("_Verdict")

@disjoint_base
class DecisionFields(Generic[_Reason, _Ledger, _Verdict]):
    """The fields of a `ratelimit.decision.Decision`, which says what each is.

    Args:
        allowed: whether the request may go on.
        reason: what decided.
        ledger: what was charged; None where no limit had a part in it.
        cluster: the hash of the actor that the request's account belongs to, or None.
        certainty: how sure that is: 0 none, 1 likely, 2 certain.
        wait_ns: how long to wait where no limit says it; None if no wait can help.
        waited_ns: how long it waited for room.
    """

    _verdicts: tuple[_Verdict, ...] | None
    """None until they were asked for, as is the one that refuses longest."""
    _binding: _Verdict | None

    def __init__(
        self,
        allowed: bool,
        reason: _Reason,
        ledger: _Ledger | None = None,
        cluster: int | None = None,
        certainty: int = 0,
        wait_ns: int | None = None,
        waited_ns: int = 0,
    ) -> None: ...
    @property
    def _allowed(self) -> bool: ...
    @property
    def _reason(self) -> _Reason: ...
    @property
    def _ledger(self) -> _Ledger | None: ...
    @property
    def _cluster(self) -> int | None: ...
    @property
    def _certainty(self) -> int: ...
    @property
    def _wait_ns(self) -> int | None: ...
    @property
    def _waited_ns(self) -> int: ...
