"""An exposition read back."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ratelimit.decision import Reason
from ratelimit.telemetry import RateLimitCollector, names, snapshot
from ratelimit.telemetry.counters import Counters
from ratelimit.telemetry.exposed import of_families, of_text
from tests.telemetry.fakes import FakeLimiter, LimitSeen


def test_text_and_families_say_the_same(limiter: FakeLimiter) -> None:
    limiter.rules = [LimitSeen("requests"), LimitSeen('tri"al', shadow=True)]
    limiter.decide("requests", 13)
    limiter.decide('tri"al', 12, shadow=True)
    counters = Counters(limiter.table)
    counters.decided(False, Reason.DENY_LIST)
    counters.decided(True, Reason.LIMITS)
    counters.observe_latency(700)
    registry = CollectorRegistry()
    collector = RateLimitCollector(limiter)
    registry.register(collector)
    found = of_text(generate_latest(registry).decode())
    assert found == of_families(collector.collect())
    assert found.limits["requests"] == snapshot.LimitCounts(allowed=10, refused=3)
    assert found.limits['tri"al'] == snapshot.LimitCounts(allowed=10, refused_in_shadow=2, shadow=True)
    assert (found.decided, found.refused) == (2, 1)
    assert found.gauge(names.WORKERS) == 1
    assert found.entries_live == 2


@pytest.mark.parametrize("text", ["", "<html>not metrics</html>", "other_total 1\n"])
def test_what_is_not_ours_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"ratelimit|metric|parse|value|could not"):
        of_text(text)


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        ({}, 0.5, None),
        ({0.1: 0, 1.0: 0}, 0.5, None),
        ({0.1: 5, 1.0: 10}, 0.5, 0.1),
        ({0.1: 4, 1.0: 10}, 0.5, 1.0),
        ({0.1: 99, 1.0: 99, float("inf"): 100}, 0.99, 0.1),
        ({0.1: 0, float("inf"): 1}, 0.5, float("inf")),
    ],
)
def test_quantile_is_the_bound_that_holds_it(
    counts: dict[float, int], share: float, bound: float | None
) -> None:
    assert snapshot.quantile_bound_s(counts, share) == bound
