"""The last time that the server came back empty, by the journal of this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ratelimit.clock import SystemClock
from ratelimit.inspection import formatting
from ratelimit.inspection.journal.entries import Entry, entry_of
from ratelimit.stores.journal import events_of, read_records

DAY_NS = 86_400 * 10**9
HOUR_NS = 3600 * 10**9
_KIND = "store-emptied"


def recently_emptied(place: Path | None, within_ns: int) -> Sequence[Entry]:
    """Return what hosts said of it within so long, by time; each host says what it had counted."""
    if place is None:
        return []
    lines = [line for line in events_of(place).read() if _KIND.encode() in line]
    since_ns = SystemClock().now_ns() - within_ns
    found = [entry_of(each) for each in read_records(lines) if each.kind == _KIND]
    return [each for each in found if each.time_ns >= since_ns]


def emptied_words(found: Sequence[Entry]) -> str:
    """Return the latest time in a sentence, with the sum over the hosts that reported it; empty for none."""
    if not found:
        return ""
    last = found[-1]
    same = {each.host: each for each in found if last.time_ns - each.time_ns <= 5 * 60 * 10**9}
    requests = sum(int(each.fields.get("requests") or 0) for each in same.values())
    said = f"The server came back empty at {formatting.instant(last.time_ns)} UTC: limits count anew"
    if requests:
        said += f", and may let up to {requests:,} requests through again"
    return f"{said}."
