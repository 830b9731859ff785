"""The hosts whose policy file cannot be used, by the journal of this host, which has that of all hosts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ratelimit.inspection import formatting
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.journal.entries import Entry, entry_of
from ratelimit.stores.journal import events_of, standing_rejections


def rejections(place: Path | None, hosts: Iterable[HostState] | None = None) -> dict[str, Entry]:
    """Return by host the last rejection of its policy file that no policy in force there has ended.

    Args:
        place: the table of this host's workers; None where there can be none.
        hosts: those that share the server; of others nothing runs, so nothing is rejected there. None where
            it is not known which there are.
    """
    if place is None:
        return {}
    running = None if hosts is None else {each.host for each in hosts if each.workers}
    found = standing_rejections(events_of(place).read())
    return {
        host: entry_of(record) for host, record in sorted(found.items()) if running is None or host in running
    }


def rejection_words(host: str, entry: Entry) -> str:
    """Return a rejection in a sentence without its full stop."""
    error = str(entry.fields.get("error") or "it is older than ten minutes")
    since = formatting.instant(entry.time_ns)
    return f"The policy file on {host} cannot be used since {since} UTC: {error.rstrip('.')}"
