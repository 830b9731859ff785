"""Leased mode: units taken from the server in advance, and decided here.

What the core does not do: asking. Keys that are due are asked for together, in the batch
that goes out next; leases that nobody uses are given back, and all of them when this
worker's event loop ends. A lease is at most a share of what is left (half of it divided by
the number of workers), so that the last units of a limit are decided one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit.core.lease import LeasedRules, Leases
from ratelimit.stores.redis.parcel import Renewal

if TYPE_CHECKING:
    from ratelimit.core.engine import Outcome
    from ratelimit.stores.redis.courier import Courier
    from ratelimit.stores.redis.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore

KEYS = 1 << 14
"""Keys a worker can have leases of at a time; further ones cost a round trip each."""
HORIZON_NS = 20_000_000_000
"""A lease is what a key uses in so long, and runs as long."""
LONGEST_NS = 80_000_000_000
"""What a lease of fewer units than are worth a trip runs at most."""
WORTHWHILE = 100
"""Units that a round trip should bring."""
RECHECK_NS = 100_000_000
"""A refusal stands so long without asking again: units that others give back are noticed then."""
QUIET_NS = 3_000_000_000
"""Leases not used for so long are given back."""
_SHARE_OF_ROOM = 2


class Tenancy:
    """A worker's leases, and how they are asked for.

    Args:
        store: whose.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self.leases = Leases(
            store.table,
            keys=KEYS,
            horizon_ns=HORIZON_NS,
            longest_ns=LONGEST_NS,
            worthwhile=WORTHWHILE,
            recheck_ns=RECHECK_NS,
            wake=self._wake,
        )
        self._counted = 0

    def rules_of(self, plan: RedisPlan) -> LeasedRules | None:
        """Return what decides a plan from leases; None if some rule's state is no word."""
        if any(rule.algorithm in ("sliding-log", "concurrency", "distinct") for rule in plan.core.rules):
            return None
        return LeasedRules(plan.rules, self.leases, plan)

    def made(self) -> int:
        """Return how many decisions were made here since this was last asked."""
        local = self.leases.local
        made, self._counted = local - self._counted, local
        return made

    def _wake(self) -> None:
        courier = self._store.any_courier
        if courier is not None:
            courier.soon(self.renew)

    def renew(self, courier: Courier) -> None:
        """Ask for what is due."""
        self._ask(courier, self.leases.take_due(), give_back=False)

    def join(self, courier: Courier, leased: LeasedRules, outcome: Outcome, now_ns: int) -> None:
        """Ask for what a decision of the server shows to be wanted, in the same call."""
        self._ask(courier, leased.wanted(outcome, now_ns), give_back=False)

    def give_back_foreign(self, courier: Courier) -> None:
        """Give back, before the server decides, what was taken when a limit allowed more than now."""
        self._ask(courier, self.leases.take_foreign(), give_back=True)

    def give_back_idle(self, courier: Courier) -> None:
        """Give back what nobody has used for a while; have those due that have far more than they use."""
        self._ask(courier, self.leases.idle(self._store.clock.now_ns(), QUIET_NS), give_back=True)

    async def give_back_all(self, courier: Courier) -> None:
        """Give back everything, what is asked for at the moment, too, and wait until it is."""
        for key in self.leases.take_due():
            self.leases.failed(key)
        await courier.settled()
        self._ask(courier, self.leases.idle(self._store.clock.now_ns(), -1), give_back=True)
        await courier.settled()

    def _ask(self, courier: Courier, keys: list[int], *, give_back: bool) -> None:
        if courier.breaker.is_open:
            for key in keys:
                self.leases.failed(key)
            return
        now_ns = self._store.clock.now_ns()
        divisor = _SHARE_OF_ROOM * max(1, self._store.pulse.workers)
        for key in keys:
            parcel = courier.parcel_of(self.leases.name(key))
            asked = self.leases.question(
                key,
                give_back,
                now_ns,
                parcel.base_of,
                parcel.keys,
                parcel.items,
                divisor,
            )
            if asked is not None:
                renewal = Renewal(self.leases, key, self._store.clock, now_ns)
                parcel.entries.append(renewal)
                renewal.begin(courier.underway)
