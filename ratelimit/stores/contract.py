"""What a store owes the limiter.

Laws, for the author of another store:

- A plan's `decide` takes all charges of a request and returns what every rule says, in one
  step. It charges all or none, and a refused request charges nothing.
- Concurrent callers, in this process or another, never together get more than a rule's
  documented bound. Nor do they get less, where there is room for all of them.
- `now_ns` that repeats or steps back never mints units.
- A store knows rules and keys; it does not know the policy, nor which account a hash stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ratelimit.clock import Clock
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.memory.table import Table
from ratelimit.errors import StoreError


class Store(Protocol):
    """Where the limits' state lives."""

    table: Table
    """This host's table: state itself when embedded, counters in any case."""
    hasher: Hasher
    """Hashes identities with the key that all workers share."""
    clock: Clock
    """The time that all workers share."""
    listener: Callable[[StoreError], None] | None
    """Told of each decision that was made here because the server could not make it."""
    diagnose: Callable[[str], None] | None
    """Told of what deserves a word to the operator, by its code."""
    tally: Any
    """Told what happens on the way to a server."""
    memory: str
    """"shared" or "private": whether other processes count in the same memory."""

    @property
    def is_remote(self) -> bool:
        """Whether plans decide elsewhere: `adecide` and `apeek` are awaited, there is no `decide`."""
        ...

    @property
    def decides_here(self) -> bool:
        """Whether at least some decisions need not be awaited."""
        ...

    @property
    def state(self) -> Mapping[str, float]:
        """What is known of the server: `is_away`, `workers`, `share`; empty without one."""
        ...

    @property
    def place(self) -> Path | None:
        """The file that other processes meet at; None when the memory is private."""
        ...

    def plan(
        self,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        stances: Sequence[str] | None = None,
    ) -> Any:
        """Return what decides requests that these rules apply to: a `Plan`, or one that is awaited.

        Args:
            rules, keys, members, cost_positions: as for `Plan`.
            stances: what each rule does while the state cannot be reached: "local", "open" or "closed".
        """
        ...

    async def aclose_connections(self) -> None:
        """Close what is open for the running event loop; the next decision opens it again."""
        ...

    @property
    def damage(self) -> str | None:
        """What was wrong with shared memory that was left when the store was opened; None if nothing was."""
        ...

    def renew(self) -> str | None:
        """Leave shared memory that is damaged or gone; return what was wrong with it, None if nothing was.

        Plans go on. Where `hasher` is another one afterwards, identities have to be hashed anew.

        Raises:
            StoreError: no other memory can be had now; this worker goes on with what it has.
        """
        ...

    def heartbeat(self, now_ns: int) -> None:
        """Say that this worker lives; its concurrency slots lapse otherwise."""
        ...

    def close(self) -> None:
        """Let go of memory and connections; plans made from this store stop working."""
        ...
