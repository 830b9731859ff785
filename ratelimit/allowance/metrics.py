"""Metrics of payers' records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ratelimit.allowance.records import Records
from ratelimit.telemetry.metric import Label, Metric, Samples, Totals, counted, plain

KINDS = ("payers", "pairs")
USED = Metric(
    "ratelimit_records",
    "gauge",
    "Records of payers, and of their accounts and places.",
    (Label("kind", KINDS),),
)
CAPACITY = Metric(
    "ratelimit_records_capacity", "gauge", "Records that there is room for.", (Label("kind", KINDS),)
)
EVICTED = Metric(
    "ratelimit_records_evicted",
    "counter",
    "Records that made room for others. Established ones (of 30 days, seen within 70) should be none: "
    "raise `payers` in the file of tuning.",
    (Label("standing", ("other", "established")),),
)
REFUSED = Metric(
    "ratelimit_records_refused",
    "counter",
    "Times that a key found no room among established records, and counted as new.",
)
IMPORTED = Metric("ratelimit_records_imported", "gauge", "Payers in the history that was read at the start.")
METRICS = (USED, CAPACITY, EVICTED, REFUSED, IMPORTED)


def samples(limiter: Any, totals: Totals) -> Iterator[Samples]:
    """Yield what the records hold; nothing where no policy asked for them."""
    records: Records | None = limiter.records
    if records is None or records.closed:
        return
    payers, pairs, evicted, displaced, refused, imported = records.counts
    yield counted(USED, (payers, pairs))
    yield counted(CAPACITY, records.slots[:2])
    yield counted(EVICTED, (evicted, displaced))
    yield plain(REFUSED, refused)
    yield plain(IMPORTED, imported)
