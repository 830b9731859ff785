"""Recorded requests: what a trace may look like, read into batches of records.

Pure parsing over bytes: knows nothing of policies, limits or clocks; a caller
says which identities and units it cares for. Only `lines.py` touches a file.
"""

from ratelimit.traces.lines import LineSource, TraceUnreadable
from ratelimit.traces.reader import FORMATS, Batch, Reader, open_reader
from ratelimit.traces.record import Fields
from ratelimit.traces.unreadable import Unreadable, UnreadableLine

__all__ = [
    "FORMATS",
    "Batch",
    "Fields",
    "LineSource",
    "Reader",
    "TraceUnreadable",
    "Unreadable",
    "UnreadableLine",
    "open_reader",
]
