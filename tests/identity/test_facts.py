"""Facts of requests and sources of identities: a record suffices for a new one."""

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


OF_A_SOURCE = """
import dataclasses, typing
from ratelimit.facts import sources
EDGE = dataclasses.replace(
    sources.HEADER, kind="edge", is_invented=False, secrets=(), credentials=frozenset(), has_numbers=False,
    what=" (a header that your proxy sets)",
)
sources.WRITTEN = (*sources.WRITTEN, EDGE)
sources.BY_KIND = {**sources.BY_KIND, "edge": EDGE}

import pytest
from ratelimit import Limiter, Policy
from ratelimit.cli.request import parse_request
from ratelimit.clock import ManualClock
from ratelimit.codes import CODES
from ratelimit.errors import PolicyError
from ratelimit.policy.compile.invented import invented
from ratelimit.policy.schema.model import Identity
from ratelimit.replay.facts import RecordFacts, fields_of
from ratelimit.serving.descriptors import headers_alone, headers_looked_at, written_forms

LIMIT = '[[limit]]\\nname = "a"\\nmatch = "/*"\\nper = "user"\\nrate = "1/minute"\\n'
text = 'version = 1\\n[identities]\\nuser = { from = "edge:X-User as int" }\\n'
text += 'plain = { from = "edge:x-plain" }\\n'
text += LIMIT + LIMIT.replace('"a"', '"b"').replace('"user"', '"plain"')
limiter = Limiter(Policy.from_toml(text), clock=ManualClock(10**18))
bound = limiter.current
compiled = bound.compiled

# Read by the compiled reader where it has a plain form, and in Python, from one header in lower case.
lines = [(b"x-plain", b"7")]
row = bound.extractor.extract([*lines, (b"x-user", b"007")], "192.0.2.1")
plain = bound.extractor.positions["plain"]
assert row[plain] == bound.extractor.value_hash("plain", "7")
assert row[bound.extractor.positions["user"]] == bound.extractor.value_hash("user", "7")
assert limiter.decide(headers={"x-plain": "7"}, client="192.0.2.1", path="/").allowed

# Known to replay, commands, services for proxies, and warnings.
fields = fields_of(compiled)
record = parse_request("GET / ip=192.0.2.1 edge:x-user=7 edge:X-Plain=8", fields, compiled, 0.0)
assert fields.headers and record.headers == {"x-user": "7", "x-plain": "8"}
assert RecordFacts(bound, fields).sourced(compiled.identities[0], record) == "7"
assert headers_looked_at(compiled) >= {"x-user", "x-plain"}
assert headers_alone(compiled.identities) == {"x-plain": ("plain",)}
assert written_forms(compiled.identities)["user"] == (("line", "int"),)
assert invented(compiled) == []
with pytest.raises(PolicyError) as failed:
    Policy.from_toml('version = 1\\n[identities]\\nuser = { from = "edgy:x-user" }\\n')
assert "Did you mean `edge`?" in str(failed.value)

# Written in the reference.
assert "`edge:`" in CODES["identity-source"].remedy
described = typing.get_type_hints(Identity, include_extras=True)["from_"]
assert "`edge:NAME` (a header that your proxy sets)" in repr(described)
"""


def test_source_that_has_a_record_is_known_to_policy_readers_replay_and_commands() -> None:
    subprocess.run([sys.executable, "-c", OF_A_SOURCE], check=True, timeout=120)
