"""Exits that cost nothing: those of a service that others use as well, and addresses of one IPv6 prefix."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from ratelimit.correlation.classification import Verdict
from tests.correlation.sights import (
    DAY_S,
    HOUR_S,
    START_S,
    Sight,
    campaign,
    correlator,
    exit_of,
    hashed,
    key_of,
    row,
    together,
    verdicts,
)
from tests.correlation.test_parity import compared

EXITS, HOURS = 500, 30.0
OLD_S = START_S - 400 * DAY_S


def customers(accounts: int, rng: random.Random) -> list[Sight]:
    """Return old customers of a service with the campaign's exits: they have nothing in common but that."""
    found = []
    for number in range(accounts):
        name = f"customer-{number}"
        for _ in range(12):
            at_s = START_S + rng.random() * HOURS * HOUR_S
            address = exit_of(rng.randrange(EXITS))
            found.append(Sight(at_s, name, row(name, address=address, payment=name, created_s=OLD_S)))
    return found


def neighbours(rng: random.Random, hours: tuple[int, ...] = (1, 2, 28, 29)) -> list[Sight]:
    """Return people seen in the blocks of the campaign's exits at these hours, ten in each."""
    found = []
    for number in range(0, EXITS, 8):
        block = exit_of(number).rsplit(".", 2)[0]
        for flat in range(10):
            name = f"neighbour-{number}-{flat}"
            for hour in hours:
                at_s = START_S + (hour + rng.random()) * HOUR_S
                address = f"{block}.251.{flat + 1}"
                found.append(Sight(at_s, name, row(name, address=address, payment=name, created_s=OLD_S)))
    return found


def found_of(*parts: list[Sight]) -> set[Verdict]:
    """Return what most of the campaign is said to be, by the core and by the reference."""
    sights, one = together(*parts), correlator()
    for sight in sights:
        one.observe(sight.row, int(sight.at_s * 1e9))
    compared(one, sights[-1].at_s)
    said = [Verdict(verdicts(one).get(key_of(f"bad-{number}"), 0)) for number in range(150)]
    return {verdict for verdict in Verdict if said.count(verdict) > 100}


def test_exits_that_old_customers_use_as_well_are_a_services() -> None:
    rng = random.Random(5)
    bad = campaign(150, rng, exits=EXITS, hours=HOURS)
    assert found_of(bad) == {Verdict.CERTAIN}
    assert found_of(bad, customers(60, rng)) == {Verdict.LIKELY}
    # Where people live, exits are rented in their homes, and those that rent there too are no customers.
    assert found_of(bad, customers(60, rng), neighbours(rng)) == {Verdict.CERTAIN}
    # Some hours on one exit of a relay are a home to a newcomer. They do not show that people live there.
    assert found_of(bad, customers(60, rng), neighbours(rng, (24, 25, 28, 29))) == {Verdict.LIKELY}


@pytest.mark.parametrize(("prefixes", "verdict"), [(1, Verdict.LIKELY), (2, Verdict.CERTAIN)])
def test_one_network_has_no_more_exits_than_addresses_of_ipv4(prefixes: int, verdict: Verdict) -> None:
    rng = random.Random(6)
    sights = []
    for sight in campaign(150, rng, hours=HOURS):
        number = rng.randrange(600)
        seen = list(sight.row)
        seen[1] = hashed("ip", f"2001:db8::{number}")
        seen[2] = hashed("network", f"2001:db8:{number % prefixes}")
        seen[8] = hashed("block", "2001:db8")
        sights.append(replace(sight, row=seen))
    assert found_of(sights) == {verdict}
