"""The verdict on a group, and its certainty: pure arithmetic over the group's statistics.

Only what costs counts: which accounts pay with which, at which exits those that pay apart meet,
which others are there. Also whether an account is ever at home, how many exits there are for how
many accounts, and how old accounts are. What an attacker changes for nothing is not among the
arguments: how evenly, when, in what rhythm, with which program, for how long answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypedDict

from ratelimit.correlation.settings import Settings

FRESH = 2 / 3
"""Part of its accounts known to be new, below which it may be a young organisation: half of one is new."""
ESTABLISHED = 0.5
"""Part of its accounts known to be old, above which a service's exits or one payment method explain it."""
SEEN_PART = 0.5
"""Part of its accounts that must have had the time to come home, for it to mean anything that none did."""
SEEN_ENOUGH = 64
"""Or so many: where a tenth of the accounts had homes, six of these would be there."""
PEOPLE = 0.3
"""Part of its accounts at home, above which a group is people."""
SHARED = 0.25
"""Part of the accounts on its exits that are its own, below which they are shared with all others."""
SETTLED_LEAST = 0.5
"""Part of its accounts that were there long enough to be seen at home."""
COVERT_EXITS = 8.0
"""Exits of a group, for their number by account to say anything."""
STREWN = 4.0
"""Exits for each network, at the bound of exits: rented here and there, they are no organisation's."""
TO_ITSELF = 1.5
"""The factor on the bound of exits in fewer networks: an organisation may have them to itself."""
RESIDENTIAL = 0.5
"""Part of its visits in blocks where people live, for its exits to be rented in homes."""
SOLE = 2 / 3
"""Part of its exits, elsewhere, that no witness uses: a relay, runners, functions have other customers."""
EASE = 0.8
"""The part of a bound that a cluster has to keep once it has met it: it does not come and go with noise."""
METHOD_USD, NETWORK_USD, ACCOUNT_USD = 5.0, 4.0, 0.5
"""What a month of each costs, about: which groups matter most where there are too few labels."""
LONERS = 30
"""Accounts that each pay by themselves, for their group to be likely: fewer share exits by chance."""


class Verdict(IntEnum):
    """The certainty about a principal."""

    NONE = 0
    LIKELY = 1
    """It is shown, counted, and last in line; never refused while there is room."""
    CERTAIN = 2
    """It may be refused without a person."""


class Statistics(TypedDict):
    """A group as a whole. An exit is an address where its accounts are and are not at home."""

    accounts: int
    methods: int
    """Payment methods that meet others'."""
    loners: int
    """Accounts that pay by themselves."""
    homed: float
    """Part that is at home somewhere, of the accounts there for so long that they would have come home."""
    seen: int
    """Accounts that were there for so long."""
    fresh: float
    """Part that is known to be new."""
    old: float
    """Part that is known to be old."""
    settled: float
    """Part that was there for 16 hours."""
    exits: float
    """Exits, each counted by its share of visits: twice the inverse Simpson index of the least used half."""
    networks: float
    """Networks of the exits, likewise: the inverse Simpson index of visits."""
    addresses: int
    """Exits."""
    capped: int
    """Exits, no more than 256 of a network: a /24 has no more addresses, and a /48 costs what one does."""
    sole: int
    """Exits that no witness uses."""
    exclusive: float
    """Part of the accounts on its exits that are its own or are no witnesses, by visits."""
    residential: float
    """Part of the visits to its exits in blocks where people live: a payer for thirty addresses."""
    busiest: int
    """Accounts active in the busiest quarter of the last day."""
    rate: float
    """Requests a day."""
    former: int
    """The cluster that most accounts were in, 0 for none."""
    votes: int


@dataclass(frozen=True, slots=True)
class Classification:
    """The verdict on a group, and the reason for it."""

    verdict: Verdict
    why: str


DECLARED = Classification(Verdict.CERTAIN, "declared")
Finding = tuple[Statistics, Classification]
"""The statistics of a group, and its classification."""


def unmeasured(accounts: int) -> Statistics:
    """Return what is known of a group that is one by the operator's word alone."""
    return Statistics(
        accounts=accounts,
        methods=0,
        loners=0,
        homed=0.0,
        seen=0,
        fresh=0.0,
        old=0.0,
        settled=0.0,
        exits=0.0,
        networks=0.0,
        addresses=0,
        capped=0,
        sole=0,
        exclusive=0.0,
        residential=0.0,
        busiest=0,
        rate=0.0,
        former=0,
        votes=0,
    )


def cost(group: Statistics) -> float:
    """Return about what a month of a group costs, in dollars: its payment methods, networks and accounts."""
    methods = group["methods"] + group["loners"]
    return METHOD_USD * methods + NETWORK_USD * group["networks"] + ACCOUNT_USD * group["accounts"]


def classify(group: Statistics, settings: Settings, former: Verdict = Verdict.NONE) -> Classification:
    """Return the verdict on a group.

    Args:
        group: what it is like.
        settings: the numbers.
        former: the verdict on the cluster it goes on as.
    """
    ease = EASE if former is Verdict.CERTAIN else 1.0
    paying = group["accounts"] - group["loners"]
    way = "churning"
    if is_covert(group, settings.covert):
        way = "covert"
    elif group["settled"] >= SETTLED_LEAST:
        way = "homeless"
    if (
        group["methods"] >= settings.methods * ease
        and paying >= settings.accounts * ease
        and costly_exits(group) >= exits_needed(group, settings.exits) * ease
        and group["exclusive"] >= settings.exclusive * ease
        and is_rented(group, ease)
        and group["homed"] <= settings.homed / ease
        and group["seen"] >= min(SEEN_ENOUGH, SEEN_PART * group["accounts"])
        and group["fresh"] >= FRESH * ease
        # What rotated exits is no organisation, however many accounts it opens once it is refused.
        and (way != "churning" or former is Verdict.CERTAIN)
    ):
        return Classification(Verdict.CERTAIN, way)
    ease = EASE if former is not Verdict.NONE else 1.0
    if group["homed"] > PEOPLE / ease or group["exclusive"] < SHARED * ease:
        return Classification(Verdict.NONE, "people" if group["homed"] > PEOPLE else "anybody's exits")
    if group["loners"] >= LONERS * ease and 2 * group["loners"] > group["accounts"]:
        return Classification(Verdict.LIKELY, "roaming newcomers")
    if paying < settings.accounts * ease:
        return Classification(Verdict.NONE, "few")
    if not group["methods"]:
        # No account pays: one program fills networks and is hardly seen elsewhere. That costs little.
        return Classification(Verdict.LIKELY, "one program")
    # No ease: ages are no noise, and what looked new in its first hours may turn out to be established.
    is_new = group["fresh"] >= FRESH
    is_hidden = is_covert(group, settings.covert * ease) and group["homed"] <= settings.homed / ease
    # Old customers on a service's exits are its users, and those on one payment method are one payer: limits
    # per payment method see it. Where ages are unknown, the others may be the actor's.
    is_explained = group["methods"] == 1 or not is_rented(group, ease)
    is_customer = group["old"] >= ESTABLISHED * ease and is_explained
    has_exits = costly_exits(group) >= exits_needed(group, settings.exits) * ease
    if is_hidden and (is_new or (has_exits and not is_customer)):
        return Classification(Verdict.LIKELY, "covert")
    # Nothing but its age speaks against it: so its exits have to be its own, as those of a certain actor.
    if (
        group["methods"] >= settings.methods * ease
        and is_new
        and group["exclusive"] >= settings.exclusive * ease
    ):
        return Classification(Verdict.LIKELY, "new and together")
    return Classification(Verdict.NONE, "overt")


def are_new(group: Statistics, settings: Settings) -> bool:
    """Return whether all accounts of a group are new, but for a few as may be at home by mistake."""
    return group["fresh"] >= 1 - settings.homed


def exits_needed(group: Statistics, least: float) -> float:
    """Return how many exits make an actor certain: more where they lie together, as an organisation's do."""
    return least if STREWN * group["networks"] >= least else TO_ITSELF * least


def costly_exits(group: Statistics) -> float:
    """Return how many exits a group has that cost anything: not all the addresses of an IPv6 prefix."""
    return group["exits"] * min(1.0, group["capped"] / max(1, group["addresses"]))


def is_rented(group: Statistics, ease: float = 1.0) -> bool:
    """Return whether a group's exits are in people's homes, or are no service's that many others use."""
    return group["residential"] >= RESIDENTIAL * ease or group["sole"] >= SOLE * ease * group["addresses"]


def is_covert(group: Statistics, least: float) -> bool:
    """Return whether there are more exits for each account than an organisation has."""
    return group["exits"] >= COVERT_EXITS and group["exits"] >= least * max(1, group["busiest"])
