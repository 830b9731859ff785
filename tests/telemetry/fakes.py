"""A limiter as the collector sees one, over a real table."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

from ratelimit.allowance.records import Records, records_bytes
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Plan
from ratelimit.core.memory.table import Table
from ratelimit.features.steps import BY_NAME, RefusalStep
from ratelimit.load.metrics import WatchedLoad
from ratelimit.policy.compile.compiled import twin_counter
from ratelimit.telemetry.exemplars import Exemplars
from ratelimit.telemetry.watching import NoPolicy

NOW_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60_000_000_000


@dataclass
class LimitSeen:
    name: str
    unit: str = "requests"
    shadow: bool = False
    is_twin: bool = False
    is_clustered: bool = False
    first: str = "refuse"
    waits: bool = False

    @property
    def is_beside(self) -> bool:
        return self.is_twin

    @property
    def acts(self) -> str:
        return "wait" if self.waits else self.first if self.following.counted else ""

    @property
    def following(self) -> RefusalStep:
        return BY_NAME[self.first]

    @property
    def counter_name(self) -> str:
        return twin_counter(self.name) if self.is_twin else self.name


@dataclass
class Reload:
    result: str


@dataclass
class FakeQueue:
    waiting: int = 2
    fairness: float = 0.5


def some_records() -> Records:
    """Return records of one payer with an account and a place, of five that a history had."""
    records = Records(mmap.mmap(-1, records_bytes(1000)), payers=1000, fingerprint=bytes(16))
    records.see(1, 2, 3, 0, NOW_NS // 10**9)
    records.note_imported(5)
    return records


@dataclass
class FakeLimiter:
    """Implements `collector.Watched` with a table of its own."""

    table: Table
    rules: list[LimitSeen] = field(default_factory=list)
    generation: int = 1
    reloaded_ns: int = NOW_NS
    last_reload: Reload | None = None
    policy: NoPolicy = field(default_factory=NoPolicy)
    drift: int = 0
    correlation: dict[str, int] = field(default_factory=dict)
    remote: dict[str, float] = field(default_factory=dict)
    watched_loads: list[WatchedLoad] = field(default_factory=list)
    unsettled_units: dict[str, int] = field(default_factory=dict)
    metered_routes: tuple[str, ...] = ("/v1/*",)
    exemplars: Exemplars | None = None
    records: Records | None = field(default_factory=lambda: some_records())
    queue: FakeQueue | None = field(default_factory=lambda: FakeQueue())

    def now_ns(self) -> int:
        return NOW_NS

    def drift_ns(self) -> int:
        return self.drift

    def decide(self, name: str, times: int, *, quota: int = 10, shadow: bool = False, cost: int = 1) -> None:
        """Decide `times` requests by a rule of this name."""
        salt = int.from_bytes(name.encode()[:7], "big")
        rule = Rule(name, "token-bucket", quota=quota, period_ns=MINUTE_NS, salt=salt, shadow=shadow)
        plan = Plan(self.table, [rule], [(0,)], None, [0])
        for _ in range(times):
            plan.decide([1234], NOW_NS, [cost])


def new_table(memory: mmap.mmap) -> Table:
    return Table(memory, now_ns=NOW_NS, boot_id=b"boot", anchor_ns=0, key=b"k" * 16)
