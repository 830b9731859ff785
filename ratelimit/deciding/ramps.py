"""Steep rises above an account's own past, as a limiter has them: counted, and delayed.

Theory of operation. Each account has one word in the host's memory of conduct (`adaptive.ramp`): what it used
in this hour, and in the highest of its past. A request of one that rises steeply is held before its limits
are asked. So it has charged nothing meanwhile, and is not in flight. What limits let through is counted.
"""

from __future__ import annotations

from ratelimit.adaptive.ramp import used_of
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.deciding.hold import Hold
from ratelimit.deciding.steps import Visit
from ratelimit.policy.schema.adaptive import Ramp
from ratelimit.telemetry.load import COUNTER_RAMP, RampColumn


class Ramps:
    """The rises of the accounts of one limiter.

    Args:
        spec: what the policy says.
        memory: what is remembered.
        table: where delays are counted; None: nowhere.
        hold: holds requests; None: nothing is held.
    """

    __slots__ = ("_counter", "_hold", "_table", "is_shadow", "memory", "usual")

    def __init__(self, spec: Ramp, memory: ConductMemory, table: Table | None, hold: Hold | None) -> None:
        self.memory = memory
        self.usual = spec.usual
        self.is_shadow = spec.mode == "shadow"
        self._table = table
        self._counter = 0 if table is None else table.counter(COUNTER_RAMP)
        self._hold = hold

    def delay_ns(self, account: int, now_ns: int) -> int:
        """Return how long a request of an account would be held now, or in shadow would have been."""
        return self.memory.steep_ns(account, now_ns, self.usual) if account else 0

    def used(self, account: int, now_ns: int) -> tuple[int, int]:
        """Return what an account used in this hour, and in the highest of its past as it counts now."""
        return used_of(self.memory.ramp(account), now_ns)

    def use(self, account: int, now_ns: int) -> None:
        """Count a request that limits let through."""
        self.memory.use(account, now_ns)

    def pass_by(self, account: int, now_ns: int) -> int:
        """Count a request that is steep, and return how long it is to be held; 0 in shadow."""
        held_ns = self.delay_ns(account, now_ns)
        if not held_ns:
            return 0
        if self._table is not None:
            column = RampColumn.IN_SHADOW if self.is_shadow else RampColumn.ENFORCED
            self._table.count(self._counter, column)
        return 0 if self.is_shadow else held_ns

    async def hold(self, account: int, now_ns: int, visit: Visit) -> int:
        """Hold a request for as long as its account's rise is steep; return when that is over.

        Never refused: where as many are held as may be, it goes on at once.
        """
        held_ns = self.pass_by(account, now_ns)
        if not held_ns or self._hold is None:
            return now_ns
        over_ns = await self._hold.hold(visit, held_ns)
        return now_ns if over_ns is None else over_ns
