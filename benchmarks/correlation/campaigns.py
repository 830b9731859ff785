"""The campaigns that are tried, by name: the base values, and what each changes."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.correlation.campaign import NEVER, Campaign

BASE = Campaign("base")

CAMPAIGNS: dict[str, tuple[Campaign, ...]] = {
    "lazy": (
        replace(
            BASE,
            name="lazy",
            cv=0.05,
            timing="round-robin",
            per_card=50,
            clients="one",
            exits=1000,
            kinds=(("data-centre", 1.0),),
            shared=0.0,
            sticky_s=0,
            life_days=NEVER,
            mixed=0.0,
            aged=0.0,
        ),
    ),
    "base": (BASE,),
    "slow": (replace(BASE, name="slow", requests=4.0),),
    "synchronised": (
        replace(
            BASE,
            name="synchronised",
            timing="synchronised",
            per_card=100,
            exits=60,
            kinds=(("data-centre", 1.0),),
            sticky_s=86_400,
            mixed=0.0,
        ),
    ),
    "churning": (replace(BASE, name="churning", life_days=1.0, replaced_s=0.0, timing="round-robin"),),
    "card-each-residential": (replace(BASE, name="card-each-residential", per_card=1),),
    "mobile": (replace(BASE, name="mobile", kinds=(("mobile", 1.0),), per_card=1, exits=3000),),
    "cloud-functions": (
        replace(BASE, name="cloud-functions", kinds=(("function", 1.0),), exits=2000, sticky_s=0, mixed=0.0),
    ),
    "several-on-one-provider": tuple(
        replace(BASE, name=f"several-{which}", accounts=accounts, cv=cv, timing=timing, clients=clients)
        for which, accounts, cv, timing, clients in (
            ("a", 1200, 0.25, "random", "eight"),
            ("b", 800, 0.05, "round-robin", "one"),
            ("c", 500, 0.6, "diurnal", "eight"),
        )
    ),
    "reseller-mix": (replace(BASE, name="reseller-mix", mixed=0.6, resold=0.3, cv=0.6, timing="diurnal"),),
    "new-model": (replace(BASE, name="new-model", moves_after_days=0.5),),
    "ramp": (replace(BASE, name="ramp", ramp_days=1.0, aged=0.0),),
    "small": (replace(BASE, name="small", accounts=100, requests=250.0, per_card=5),),
    "full-mimic": (
        replace(
            BASE,
            name="full-mimic",
            cv=1.0,
            timing="own",
            per_card=1,
            clients="diverse",
            sticky_s=86_400,
            life_days=NEVER,
            warm_up=True,
            length=300.0,
            spread=1.0,
        ),
    ),
    "data-centre": (
        replace(BASE, name="data-centre", kinds=(("data-centre", 1.0),), exits=5000, shared=0.05),
    ),
}
"""What each name stands for; several campaigns in a row share one provider's exits."""
