"""One worker with leases, step by step: the server is asked at the time that a test says."""

from __future__ import annotations

from typing import Any

from redis import Redis

from ratelimit.core.decision.engine import Plan
from ratelimit.core.redis.lease import LeasedRules, Leases
from ratelimit.core.redis.remote import RemoteRules
from tests.support.cores import COMPILED, compiled_rule
from tests.support.redis.core import ScriptPlan
from tests.support.rule import EPOCH, SECOND, RuleSpec

START = EPOCH // 1000 * 1000


class Worker:
    """One process: leases of its own, and the server asked at the time the test says."""

    def __init__(self, client: Redis, spec: RuleSpec, number: int, horizon_ns: int) -> None:
        self.table = COMPILED.table(START)
        self.client = client
        self.number = number
        self.leases = Leases(
            self.table,
            keys=64,
            horizon_ns=horizon_ns,
            longest_ns=4 * horizon_ns,
            worthwhile=100,
            recheck_ns=SECOND // 10,
            wake=lambda: None,
        )
        self.trips = 0
        self.under_way: list[tuple[ScriptPlan, dict[bytes, int], list[int]]] = []
        """What was given up, and has not reached the server yet."""
        self.load(spec)

    def load(self, spec: RuleSpec) -> None:
        """Decide by this limit from now on."""
        plan = Plan(self.table, [compiled_rule(spec)], [[0]], None, [0])
        self.remote = ScriptPlan(self.client, RemoteRules(plan, b"lease:", False), None)  # type: ignore[arg-type]
        self.remote.worker = self.number
        self.rules = LeasedRules(self.remote.rules, self.leases, self.remote)

    def ask(self, now_ns: int, cost: int = 1) -> bool:
        """Decide one request: from the lease if it suffices."""
        return bool(self.outcome(now_ns, cost).allowed)

    def outcome(self, now_ns: int, cost: int) -> Any:
        """Return what one request found."""
        outcome = self.rules.take([7], now_ns, [cost])
        if outcome is None:
            self.trips += 1
            foreign = self.leases.take_foreign()
            self.send(foreign, now_ns, give_back=True)
            outcome = self.remote.decide([7], now_ns, [cost])._outcome
            wanted = self.rules.wanted(outcome, now_ns)
            self.send(wanted, now_ns)
            self.trips -= len(wanted) + len(foreign)  # they went in the same call
            self.rules.note(outcome, now_ns)
        return outcome

    def charge(self, outcome: Any, more: int, now_ns: int) -> None:
        """Settle a request for more than was charged: from the lease if it suffices, else into debt."""
        if not self.rules.absorb(outcome, 0, more, now_ns):
            self.remote.now_ns = now_ns
            self.remote.correct(outcome, 0, more)

    def renew(self, now_ns: int, *, late_ns: int = 0, is_lost: bool = False) -> None:
        """Ask for what is due; the answer may be lost, and was asked for `late_ns` before it is given."""
        self.send(self.leases.take_due(), now_ns, late_ns=late_ns, is_lost=is_lost)

    def give_back(self, now_ns: int, quiet_ns: int) -> None:
        """Give back what was not used for so long."""
        self.send(self.leases.idle(now_ns, quiet_ns), now_ns, give_back=True)

    def give_up(self, now_ns: int, *, give_back: bool = False) -> None:
        """Ask for what is due, or give all back, and wait no longer: the call is still under way."""
        for key in self.leases.idle(now_ns, -1) if give_back else self.leases.take_due():
            keys: dict[bytes, int] = {}
            items: list[int] = []
            asked = self.leases.question(key, give_back, now_ns, lambda _: 0, keys, items, 4)
            assert asked is not None
            self.leases.failed(key)
            self.under_way.append((asked[0].ledger, keys, items))

    def arrive(self, now_ns: int) -> None:
        """Have what was given up reach the server now."""
        for remote, keys, items in self.under_way:
            remote.send(keys, items, now_ns)
            self.trips += 1
        self.under_way.clear()

    def send(
        self, due: list[int], now_ns: int, *, late_ns: int = 0, give_back: bool = False, is_lost: bool = False
    ) -> None:
        """Ask for these keys, or give them back; the answer may be late, or lost."""
        for key in due:
            keys: dict[bytes, int] = {}
            items: list[int] = []
            asked = self.leases.question(key, give_back, now_ns - late_ns, lambda _: 0, keys, items, 4)
            assert asked is not None
            said = asked[0].ledger.send(keys, items, now_ns)  # a former policy's, where it took the lease
            self.trips += 1
            if is_lost:
                self.leases.failed(key)
            else:
                assert self.leases.answer(key, said, 1, now_ns - late_ns) == len(said)
