"""Metrics of payers' records: what is exported, and nothing where no policy asked for them."""

from __future__ import annotations

from ratelimit.telemetry.collector import RateLimitCollector
from tests.telemetry.fakes import FakeLimiter


def exported(limiter: FakeLimiter) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in RateLimitCollector(limiter).collect()
        for sample in family.samples
        if sample.name.startswith("ratelimit_records")
    }


def test_records_room_evictions_and_imports_are_exported(limiter: FakeLimiter) -> None:
    slots = limiter.records.slots if limiter.records else (0, 0)
    assert exported(limiter) == {
        ("ratelimit_records", "payers"): 1,
        ("ratelimit_records", "pairs"): 2,
        ("ratelimit_records_capacity", "payers"): slots[0],
        ("ratelimit_records_capacity", "pairs"): slots[1],
        ("ratelimit_records_evicted_total", "other"): 0,
        ("ratelimit_records_evicted_total", "established"): 0,
        ("ratelimit_records_refused_total",): 0,
        ("ratelimit_records_imported",): 5,
    }
    limiter.records = None
    assert exported(limiter) == {}
