"""A feature's part of one limiter: what it has whatever policy is in force, and its features of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from ratelimit.clock import Clock
from ratelimit.core.memory.table import Table
from ratelimit.deciding.stage import Feature
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store
from ratelimit.telemetry.counters import Counters

P = TypeVar("P", bound="Part")


class Host(Protocol):
    """The limiter, as a part sees it."""

    clock: Clock
    policy: Policy
    """The policy in force."""
    store: Store
    home: Store
    """The store beside which features keep memory. It stays where the store is renewed."""
    table: Table
    """Where this worker counts."""
    counters: Counters
    """What counts there; another one after memory was renewed."""
    is_enabled: bool

    @property
    def hooks(self) -> Mapping[str, Any]:
        """What the application gave features to call, by name."""
        ...

    @property
    def diagnose(self) -> Callable[..., None]:
        """What is told codes that deserve a word to the operator."""
        ...

    def part(self, kind: type[P]) -> P:
        """Return a feature's part of this limiter."""
        ...


class Part:
    """A feature's part of one limiter. As it is here, it has nothing, and no policy uses it.

    A feature's module `stage` names its own as `PART`.

    Args:
        host: the limiter.
    """

    def __init__(self, host: Host) -> None:
        self.host = host

    def enter(self, policy: Policy) -> None:
        """Have what a policy needs, which is about to be in force in the host's store."""

    def features(self, bound: Any) -> Iterable[Feature]:
        """Yield the features of a bound policy; none where it does not use them."""
        return ()

    @property
    def looks(self) -> Sequence[Callable[[], str | None]]:
        """What says that this worker lives, and leaves memory that is damaged: each returns the damage."""
        return ()

    def refuse_waiting(self) -> None:
        """Refuse and count what waits, and let nothing wait from now on: the process is about to end."""

    def close(self) -> None:
        """Let go of what it has; what other workers share stays for them."""
