"""The script in a real server as one more core for the laws: synchronous, and told the time.

The server counts in microseconds: a test that compares cores gives all of them whole ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError

from ratelimit.core.decision.engine import Plan
from ratelimit.core.redis.remote import RemoteRules
from ratelimit.stores.redis.decision.script import DIGEST, SCRIPT, rule_texts, spread
from tests.support.cores import COMPILED, compiled_rule
from tests.support.rule import EPOCH, RuleSpec

_NUMBERS = itertools.count(1)


class ScriptCore:
    """Makes plans with their state in a server.

    Args:
        client: of the server; nothing else uses the keys that begin with `law`.
        tagged: whether names have a hash tag, as in a cluster.
    """

    name = "script"
    grain_ns = 1_000

    def __init__(self, client: Redis, *, tagged: bool = False) -> None:
        self.client = client
        self.tagged = tagged

    def table(self, now_ns: int = EPOCH, keys: int = 256) -> Any:
        table = COMPILED.table(now_ns, keys)
        return _Place(table, b"law%d:" % next(_NUMBERS))

    def plan(
        self,
        table: Any,
        specs: Sequence[RuleSpec],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
    ) -> ScriptPlan:
        plan = Plan(table.table, [compiled_rule(spec) for spec in specs], keys, members, cost_positions)
        return ScriptPlan(self.client, RemoteRules(plan, table.prefix, self.tagged), table)


class _Place:
    def __init__(self, table: Any, prefix: bytes) -> None:
        self.table = table
        self.prefix = prefix
        self.outcomes: list[ScriptOutcome] = []

    def heartbeat(self, now_ns: int) -> None:
        """Renew all slots that are held: here each has a lease of its own."""
        for outcome in self.outcomes:
            outcome.renew(now_ns)

    def attached(self, worker: int) -> Any:
        return self


class ScriptPlan:
    """A plan in a server, asked one decision at a time."""

    worker = 77

    def __init__(self, client: Redis, rules: RemoteRules, place: _Place) -> None:
        self.client = client
        self.rules = rules
        self.place = place
        self.now_ns = 0

    def __len__(self) -> int:
        return len(self.rules)

    def decide(self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None) -> Any:
        return self._ask(identities, now_ns, costs, commit=True)

    def peek(self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None) -> Any:
        return self._ask(identities, now_ns, costs, commit=False)

    def _ask(self, identities: Sequence[int], now_ns: int, costs: Any, *, commit: bool) -> Any:
        keys: dict[bytes, int] = {}
        items: list[int] = []
        self.now_ns = now_ns
        outcome = self.rules.ask(identities, costs, commit, 0, keys, items, self)
        said = self.send(keys, items, now_ns)
        assert self.rules.answer(outcome, said, 1, said[0], commit) == len(said)
        found = ScriptOutcome(self, outcome)
        if outcome.holds_slots:
            self.place.outcomes.append(found)
        return found

    def correct(self, outcome: Any, index: int, delta: int) -> None:
        keys: dict[bytes, int] = {}
        items: list[int] = []
        self.rules.correct(outcome, index, delta, 0, keys, items)
        said = self.send(keys, items, self.now_ns)
        self.moved, at = self.rules.corrected(outcome, index, said, 1, said[0])
        assert at == len(said) == 1 + self.rules.answer_size(index)

    def send(self, keys: dict[bytes, int], items: list[int], now_ns: int) -> list[int]:
        """Run the script once; return what it said."""
        assert now_ns % 1000 == 0
        rules = self.rules.describe(now_ns)
        payload = spread([now_ns // 1000, self.worker, len(rules)]) + rule_texts(rules) + spread(items)
        try:
            answer = self.client.evalsha(DIGEST, len(keys), *keys, payload)
        except NoScriptError:
            self.client.script_load(SCRIPT)
            answer = self.client.evalsha(DIGEST, len(keys), *keys, payload)
        self.said = said = msgspec.msgpack.decode(answer, type=list[int])
        return said


class ScriptOutcome:
    """An outcome with corrections that are sent at the time given."""

    def __init__(self, plan: ScriptPlan, outcome: Any) -> None:
        self._plan = plan
        self._outcome = outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outcome, name)

    def __len__(self) -> int:
        return len(self._outcome)

    def settle_rule(self, index: int, actual: int, now_ns: int) -> int:
        self._plan.now_ns = now_ns
        self._plan.moved = 0
        self._outcome.settle_rule(index, actual, now_ns)
        return self._plan.moved

    def undo(self, now_ns: int) -> None:
        self._plan.now_ns = now_ns
        self._outcome.undo(now_ns)

    def release(self, now_ns: int) -> None:
        self._plan.now_ns = now_ns
        self._outcome.release(now_ns)

    def renew(self, now_ns: int) -> None:
        """Say that the slots this outcome holds are still in use."""
        self._plan.now_ns = now_ns
        if self._outcome.holds_slots:
            for index in range(len(self._outcome)):
                if (
                    self._plan.rules.plan.rules[index].algorithm == "concurrency"
                    and self._outcome.state(index) == 1
                ):
                    self._plan.correct(self._outcome, index, self._outcome.cost(index))
