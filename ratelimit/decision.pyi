"""The decision over all limits of a request, and what an application finds of it in its scope."""

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Protocol

from typing_extensions import disjoint_base

from ratelimit.verdict import (
    VERDICTS,
    ClusterVerdict,
    Flight,
    Ledger,
    Reason,
    Verdict,
    cluster_name,
)

__all__ = [
    "VERDICTS",
    "ClusterVerdict",
    "Decision",
    "Ledger",
    "LimitedRequest",
    "Reason",
    "Verdict",
    "cluster_name",
]

@disjoint_base
class Decision:
    """Allow or refuse, and why. Read-only; verdicts are made when first asked for.

    After the work, report its real cost with `settle`, and end it with `release`.
    Or use the decision as a context manager, which releases:

        with limiter.decide(path="/v1/chat", identities={"account": key}) as decision:
            if decision.allowed:
                answer = work()
                decision.settle(output_tokens=answer.tokens)
    """

    def __init__(
        self,
        allowed: bool,
        reason: Reason,
        ledger: Ledger | None = None,
        cluster: int | None = None,
        certainty: int = 0,
        wait_ns: int | None = None,
        waited_ns: int = 0,
        flight: Flight | None = None,
    ) -> None: ...
    @property
    def allowed(self) -> bool:
        """True if the request may go on."""
    @property
    def action(self) -> Literal["allow", "refuse"]:
        """`allowed` as a word."""
    @property
    def reason(self) -> Reason:
        """The reason for the decision."""
    @property
    def degrade(self) -> tuple[str, ...]:
        """The names of limits that have no room and degrade (`on_refusal`), for which less is to be given."""
    @property
    def waited_ns(self) -> int:
        """The time that it waited for room, in nanoseconds; 0 if it did not."""
    @property
    def ledger(self) -> Ledger | None:
        """The charge; None where no limit had a part in it."""
    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """One verdict for each limit that applied, in the policy's order."""
    @property
    def binding(self) -> Verdict | None:
        """The verdict that refuses longest; None when allowed."""
    @property
    def limit(self) -> str | None:
        """The name of the limit that refuses longest; None when allowed."""
    @property
    def cluster(self) -> str | None:
        """The actor the request's principal belongs to, as a hash; None without one.

        For the application alone: a client that learns of it learns what gave it away.
        """
    @property
    def verdict(self) -> ClusterVerdict | None:
        """The certainty that the principal belongs to that actor; None without one.

        A `certain` member shares one budget with the others. A `likely` one is refused by limits that
        say `cluster:likely` alone; the application may give it less. Like `cluster` this is for
        the application, and for no client.
        """
    @property
    def retry_after_ns(self) -> int | None:
        """Nanoseconds to wait: 0 when allowed, None when no wait can help."""
    @property
    def retry_after(self) -> float | None:
        """The same in seconds."""
    def first_byte(self, status: int | None = None, /) -> None:
        """Say that the answer begins, for a limit that follows the load of a back end (`[adaptive]`).

        The first call counts. A status of 429, 503 or 529 says that the back end refused the request.
        """
    def settle(self, units: Mapping[str, int] | None = None, /, **more: int) -> None:
        """Report what was really used, in place of what was charged on arrival.

        More is charged without asking, into debt as deep as the limit says; less is
        given back. May be called again as a stream goes on: the last report stands.
        Units that no limit of this decision counts are ignored, and so is all of it
        after a refusal, which charged nothing.

        Raises:
            UsageError: a number is not an integer from 0 to 2**31 - 1 (code `cost-range`).
        """
    def release(self, status: int | None = None, *, produced: bool = False) -> None:
        """Say that the work has ended, and how. What the request held and had in flight is free again.

        Limits with `charge` give their unit back if they are not charged for this status, and stay charged
        while no status is known. Of a request that failed, with a status from 400, estimates are given back
        that were not settled. The first status counts; again without one it does nothing.

        A block (`with`) that raises counts as one with the status 500 that may have produced something, and
        one that is cancelled has no status. A decision that is forgotten has none either: slots then stay
        taken until the worker ends. Units in flight, and its place before a back end, are given back when it is
        collected. The place comes back after ten minutes without `first_byte` or `settle`, too.

        For a limit that follows the load, a status says that the answer was there, and a block that ends as well.
        Without one the client hung up, and nothing is learned of the back end.

        Args:
            status: the answer's, as in HTTP; None where it is not known.
            produced: whether something was produced all the same, so that estimates stay.

        Raises:
            UsageError: it is no status from 100 to 599 (code `status-range`).
        """
    def __enter__(self) -> Decision: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __repr__(self) -> str: ...

class LimitedRequest(Protocol):
    """The object at `scope["ratelimit"]` for the application: its request, as far as limits are about it.

        limited: LimitedRequest = request.scope["ratelimit"]
        limited.decision.verdicts            # what each limit says, and what remains
        limited.settle(output_tokens=812)    # the real cost, once it is known

    These members are what an application may rely on. A test that calls the application without the
    middleware puts an object of its own there.
    """

    @property
    def decision(self) -> Decision:
        """The decision about this request."""
    @property
    def cluster(self) -> str | None:
        """The actor that the request's account belongs to: see `Decision.cluster`."""
    @property
    def verdict(self) -> ClusterVerdict | None:
        """The certainty that the account belongs there: see `Decision.verdict`."""
    @property
    def degrade(self) -> tuple[str, ...]:
        """The limits for which less is to be given, as a smaller model: see `Decision.degrade`."""
    def settle(self, units: Mapping[str, int] | None = None, /, **more: int) -> None:
        """Report what was really used: see `Decision.settle`. Reaches every limiter around this request."""
    def refusal(self) -> tuple[int, bytes, int | None]:
        """Return what the client of a refused request may be told, for a responder to put in other words.

        Status, problem document (JSON) and wait in nanoseconds; the wait is None where none can help.
        Unlike the decision it conceals what a limit per actor would give away.
        """
