"""Recorded requests: what a trace may look like, read into batches of records.

Pure parsing over bytes: knows nothing of policies, limits or clocks; a caller
says which identities and units it cares for. Only `lines` and `sorting` touch files.
"""

from ratelimit.traces.formats import FORMATS
from ratelimit.traces.lines import LineSource, TraceUnreadable
from ratelimit.traces.reader import Batch, Reader, open_reader
from ratelimit.traces.record import Fields
from ratelimit.traces.shape import FieldMap, MappingWrong
from ratelimit.traces.traces import Traces, open_traces
from ratelimit.traces.unreadable import Unreadable, UnreadableLine

__all__ = [
    "FORMATS",
    "Batch",
    "FieldMap",
    "Fields",
    "LineSource",
    "MappingWrong",
    "Reader",
    "TraceUnreadable",
    "Traces",
    "Unreadable",
    "UnreadableLine",
    "open_reader",
    "open_traces",
]
