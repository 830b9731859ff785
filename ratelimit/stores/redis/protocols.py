"""Protocols between the parts of this store: each part sees what it uses, never the whole store.

    plan  ──asks──▶  ServerLink  ◀── leases, transfers, local fallback, fair share
      ▲                               │
    Planned ◀── batches, scatter      ▼
                                   OpenBatch

Types alone: nothing here does anything, and nothing is imported when the store runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ratelimit.clock import Clock
    from ratelimit.core.decision.engine import Outcome, Plan
    from ratelimit.core.memory.hashing import Hasher
    from ratelimit.core.memory.table import Table
    from ratelimit.core.redis.lease import LeasedRules
    from ratelimit.core.redis.remote import RemoteRules
    from ratelimit.environment.server import RemoteSpec
    from ratelimit.errors import StoreError
    from ratelimit.stores.redis.transport.breaker import Breaker
    from ratelimit.stores.redis.transport.metrics import MetricsSink
    from ratelimit.stores.redis.transport.pending import PendingWork


class OpenBatch(Protocol):
    """A batch that is not sent yet: what is asked of keys that lie in one slot."""

    @property
    def keys(self) -> dict[bytes, int]:
        """The subjects of the question, numbered from one."""

    @property
    def items(self) -> list[int]:
        """The question."""

    @property
    def entries(self) -> list[Any]:
        """The receivers of the parts of the answer."""

    def base_of(self, plan: Planned, /) -> int:
        """Return the number of a plan's first rule in this batch."""


class Planned(Protocol):
    """The rules of one kind of request, as those see them that ask and answer for them."""

    core: Plan
    rules: RemoteRules
    counting: list[int]
    free: list[int]
    described: bytes | None

    def describe(self) -> bytes:
        """Return the rules as the script reads them, where `described` is None."""

    def asked(self, batch_client: ServerLink, outcome: Outcome, now_ns: int) -> None:
        """Have leases asked for in the call that decides this."""

    def correct_again(self, outcome: Outcome, index: int) -> None:
        """Have what a charge still owes corrected."""

    def lost(self) -> None:
        """Count a correction that did not reach the server."""


class Standing(Planned, Protocol):
    """A plan with rules that say what they do while the server is away: "local", "open" or "closed"."""

    stances: tuple[str, ...]


class ServerQuestion(Protocol):
    """The part of a request that compiled code has read, to be asked."""

    @property
    def outcome(self) -> Outcome | None:
        """The decision, once the reply is here."""

    def ask(self, base: int, keys: dict[bytes, int], items: list[Any], /) -> Outcome:
        """Add the question to a batch that is not sent yet."""


class ServerLink(Protocol):
    """One event loop's way to the server."""

    loop: asyncio.AbstractEventLoop
    breaker: Breaker
    pending: PendingWork

    async def ask(
        self, plan: Planned, identities: Sequence[int], costs: Any, now_ns: int, *, commit: bool
    ) -> Outcome:
        """Return the server's decision; raise `StoreError` if there is none."""

    def begin(self, plan: Planned, asking: ServerQuestion, /) -> asyncio.Future[None] | None:
        """Ask for a decision; None where that takes more than one call."""

    def carry(
        self, plan: Planned, index: int, key: int, used: int, now_ns: int, token: int = 0
    ) -> asyncio.Future[list[int]]:
        """Charge what was used elsewhere to a counter."""

    def soon(self, call: Callable[[Any], None]) -> None:
        """Call something with this client, in its event loop."""

    def open_batch(self, key: bytes) -> OpenBatch:
        """Return the open batch for a key; it is sent soon."""

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something run until it ends or the client is closed."""

    async def settled(self) -> None:
        """Wait for corrections and leases that are on their way."""

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[str]) -> Any:
        """Return what another script says."""


class Worker(Protocol):
    """This process as its server and its host know it: names, memory, time, counters."""

    spec: RemoteSpec
    table: Table
    hasher: Hasher
    clock: Clock
    worker: int
    tally: MetricsSink
    units: dict[int, str]
    diagnose: Callable[[str], None] | None

    @property
    def share(self) -> float:
        """This host's share of every limit while the server is away."""

    @property
    def workers(self) -> int:
        """The number of workers that share the server, 0 as long as it is not known."""

    @property
    def any_client(self) -> ServerLink | None:
        """The way to the server that was used last; None where there is none."""


class Leasing(Protocol):
    """Leases as a plan uses them."""

    def rules_of(self, plan: Planned) -> LeasedRules | None:
        """Return what decides a plan's rules from leases; None where one of them cannot be leased."""

    def give_back_foreign(self, batch_client: ServerLink) -> None:
        """Give back leases of a process that is gone."""

    def join(self, batch_client: ServerLink, leased: LeasedRules, outcome: Outcome, now_ns: int) -> None:
        """Have leases asked for in the call that decides this."""


class PlanHost(Protocol):
    """The needs of a plan to decide: the way to the server, and its fallback."""

    clock: Clock
    key_prefix: bytes
    is_cluster: bool
    tally: MetricsSink

    @property
    def leasing(self) -> Leasing | None:
        """Leases, in leased mode."""

    @property
    def share(self) -> float:
        """This host's share of every limit while the server is away."""

    def batch_client(self) -> ServerLink:
        """Return the running event loop's way to the server."""

    def decide_here(
        self,
        plan: Any,
        identities: Sequence[int],
        now_ns: int,
        costs: Sequence[int] | None,
        error: StoreError,
        *,
        commit: bool,
    ) -> Outcome:
        """Decide while the server is away, for that reason."""

    def decided(self, plan: Any, outcome: Outcome, *, has_slots: bool) -> None:
        """Keep up the slots that a decision of the server holds."""

    def correct(self, plan: Any, outcome: Outcome, index: int, delta: int) -> None:
        """Have a charge corrected: soon, without waiting."""

    def carry(self, carry: Any) -> None:
        """Charge what was used elsewhere: soon, without waiting."""
