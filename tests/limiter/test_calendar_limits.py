"""Limits of calendar months, weeks and days, held against what clocks in a zone read, to the second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from tests.asgi.driver import limit, rules

NS = 10**9
EVENTS = [
    ("month", "Europe/Berlin", (2024, 2, 28), 3),  # the 29th of a leap year
    ("month", "Europe/Berlin", (2023, 2, 27), 3),
    ("month", "UTC", (2100, 2, 27), 3),  # no leap year
    ("month", "America/New_York", (2024, 4, 29), 3),
    ("month", "Europe/Berlin", (2024, 3, 30), 3),  # clocks go forward on the month's last day
    ("month", "Europe/Berlin", (2027, 10, 30), 3),  # and back on the last of October
    ("day", "Europe/Berlin", (2024, 3, 30), 3),
    ("day", "Europe/Berlin", (2024, 10, 26), 3),
    ("day", "America/New_York", (2024, 3, 9), 3),
    ("day", "America/New_York", (2024, 11, 2), 3),
    ("day", "America/Sao_Paulo", (2018, 11, 3), 3),  # a day without a midnight
    ("day", "Pacific/Apia", (2011, 12, 28), 5),  # the 30th is left out
    ("week", "Australia/Lord_Howe", (2024, 4, 5), 4),  # back by half an hour
    ("week", "Australia/Lord_Howe", (2024, 10, 4), 4),
    ("year", "Asia/Kathmandu", (2023, 12, 30), 3),
]


def label(unit: str, second: int, zone: ZoneInfo) -> tuple[int, ...]:
    """Return what names the window that clocks of a zone read."""
    local = datetime.fromtimestamp(second, zone)
    if unit == "week":
        return local.isocalendar()[:2]
    return (local.year, local.month, local.day)[: {"year": 1, "month": 2, "day": 3}[unit]]


@pytest.mark.parametrize(("unit", "zone_name", "first", "days"), EVENTS)
def test_budget_begins_when_clocks_say_so_and_no_second_before(
    unit: str, zone_name: str, first: tuple[int, int, int], days: int
) -> None:
    zone = ZoneInfo(zone_name)
    begin = datetime(*first, tzinfo=UTC)
    start, end = (int(each.timestamp()) for each in (begin, begin + timedelta(days=days)))
    clock = ManualClock(start * NS)
    more = {"rate": f"1/{unit}", "algorithm": f"calendar:{zone_name}"}
    limiter = Limiter(Policy.from_toml(rules(limit("one", **more))), clock=clock)

    def asks(second: int) -> bool:
        clock.set_ns(second * NS)
        return limiter.decide(identities={"account": "a"}).allowed

    seen, last, begun = set(), start - 1, 0
    for second in range(start, end, 1800):
        now = label(unit, second, zone)
        if now not in seen and seen:
            outside, inside = last, second
            while inside - outside > 1:
                middle = (outside + inside) // 2
                outside, inside = (outside, middle) if label(unit, middle, zone) == now else (middle, inside)
            assert not asks(outside), (unit, zone_name, outside)
            assert asks(inside), (unit, zone_name, inside)
            begun += 1
        elif not seen:
            assert asks(second)
        else:
            assert not asks(second), (unit, zone_name, second)
        seen.add(now)
        last = second
    assert begun >= 1
