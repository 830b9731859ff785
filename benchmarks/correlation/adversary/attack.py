"""The grammar of attacks: parts that buy accounts, payers and exits, wait, pay and use; how they vary."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np

Pays = Literal["cards", "nobody", "stolen", "reseller", "coupon", "referrer"]
Exits = Literal[
    "address",
    "pool",
    "prefix",
    "wide prefix",
    "rotating homes",
    "homes",
    "phones",
    "SIM cards",
    "victims' homes",
]
MOST_ACCOUNTS = 200
MOST_A_DAY = 480_000.0
"""Requests of a whole attack a day: more shows nothing that fewer do not."""
MOST_PARTS = 3
WAITS = (0, 9, 31, 40)
"""Days that can pass between what is bought and the month that is looked at."""


@dataclass(frozen=True, slots=True)
class Part:
    """Accounts that are bought and used alike.

    Args:
        accounts: how many.
        a_day: requests of each.
        aged: whether they are bought from customers, with the history that these had.
        pays: with cards of their own, nobody, an honest customer's card that was stolen, a reseller's
            method, a coupon that got about, or a referrer that is one of the attacker's free accounts.
        per_card: accounts on each of these payers.
        shares_card: whether they use the first part's cards in place of others.
        exits: where they come from.
        addresses: of a pool; accounts in each home.
        usd: what each card of one's own or stolen one pays, a month.
        charged_back: whether that is taken back three weeks later.
        waits: days before the month in which they are there.
        busy: whether they ask for as much meanwhile; otherwise once.
        renewed: days after which accounts, and cards of their own, are given up for others; 0: never.
    """

    accounts: int
    a_day: float
    aged: bool = False
    pays: Pays = "cards"
    per_card: int = 1
    shares_card: bool = False
    exits: Exits = "address"
    addresses: int = 1
    usd: float = 0.0
    charged_back: bool = False
    waits: int = 0
    busy: bool = False
    renewed: int = 0

    @property
    def cards(self) -> int:
        """How many payers they use at a time."""
        return -(-self.accounts // self.per_card)

    @property
    def waves(self) -> int:
        """How often accounts are bought in the month."""
        return -(-30 // self.renewed) if self.renewed else 1

    def words(self) -> str:
        """Return it in a few words."""
        age = "bought" if self.aged else "new"
        payers = {
            "cards": f"{self.cards} cards" if not self.shares_card else "the first part's cards",
            "nobody": "no payer",
            "stolen": f"{self.cards} stolen cards",
            "reseller": f"{self.cards} resellers' methods",
            "coupon": f"{self.cards} coupons",
            "referrer": f"{self.cards} referrers of their own",
        }
        where: str = self.exits
        if self.exits == "pool":
            where = f"{self.addresses} addresses"
        elif self.exits == "homes":
            where = f"homes of {self.addresses}"
        words = f"{self.accounts} {age} accounts, {self.a_day:,.0f} a day each, on {payers[self.pays]}"
        if self.usd and self.pays in ("cards", "stolen"):
            words += f" that pay ${self.usd:,.2f}" + (" for three weeks" if self.charged_back else "")
        words += f", from {where}"
        if self.waits:
            words += f", {self.waits} days before" + (" busy" if self.busy else "")
        if self.renewed:
            words += f", renewed after {self.renewed} days"
        return words


Attack = tuple[Part, ...]


def total(attack: Attack) -> float:
    """Return requests a day of all parts."""
    return sum(part.accounts * part.a_day for part in attack)


def draw(rng: np.random.Generator) -> Attack:
    """Return an attack of one to three parts, each as it falls out."""
    return fitted(tuple(_part(rng) for _ in range(rng.integers(1, MOST_PARTS + 1))))


def mutated(attack: Attack, rng: np.random.Generator) -> Attack:
    """Return an attack with one thing changed: a gene, a part more, or a part less."""
    kind = rng.random()
    if kind < 0.1 and len(attack) < MOST_PARTS:
        return fitted((*attack, _part(rng)))
    if kind < 0.25 and len(attack) > 1:
        gone = int(rng.integers(len(attack)))
        return fitted(tuple(part for at, part in enumerate(attack) if at != gone))
    at = int(rng.integers(len(attack)))
    part, other = attack[at], _part(rng)
    gene = str(rng.choice([field.name for field in fields(Part)]))
    if gene == "accounts":
        part = replace(
            part, accounts=_within(part.accounts * rng.choice((0.25, 0.5, 0.8, 1.25, 2.0)), MOST_ACCOUNTS)
        )
    elif gene == "a_day":
        a_day = np.clip(part.a_day * rng.choice((0.2, 0.6, 1.6, 3.0, 10.0)), 20.0, MOST_A_DAY)
        part = replace(part, a_day=float(a_day))
    elif gene == "usd" and part.usd:
        part = replace(part, usd=float(part.usd * rng.choice((0.0, 0.5, 0.8, 1.25, 2.0))))
    else:
        part = replace(part, **{gene: getattr(other, gene)})
    return fitted((*attack[:at], part, *attack[at + 1 :]))


def crossed(one: Attack, other: Attack, rng: np.random.Generator) -> Attack:
    """Return some parts of one attack with some of another."""
    both = [part for part in (*one, *other) if rng.random() < 0.5] or [one[0]]
    return fitted(tuple(both[:MOST_PARTS]))


def fitted(attack: Attack) -> Attack:
    """Return an attack that asks for no more than all may, and whose first part has cards of its own."""
    first, *others = attack
    attack = (replace(first, shares_card=False), *others)
    much = total(attack) / MOST_A_DAY
    return attack if much <= 1 else tuple(replace(part, a_day=part.a_day / much) for part in attack)


def young(attack: Attack) -> Attack:
    """Return an attack with new accounts alone."""
    return tuple(replace(part, aged=False, waits=0) for part in attack)


def _part(rng: np.random.Generator) -> Part:
    pays = rng.random() < 0.4
    return Part(
        accounts=_within(np.exp(rng.uniform(0, np.log(MOST_ACCOUNTS))), MOST_ACCOUNTS),
        a_day=float(np.exp(rng.uniform(np.log(20), np.log(100_000)))),
        aged=bool(rng.random() < 0.25),
        pays=str(rng.choice(get_args(Pays))),  # type: ignore[arg-type]
        per_card=int(rng.choice((1, 2, 8, 40, MOST_ACCOUNTS))),
        shares_card=bool(rng.random() < 0.3),
        exits=str(rng.choice(get_args(Exits))),  # type: ignore[arg-type]
        addresses=int(rng.choice((1, 5, 8, 64, 256))),
        usd=float(np.exp(rng.uniform(np.log(1), np.log(1000)))) if pays else 0.0,
        charged_back=bool(rng.random() < 0.5),
        waits=int(rng.choice(WAITS)),
        busy=bool(rng.random() < 0.5),
        renewed=int(rng.choice((0, 0, 0, 3, 10, 20))),
    )


def _within(number: float, most: int) -> int:
    return int(min(max(1, round(number)), most))
