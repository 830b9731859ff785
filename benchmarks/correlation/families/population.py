"""Ordinary accounts: people at home, on the way, in offices, behind carriers, and servers."""

from __future__ import annotations

from benchmarks.correlation.families.group import AT_HOME, DAY_S, HOUR_S, MINUTE_S, Group, Leg

_HOME = Leg("home", of="card")
_WORK = (Leg("office", 0.65, of="tenant", exits=2), Leg("home", 0.3, of="account"), Leg("phone", 0.05))


def ordinary(accounts: int) -> tuple[Group, ...]:
    """Return the groups that make up about so many ordinary accounts."""
    sessions = {"rhythm": "sessions", "programs": "population", "quota": 0}
    shares: tuple[tuple[str, float, int, tuple[Leg, ...], dict[str, object]], ...] = (
        (
            "home",
            0.34,
            1,
            (Leg("home", 0.85, of="card"), Leg("phone", 0.15)),
            {"per_day": 14.0, "spread": 1.5},
        ),
        ("home alone", 0.14, 1, (_HOME,), {"per_day": 20.0, "spread": 1.2}),
        (
            "commuters",
            0.1,
            1,
            (Leg("home", 0.5, of="card"), Leg("phone", 0.5)),
            {"per_day": 10.0, "spread": 1.5},
        ),
        ("carrier NAT", 0.09, 1, (Leg("nat", 0.9), Leg("phone", 0.1)), {"per_day": 12.0, "spread": 1.5}),
        ("phones", 0.06, 1, (Leg("phone"),), {"per_day": 8.0, "spread": 1.2}),
        ("offices", 0.13, 0, _WORK, {"per_day": 18.0, "spread": 1.3, "rhythm": "office"}),
        (
            "VPN",
            0.04,
            1,
            (Leg("hosted", 0.7, exits=80, sticky_s=3 * HOUR_S, breadth=3, network="vpn"), *AT_HOME[:1]),
            {"per_day": 14.0, "spread": 1.4},
        ),
        (
            "servers",
            0.05,
            1,
            (Leg("office", of="account"),),
            {"per_day": 120.0, "spread": 2.0, "rhythm": "flat"},
        ),
        (
            "functions",
            0.03,
            1,
            (
                Leg("hosted", 0.9, exits=400, sticky_s=15 * MINUTE_S, network="cloud"),
                Leg("home", 0.1, of="account"),
            ),
            {"per_day": 90.0, "spread": 1.5, "rhythm": "cron"},
        ),
        (
            "universities",
            0.02,
            2,
            (
                Leg("office", 0.6, of="tenant", exits=6, sticky_s=DAY_S),
                Leg("home", 0.3, of="account"),
                Leg("phone", 0.1),
            ),
            {"per_day": 9.0, "spread": 1.3},
        ),
    )
    groups = []
    for name, share, tenants, legs, free in shares:
        count = max(4, round(accounts * share))
        groups.append(
            Group(
                name,
                legs,
                accounts=count,
                cards="population",
                tenants=tenants or max(2, count // 25),
                evenly=1.0,
                young=0.07,
                joining=0.006,
                free=sessions | free,
            )
        )
    return tuple(groups)
