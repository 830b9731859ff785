"""Prices that an attacker pays, all in one place, and the bill of a campaign.

Assumptions in dollars, from what is offered openly; they change weekly, the order of the
points on the frontier hardly depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from benchmarks.correlation.families.group import Group, Leg
from benchmarks.correlation.families.world import World
from benchmarks.correlation.numbers import DAY_NS

PAYMENT_METHOD = 5.0
"""A virtual or prepaid card that passes a verification."""
ACCOUNT = 0.5
"""A new one: telephone number, e-mail address, captcha."""
AGED_ACCOUNT = 8.0
"""One that is older than two weeks, bought."""
STICKY_EXIT = 2.5
"""An exit in a home that is kept for a month or for days."""
RESIDENTIAL_GB, MOBILE_GB = 3.0, 4.0
"""Rotating exits are paid by volume."""
HOSTED_ADDRESS = 0.6
"""A month of one IPv4 address in a hoster's pool."""
NETWORK = 4.0
"""A month at one more provider: the smallest machine, a subscription."""
PREFIX = 10.0
"""A month of an IPv6 prefix that is announced."""
REQUEST_GB = 30e3 / 1e9
"""What one request and its answer weigh."""
STICKY_FROM_S = 86400.0
BUDGET_FLOOR = PAYMENT_METHOD + NETWORK
"""A payment method and a network of its own for each budget: nothing may be cheaper."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a campaign buys, for a month, in dollars."""

    methods: float
    accounts: float
    exits: float
    age: float
    """What its accounts cost more than new ones, of that: with or without a correlator those are needed."""

    @property
    def total(self) -> float:
        """All of it."""
        return self.methods + self.accounts + self.exits

    @property
    def evasion(self) -> float:
        """What is bought to look like others: all but as many new accounts."""
        return self.methods + self.exits + self.age


def bill(world: World, number: int, scale: float) -> Bill:
    """Return what a campaign pays for a month, as the trace has it.

    Args:
        number: of the campaign.
        scale: what its exits were multiplied by.
    """
    trace = world.trace
    group = [one for one in world.groups if one.hostile][number]
    mine = trace.truth.campaign == number
    used = np.zeros(trace.accounts, dtype=bool)
    during = (trace.campaign == number) & (trace.time_ns >= trace.starts_ns[number])
    used[trace.account[during]] = True
    days = (trace.end_ns - trace.starts_ns[number]) / DAY_NS
    renewed = 30 / days if group.life_h else 1.0
    aged = float((~world.new[mine & used]).mean()) if (mine & used).any() else 0.0
    accounts = int((mine & used).sum()) * renewed
    methods = len(np.unique(world.card[mine & used])) * (renewed if "card" in group.renews else 1.0)
    requests_month = int(during.sum()) / days * 30
    exits = sum(_exits(leg, leg.share * requests_month, world, number, scale) for leg in group.legs)
    age = accounts * aged * (AGED_ACCOUNT - ACCOUNT)
    return Bill(methods * PAYMENT_METHOD, accounts * ACCOUNT + age, exits, age)


def _exits(leg: Leg, requests: float, world: World, number: int, scale: float) -> float:
    exits = max(min(leg.exits, 20), round(leg.exits * scale))
    owners = _owners(leg, world, number)
    if leg.kind == "residential":
        if leg.sticky_s == inf or leg.sticky_s >= STICKY_FROM_S:
            # Dealt to accounts or cards, no more exits are in use than there are of those.
            by = Leg(leg.kind, of=leg.by)
            return STICKY_EXIT * min(exits * owners, leg.some * _owners(by, world, number)) + NETWORK
        return RESIDENTIAL_GB * REQUEST_GB * requests + NETWORK * owners
    if leg.kind in ("mobile", "phone"):
        return MOBILE_GB * REQUEST_GB * requests + NETWORK
    if leg.kind == "prefix":
        return PREFIX * owners
    return (HOSTED_ADDRESS * exits + NETWORK) * owners


def _owners(leg: Leg, world: World, number: int) -> int:
    """Return how many owners a leg has: each has exits of its own."""
    mine = world.trace.truth.campaign == number
    group: Group = [one for one in world.groups if one.hostile][number]
    cards = len(np.unique(world.card[mine]))
    counts = {
        "account": int(mine.sum()),
        "card": cards,
        "tenant": group.tenants,
        "part": min(group.parts, cards),
    }
    return counts.get(leg.of, 1)
