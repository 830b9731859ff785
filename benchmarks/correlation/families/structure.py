"""Groups of random structure, honest and hostile: what is free by one law, what costs by what each can have.

The class a group is told by is its egress: the family that is left out of training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from benchmarks.correlation.families.group import (
    ALWAYS,
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Decoy,
    Group,
    Leg,
    Others,
)

Cards = tuple[int, int] | Literal["tenant", "group", "population"]
CARDS: tuple[Cards, ...] = ((1, 1), (1, 3), (2, 2), (2, 5), (5, 20), (20, 60), (50, 50), "tenant", "group")
_STICKY = (0.0, 10 * MINUTE_S, HOUR_S, 4 * HOUR_S, DAY_S, ALWAYS)


@dataclass(frozen=True, slots=True)
class Egress:
    """A kind of exits, and how often a group has it.

    Args:
        leg: what they are.
        exits: between which numbers.
        others: accounts of others there, between which numbers; (0, 0): none.
        honest, hostile: how often, by weight.
    """

    leg: Leg
    exits: tuple[int, int] = (1, 1)
    others: tuple[int, int] = (0, 0)
    honest: float = 1.0
    hostile: float = 1.0


EGRESS: dict[str, Egress] = {
    "own homes": Egress(Leg("home", of="account"), hostile=0.0, honest=1.5),
    "families' homes": Egress(Leg("home", of="card"), hostile=0.0),
    "phones": Egress(Leg("phone"), hostile=0.0),
    "carrier NAT": Egress(Leg("nat"), hostile=0.2),
    "offices": Egress(Leg("office", of="tenant"), exits=(1, 40), hostile=0.2, honest=2.0),
    "offices a card": Egress(Leg("office", of="card"), exits=(1, 3), hostile=0.2),
    "few fixed addresses": Egress(Leg("hosted"), exits=(1, 20), hostile=0.5),
    "rotating managed": Egress(Leg("hosted", blocks=12), exits=(40, 1000), honest=1.5),
    "shared gateway": Egress(Leg("hosted"), exits=(20, 200), others=(100, 1000), hostile=0.3, honest=1.5),
    "privacy relay": Egress(Leg("hosted", blocks=6), exits=(100, 1000), others=(200, 1500), hostile=0.3),
    "shared runners": Egress(
        Leg("hosted", blocks=12, sticky_s=15 * MINUTE_S), exits=(200, 3000), others=(50, 1000)
    ),
    "VPN": Egress(Leg("hosted", breadth=3, sticky_s=3 * HOUR_S), exits=(20, 200), others=(50, 500)),
    "data centre": Egress(Leg("hosted", blocks=24), exits=(200, 2500), honest=0.0),
    "provider a card": Egress(Leg("hosted", of="card"), exits=(10, 100), honest=0.0),
    "provider a part": Egress(Leg("hosted", of="part", blocks=8), exits=(50, 500), honest=0.0),
    "residential proxies": Egress(Leg("residential"), exits=(300, 8000), honest=0.0, hostile=3.0),
    "proxies of a part": Egress(Leg("residential", of="part"), exits=(100, 1000), honest=0.0),
    "mobile pool": Egress(Leg("mobile"), hostile=1.0, honest=1.0),
    "IPv6 prefix": Egress(Leg("prefix"), exits=(500, 20_000), honest=0.3),
}
_KEPT = ("home", "phone", "nat")


def draw(rng: np.random.Generator, hostile: bool, *, without: str = "") -> Group:
    """Return a group of random structure.

    Args:
        hostile: whether one actor is behind it.
        without: an egress that is not to be drawn, so that it can be left out of training.
    """
    names = [name for name in EGRESS if name != without]
    weights = np.array([EGRESS[name].hostile if hostile else EGRESS[name].honest for name in names])
    name = names[rng.choice(len(names), p=weights / weights.sum())]
    return of(name, rng, hostile)


def of(name: str, rng: np.random.Generator, hostile: bool) -> Group:
    """Return a group of random structure with this egress."""
    egress = EGRESS[name]
    leg = egress.leg
    if egress.exits[1] > 1:
        leg = replace(leg, exits=_between(rng, *egress.exits))
    if leg.kind not in _KEPT and leg.sticky_s == 6 * HOUR_S:
        leg = replace(leg, sticky_s=_STICKY[rng.integers(len(_STICKY))])
        if rng.random() < 0.25 and leg.of == "group":
            leg = replace(leg, by="card")
    if leg.kind == "residential":
        leg = replace(leg, shared=float(rng.choice([0.0, 0.3, 1.0])))
    if leg.kind == "prefix":
        leg = replace(leg, length=int(rng.choice([32, 40, 48])))
    accounts = _between(rng, 40, 3000)
    group = Group(
        ("random campaign, " if hostile else "random, ") + name,
        (leg,),
        hostile=hostile,
        accounts=accounts,
        cards=CARDS[rng.integers(len(CARDS))],
        tenants=_between(rng, 1, max(2, accounts // 10)) if rng.random() < 0.5 else 1,
        evenly=float(rng.uniform(0, 1)),
        parts=_between(rng, 3, 16),
        arrival_h=_between(rng, 1, 36),
    )
    if egress.others[1] and rng.random() < 0.9:
        others = Others(_between(rng, *egress.others), new=float(rng.choice([0.05, 0.3, 0.9])))
        group = replace(group, others=others)
    return _campaign(group, rng) if hostile else _people(group, rng)


def _people(group: Group, rng: np.random.Generator) -> Group:
    """Return it with homes and ages as people have them."""
    first = group.legs[0]
    if first.kind == "home":
        away = float(rng.choice([0.05, 0.2, 0.5]))
        group = replace(group, legs=(replace(first, share=1 - away), Leg("phone", away)))
    elif rng.random() < 0.75:
        home = float(rng.uniform(0.03, 0.5))
        some = float(rng.choice([0.3, 0.7, 1.0]))
        group = replace(
            group, legs=(replace(first, share=1 - home), Leg("home", home, of="account", some=some))
        )
    if rng.random() < 0.4:
        return replace(group, name=f"{group.name}, new", new=True)
    return replace(
        group, young=float(rng.choice([0.0, 0.1, 0.5])), joining=float(rng.choice([0.0, 0.02, 0.1]))
    )


def _campaign(group: Group, rng: np.random.Generator) -> Group:
    """Return it with what an attacker may do besides."""
    if rng.random() < 0.3:
        group = replace(group, aged=float(rng.choice([0.2, 0.5, 1.0])), history=float(rng.choice([0.0, 0.5])))
    if rng.random() < 0.3:
        renews = frozenset(name for name in ("card", "exits") if rng.random() < 0.5)
        life = float(rng.choice([2.0, 12.0, 24.0]))
        group = replace(group, life_h=life, gap_h=float(rng.choice([0.0, 0.1, 6.0])), renews=renews)
    if rng.random() < 0.15:
        group = replace(group, others=Others(_between(rng, 30, 600), new=0.3))
    if rng.random() < 0.15:
        victims = str(rng.choice(["home alone", "offices", "universities"]))
        decoy = Decoy(
            victims,
            touches=float(rng.uniform(0, 0.5)),
            accounts=float(rng.choice([0.1, 1.0])),
            steals=float(rng.choice([0.0, 0.05])),
            copies=bool(rng.random() < 0.3),
        )
        group = replace(group, decoy=decoy)
    if rng.random() < 0.15:
        return replace(group, ramp=True)
    return group


def _between(rng: np.random.Generator, low: int, high: int) -> int:
    """Return a whole number, log-uniform."""
    return int(np.clip(np.floor(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), low, high))
