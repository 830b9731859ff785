"""Honest groups that look like one actor, by name; each established and brand-new.

Only what the name says of free habits is fixed here; the rest is drawn as for campaigns.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.correlation.families.group import (
    ALWAYS,
    AT_HOME,
    DAY_S,
    HOUR_S,
    MINUTE_S,
    PHONE,
    Group,
    Leg,
    Others,
)

_SOME_HOME = Leg("home", 0.15, of="account")

HONEST: tuple[Group, ...] = (
    Group(
        "school district, few addresses",
        (Leg("office", 0.85, exits=4), _SOME_HOME),
        accounts=1200,
        cards=(30, 30),
    ),
    Group(
        "school district, many addresses",
        (Leg("office", 0.85, exits=40), _SOME_HOME),
        accounts=1200,
        cards=(30, 30),
    ),
    Group(
        "school district, cloud filter",
        (Leg("hosted", 0.9, exits=40, sticky_s=HOUR_S), replace(_SOME_HOME, share=0.1)),
        accounts=1200,
        cards=(30, 30),
        others=Others(600),
    ),
    Group(
        "schools, a card each",
        (Leg("office", 0.85, of="tenant", exits=2), _SOME_HOME),
        accounts=900,
        tenants=12,
        cards="tenant",
    ),
    Group(
        "gateway's companies",
        (Leg("hosted", 0.9, exits=60, sticky_s=2 * HOUR_S), replace(_SOME_HOME, share=0.1)),
        accounts=900,
        tenants=5,
        evenly=0.6,
        cards=(15, 40),
        others=Others(500),
        free={"quota": 30, "spread": 0.3},
    ),
    Group(
        "gateway's companies, no home office",
        (Leg("hosted", exits=100, sticky_s=30 * MINUTE_S, blocks=8),),
        accounts=900,
        tenants=8,
        evenly=0.8,
        cards=(10, 60),
        others=Others(300),
    ),
    Group(
        "company, rotating exits",
        (Leg("hosted", 0.95, exits=300, sticky_s=10 * MINUTE_S, blocks=12), replace(_SOME_HOME, share=0.05)),
        accounts=600,
        cards=(20, 20),
    ),
    Group(
        "company, one card",
        (Leg("office", 0.8, exits=1), replace(_SOME_HOME, share=0.2)),
        accounts=500,
        cards="group",
    ),
    Group(
        "company in one day",
        (Leg("hosted", 0.9, exits=8, sticky_s=2 * HOUR_S), replace(_SOME_HOME, share=0.1)),
        accounts=600,
        cards=(15, 25),
    ),
    Group("hackathon, a card a team", (Leg("office", exits=2),), accounts=240, cards=(3, 6)),
    Group("hackathon, a card each", (Leg("office", exits=1),), accounts=200),
    Group("agent's users on prepaid cards", AT_HOME, accounts=600, cards=(1, 3), free={"programs": "own"}),
    Group("popular agent", AT_HOME, accounts=800, free={"programs": "one"}),
    Group(
        "CI action's customers",
        (
            Leg("hosted", 0.9, exits=1500, sticky_s=15 * MINUTE_S, blocks=12),
            replace(_SOME_HOME, share=0.1, some=0.5),
        ),
        accounts=450,
        tenants=300,
        cards="tenant",
        others=Others(500, share=0.9),
        free={"programs": "own"},
    ),
    Group(
        "CI runners of one customer",
        (Leg("hosted", exits=400, sticky_s=15 * MINUTE_S),),
        accounts=120,
        cards="group",
        others=Others(400),
        free={"rhythm": "cron", "programs": "one"},
    ),
    Group(
        "app on a privacy relay",
        (Leg("hosted", 0.95, exits=400, sticky_s=HOUR_S, blocks=6), replace(PHONE, share=0.05)),
        accounts=400,
        others=Others(600, share=0.9),
        free={"programs": "own"},
    ),
    Group(
        "families on a privacy relay",
        (Leg("hosted", 0.8, exits=400, sticky_s=HOUR_S, blocks=6), Leg("home", 0.2, of="card")),
        accounts=600,
        cards=(2, 5),
        others=Others(400),
    ),
    Group("families of four", (Leg("home", 0.75, of="card"), Leg("phone", 0.25)), accounts=600, cards=(4, 4)),
    Group(
        "subscriptions of one person",
        (Leg("home", 0.9, of="tenant"), Leg("phone", 0.1)),
        accounts=200,
        tenants=40,
    ),
    Group(
        "gateway with one key",
        (Leg("hosted", of="tenant", exits=3),),
        accounts=8,
        tenants=8,
        free={"per_day": 3500.0, "spread": 0.5, "quota": 0},
    ),
    Group(
        "keys of one customer",
        (Leg("hosted", exits=2),),
        accounts=20,
        cards="group",
        free={"per_day": 250.0, "spread": 0.1, "quota": 0},
    ),
    Group(
        "agency",
        (Leg("office", 0.9, of="tenant", exits=1), replace(_SOME_HOME, share=0.1)),
        accounts=160,
        tenants=40,
        cards="group",
    ),
    Group(
        "hosted platform, own keys",
        (Leg("hosted", exits=12, sticky_s=0.0),),
        accounts=600,
        others=Others(200),
        free={"programs": "own"},
    ),
    Group("mobile pool", (Leg("phone"),), accounts=800),
    Group("prepaid phones", (Leg("phone"),), accounts=400, cards=(1, 3)),
    Group("two addresses of a carrier", (Leg("hosted", exits=2, sticky_s=DAY_S),), accounts=1000),
    Group(
        "university lab",
        (Leg("office", 0.9, exits=1), replace(_SOME_HOME, share=0.1)),
        accounts=300,
        free={"programs": "one", "rhythm": "together"},
    ),
    Group(
        "VPN exit",
        (Leg("hosted", 0.9, exits=30, sticky_s=3 * HOUR_S, breadth=3), replace(_SOME_HOME, share=0.1)),
        accounts=500,
        others=Others(200),
    ),
    Group(
        "company on a VPN",
        (Leg("hosted", exits=30, sticky_s=3 * HOUR_S),),
        accounts=300,
        cards=(6, 14),
        others=Others(200),
    ),
    Group(
        "reconnecting after an outage", AT_HOME, accounts=800, cards="population", free={"rhythm": "together"}
    ),
    Group(
        "fleet of devices",
        (Leg("mobile", sticky_s=2 * HOUR_S),),
        accounts=400,
        cards="group",
        free={"rhythm": "cron", "programs": "own", "spread": 0.1},
    ),
    Group(
        "shops' tills, a card a region",
        (Leg("office", of="account"),),
        accounts=400,
        cards=(20, 60),
        free={"programs": "own"},
    ),
    Group(
        "co-working house",
        (Leg("office", 0.7, exits=2), replace(_SOME_HOME, share=0.3)),
        accounts=300,
        tenants=40,
        cards="tenant",
    ),
    Group(
        "remote desktops of several firms",
        (Leg("hosted", exits=200, sticky_s=ALWAYS, by="account"),),
        accounts=500,
        tenants=10,
        evenly=0.7,
        cards=(5, 30),
    ),
    Group(
        "publisher's users behind serverless",
        (Leg("hosted", exits=800, sticky_s=0.0, blocks=20),),
        accounts=700,
        cards=(150, 250),
        others=Others(400),
    ),
    Group(
        "pairs on a messenger's relay",
        (Leg("hosted", 0.8, exits=700, sticky_s=30 * MINUTE_S, blocks=200), replace(PHONE, share=0.2)),
        accounts=800,
        cards=(2, 2),
        others=Others(400),
    ),
    Group(
        "machines on an IPv6 prefix",
        (Leg("prefix", exits=4000, sticky_s=HOUR_S),),
        accounts=400,
        cards=(10, 40),
    ),
    Group(
        "autoscaled fleet, a card a team",
        (Leg("hosted", exits=1500, sticky_s=HOUR_S, blocks=16),),
        accounts=240,
        cards=(30, 60),
        free={"rhythm": "cron"},
    ),
    Group(
        "company behind zero-trust egress",
        (Leg("hosted", 0.85, exits=2000, sticky_s=2 * HOUR_S, blocks=40), _SOME_HOME),
        accounts=900,
        cards=(15, 30),
        others=Others(1500),
    ),
    Group("players on a reseller's cards", (PHONE,), accounts=800, cards=(100, 300)),
    Group(
        "families on phones with a /64 a day",
        (
            Leg("prefix", 0.9, exits=20_000, sticky_s=DAY_S, length=32),
            Leg("home", 0.1, of="account", some=0.5),
        ),
        accounts=900,
        cards=(2, 5),
    ),
)
"""Established; `arrived` makes them brand-new, `growing` a sixth of their accounts."""


def arrived(group: Group) -> Group:
    """Return a group with all accounts created while the trace lasts."""
    hours = 1.0 if "hackathon" in group.name else 8.0 if "one day" in group.name else 24.0
    return replace(group, new=True, arrival_h=hours)


def growing(group: Group) -> Group:
    """Return a group of old accounts: a tenth came of late, and a sixth come while the trace lasts."""
    return replace(group, young=0.1, joining=0.06)
