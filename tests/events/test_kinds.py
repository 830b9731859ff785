"""Kinds of events: a record suffices for a new one."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from ratelimit import events
NEW = events.EventKind(
    name="engine-slow", says="An engine is slow.", brief="{engine} takes {seconds:.1f} s", is_warning=True,
    topic="others", is_of_all_hosts=True, is_logged=True,
)
events.EVENTS = {**events.EVENTS, "engine-slow": NEW}
events.KINDS = {**events.KINDS, "engine-slow": NEW}

import logging
from ratelimit.events import Event
from ratelimit.inspection.history.week import KINDS
from ratelimit.inspection.journal.entries import Printed, entry_of
from ratelimit.stores.journal import read_records
from ratelimit.telemetry import document, names
from ratelimit.worker.events import sinks

told = Event("engine-slow", 10**18, "web-1", 7, {"engine": "a", "seconds": 2.25})
(record,) = read_records([told.json().encode()])
entry = entry_of(record)
assert (entry.text, entry.is_warning) == ("a takes 2.2 s", True)
assert record.says == "An engine is slow."

printed = Printed()  # each host reports it, and people read it once
assert printed.add(entry) and not printed.add(entry_of(record).with_host("web-2"))

lines = []
sinks.log.addHandler(type("Lines", (logging.Handler,), {"emit": lambda self, line: lines.append(line)})())
sinks.to_log(told)  # workers have logged it
assert not lines
assert "engine-slow" in KINDS["others"]
assert "engine-slow" in names.EVENTS and "`engine-slow`" in document.markdown()
"""


def test_event_that_has_a_record_is_known_to_journal_week_log_and_metrics() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
