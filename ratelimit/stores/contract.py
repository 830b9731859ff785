"""The contract of a store: what it owes the limiter, and what it may leave out.

A store keeps the state of limits. It has a `hasher`, a `clock` and the names of the `algorithms` it knows.
It makes plans. A plan has the rules of one kind of request. It says what one request may do, and that is an
`Outcome`.
tests/support/dictionary.py has a whole store, to begin from, and tests/stores/test_contract.py its laws.

Laws, for the author of another store:

- A decision takes all charges of a request and returns what every rule says, in one step. It charges
  all or none, and a refused request charges nothing. A rule in shadow never refuses.
- A rule with a key of which an identity is -1 is skipped: it is neither asked nor charged.
- Concurrent callers, in this process or another, never together get more than a rule's documented
  bound. Nor do they get less, where there is room for all of them.
- `now_ns` that repeats or steps back never mints units.
- A counter is named by its rule's `salt` and the identities of its key. Numbers are no part of its name,
  so a plan made by a reload goes on with the counters of the plan before.
- A state that cannot be reached raises `StoreError` and charges nothing. The limits' stances decide then.
- A store knows rules and keys; it does not know the policy, nor which account a hash stands for.

`Store` and `Plan` have an answer for all that a store in one process does not need. Inherit from them to
have it. The others implement the whole protocol themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ratelimit.clock import Clock
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision import engine
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.memory.table import Table
from ratelimit.core.redis.lease import LeasedRules
from ratelimit.core.redis.remote import RemoteRules
from ratelimit.errors import StoreError, UsageError

if TYPE_CHECKING:
    from asyncio import Future

Identities = Sequence[int]
"""A request's hashed identities by position; -1 for those it does not have."""


SKIPPED, ALLOWED, REFUSED, SHADOWED = range(4)
"""The outcome of a rule for a request. `SHADOWED`: it would refuse if it were not in shadow."""


class Outcome(Protocol):
    """The result of one decision; numbers by rule, in the plan's order."""

    @property
    def allowed(self) -> bool:
        """True if no enforced rule refused, so that every rule with room was charged."""
        ...

    @property
    def binding(self) -> int:
        """Index of the enforced rule that refuses longest, else -1."""
        ...

    @property
    def holds_slots(self) -> bool:
        """True if something is held until `release`."""
        ...

    def state(self, index: int, /) -> int:
        """Return `SKIPPED`, `ALLOWED`, `REFUSED`, or `SHADOWED` for refused in shadow."""
        ...

    def remaining(self, index: int, /) -> int:
        """Return how many units are left; the whole quota of a rule that was skipped."""
        ...

    def key(self, index: int, /) -> int:
        """Return a number of the counter that a rule looked at: the same for all that count in it."""
        ...

    def retry_after_ns(self, index: int, /) -> int:
        """Return 0 if it allowed, -1 if waiting can never help, else nanoseconds to wait."""
        ...

    def hold_off(self, index: int, wait_ns: int, /) -> None:
        """Tell the caller of a refused request to wait so long, where a rule's own wait is shorter."""
        ...

    def reset_after_ns(self, index: int, /) -> int:
        """Return nanoseconds until the rule has its whole quota again (0: it has)."""
        ...

    def cost(self, index: int, /) -> int:
        """Return what the rule was asked for, or after `settle_rule` what it was really charged."""
        ...

    def ratelimit_field(self, labels: Sequence[bytes], /) -> bytes:
        """Return the RateLimit field value: for each rule not skipped `label` + `;r=N;t=S`, joined by ", ".

        N is what remains, S the seconds until the whole quota is there again, rounded up. A rule with an
        empty label is left out.
        """
        ...

    def settle_rule(self, index: int, actual: int, now_ns: int, /) -> int:
        """Replace the charged cost of one rule by the real one; return the signed correction made.

        More is charged without asking, into debt of at most one further quota. Less is given back as far
        as it has not drained already; never twice; nothing if refused.
        """
        ...

    def release(self, now_ns: int, /) -> None:
        """Give back what is held until a request ends; idempotent."""
        ...


def correct(outcome: Outcome, index: int, actual: int, now_ns: int) -> None:
    """Settle one rule of a request that is under way or over: see `Outcome.settle_rule`.

    Nothing where the store was closed meanwhile: what has to be corrected there is gone.
    """
    try:
        outcome.settle_rule(index, actual, now_ns)
    except ValueError as error:
        if "closed" not in str(error):
            raise


def refused_by(outcome: Outcome, count: int) -> tuple[int, ...]:
    """Return the positions of the rules that refuse, of so many."""
    return tuple(at for at in range(count) if outcome.state(at) == REFUSED)


def alone(refusing: tuple[int, ...], among: Container[int]) -> tuple[int, ...]:
    """Return what refuses if all of it is among these; else none, as another rule refuses in any case."""
    return refusing if all(at in among for at in refusing) else ()


class Plan(Protocol):
    """The rules of one kind of request, with a state that is decided in this process."""

    @property
    def decides_here(self) -> Literal[True]:
        """True: `decide` and `peek` answer at once."""
        return True

    @property
    def accelerated(self) -> engine.Plan | None:
        """The same plan for compiled code, which calls it in place of `decide`; None where there is none."""
        return None

    def decide(self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /) -> Outcome:
        """Ask every rule; charge all of them or none.

        Args:
            identities: the request's, by the positions that the plan was made with.
            now_ns: when.
            costs: what a rule with a cost position takes, 0 to 2**31 - 1; others take 1.

        Raises:
            StoreError: the state cannot be reached; nothing was charged.
        """
        ...

    def peek(self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /) -> Outcome:
        """Return what `decide` would; charge nothing."""
        ...

    def carry(self, source: Identities, target: Identities, now_ns: int, /) -> None:
        """Charge each rule under `target`'s key with what is used under `source`'s: clusters were joined.

        Asked for limits per cluster alone. A store that does nothing begins a joined cluster's budget afresh.
        """
        return

    def charge(self, identities: Identities, costs: Sequence[int], times: int, now_ns: int, /) -> None:
        """Charge each rule with requests made before, where it has no room for one more now.

        Asked for limits per cluster alone. A store that does nothing lets members keep what they had before.
        """
        return


class AwaitedPlan(Protocol):
    """The rules of one kind of request, with a state that lies elsewhere: decisions are awaited."""

    @property
    def decides_here(self) -> Literal[False]:
        """False: `adecide` and `apeek` are awaited."""
        return False

    @property
    def leased(self) -> LeasedRules | None:
        """Leases from which compiled code may decide at once; None where none are taken."""
        return None

    @property
    def remote(self) -> RemotePlan | None:
        """This, where compiled code may ask a server for it; None where it may not."""
        return None

    async def adecide(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /
    ) -> Outcome:
        """Ask every rule; charge all of them or none: as `Plan.decide`."""
        ...

    async def apeek(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /
    ) -> Outcome:
        """Return what `adecide` would; charge nothing."""
        ...

    def quotas_here(self, outcome: Outcome, /) -> Sequence[int] | None:
        """Return the quotas by which this host decided without the server; None where the server did."""
        return None

    def most_here(self, index: int, /) -> int:
        """Return the most that a rule holds here while the server is away; by default no less than else."""
        return sys.maxsize

    def carry(self, source: Identities, target: Identities, now_ns: int, /) -> None:
        """As `Plan.carry`: soon, without waiting."""
        return

    def charge(self, identities: Identities, costs: Sequence[int], times: int, now_ns: int, /) -> None:
        """As `Plan.charge`: soon, without waiting."""
        return


class RemotePlan(Protocol):
    """The rules of one kind of request, as compiled code asks a server for them."""

    @property
    def rules(self) -> RemoteRules:
        """The question."""
        ...

    def begin(self, asking: Any, /) -> Future[None] | None:
        """Ask what compiled code has read of a request: a `deciding.compiled.Asking`.

        Returns:
            What is done when the request is decided, or fails with a `StoreError`. None where
            `adecide` has to ask: then nothing was asked.
        """
        ...

    def stand_in(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None, error: StoreError, /
    ) -> Outcome:
        """Decide while the server cannot; raise `error` where no rule stands in for it."""
        ...


AnyPlan = Plan | AwaitedPlan
"""Told apart by `decides_here`."""


class Store(Protocol):
    """The place of the limits' state. What has an answer here may be left out by a class that inherits."""

    hasher: Hasher
    """Hashes identities, with a key that all workers share."""
    clock: Clock
    """The time that all workers share."""

    @property
    def algorithms(self) -> Collection[str]:
        """Names, as in `ratelimit.algorithms`, of what its plans decide by; without it a store knows none.

        A policy with a limit by another one is refused: see `check_algorithms`.
        """
        return ()

    def plan(
        self,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        stances: Sequence[str] | None = None,
        /,
    ) -> AnyPlan:
        """Return what decides requests that these rules apply to.

        Args:
            rules: at most 16.
            keys: for each rule, the positions of its identities; empty: one counter for all requests.
            members: for each rule, the position of the identity that a distinct rule counts, else -1.
            cost_positions: for each rule, its position in `costs`, else -1 (it takes 1).
            stances: what each rule does while the state cannot be reached: "local", "open" or "closed".

        Raises:
            UsageError: the store cannot keep a rule of this kind.
        """
        ...

    @property
    def decides_here(self) -> bool:
        """True if its plans are `Plan`s; else they are `AwaitedPlan`s."""
        return True

    @property
    def counts_alone(self) -> bool:
        """True if other processes under the same policy count for themselves."""
        return True

    @property
    def table(self) -> Table | None:
        """This host's table, where metrics are counted for all workers; None: each worker counts its own."""
        return None

    @property
    def place(self) -> Path | None:
        """The file that other processes of this host meet at; None when the memory is private."""
        return None

    @property
    def state(self) -> Mapping[str, float]:
        """The facts about a server: `is_away`, `workers`, `share`; empty without one."""
        return {}

    @property
    def damage(self) -> str | None:
        """The damage of shared memory that was left when the store was opened; None without any."""
        return None

    def report_to(self, failed: Callable[[StoreError], None], diagnose: Callable[[str], None], /) -> None:
        """Report from now on: failures that rules stood in for, and codes of what deserves a word.

        Not those failures that a decision raises.
        """
        return

    def name_unit(self, salt: int, unit: str, /) -> None:
        """Take note of the unit that a rule counts, by the rule's salt: what is told of it has a unit."""
        return

    def renew(self) -> str | None:
        """Leave shared memory that is damaged or gone; return what was wrong with it, None if nothing was.

        Plans go on. Where `hasher` is another one afterwards, identities have to be hashed anew.

        Raises:
            StoreError: no other memory can be had now; this worker goes on with what it has.
        """
        return None

    def heartbeat(self, now_ns: int) -> None:
        """Say that this worker lives; its concurrency slots lapse otherwise. Called every few seconds."""
        return

    async def aopen_connections(self) -> None:
        """Open what the running event loop needs, before a decision has to.

        Waits for a second at most, and never raises.
        """
        return

    async def aclose_connections(self) -> None:
        """Close what is open for the running event loop; the next decision opens it again."""
        return

    def close(self) -> None:
        """Let go of memory and connections; plans made from this store stop working."""
        return


def check_algorithms(store: Store, asked: Iterable[tuple[str, str]]) -> None:
    """Refuse limits that a store would count by another rule, or not at all.

    Args:
        asked: limits' names, each with its algorithm.

    Raises:
        UsageError: the store does not declare one of these algorithms (code `store-algorithm`).
    """
    known = store.algorithms
    strange = dict.fromkeys(f"{name} ({algorithm})" for name, algorithm in asked if algorithm not in known)
    if strange:
        raise UsageError(
            f"{type(store).__name__} does not know the algorithm of: {', '.join(strange)}; "
            f"it knows {', '.join(sorted(known)) or 'none'}",
            code="store-algorithm",
        )
