"""Many rules, one decision: every rule is checked, then all are charged or none.

- A rule with an identity that is absent is skipped.
- A rule in shadow, or with a key outside the enforced share, may refuse, but never
  stands in the way. It is not charged when it refuses.
- A refused request charges nothing at all.
- What an outcome says of remaining and reset holds after the decision's own charges.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from ratelimit.algorithms import ALGORITHMS, OF_SLOTS
from ratelimit.errors import UsageError
from ratelimit.reference.hashing import key_hash, mix
from ratelimit.reference.reading import Algorithm, RuleQuestion
from ratelimit.reference.rule import RuleSpec

ABSENT = -1
LARGEST_COST = 2**31 - 1
SKIPPED, ALLOWED, REFUSED, REFUSED_IN_SHADOW = range(4)

Key = tuple[int, ...]


@cache
def class_of(algorithm: str) -> type[Algorithm]:
    """Return an algorithm's class."""
    module, name = ALGORITHMS[algorithm].reference.split(".")
    found: type[Algorithm] = getattr(import_module(f"ratelimit.reference.{module}"), name)
    return found


def enforced_by_hash(hash_key: bytes) -> Callable[[RuleSpec, Key], bool]:
    """Return what says whether a key is in the enforced share of a rule: the same keys in all stores."""

    def is_enforced(spec: RuleSpec, key: Key) -> bool:
        scrambled = mix(key_hash(hash_key, spec.salt, key)) % 2**32
        return scrambled < spec.enforced_ppm * 2**32 // 1_000_000

    return is_enforced


def wholly_enforced(spec: RuleSpec, key: Key) -> bool:
    """Return whether a key is enforced, for rules that enforce all keys or none."""
    return spec.enforced_ppm >= 1_000_000


@dataclass
class ReferenceTable:
    """All state: one immutable value for each rule's salt and key."""

    epoch_ns: int
    worker: int = 0
    states: MutableMapping[Key, Any] = field(default_factory=dict)
    last_seen_ns: dict[int, int] = field(default_factory=dict)
    hash_key: bytes = bytes(range(16))

    def __post_init__(self) -> None:
        self.last_seen_ns.setdefault(self.worker, self.epoch_ns)

    def attached(self, worker: int) -> ReferenceTable:
        """Return the same table as another worker process sees it."""
        return ReferenceTable(self.epoch_ns, worker, self.states, self.last_seen_ns, self.hash_key)

    def heartbeat(self, now_ns: int) -> None:
        """Record a sign of life of this worker."""
        self.last_seen_ns[self.worker] = max(now_ns, self.last_seen_ns.get(self.worker, now_ns))


class ReferencePlan:
    """The rules of one kind of request. Overriding `algorithm` makes a variant (as tests do)."""

    def __init__(
        self,
        table: ReferenceTable,
        rules: Sequence[RuleSpec],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        enforced: Callable[[RuleSpec, Key], bool] = wholly_enforced,
    ) -> None:
        self.table = table
        self.rules = tuple(rules)
        self.keys = tuple(tuple(positions) for positions in keys)
        self.members = tuple(members) if members is not None else (-1,) * len(self.rules)
        self.cost_positions = tuple(cost_positions) if cost_positions is not None else (-1,) * len(self.rules)
        self.enforced = enforced

    def algorithm(self, spec: RuleSpec, asked: RuleQuestion) -> Algorithm:
        """Return the algorithm a rule names."""
        return class_of(spec.algorithm).of(spec, asked)

    def decide(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None
    ) -> ReferenceOutcome:
        """Check every rule; charge all of them or none."""
        outcome = self.peek(identities, now_ns, costs)
        outcome.keep_anchored()
        if outcome.allowed:
            outcome.charge()
        return outcome

    def peek(
        self, identities: Sequence[int], now_ns: int, costs: Sequence[int] | None = None
    ) -> ReferenceOutcome:
        """Return what `decide` would find; charge nothing."""
        now_ns = max(now_ns, self.table.epoch_ns)
        lines = []
        for index, spec in enumerate(self.rules):
            cost = 1 if self.cost_positions[index] < 0 else (costs or ())[self.cost_positions[index]]
            if not 0 <= cost <= LARGEST_COST:
                raise UsageError("a cost is negative or too large", code="cost-range")
            key = tuple(identities[position] for position in self.keys[index])
            member = identities[self.members[index]] if self.members[index] >= 0 else ABSENT
            if ABSENT in key:
                lines.append(Line(self.table, spec, None, key, cost, now_ns))
                continue
            table = self.table
            asked = RuleQuestion(key, member, table.hash_key, table.worker, table.last_seen_ns)
            line = Line(table, spec, self.algorithm(spec, asked), (spec.salt, *key), cost, now_ns)
            line.check(binds=not spec.shadow and self.enforced(spec, key))
            lines.append(line)
        return ReferenceOutcome(lines)


@dataclass
class Line:
    """One rule of one decision."""

    table: ReferenceTable
    spec: RuleSpec
    algorithm: Algorithm | None
    key: Key
    cost: int
    now_ns: int
    state: int = SKIPPED
    remaining: int = 0
    retry_after_ns: int = 0
    reset_after_ns: int = 0
    charged: bool = False
    receipt: Any = None
    held: int = 0
    """Units counted for this charge, also those that have drained or left their window since."""
    live: int = 0
    """Of them, those that can still be taken back."""

    def stored(self, now_ns: int) -> Any:
        """Return the key's state as it counts now."""
        assert self.algorithm is not None
        return self.algorithm.anchored(self.table.states.get(self.key), now_ns)

    def check(self, binds: bool) -> None:
        """Ask the algorithm, and note everything it says."""
        assert self.algorithm is not None
        stored = self.stored(self.now_ns)
        if self.algorithm.allows(stored, self.now_ns, self.cost):
            self.state = ALLOWED
        else:
            self.state = REFUSED if binds else REFUSED_IN_SHADOW
            never = self.cost > self.algorithm.ceiling
            self.retry_after_ns = -1 if never else self.algorithm.retry_after(stored, self.now_ns, self.cost)
        self.read()

    def read(self) -> None:
        """Note what remains and when all of it is back."""
        assert self.algorithm is not None
        stored = self.stored(self.now_ns)
        self.remaining = self.algorithm.remaining(stored, self.now_ns)
        self.reset_after_ns = self.algorithm.reset_after(stored, self.now_ns)

    def charge(self) -> None:
        """Charge a rule that allowed."""
        if self.algorithm is None or self.state != ALLOWED:
            return
        self.store(self.algorithm.charge(self.stored(self.now_ns), self.now_ns, self.cost))
        self.read()

    def store(self, charged: tuple[Any, Any]) -> None:
        """Keep a new state and its receipt."""
        self.table.states[self.key], self.receipt = charged
        self.held = self.live = self.cost
        self.charged = True

    def settle(self, actual: int, now_ns: int) -> int:
        """Correct what was charged; what was not charged has nothing to correct.

        The last report stands, however many came before. It is compared with what is counted. Of
        that, only what is this charge's and still counts is given back.
        """
        if not self.charged or self.algorithm is None or actual == self.cost:
            return 0
        if actual and self.algorithm.is_indivisible:
            return 0
        self.cost = actual
        wanted = max(actual - self.held, -self.live)
        if wanted == 0:
            return 0
        stored = self.stored(now_ns)
        live = self.algorithm.returnable(stored, self.receipt, self.live, now_ns)
        asked = max(wanted, -live)
        actual = self.held + asked
        state, self.receipt, moved = self.algorithm.settle(stored, self.receipt, self.held, actual, now_ns)
        if state != stored:
            self.table.states[self.key] = state
        self.held += moved
        self.live = live + moved if moved <= wanted or wanted > 0 else 0
        return moved


class ReferenceOutcome:
    """The result of one decision; read like the core's `Outcome`."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.allowed = all(line.state != REFUSED for line in lines)

    @property
    def binding(self) -> int:
        """The enforced rule that refuses longest: never before any wait; the first of equals."""
        waits = [
            (line.retry_after_ns if line.retry_after_ns >= 0 else float("inf"), -index)
            for index, line in enumerate(self.lines)
            if line.state == REFUSED
        ]
        return -max(waits)[1] if waits else -1

    def keep_anchored(self) -> None:
        """Keep what a deep step back of the clock made of the states."""
        for line in self.lines:
            if line.algorithm is not None and line.key in line.table.states:
                line.table.states[line.key] = line.stored(line.now_ns)

    def charge(self) -> None:
        """Charge every rule that allowed."""
        for line in self.lines:
            line.charge()

    def __len__(self) -> int:
        return len(self.lines)

    def state(self, index: int) -> int:
        return self.lines[index].state

    def remaining(self, index: int) -> int:
        line = self.lines[index]
        return line.spec.quota if line.state == SKIPPED else line.remaining

    def cost(self, index: int) -> int:
        return self.lines[index].cost

    def key(self, index: int) -> int:
        """Return the number that names the counter of one rule."""
        line = self.lines[index]
        return key_hash(line.table.hash_key, line.spec.salt, line.key[1:] if line.algorithm else line.key)

    def ratelimit_field(self, labels: Sequence[bytes]) -> bytes:
        """Return the value of the RateLimit field: no time for slots, which no clock frees."""
        return b", ".join(
            b"%b;r=%d" % (label, line.remaining)
            + (b"" if line.spec.algorithm in OF_SLOTS else b";t=%d" % -(-line.reset_after_ns // 10**9))
            for label, line in zip(labels, self.lines, strict=True)
            if label and line.state != SKIPPED
        )

    @property
    def holds_slots(self) -> bool:
        """True if something is held until `release`."""
        return any(line.spec.algorithm in OF_SLOTS and line.live > 0 for line in self.lines)

    def retry_after_ns(self, index: int) -> int:
        return self.lines[index].retry_after_ns

    def hold_off(self, index: int, wait_ns: int) -> None:
        """Tell the caller to wait so long, where a rule's own wait is shorter."""
        line = self.lines[index]
        if line.state == REFUSED and 0 <= line.retry_after_ns < wait_ns:
            line.retry_after_ns = wait_ns

    def reset_after_ns(self, index: int) -> int:
        return self.lines[index].reset_after_ns

    def settle_rule(self, index: int, actual: int, now_ns: int) -> int:
        """Replace the charged cost of one rule by the real one; return the correction made."""
        if not 0 <= actual <= LARGEST_COST:
            raise UsageError("an actual cost is negative or too large", code="cost-range")
        return self.lines[index].settle(actual, max(now_ns, self.lines[index].table.epoch_ns))

    def undo(self, now_ns: int) -> None:
        """Give everything back."""
        for index in range(len(self.lines)):
            self.settle_rule(index, 0, now_ns)

    def release(self, now_ns: int) -> None:
        """Free concurrency slots."""
        for index, line in enumerate(self.lines):
            if line.spec.algorithm in OF_SLOTS:
                self.settle_rule(index, 0, now_ns)
