"""References with one thing broken: each a mistake that a limiter somewhere has shipped.

A mutant overrides one method of one or more algorithms. The laws must catch it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ratelimit.reference.bucket import TICKS, TokenBucket
from ratelimit.reference.decision import ReferenceOutcome, ReferencePlan
from ratelimit.reference.log import SlidingLog
from ratelimit.reference.reading import Algorithm
from ratelimit.reference.sliding import SlidingWindow
from ratelimit.reference.window import FixedWindow, StaggeredWindow
from tests.support.cores import ReferenceCore

Override = Callable[..., Any]
Kind = type[Any]
ALL: tuple[Kind, ...] = (TokenBucket, FixedWindow, StaggeredWindow, SlidingWindow, SlidingLog)


@dataclass(frozen=True)
class Mutant:
    """What is broken, where, and how."""

    name: str
    kinds: tuple[Kind, ...]
    overrides: dict[str, Override | property]
    in_plan: dict[str, Override] | None = None

    def core(self) -> ReferenceCore:
        """Return a core with broken algorithms of these kinds."""
        broken = {kind: type(f"Broken{kind.__name__}", (kind,), dict(self.overrides)) for kind in self.kinds}

        class Plan(ReferencePlan):
            def algorithm(self, spec: Any, asked: Any) -> Algorithm:
                made = super().algorithm(spec, asked)
                if type(made) in broken:
                    fields = {name: getattr(made, name) for name in vars(type(made))["__dataclass_fields__"]}
                    made = broken[type(made)](**fields)
                return made

        for name, override in (self.in_plan or {}).items():
            setattr(Plan, name, override)
        return ReferenceCore(self.name, Plan)


def charge_even_refused(self: ReferencePlan, *request: Any) -> ReferenceOutcome:
    """Decide, charging whatever the verdict."""
    outcome = self.peek(*request)
    for line in outcome.lines:
        if line.algorithm is not None:
            line.store(line.algorithm.charge(line.stored(line.now_ns), line.now_ns, line.cost))
    return outcome


def peek_that_charges(self: ReferencePlan, *request: Any) -> ReferenceOutcome:
    """Peek by deciding."""
    outcome = ReferencePlan.peek(self, *request)
    outcome.charge()
    return outcome


def one_key_for_all(self: ReferencePlan, identities: Any, *rest: Any) -> ReferenceOutcome:
    """Peek as if all callers were the same."""
    return ReferencePlan.peek(self, [1 for _ in identities], *rest)


MUTANTS: tuple[Mutant, ...] = (
    Mutant("never refuses", ALL, {"allows": lambda self, state, now_ns, cost: True}),
    Mutant("always refuses", ALL, {"allows": lambda self, state, now_ns, cost: False}),
    Mutant(
        "refuses exactly at the limit",
        ALL,
        {"allows": lambda self, state, now_ns, cost: self.remaining(state, now_ns) > cost},
    ),
    Mutant(
        "off-by-one burst",
        (TokenBucket,),
        {
            "allows": lambda self, state, now_ns, cost: (
                self.arrival(state, now_ns) + (cost - 1) * self.interval <= TICKS * now_ns + self.tolerance
            )
        },
    ),
    Mutant(
        "off-by-one quota",
        (FixedWindow, SlidingWindow, SlidingLog),
        {"allows": lambda self, state, now_ns, cost: self.remaining(state, now_ns) + 1 >= cost},
    ),
    Mutant(
        "no clamp after idling",
        (TokenBucket,),
        {"arrival": lambda self, state, now_ns: TICKS * now_ns if state is None else state},
    ),
    Mutant(
        "interval rounded down",
        (TokenBucket,),
        {"interval": property(lambda self: max(1, TICKS * self.period_ns // self.quota - 1))},
    ),
    Mutant(
        "forgets expiry of windows",
        (FixedWindow,),
        {"current": lambda self, state, now_ns: state or FixedWindow.current(self, None, now_ns)},
    ),
    Mutant(
        "forgets expiry of logs",
        (SlidingLog,),
        {"used": lambda self, records, now_ns: sum(record.units for record in records or ())},
    ),
    Mutant(
        "log interval closed at both ends",
        (SlidingLog,),
        {
            "used": lambda self, records, now_ns: sum(
                r.units for r in records or () if r.at_ns >= self.instant(records, now_ns) - self.period_ns
            )
        },
    ),
    Mutant(
        "forgets the window before",
        (SlidingWindow,),
        {
            "current": lambda self, state, number: SlidingWindow.current(self, state, number)._replace(
                previous=0
            )
        },
    ),
    Mutant(
        "window before counts in full",
        (SlidingWindow,),
        {"load": lambda self, pair, now_ns: (pair.previous + pair.units) * self.period_ns},
    ),
    Mutant(
        "wall clock minting: stepping back starts a new window",
        (FixedWindow,),
        {
            "anchored": lambda self, state, now_ns: state,
            "current": lambda self, state, now_ns: FixedWindow.current(
                self, state if state and state.start_ns == self.start(now_ns) else None, now_ns
            ),
        },
    ),
    Mutant(
        "wall clock minting: stepping back refills the bucket",
        (TokenBucket,),
        {
            "arrival": lambda self, state, now_ns: (
                TICKS * now_ns
                if (state or 0) > TICKS * now_ns + self.tolerance
                else max(state or 0, TICKS * now_ns)
            )
        },
    ),
    Mutant(
        "stepping back loses the later window",
        (SlidingWindow,),
        {
            "anchored": lambda self, state, now_ns: state,
            "current": lambda self, state, number: SlidingWindow.current(
                self, state if state and state.number <= number else None, number
            ),
        },
    ),
    Mutant("records the past", (SlidingLog,), {"instant": lambda self, records, now_ns: now_ns}),
    Mutant("locks out until the clock has caught up", ALL, {"anchored": lambda self, state, now_ns: state}),
    Mutant(
        "waits a nanosecond too long",
        ALL,
        {
            "retry_after": lambda self, state, now_ns, cost: (
                _true(self, "retry_after")(state, now_ns, cost) + 1
            )
        },
    ),
    Mutant(
        "waits a nanosecond too short",
        ALL,
        {
            "retry_after": lambda self, state, now_ns, cost: (
                _true(self, "retry_after")(state, now_ns, cost) - 1
            )
        },
    ),
    Mutant(
        "remaining before the charge",
        ALL,
        {"remaining": lambda self, state, now_ns: _true(self, "remaining")(state, now_ns) + 1},
    ),
    Mutant("reset says never", ALL, {"reset_after": lambda self, state, now_ns: 0}),
    Mutant(
        "skips refunds",
        ALL,
        {
            "settle": lambda self, state, receipt, cost, actual, now_ns: (
                (state, receipt, 0)
                if actual < cost
                else _true(self, "settle")(state, receipt, cost, actual, now_ns)
            )
        },
    ),
    Mutant(
        "skips extra charges",
        ALL,
        {
            "settle": lambda self, state, receipt, cost, actual, now_ns: (
                (state, receipt, 0)
                if actual > cost
                else _true(self, "settle")(state, receipt, cost, actual, now_ns)
            )
        },
    ),
    Mutant(
        "refunds what has drained",
        (TokenBucket,),
        {
            "returnable": lambda self, state, receipt, units, now_ns: units,
            "settle": lambda self, state, receipt, cost, actual, now_ns: (
                max(state or 0, TICKS * now_ns) - (cost - actual) * self.interval,
                receipt,
                actual - cost,
            ),
        },
    ),
    Mutant(
        "refunds into a later window",
        (FixedWindow,),
        {"returnable": lambda self, state, receipt, units, now_ns: units},
    ),
    Mutant(
        "gives back what was forgiven",
        (FixedWindow, SlidingWindow),
        {
            "settle": lambda self, state, receipt, cost, actual, now_ns: (
                *_true(self, "settle")(state, receipt, cost, actual, now_ns)[:2],
                actual - cost,
            )
        },
    ),
    Mutant(
        "boundless debt",
        ALL,
        {
            "settle": lambda self, state, receipt, cost, actual, now_ns: (
                (*self.charge(state, now_ns, actual - cost), actual - cost)
                if actual > cost
                else _true(self, "settle")(state, receipt, cost, actual, now_ns)
            )
        },
    ),
    Mutant(
        "charges one unit whatever the cost",
        ALL,
        {"charge": lambda self, state, now_ns, cost: _true(self, "charge")(state, now_ns, min(cost, 1))},
    ),
    Mutant("windows of all keys begin together", (StaggeredWindow,), {"start": FixedWindow.start}),
    Mutant("charges the refused", (), {}, {"decide": charge_even_refused}),
    Mutant("peeks cost", (), {}, {"peek": peek_that_charges}),
    Mutant("one key for all", (), {}, {"peek": one_key_for_all}),
)


def _true(broken: Any, name: str) -> Override:
    """Return the unbroken method of a broken algorithm."""
    method: Override = getattr(super(type(broken), broken), name)
    return method
