"""The hosts whose policy file cannot be used, by the journal of this host, which has that of all hosts."""

from __future__ import annotations

from pathlib import Path

from ratelimit.clock import SystemClock
from ratelimit.inspection import formatting
from ratelimit.inspection.journal import Entry, entry_of
from ratelimit.stores.journal import events_of, read_records

WITHIN_NS = 70 * 60 * 10**9
"""A host says it again each hour while its file cannot be used, unless nothing of it runs."""
_KINDS = ("policy-rejected", "policy-rejected-long", "policy-reloaded")


def rejections(place: Path | None) -> dict[str, Entry]:
    """Return by host the last rejection of its policy file that no policy in force there has ended."""
    if place is None:
        return {}
    since_ns = SystemClock().now_ns() - WITHIN_NS
    lines = [line for line in events_of(place).read() if b"policy-re" in line]
    first: dict[str, Entry] = {}
    last: dict[str, int] = {}
    for record in read_records(lines):
        if record.kind not in _KINDS:
            continue
        if record.kind == "policy-reloaded":
            first.pop(record.host, None)
            last.pop(record.host, None)
            continue
        last[record.host] = record.time_ns
        if record.kind == "policy-rejected" or record.host not in first:
            first[record.host] = entry_of(record)
    return {host: entry for host, entry in sorted(first.items()) if last[host] >= since_ns}


def rejection_words(host: str, entry: Entry) -> str:
    """Return a rejection in a sentence without its full stop."""
    error = str(entry.fields.get("error") or "it is older than ten minutes")
    since = formatting.instant(entry.time_ns)
    return f"The policy file on {host} cannot be used since {since} UTC: {error.rstrip('.')}"
