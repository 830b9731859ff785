"""Is a group one actor, and how sure is that? Pure arithmetic over a profile."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import TypedDict

from ratelimit.correlation.settings import Settings

LEAST_CONFIDENCE = 0.5
"""Below it a group is left alone; its budgets would be too many to matter."""
EVENNESS_RAMP = 0.3
"""Over how much more spread confidence falls from 1 to 0."""
CONCENTRATION_RAMP = 0.2
ELSEWHERE = 8
"""How many times fewer of a stranger's addresses than of a member's are places where members meet."""
LEAST_SHARING = 0.9
"""Part of the members who share payment methods, in a group that those hold together."""
MEETINGS_EACH = 0.2
"""Networks where such members meet, by their payment methods."""
LEAST_MET = 0.1
"""Part of their addresses that are meetings, where these are few for so many payment methods."""
SMALL = "small"
"""Why a group is left alone that has too few members to be judged."""
CROWD = "few of many"
"""Why one is that is a small rest of those it was looked for among."""


class Profile(TypedDict):
    """A cluster as a whole; means are over its members."""

    size: int
    edges: float
    paying: float
    sharing: float
    networks: float
    """Independent networks a member shares with the others."""
    network: float
    payment: float
    client: float
    extra: float
    rhythm: float
    """How much likelier of members than of strangers the way is in which their requests follow each other."""
    paid: float
    """Part of the members that have a payment method."""
    rate: float
    rated: float
    """Members seen lately enough to have a rate."""
    volume: float
    evenness: float
    """Coefficient of variation of members' volumes, without counting noise."""
    moving: float
    roaming: float
    """Part of the members whose addresses are strewn over many providers."""
    concentration: float
    """Part of the members whose volumes lie within a factor of four of each other."""
    payments: int
    """Payment methods that several members have."""
    meetings: int
    """Independent networks where members who pay differently meet."""
    met: float
    """Part of the addresses of members who share a payment method that are such meetings."""
    rival: int
    """The cluster that most members would fit as well, whoever pays."""
    rivals: int
    first_s: int
    """When it was opened, seconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a group."""

    confidence: float
    """0: not one actor as far as can be told; 1: beyond reasonable doubt."""
    why: str


def judge(profile: Profile, settings: Settings, *, is_kept: bool = False) -> Judgement:
    """Judge a group by its profile; one that has passed before is given the benefit of small doubts."""
    size = profile["size"]
    ease = settings.kept_ease if is_kept else 0.0
    if size < settings.least_members * (1 - ease):
        return Judgement(0.0, SMALL)
    rated = profile["rated"] >= settings.least_members and profile["volume"] >= settings.least_volume
    even = evenness_of(profile, settings, ease) if rated else 1.0
    if even < LEAST_CONFIDENCE:
        return Judgement(0.0, "unequal members")
    meetings, payments = profile["meetings"], profile["payments"]
    if profile["sharing"] >= (LEAST_SHARING - ease) * size and payments >= settings.least_payments:
        if meetings >= settings.least_meetings and meetings >= (MEETINGS_EACH - ease / 2) * payments:
            return Judgement(even, "payment and network")
        if (
            profile["client"] >= 2.0
            and meetings >= 2 * settings.least_meetings
            and meetings >= 0.5 * MEETINGS_EACH * payments
        ):
            # With clients that hardly anybody else has half of that will do: so an actor begins.
            return Judgement(even, "payment, network and client")
        if (
            payments >= 2 * settings.least_payments
            and profile["network"] >= 2.0 - ease
            and profile["met"] >= LEAST_MET * (1 - ease)
            and (rated or profile["client"] >= 1.0)
        ):
            return Judgement(even, "payment, network and " + ("behaviour" if rated else "client"))
    if (
        profile["networks"] >= 2.0 - ease
        and profile["network"] >= 3.5 - ease
        and profile["client"] >= 1.0 - ease
        and profile["moving"] >= 0.5
        and profile["rhythm"] >= 1.0 - ease
        and profile["roaming"] >= 0.6 - ease
        and rated
    ):
        return Judgement(even, "network, client and behaviour")
    if profile["paid"] == 0.0 and profile["network"] >= 1.2 - ease and profile["client"] >= 2.5 - ease:
        return Judgement(LEAST_CONFIDENCE + 0.3 * even, "network and client")
    return Judgement(0.0, "families do not agree")


def evenness_of(profile: Profile, settings: Settings, ease: float) -> float:
    """Return how sure it is that the members' volumes are one actor's: 1 for even ones, 0 for a crowd's.

    By the spread without counting noise; or, since one stray heavy member spoils that, by the bulk.
    A small group of unequal members can look even by chance.
    """
    doubt = (1 - ease) / sqrt(profile["size"])
    spread = profile["evenness"] + settings.evenness_doubt * doubt
    by_spread = LEAST_CONFIDENCE + (settings.evenness_most + ease - spread) / EVENNESS_RAMP
    bulk = profile["concentration"] - doubt
    by_bulk = LEAST_CONFIDENCE + (bulk - settings.concentration_least + ease) / CONCENTRATION_RAMP
    return min(1.0, max(0.0, by_spread, by_bulk))


def meeting_ratios(met: float) -> tuple[float, float]:
    """Return the log-likelihood ratios of an address where other members are met, and of one where nobody is.

    Args:
        met: part of the members' addresses that are meetings; strangers' are `ELSEWHERE` times fewer.
    """
    met = min(0.9, max(0.02, met))
    return log(ELSEWHERE), log((1 - met) / (1 - met / ELSEWHERE))
