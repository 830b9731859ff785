"""Purchases of an attacker: payment methods, exits, age and volume an account, each with each.

All of it is free of tells that cost nothing: uneven volumes, sessions, programs as people
have them. What is left is what is paid for, so the results are a frontier in dollars.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.correlation.families.group import ALWAYS, DAY_S, HOUR_S, MINUTE_S, Group, Leg
from benchmarks.correlation.families.hostile import BASE
from benchmarks.correlation.families.structure import Cards

CARDS: dict[str, Cards] = {
    "one card": "group",
    "fifty a card": (40, 60),
    "ten a card": (8, 12),
    "pairs": (2, 2),
    "a card each": (1, 1),
}
EXITS: dict[str, Leg] = {
    "rotating homes": Leg("residential", exits=2000, sticky_s=10 * MINUTE_S),
    "a home a day": Leg("residential", exits=2000, sticky_s=DAY_S),
    "a home for good": Leg("residential", exits=2000, sticky_s=ALWAYS),
    "phones": Leg("mobile", sticky_s=10 * MINUTE_S),
    "one pool": Leg("hosted", exits=256, sticky_s=HOUR_S, blocks=8),
    "a provider a card": Leg("hosted", of="card", exits=2, sticky_s=HOUR_S),
    "a provider a part": Leg("hosted", of="part", exits=64, sticky_s=HOUR_S),
    "an IPv6 prefix": Leg("prefix", exits=20_000, sticky_s=0.0, length=40),
}
AGES = {"new": 0.0, "aged": 1.0}
VOLUMES: dict[str, tuple[int, float]] = {"many": (2500, 25.6), "busy": (64, 1000.0)}
"""Accounts, and requests of each a day."""
_LIKE_PEOPLE = {"rhythm": "sessions", "programs": "population"}


def points() -> Iterator[tuple[str, Group]]:
    """Yield the name and the campaign of every point."""
    for volume, (accounts, per_day) in VOLUMES.items():
        for cards, per_card in CARDS.items():
            if volume == "busy" and cards == "fifty a card":
                continue
            for exits, leg in EXITS.items():
                if cards == "a card each" and leg.of == "card" and volume == "many":
                    continue  # two and a half thousand providers are not to be had
                for age, aged in AGES.items():
                    name = f"{volume}, {cards}, {exits}, {age}"
                    free = {
                        **BASE.free,
                        **_LIKE_PEOPLE,
                        "per_day": per_day,
                        "spread": 2.0 if volume == "many" else 0.5,
                    }
                    yield (
                        name,
                        replace(
                            BASE,
                            name=name,
                            accounts=accounts,
                            cards=per_card,
                            legs=(leg,),
                            aged=aged,
                            parts=8,
                            free=free,
                        ),
                    )
