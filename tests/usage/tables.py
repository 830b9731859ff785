"""An answer, read by the form that a policy's first limit names."""

from __future__ import annotations

from ratelimit import Policy
from ratelimit.usage.report import UsageReading, reader_of, reading_of
from tests.usage.answers import JSON


def read_by(
    policy: str, body: bytes, content_type: bytes = JSON, *, is_complete: bool = True
) -> UsageReading:
    """Return what an answer used, by a policy's table."""
    spec = Policy.from_toml(policy).compiled.rules[0].metering
    assert spec is not None
    assert spec.usage is not None
    reader = reader_of(spec.usage, content_type)
    assert reader is not None
    reader.feed(body)
    return reading_of(reader, is_complete=is_complete)
