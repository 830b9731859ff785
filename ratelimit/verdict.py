"""The words of a decision: its reason, and one `Verdict` for each limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from ratelimit.features.steps import FirstStep, MildStep

ClusterVerdict = Literal["likely", "certain"]
VERDICTS: tuple[None, Literal["likely"], Literal["certain"]] = (None, "likely", "certain")
"""The certainty about a principal, by its number in the core."""


class Reason(StrEnum):
    """The reason for a decision."""

    LIMITS = "limits"
    """The limits that apply decided."""
    UNLIMITED = "unlimited"
    """No limit applies to this request."""
    ALLOW_LIST = "allow-list"
    DENY_LIST = "deny-list"
    IDENTITY = "identity"
    """An identity the policy insists on is missing or malformed."""
    STORE = "store"
    """The store failed and the policy's stance decided; or the limiter was closed while it waited."""
    CAPACITY = "capacity"
    """More was in flight than is answered in time."""
    BODY = "body"
    """Its body came too slowly, before it could be decided."""
    MODEL = "model"
    """It names no model that has a price, and the policy refuses such (`"*" = "refuse"`)."""
    QUEUE = "queue"
    """There was room, and others that wait for it came first, for longer than the request may wait."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of one limit on one request.

    `retry_after_ns` is 0 when allowed and None when no wait is known to help: the cost exceeds the burst, or
    what of it is left while the server is away, or a lifetime is used up. `window_ns` is 0 for a lifetime,
    and for slots. `remaining` and `reset_after_ns` are after this request's own charge. A shadow limit may
    say `allowed=False` while the decision allows.
    """

    limit: str
    allowed: bool
    shadow: bool
    unit: str
    cost: int
    quota: int
    window_ns: int
    remaining: int
    reset_after_ns: int
    retry_after_ns: int | None
    action: Literal["allow", FirstStep]
    """What it says; in shadow, what it would."""
    factor: float = 1.0
    """What the caller's conduct leaves of a limit that is `adaptive`, in sixteenths; the other numbers here
    are what is left. 1 for limits that are not, and where nothing struck."""
    step: MildStep | None = None
    """The step by which a request went on that only conduct left no room for."""
    reduced_to: int | None = None
    """The most that a request may ask of it at once while its server is away, if this one asked for more:
    then it is refused that long, and not for good."""

    @property
    def is_used_up(self) -> bool:
        """True if a lifetime has too little left: time gives nothing back."""
        return self.retry_after_ns is None and self.window_ns == 0

    @property
    def retry_after(self) -> float | None:
        """`retry_after_ns` in seconds."""
        return None if self.retry_after_ns is None else self.retry_after_ns / 1e9


def cluster_name(cluster: int | None) -> str | None:
    """Return how a cluster is called wherever people read of it."""
    return None if cluster is None else f"{cluster:016x}"


class Flight(Protocol):
    """A request's place before a back end whose load a limit follows."""

    def first_byte(self, status: int | None = None) -> None:
        """Note that its answer begins."""
        ...

    def go_on(self) -> None:
        """Note that it is alive."""
        ...

    def end(self, status: int | None = None) -> None:
        """Give the place back, once."""
        ...


class Ledger(Protocol):
    """The part of its maker that a decision needs: its verdicts, and the charge behind them."""

    @property
    def binding(self) -> int:
        """Position in `verdicts` of the one that refuses longest, else -1."""
        ...

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return one verdict for each limit that applied."""
        ...

    def settle_units(self, units: Mapping[str, int]) -> None:
        """Replace what was charged for these units by what was really used."""
        ...

    def release(self, status: int | None = None, *, produced: bool = False) -> None:
        """End the request: see `Decision.release`."""
        ...
