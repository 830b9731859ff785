"""The memory that workers share beside the store's: of conduct, and of requests in flight."""

from __future__ import annotations

from collections.abc import Callable

from ratelimit.clock import Clock
from ratelimit.conduct.memory import SharedConduct
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.load.compile import AdaptiveSpec, loads_of
from ratelimit.load.limit import LoadLimit, settings_of
from ratelimit.load.shed_priority import lottery_key
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store
from ratelimit.stores.factory import open_conduct, open_flight
from ratelimit.waiting.compile import held_of
from ratelimit.waiting.loop_lines import Result


class Beside:
    """The part of one limiter, opened as policies ask for it.

    Args:
        store: beside which it lies.
        clock: the limiter's time.
        count_held: hears of requests that were held.
    """

    def __init__(self, store: Store, clock: Clock, count_held: Callable[[Result, int], None]) -> None:
        self.store = store
        self.loads: dict[str, LoadLimit] = {}
        """The limits that follow the load by their names, those of earlier policies among them."""
        self._clock = clock
        self._count_held = count_held
        self._conduct: SharedConduct | None = None

    def conduct_memory(self, policy: Policy) -> ConductMemory:
        """Return the memory of conduct."""
        if self._conduct is None:
            self._conduct = open_conduct(policy, self.store)
        return self._conduct.memory

    def enter(self, policy: Policy) -> None:
        """Have the limits of a policy that follow the load."""
        # One that this policy lacks stays: a reload may bring it back, and what is in flight is known then.
        held = held_of(policy.compiled)
        for spec in loads_of(policy.compiled):
            load = self.loads.get(spec.name)
            if load is None:
                load = self.loads[spec.name] = self._new_load(policy, spec)
            else:
                load.adapt(spec)
            if held is not None:
                load.queue.bound_by(held.per_principal, held.total)

    @property
    def looks(self) -> list[Callable[[], str | None]]:
        """The calls that say that this worker lives, and leave damaged memory: each returns the damage."""
        looks: list[Callable[[], str | None]] = [load.shared.heartbeat for load in self.loads.values()]
        return looks if self._conduct is None else [*looks, self._conduct.renew]

    def close(self) -> None:
        """Let go of it; it stays for other workers."""
        for load in self.loads.values():
            load.leave()
        if self._conduct is not None:
            self._conduct.close()

    def _new_load(self, policy: Policy, spec: AdaptiveSpec) -> LoadLimit:
        settings = settings_of(spec)
        shared = open_flight(policy, self.store, spec.name, settings.floor, settings.step_ns)
        return LoadLimit(spec, shared, self._clock, lottery_key(self.store.hasher.key), self._count_held)
