"""Leased mode: units taken from the server in advance, and decided here.

What the core does not do: asking. Keys that are due are asked for together, in the batch
that goes out next. Leases that no request uses are given back, and all of them when this
worker's event loop ends. A lease is at most a share of what is left: half of it divided by
the number of workers. So the last units of a limit are decided one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratelimit.algorithms import LEASED
from ratelimit.core.redis.lease import LeasedRules, Leases
from ratelimit.stores.redis.transport.batch import Renewal

if TYPE_CHECKING:
    from ratelimit.core.decision.engine import Outcome
    from ratelimit.stores.redis.protocols import Planned, ServerLink, Worker

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


class LeaseClient:
    """A worker's leases, and how they are asked for.

    Args:
        store: the worker that the leases are granted to.
    """

    def __init__(self, store: Worker) -> None:
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

    def rules_of(self, plan: Planned) -> LeasedRules | None:
        """Return what decides a plan from leases; None if some rule's state is no word."""
        if not all(rule.algorithm in LEASED for rule in plan.core.rules):
            return None
        return LeasedRules(plan.rules, self.leases, plan)

    def _wake(self) -> None:
        batch_client = self._store.any_client
        if batch_client is not None:
            batch_client.soon(self.renew)

    def renew(self, batch_client: ServerLink) -> None:
        """Ask for what is due."""
        self._ask(batch_client, self.leases.take_due(), give_back=False)

    def join(self, batch_client: ServerLink, leased: LeasedRules, outcome: Outcome, now_ns: int) -> None:
        """Ask for what a decision of the server shows to be wanted, in the same call."""
        self._ask(batch_client, leased.wanted(outcome, now_ns), give_back=False)

    def give_back_foreign(self, batch_client: ServerLink) -> None:
        """Give back, before the server decides, what was taken when a limit allowed more than now."""
        self._ask(batch_client, self.leases.take_foreign(), give_back=True)

    def give_back_idle(self, batch_client: ServerLink) -> None:
        """Give back what no request has used for a while; have those due that have far more than they use."""
        self._ask(batch_client, self.leases.idle(self._store.clock.now_ns(), QUIET_NS), give_back=True)

    async def give_back_all(self, batch_client: ServerLink) -> None:
        """Give back everything, what is asked for at the moment, too, and wait until it is."""
        for key in self.leases.take_due():
            self.leases.failed(key)
        await batch_client.settled()
        self._ask(batch_client, self.leases.idle(self._store.clock.now_ns(), -1), give_back=True)
        await batch_client.settled()

    def _ask(self, batch_client: ServerLink, keys: list[int], *, give_back: bool) -> None:
        if batch_client.breaker.is_open:
            for key in keys:
                self.leases.failed(key)
            return
        now_ns = self._store.clock.now_ns()
        divisor = _SHARE_OF_ROOM * max(1, self._store.workers)
        for key in keys:
            slot_batch = batch_client.open_batch(self.leases.name(key))
            asked = self.leases.question(
                key,
                give_back,
                now_ns,
                slot_batch.base_of,
                slot_batch.keys,
                slot_batch.items,
                divisor,
            )
            if asked is not None:
                renewal = Renewal(self.leases, key, self._store.clock, now_ns)
                slot_batch.entries.append(renewal)
                renewal.begin(batch_client.pending)
