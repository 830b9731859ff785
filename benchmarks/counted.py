"""The loops that `benchmarks.instructions` counts: between marks, run under valgrind."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from benchmarks import ours
from benchmarks.apps import BARE, FLOOR, NO_OP, OURS
from benchmarks.middleware import ONE_CLIENT, STRANGERS, THOUSAND_CLIENTS, Behind
from benchmarks.scenarios import ADDRESS, AGENT, HOT_KEY, MOST_IN_A_WINDOW, PLENTY
from ratelimit.core.decision.engine import Plan
from ratelimit.core.decision.meter import Meter, MeterReading

LOOP = "empty loop"

_store = ours.store()
_now_ns = _store.clock.now_ns()
_identity = _store.hasher.identity
_kinds = [_store.hasher.kind_of(name) for name in ours.IDENTITIES]
_identities = [_identity(kind, value) for kind, value in zip(_kinds, (HOT_KEY, ADDRESS, AGENT), strict=True)]
_three = ours.three(_store, PLENTY, MOST_IN_A_WINDOW)
_LABELS = (b'"requests"', b'"address"', b'"client"')

Loop = Callable[[int], None]


def _empty(count: int) -> None:
    for _ in range(count):
        pass


def _call(count: int) -> None:
    nothing = [].clear
    for _ in range(count):
        nothing()


def _meter(quota: int) -> Callable[[str, int], MeterReading]:
    rule = ours.rule(quota, f"meter of {quota}")
    return Meter(_store.table, rule, _store.hasher, _kinds[0]).check


def _checked(quota: int) -> Loop:
    check = _meter(quota)

    def run(count: int) -> None:
        now_ns = _now_ns
        for _ in range(count):
            check(HOT_KEY, now_ns)

    return run


def _read(quota: int) -> Loop:
    check = _meter(quota)

    def run(count: int) -> None:
        now_ns = _now_ns
        for _ in range(count):
            found = check(HOT_KEY, now_ns)
            _allowed, _left, _wait = found.allowed, found.remaining, found.retry_after_ns

    return run


def _decided(plan: Plan) -> Loop:
    def run(count: int) -> None:
        decide, identities, now_ns = plan.decide, _identities, _now_ns
        for _ in range(count):
            decide(identities, now_ns)

    return run


def _one(algorithm: str) -> Plan:
    return _store.plan([ours.rule(MOST_IN_A_WINDOW, f"one {algorithm}", algorithm)], [[0]])


def _three_hashed(count: int) -> None:
    decide, identity, now_ns = _three.decide, _identity, _now_ns
    account, ip, client = _kinds
    for _ in range(count):
        decide([identity(account, HOT_KEY), identity(ip, ADDRESS), identity(client, AGENT)], now_ns)


def _hashed(count: int) -> None:
    identity, kind = _identity, _kinds[0]
    for _ in range(count):
        identity(kind, HOT_KEY)


def _field(count: int) -> None:
    field, labels = _three.decide(_identities, _now_ns).ratelimit_field, _LABELS
    for _ in range(count):
        field(labels)


def _requests(behind: Behind) -> Loop:
    def run(count: int) -> None:
        behind.turn(count)

    return run


DECISIONS: dict[str, Loop] = {
    LOOP: _empty,
    "calling a compiled method that does nothing": _call,
    "Hasher.identity of 15 characters": _hashed,
    "Meter.check, allowed": _checked(PLENTY),
    "Meter.check, refused": _checked(1),
    "Meter.check, allowed, remaining and retry read": _read(PLENTY),
    "Meter.check, refused, remaining and retry read": _read(1),
    "Plan.decide, one token bucket": _decided(_one("token-bucket")),
    "Plan.decide, one fixed window": _decided(_one("fixed-window")),
    "Plan.decide, one sliding window": _decided(_one("sliding-window")),
    "Plan.decide, three limits": _decided(_three),
    "Plan.decide, three limits, values hashed": _three_hashed,
    "RateLimit field of three limits": _field,
}
REQUESTS: dict[str, tuple[str, str]] = {
    "request, bare route": (BARE, ONE_CLIENT),
    "request, no-op middleware": (NO_OP, ONE_CLIENT),
    "request, hand-written, one limit": (FLOOR, ONE_CLIENT),
    "request, ratelimit": (OURS, ONE_CLIENT),
    "request, ratelimit, 12 headers, 1,000 clients": (OURS, THOUSAND_CLIENTS),
    "request, ratelimit, every address new": (OURS, STRANGERS),
}
COUNTS = dict.fromkeys(DECISIONS, 10_000) | dict.fromkeys(REQUESTS, 500)
"""How often each is done, in the order in which it is done."""


def main() -> None:
    """Run every loop between two marks."""
    applications = {name: Behind(*which) for name, which in REQUESTS.items()}
    loops = DECISIONS | {name: _requests(behind) for name, behind in applications.items()}
    gc.disable()
    for loop in loops.values():
        loop(1000)  # CPython specialises its instructions in the first rounds; caches fill
    for name, loop in loops.items():
        os.getpgid(0)
        loop(COUNTS[name])
        os.getpgid(0)
    for behind in applications.values():
        behind.close()


if __name__ == "__main__":
    main()
