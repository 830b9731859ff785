"""Leases: units of a limit taken from the store in advance, used here."""

from collections.abc import Callable, Sequence
from typing import Any, final

from ratelimit.core.decision.engine import Outcome
from ratelimit.core.memory.table import Table
from ratelimit.core.redis.remote import RemoteRules

LEASE: int
"""The operation's number, as the script reads it."""

@final
class Leases:
    """All leases of one worker, by the digests of counters; a fixed number of them.

    Args:
        table: its time is used.
        keys: how many keys there is room for.
        horizon_ns: for how long a lease is to last, at the rate its key was used of late.
        longest_ns: for how long if it is of fewer units than are `worthwhile`.
        worthwhile: units that a round trip should bring.
        recheck_ns: how long a refusal stands without asking again.
        wake: called when some key is due after none was: `take_due` and `question` are wanted.
    """

    @property
    def local(self) -> int:
        """Decisions that took no round trip."""
    def __new__(
        cls,
        table: Table,
        *,
        keys: int,
        horizon_ns: int,
        longest_ns: int,
        worthwhile: float,
        recheck_ns: int,
        wake: Callable[[], None],
    ) -> Leases: ...
    def take_due(self) -> list[int]:
        """Return the keys that are due, each once until it is answered or failed."""
    def take_foreign(self) -> list[int]:
        """Return keys to give back before the store is asked: taken when their limits allowed more."""
    def idle(self, now_ns: int, quiet_ns: int, /) -> list[int]:
        """Return the keys with units that no request used for so long; of all of them if it is negative.

        Of slow keys it is ten times as long as their uses are apart, at most three times as long.
        Keys that have far more than they use are due from then on: `question` gives the rest back.
        """
    def held(self) -> int:
        """Return the units taken and not used, over all keys."""
    def question(
        self,
        key: int,
        give_back: bool,
        now_ns: int,
        bases: Callable[[Any], int],
        keys: dict[bytes, int],
        items: list[int],
        divisor: int,
        /,
    ) -> tuple[LeasedRules, int] | None:
        """Append what asks the store for more of a key, or gives back what is left or too much of it.

        Args:
            give_back: to give back; the units are no longer used here from this moment on.
            now_ns: when it is sent; a lease runs from then.
            bases: returns the number of a plan's (a ledger's) first rule among those sent.
            divisor: at most this part of what the store has left is wanted.
        """
    def answer(self, key: int, said: list[int], at: int, sent_ns: int, /) -> int:
        """Take what the store granted; return where the next answer begins."""
    def name(self, key: int, /) -> bytes:
        """Return the name of a key in the store.

        Raises:
            KeyError: there is no such lease.
        """
    def failed(self, key: int, /) -> None:
        """Note that the store did not answer: what is held may be used, and more asked for."""
    def set_skew(self, skew_ns: int, /) -> None:
        """Note how far the store's clock is ahead of this host's."""
    def clear(self) -> None:
        """Forget everything; what was taken lapses by itself."""

@final
class LeasedRules:
    """A plan's rules, decided from leases as long as they last.

    Args:
        rules: the plan's, all with states that are words.
        leases: the worker's.
        ledger: given to outcomes, as for `RemoteRules.ask`.

    Raises:
        ValueError: a rule cannot be leased: a log, slots, or a distinct count.
    """

    @property
    def rules(self) -> RemoteRules: ...
    @property
    def ledger(self) -> Any: ...
    def __new__(cls, rules: RemoteRules, leases: Leases, ledger: object) -> LeasedRules: ...
    def take(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None, commit: bool = True, /
    ) -> Outcome | None:
        """Decide from leases, all rules or none; None if one of them does not suffice.

        Without `commit` it takes and counts nothing.
        Or if one was taken when its limit allowed more: see `Leases.take_foreign`.
        """
    def wanted(self, outcome: Outcome, now_ns: int, /) -> list[int]:
        """Return the keys to ask for together with a decision that the store is asked for now."""
    def note(self, outcome: Outcome, now_ns: int, /) -> None:
        """Learn from what the store decided: how busy keys are, and which are refused for a while."""
    def absorb(self, outcome: Outcome, index: int, delta: int, now_ns: int, /) -> bool:
        """Correct a charge against the lease; False if that is for the store to do."""
