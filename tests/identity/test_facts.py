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
from ratelimit.lab.records import fields_of
from ratelimit.telemetry.names import DIAGNOSTIC_CODES
from ratelimit.lab.traces import TARGETS

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
from ratelimit.lab.records import RecordFacts, fields_of
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


OF_A_READING = """
import dataclasses
from ratelimit.facts import sources
FINGERPRINT = dataclasses.replace(
    sources.HEADER, kind="tls", argument="", shape=None, implied="x-ja4", is_invented=False, secrets=(),
    has_numbers=False, what=" (the fingerprint that your proxy sends as `x-ja4`)",
)
PART = dataclasses.replace(
    sources.COOKIE, kind="part", reading="part", header="authorization", argument="NUMBER",
    what=" (of a token in `authorization`)",
)
sources.WRITTEN = (*sources.WRITTEN, FINGERPRINT, PART)
sources.BY_KIND = {**sources.BY_KIND, "tls": FINGERPRINT, "part": PART}

from ratelimit.identity import source
def part(number, form, diagnose):
    def read(headers, context):
        lines = [value for name, value in headers if name == b"authorization"]
        return lines[0].split(b".")[int(number)] if lines else None
    return read
source._READERS = {**source._READERS, "part": part}

from ratelimit import Limiter, Policy
from ratelimit.cli.request import parse_request
from ratelimit.clock import ManualClock
from ratelimit.codes import CODES
from ratelimit.errors import PolicyError
from ratelimit.inspection.identities import given
from ratelimit.policy.compile.invented import invented, invented_words
from ratelimit.lab.columns import IdentityColumns
from ratelimit.lab.records import RecordFacts, fields_of
from ratelimit.serving.descriptors import headers_alone, headers_looked_at, written_forms

LIMIT = '[[limit]]\\nname = "a"\\nmatch = "/*"\\nper = "agent"\\nrate = "2/year"\\n'
text = 'version = 1\\n[identities]\\nagent = { from = "tls", missing = "skip" }\\n'
text += 'user = { from = "part:1", missing = "skip" }\\n' + LIMIT
text += LIMIT.replace('"a"', '"b"').replace('"agent"', '"user"')
limiter = Limiter(Policy.from_toml(text), clock=ManualClock(10**18))
bound, compiled = limiter.current, limiter.current.compiled
extractor, specs = bound.extractor, compiled.identities[:2]
expected = [extractor.value_hash("agent", "a"), extractor.value_hash("user", "u")]

# Read from headers, by the compiled reader where it has a plain form. Two lines are malformed.
lines = [(b"x-ja4", b"a"), (b"authorization", b"x.u")]
assert extractor.extract(lines, "192.0.2.1")[:2] == expected
alone = Limiter(Policy.from_toml(text.replace("part:1", "header:x-user")), clock=ManualClock(10**18))
reader, positions = alone.current.extractor.reader, alone.current.extractor.positions
assert reader.identities(lines, "192.0.2.1", {})[positions["agent"]] != -1
assert extractor.extract([*lines, lines[0]], "192.0.2.1")[0] not in (-1, expected[0])
allowed = [limiter.decide(headers=lines, client="192.0.2.1", path="/").allowed for _ in range(3)]
assert allowed == [True, True, False]

# Written and named in requests of commands and in traces.
fields, seen = fields_of(compiled), []
for said in ("tls=a part:1=u", "header:x-ja4=a header:authorization=x.u", "agent=a user=u"):
    record = parse_request(f"GET / ip=192.0.2.1 {said}", fields, compiled, 1.0)
    assert [given(spec, record, RecordFacts(bound, fields)) for spec in specs] == ["a", "u"]
    seen.append(record)
found = IdentityColumns(bound, fields).columns(seen, [bound.match("GET", "/", "request")] * 3)
assert [list(column) for column in found.columns[:2]] == [[each] * 3 for each in expected]

# Known to services for proxies, and to warnings.
assert headers_looked_at(compiled) >= {"x-ja4", "authorization"}
assert headers_alone(specs) == {"x-ja4": ("agent",)}
assert written_forms(specs) == {"agent": (("line", "text"),), "user": (("part", "text"),)}
by_claim = Policy.from_toml(text.replace('"agent"', '"user"')).compiled
assert invented(by_claim) == ["a", "b"] and "a cookie or a part alone" in invented_words(by_claim)

# Spelled in the reference and in hints.
for wrong in ("tsl", "tls:x"):
    try:
        Policy.from_toml(text.replace("tls", wrong))
    except PolicyError as error:
        assert "Did you mean `tls`?" in str(error), error
    else:
        raise AssertionError(wrong)
assert "`tls` (the fingerprint" in sources.reference_words() and "`part:`" in CODES["identity-source"].remedy
"""


def test_source_without_an_argument_and_new_reading_are_known_to_all_doors() -> None:
    subprocess.run([sys.executable, "-c", OF_A_READING], check=True, timeout=120)
