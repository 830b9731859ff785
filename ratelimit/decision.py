"""What a decision says: one `Verdict` for each limit, a `Decision` over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Literal, Protocol

from ratelimit.decision_fields import DecisionFields

ClusterVerdict = Literal["likely", "certain"]
VERDICTS: tuple[None, Literal["likely"], Literal["certain"]] = (None, "likely", "certain")
"""What is said of a principal, by the number that the core has for it."""


class Reason(StrEnum):
    """Why a decision came out as it did."""

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
    QUEUE = "queue"
    """There was room, and others that wait for it came first, for longer than the request may wait."""


MildStep = Literal["observe", "wait", "degrade", "challenge"]
"""Steps of a limit's `on_refusal` by which a request goes on that only conduct left no room for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one limit says of one request.

    `retry_after_ns` is 0 when allowed and None when no wait can help (the cost
    exceeds the burst). `remaining` and `reset_after_ns` are after this request's
    own charge. A shadow limit may say `allowed=False` while the decision allows.
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
    action: Literal["allow", "refuse", "degrade", "challenge"]
    """What it says; in shadow, what it would."""
    factor: float = 1.0
    """What the caller's conduct leaves of a limit that is `adaptive`, in sixteenths; the other numbers here
    are what is left. 1 for limits that are not, and where nothing struck."""
    step: MildStep | None = None
    """The step by which a request went on that only conduct left no room for."""


def cluster_name(cluster: int | None) -> str | None:
    """Return how a cluster is called wherever people read of it."""
    return None if cluster is None else f"{cluster:016x}"


class Ledger(Protocol):
    """What a decision asks of its maker: its verdicts, and the charge behind them."""

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

    def release(self) -> None:
        """Free concurrency slots; a second call does nothing."""
        ...


class LimitedRequest(Protocol):
    """What an application finds at `scope["ratelimit"]`: its request, as far as limits are about it.

        limited: LimitedRequest = request.scope["ratelimit"]
        limited.decision.verdicts            # what each limit says, and what remains
        limited.settle(output_tokens=812)    # the real cost, once it is known

    These members are what an application may rely on. A test that calls the application without the
    middleware puts an object of its own there.
    """

    @property
    def decision(self) -> Decision:
        """What was decided of this request."""
        ...

    @property
    def cluster(self) -> str | None:
        """The cluster that the request's account is in: see `Decision.cluster`."""
        ...

    @property
    def verdict(self) -> ClusterVerdict | None:
        """How sure it is that the account belongs there: see `Decision.verdict`."""
        ...

    @property
    def degrade(self) -> tuple[str, ...]:
        """The limits for which less is to be given, as a smaller model: see `Decision.degrade`."""
        ...

    def settle(self, units: Mapping[str, int] | None = None, /, **more: int) -> None:
        """Report what was really used: see `Decision.settle`. Reaches every limiter around this request."""
        ...

    def refusal(self) -> tuple[int, bytes, int | None]:
        """Return what the client of a refused request may be told, for a responder to put in other words.

        Status, problem document (JSON) and wait in nanoseconds; the wait is None where none can help.
        Unlike the decision it conceals what a limit per cluster would give away.
        """
        ...


class Decision(DecisionFields[Reason, Ledger, Verdict]):
    """Allow or refuse, and why. Read-only; verdicts are made when first asked for.

    After the work, report its real cost with `settle`, and end it with `release`.
    Or use the decision as a context manager, which releases:

        with limiter.decide(path="/v1/chat", identities={"account": key}) as decision:
            if decision.allowed:
                answer = work()
                decision.settle(output_tokens=answer.tokens)
    """

    __slots__ = ()

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self._allowed

    @property
    def action(self) -> Literal["allow", "refuse"]:
        """`allowed` as a word."""
        return "allow" if self._allowed else "refuse"

    @property
    def reason(self) -> Reason:
        """What decided."""
        return self._reason

    @property
    def degrade(self) -> tuple[str, ...]:
        """The names of limits that have no room and degrade (`on_refusal`), for which less is to be given."""
        return tuple(one.limit for one in self.verdicts if one.action == "degrade" and not one.shadow)

    @property
    def waited_ns(self) -> int:
        """How long it waited for room, in nanoseconds; 0 if it did not."""
        return self._waited_ns

    @property
    def ledger(self) -> Ledger | None:
        """What was charged; None where no limit had a part in it."""
        return self._ledger

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict for each limit that applied, in the policy's order."""
        if self._verdicts is None:
            self._verdicts = () if self._ledger is None else self._ledger.verdicts()
        return self._verdicts

    @property
    def binding(self) -> Verdict | None:
        """The verdict that refuses longest; None when allowed."""
        if self._binding is None and self._ledger is not None and not self._allowed:
            at = self._ledger.binding
            self._binding = self.verdicts[at] if at >= 0 else None
        return self._binding

    @property
    def limit(self) -> str | None:
        """The name of the limit that refuses longest; None when allowed."""
        binding = self.binding
        return None if binding is None else binding.limit

    @property
    def cluster(self) -> str | None:
        """The cluster the request's principal is in, as a hash; None without one.

        For the application alone: a client that learns of it learns what gave it away.
        """
        return cluster_name(self._cluster)

    @property
    def verdict(self) -> ClusterVerdict | None:
        """How sure it is that the principal belongs to that cluster; None without one.

        A `certain` member shares one budget with the others. A `likely` one is refused by limits that
        say `verdict = "likely"` alone; the application may give it less. Like `cluster` this is for
        the application, and for no client.
        """
        return VERDICTS[self._certainty]

    @property
    def retry_after_ns(self) -> int | None:
        """Nanoseconds to wait: 0 when allowed, None when no wait can help."""
        if self._allowed:
            return 0
        binding = self.binding
        return self._wait_ns if binding is None else binding.retry_after_ns

    def settle(self, units: Mapping[str, int] | None = None, /, **more: int) -> None:
        """Report what was really used, in place of what was charged on arrival.

        More is charged without asking, into debt as deep as the limit says; less is
        given back. May be called again as a stream goes on: the last report stands.
        Units that no limit of this decision counts are ignored, and so is all of it
        after a refusal, which charged nothing.

        Raises:
            UsageError: a number is not an integer from 0 to 2**31 - 1 (code `cost-range`).
        """
        if self._ledger is not None:
            self._ledger.settle_units({**units, **more} if units else more)

    def release(self) -> None:
        """Say that the work has ended: concurrency slots are free again. Idempotent."""
        if self._ledger is not None:
            self._ledger.release()

    def __enter__(self) -> Decision:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        limit = f" by {self.limit!r}" if self.limit is not None else ""
        return f"<Decision {self.action}{limit} ({self._reason.value})>"
