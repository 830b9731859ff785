"""The absence of the server that hosts share, as this host knows it: since when, and who else there is."""

from __future__ import annotations

import socket
from pathlib import Path

from ratelimit.inspection import formatting
from ratelimit.worker.events.host import HostRecord


def outage_words(place: Path | None) -> str:
    """Return what is not known while the server does not answer, in sentences.

    Args:
        place: the table of this host's workers; None where there can be none.
    """
    record, own = HostRecord(place), socket.gethostname()
    since_ns = record.away_since_ns
    since = f" since {formatting.instant(since_ns)} UTC" if since_ns else ""
    others = [each for each in record.read().hosts if each != own]
    said = f"The server does not answer{since}: this is what this host, {own}, knows."
    return f"{said} Not known: what {', '.join(others)} did since then." if others else said
