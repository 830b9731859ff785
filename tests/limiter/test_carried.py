"""Budgets of months that carry over what they leave, up to the burst and not one more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.policy.compile.calendar import starts
from tests.asgi.driver import limit, rules

NS = 10**9
RATE, BURST = 10, 16
MONTHLY = {"rate": f"{RATE}/month", "burst": BURST, "algorithm": "fixed-window"}


def policy(zone: str, **changed: object) -> Policy:
    """Return a policy of one limit that carries over."""
    return Policy.from_toml(rules(limit("budget", **(MONTHLY | {"algorithm": f"calendar:{zone}"} | changed))))


def take(limiter: Limiter, units: int, account: str = "a") -> int:
    """Ask so many times; return how many were admitted."""
    return sum(limiter.decide(identities={"account": account}).allowed for _ in range(units))


def edges(zone: str, year: int, months: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last nanosecond of months in a row."""
    begin = int(datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).timestamp()) * NS
    listed = starts("month", zone, begin, months + 1)
    yield from zip(listed, [start - 1 for start in listed[1:]], strict=False)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("seed", range(4))
def test_month_has_what_the_one_before_left_and_not_one_more(zone: str, seed: int) -> None:
    chance = random.Random(seed)
    months = list(edges(zone, 2026, 15))
    clock = ManualClock(months[0][0])
    limiter = Limiter(policy(zone), clock=clock)
    carried = BURST - RATE  # a new customer is one that used nothing
    for first, last in months:
        room = RATE + carried
        wanted = chance.choice([0, 0, 1, 5, RATE, RATE + 1, BURST, BURST + 9])
        early = chance.randint(0, wanted)
        clock.set_ns(first)
        used = take(limiter, early)
        clock.set_ns(last)
        used += take(limiter, wanted - early)
        assert used == min(wanted, room), (zone, datetime.fromtimestamp(first / NS, UTC))
        # Carried units are used first, and lapse with this month.
        carried = min(BURST - RATE, RATE - max(0, used - carried))


def test_last_instant_of_a_month_and_the_first_of_the_next_are_two_budgets() -> None:
    (_, last), (first, _) = list(edges("Europe/Berlin", 2026, 2))
    clock = ManualClock(last)
    limiter = Limiter(policy("Europe/Berlin"), clock=clock)
    assert take(limiter, 99) == BURST
    clock.set_ns(first)
    assert take(limiter, 99) == RATE


def test_idle_months_fill_the_budget_up_to_the_burst_and_no_further() -> None:
    months = list(edges("UTC", 2026, 9))
    clock = ManualClock(months[0][0])
    limiter = Limiter(policy("UTC"), clock=clock)
    assert take(limiter, 99) == BURST
    clock.set_ns(months[1][0])
    assert take(limiter, 99) == RATE
    clock.set_ns(months[8][1])
    assert take(limiter, 99) == BURST


def test_wait_of_a_budget_that_carries_over_is_to_the_next_month() -> None:
    months = list(edges("UTC", 2026, 3))
    clock = ManualClock(months[0][0])
    limiter = Limiter(policy("UTC"), clock=clock)
    take(limiter, BURST)
    refused = limiter.decide(identities={"account": "a"})
    assert not refused.allowed
    clock.advance(refused.retry_after - 1)
    assert take(limiter, 1) == 0
    clock.advance(1)
    assert take(limiter, 99) == RATE


def test_customer_that_changes_its_plan_keeps_what_it_used() -> None:
    identities = """
account = { from = "header:x-api-key" }
plan = { from = "state:plan", missing = "skip" }
"""
    text = rules(
        limit("budget", **(MONTHLY | {"algorithm": "calendar"}))
        + '\n[limit.tiers.plan]\nsmall = "5/month"\n',
        identities=identities,
    )
    limiter = Limiter(Policy.from_toml(text), clock=ManualClock(next(edges("UTC", 2026, 1))[0]))

    def asked(plan: str | None, units: int) -> int:
        named = {"account": "a"} | ({} if plan is None else {"plan": plan})
        return sum(limiter.decide(identities=named).allowed for _ in range(units))

    assert asked("small", 9) == 5
    assert asked(None, 99) == BURST - 5
    assert asked("small", 9) == 0


def test_lowered_or_raised_number_keeps_what_was_used(tmp_path: Path) -> None:
    months = list(edges("UTC", 2026, 2))
    clock = ManualClock(months[0][0])
    file = tmp_path / "policy.toml"
    text = rules(limit("budget", **(MONTHLY | {"algorithm": "calendar:UTC"})))
    file.write_text(text)
    limiter = Limiter(file, clock=clock)
    assert take(limiter, 12) == 12
    file.write_text(text.replace(f"{RATE}/month", "12/month").replace(f"burst = {BURST}", "burst = 20"))
    limiter.reload()
    assert take(limiter, 99) == 8
    file.write_text(text)
    limiter.reload()
    clock.set_ns(months[1][0])
    assert take(limiter, 99) == RATE
