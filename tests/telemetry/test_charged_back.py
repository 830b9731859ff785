"""What is charged back after an outage, told by what it is of: requests, tokens, dollars."""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.inspection.hosts.moment import forgotten_for_ns
from ratelimit.inspection.journal.entries import sums_words
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.telemetry.cells import totals
from ratelimit.telemetry.counters import RemoteCounters
from ratelimit.telemetry.remote import COUNTER_CHARGED_BACK, ChargedBackColumn
from ratelimit.usage.compile import BUILT_IN, USAGE_UNITS

POLICY = """\
version = 1
[[limit]]
name = "l"
per = "ip"
rate = "1/{}"
[store]
keys = 1000
memory = "{}"
"""


def test_every_unit_has_a_column_with_its_like() -> None:
    of = {unit: ChargedBackColumn.of(unit) for unit in (*BUILT_IN, "pictures")}
    assert {of[unit] for unit in USAGE_UNITS} == {ChargedBackColumn.TOKENS}
    assert (of["usd"], of["requests"]) == (ChargedBackColumn.MICRO_DOLLARS, ChargedBackColumn.REQUESTS)
    assert of["messages"] == of["pictures"] == ChargedBackColumn.OTHERS


def test_unlike_units_are_not_added_up(tmp_path: Path) -> None:
    """Hazard: "1,840,412 units charged back" adds millionths of a dollar to tokens."""
    limiter = Limiter(write(tmp_path, "minute"))
    counters = RemoteCounters(limiter.table)
    for amount, unit in ((12, "requests"), (400, "output_tokens"), (1_840_000, "usd"), (3, "pictures")):
        counters.charged_back(amount, unit)
    found = totals(limiter.table, COUNTER_CHARGED_BACK, len(ChargedBackColumn))
    limiter.close()
    assert found[: len(ChargedBackColumn)] == [12, 400, 1_840_000, 3]
    names = ("requests", "tokens", "micro_dollars", "others")
    fields = {f"{name}_charged_back": number for name, number in zip(names, found, strict=False)}
    assert sums_words(fields) == (
        "; once it was back, limits counted 12 requests, 400 tokens, $1.84, 3 units of other kinds of what "
        "was allowed, summed over all limits; the rest fell in windows already over, or in buckets that had "
        "refilled"
    )
    assert sums_words({}) == ""


@pytest.mark.parametrize(("period", "lasts_s"), [("minute", 60), ("hour", 3600), ("day", 3600)])
def test_an_emptied_server_is_trouble_for_a_window_of_its_limits(
    period: str, lasts_s: int, tmp_path: Path
) -> None:
    """Hazard: limits per minute are as they were, and a screen tells of trouble for an hour."""
    assert forgotten_for_ns(Policy.load(write(tmp_path, period)).compiled) == lasts_s * 10**9


def write(folder: Path, period: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(POLICY.format(period, folder / "table"))
    return path
