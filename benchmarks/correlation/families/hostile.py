"""Campaigns by name, and those that want others to be refused."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.correlation.families.group import ALWAYS, DAY_S, HOUR_S, MINUTE_S, Decoy, Group, Leg, Others
from benchmarks.correlation.families.honest import HONEST

_HOMES = Leg("residential", exits=2000, sticky_s=10 * MINUTE_S)
_PLAIN = {"per_day": 25.6, "spread": 0.25, "quota": 0, "rhythm": "flat", "programs": "few"}
BASE = Group("base", (_HOMES,), hostile=True, accounts=2500, cards=(40, 80), free=_PLAIN)


def _as(name: str, **changes: object) -> Group:
    return replace(BASE, name=name, **changes)  # type: ignore[arg-type]


def _free(**changes: object) -> dict[str, object]:
    return _PLAIN | changes


_POOL = Leg("hosted", exits=1000, sticky_s=0.0)
_PROXIES = replace(_HOMES, network="proxies")

CAMPAIGNS: dict[str, tuple[Group, ...]] = {
    "base": (BASE,),
    "lazy": (_as("lazy", legs=(_POOL,), cards=(50, 50), free=_free(spread=0.05, programs="own")),),
    "data centre": (
        _as("data centre", legs=(Leg("hosted", exits=2000, sticky_s=10 * MINUTE_S, blocks=40),)),
    ),
    "slow": (_as("slow", free=_free(per_day=4.0)),),
    "synchronised": (
        _as(
            "synchronised",
            cards=(80, 120),
            legs=(Leg("hosted", exits=60, sticky_s=DAY_S),),
            free=_free(rhythm="together"),
        ),
    ),
    "churning": (_as("churning", life_h=24.0),),
    "churning, all renewed": (
        _as("churning, all renewed", life_h=24.0, gap_h=2.0, renews=frozenset({"card", "exits"})),
    ),
    "pairs": (_as("pairs", cards=(2, 2)),),
    "card each, residential": (_as("card each, residential", cards=(1, 1)),),
    "card each, sticky": (_as("card each, sticky", cards=(1, 1), legs=(replace(_HOMES, sticky_s=ALWAYS),)),),
    "residential, sticky for a day": (
        _as("residential, sticky for a day", legs=(replace(_HOMES, sticky_s=DAY_S),)),
    ),
    "residential, another each request": (
        _as("residential, another each request", legs=(replace(_HOMES, sticky_s=0.0),)),
    ),
    "mobile": (_as("mobile", legs=(Leg("mobile", sticky_s=10 * MINUTE_S),), cards=(20, 60)),),
    "mobile, a card each": (
        _as("mobile, a card each", legs=(Leg("mobile", sticky_s=10 * MINUTE_S),), cards=(1, 1)),
    ),
    "cloud functions": (
        _as("cloud functions", legs=(Leg("hosted", exits=2000, sticky_s=0.0, network="cloud"),)),
    ),
    "several on one provider": tuple(
        _as(
            f"several on one provider, {name}", accounts=accounts, legs=(_PROXIES,), free=_free(spread=spread)
        )
        for name, accounts, spread in (("a", 1200, 0.25), ("b", 800, 0.05), ("c", 500, 0.6))
    ),
    "reseller mix": (
        _as(
            "reseller mix", others=Others(1000, new=0.3, share=0.8), free=_free(rhythm="diurnal", spread=0.6)
        ),
    ),
    "new model": (_as("new model", moves=True),),
    "ramp": (_as("ramp", ramp=True, arrival_h=36.0),),
    "small": (_as("small", accounts=200, cards=(4, 6), free=_free(per_day=120.0)),),
    "aged": (_as("aged", aged=1.0),),
    "bought with a history": (_as("bought with a history", aged=1.0, history=0.9),),
    "bought in part": (_as("bought in part", aged=0.5),),
    "full mimic": (
        _as(
            "full mimic",
            cards=(1, 1),
            legs=(replace(_HOMES, sticky_s=ALWAYS, exits=4000),),
            aged=0.5,
            free=_free(rhythm="sessions", programs="population", spread=1.3),
        ),
    ),
    "by card, each on a provider": (
        _as("by card, each on a provider", legs=(Leg("hosted", of="card", exits=60, sticky_s=HOUR_S),)),
    ),
    "few cards, an exit a day": (
        _as("few cards, an exit a day", cards=(800, 900), legs=(replace(_HOMES, sticky_s=DAY_S),)),
    ),
    "a dozen busy accounts": (
        _as(
            "a dozen busy accounts",
            accounts=24,
            cards=(4, 4),
            free=_free(per_day=4700.0),
            legs=(replace(_HOMES, exits=200),),
        ),
    ),
    "IPv6 prefixes": (_as("IPv6 prefixes", legs=(Leg("prefix", exits=20_000, sticky_s=0.0, length=40),)),),
    "one IPv6 prefix": (_as("one IPv6 prefix", legs=(Leg("prefix", exits=20_000, sticky_s=0.0),)),),
    "used once": (_as("used once", accounts=600, life_h=1.0, free=_free(per_day=96.0)),),
    "overt exits": (_as("overt exits", legs=(Leg("hosted", exits=128, sticky_s=HOUR_S, blocks=8),)),),
    "some at home": (
        _as("some at home", legs=(_HOMES, replace(_HOMES, share=20.0, sticky_s=ALWAYS, some=0.09))),
    ),
    "among a carrier's customers": (
        _as("among a carrier's customers", legs=(Leg("nat", 0.8), Leg("phone", 0.2)), cards=(30, 120)),
    ),
    "one card, sticky": (_as("one card, sticky", cards="group", legs=(replace(_HOMES, sticky_s=ALWAYS),)),),
}
"""Each is a list of campaigns that run at the same time."""

_COMPANY = next(group for group in HONEST if group.name == "company, one card")
_LEFT, _RIGHT = replace(_COMPANY, name="left company"), replace(_COMPANY, name="right company")
_ROBBED = replace(_COMPANY, name="robbed company", accounts=60)


def _poison(name: str, victims: str, **what: object) -> Group:
    return _as(name, decoy=Decoy(victims, **what))  # type: ignore[arg-type]


POISON: dict[str, tuple[Group, ...]] = {
    "touches victims' addresses": (
        _poison("touches victims' addresses", "home alone", touches=0.33, accounts=0.1),
    ),
    "lives on a campus": (
        replace(
            _poison("lives on a campus", "universities", among=8, touches=0.9, beside=True),
            accounts=600,
            free=_free(per_day=100.0),
        ),
    ),
    "copies a tenant's client": (_COMPANY, _poison("copies a tenant's client", _COMPANY.name, copies=True)),
    "bridges two companies": (
        _LEFT,
        _RIGHT,
        _poison(
            "bridges two companies", "left company|right company", touches=0.6, accounts=0.03, copies=True
        ),
    ),
    "stolen cards": (_ROBBED, _poison("stolen cards", "robbed company|home alone", among=60, steals=0.08)),
    "fresh identifiers": (
        _as(
            "fresh identifiers",
            legs=(Leg("prefix", exits=60_000, sticky_s=0.0, length=32),),
            life_h=6.0,
            renews=frozenset({"card", "exits"}),
            free=_free(programs="each"),
        ),
    ),
    "slow hub": (
        _as("slow hub", ramp=True, arrival_h=48.0, legs=(replace(_HOMES, share=0.7), Leg("office", 0.3))),
    ),
}
"""The campaign is the last of each; the others are its victims."""
