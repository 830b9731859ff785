"""Recorded requests: what a trace may look like, read into batches of records.

Pure parsing over bytes: knows nothing of policies, limits or clocks; a caller
says which identities and units it cares for. Only `lines` and `sorting` touch files.

Each name is imported when it is asked for: what only describes a request loads no reader.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
_HOMES = {
    "Batch": "reader",
    "FORMATS": "formats",
    "FieldMap": "shape",
    "Fields": "record",
    "LineSource": "lines",
    "MappingWrong": "shape",
    "Reader": "reader",
    "TraceUnreadable": "lines",
    "Traces": "traces",
    "Unreadable": "unreadable",
    "UnreadableLine": "unreadable",
    "open_reader": "reader",
    "open_traces": "traces",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return found
