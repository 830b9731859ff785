"""Facts of requests: a record suffices for a new one."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import dataclasses
from ratelimit.facts import numbers
SEATS = dataclasses.replace(
    numbers.PAID, key="seats", place="seats bought", member="seats", form="units", diagnosed_as="seats-type",
    wrong="no number",
)
numbers.FACTS = (*numbers.FACTS, SEATS)
numbers.BY_PLACE = {fact.place: fact for fact in numbers.FACTS}

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.environment.diagnoses import DIAGNOSES
from ratelimit.identity.fact import Context
from ratelimit.replay.facts import fields_of
from ratelimit.telemetry.codes import DIAGNOSTIC_CODES
from ratelimit.traces.shape import TARGETS

text = 'version = 1\\n[correlation]\\nseats = "state:seats"\\n'
bound = Limiter(Policy.from_toml(text), clock=ManualClock(10**18)).current
at, state = bound.compiled.place_of(SEATS), {"seats": 12}
assert bound.extractor.reader.identities([], "192.0.2.1", state)[at] == 12
assert bound.extractor.extract([], "192.0.2.1", Context({}, state))[at] == 12
assert fields_of(bound.compiled).attribute["seats"] and "seats" in TARGETS
assert "seats-type" in DIAGNOSTIC_CODES and "no number" in DIAGNOSES["seats-type"]
"""


def test_fact_that_has_a_record_is_known_to_policy_readers_traces_and_log() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=120)
