"""Rules as tests write them, every core under test builds its own from them; and times to use."""

from __future__ import annotations

from ratelimit.reference.rule import RuleSpec as RuleSpec

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = 1_700_000_000_000_000_123
"""When the tests' tables are made: no multiple of anything, so that alignment shows."""
