"""One rule over one kind of identity, from value to verdict in one call."""

from typing import final

from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.memory.table import Table

@final
class MeterReading:
    """The result of one check: numbers as they were then. Owned by the caller."""

    @property
    def allowed(self) -> bool:
        """True if the request goes on: the rule agreed, or refuses in shadow only."""
    @property
    def remaining(self) -> int: ...
    @property
    def retry_after_ns(self) -> int:
        """0 if it agreed, -1 if waiting can never help, else nanoseconds to wait."""
    @property
    def reset_after_ns(self) -> int:
        """Nanoseconds until the whole quota is there again (0: it is)."""
    def settle_cost(self, actual: int, now_ns: int, /) -> int:
        """Replace the charged cost by the real one; return the correction. See `Outcome.settle_rule`."""
    def release(self, now_ns: int, /) -> None:
        """Free a concurrency slot; idempotent. Not calling it is a leak until the lease ends."""

@final
class Meter:
    """One rule over one kind of identity.

    For code that limits something of its own and wants nothing in between. It meets
    the same counters as a plan with that rule and identity.

    Args:
        kind: the identity's namespace, from `Hasher.kind_of`.
    """

    def __init__(self, table: Table, rule: Rule, hasher: Hasher, kind: int) -> None: ...
    def check(self, value: bytes | str, now_ns: int, cost: int | None = None, /) -> MeterReading:
        """Decide for one value, and charge it if it is allowed; see `Plan.decide`."""
