"""The grammar of attacks: parts that each buy accounts, payment methods and exits; and how they vary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

Pays = Literal["cards", "nobody", "stolen", "reseller"]
Exits = Literal["address", "pool", "prefix", "rotating homes", "homes", "phones"]
MOST_ACCOUNTS = 200
MOST_A_DAY = 480_000.0
"""Requests of a whole attack a day: more shows nothing that fewer do not."""
MOST_PARTS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """Accounts that are bought and used alike.

    Args:
        accounts: how many.
        a_day: requests of each.
        aged: whether they were created long before.
        pays: with cards of their own, nobody, an honest customer's card that was stolen, or a reseller's.
        per_card: accounts on each of these cards.
        shares_card: whether they use the first part's cards in place of others.
        exits: where they come from.
        addresses: of a pool.
    """

    accounts: int
    a_day: float
    aged: bool
    pays: Pays
    per_card: int
    shares_card: bool
    exits: Exits
    addresses: int

    @property
    def cards(self) -> int:
        """How many payment methods they use."""
        return -(-self.accounts // self.per_card)

    def words(self) -> str:
        """Return it in a few words."""
        age = "old" if self.aged else "new"
        payers = {
            "cards": f"{self.cards} cards" if not self.shares_card else "the first part's cards",
            "nobody": "no payment method",
            "stolen": f"{self.cards} stolen cards",
            "reseller": "a reseller's card",
        }
        where = f"{self.addresses} addresses" if self.exits == "pool" else self.exits
        asks = f"{self.accounts} {age} accounts, {self.a_day:,.0f} a day each"
        return f"{asks}, on {payers[self.pays]}, from {where}"


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
    gene = rng.choice(("accounts", "a_day", "aged", "pays", "per_card", "shares_card", "exits", "addresses"))
    if gene == "accounts":
        part = replace(part, accounts=_within(part.accounts * rng.choice((0.25, 0.5, 2.0)), MOST_ACCOUNTS))
    elif gene == "a_day":
        a_day = np.clip(part.a_day * rng.choice((0.2, 3.0, 10.0)), 20.0, MOST_A_DAY)
        part = replace(part, a_day=float(a_day))
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
    return tuple(replace(part, aged=False) for part in attack)


def _part(rng: np.random.Generator) -> Part:
    return Part(
        accounts=_within(np.exp(rng.uniform(0, np.log(MOST_ACCOUNTS))), MOST_ACCOUNTS),
        a_day=float(np.exp(rng.uniform(np.log(20), np.log(100_000)))),
        aged=bool(rng.random() < 0.4),
        pays=str(rng.choice(get_args(Pays))),  # type: ignore[arg-type]
        per_card=int(rng.choice((1, 2, 8, 40, MOST_ACCOUNTS))),
        shares_card=bool(rng.random() < 0.3),
        exits=str(rng.choice(get_args(Exits))),  # type: ignore[arg-type]
        addresses=int(rng.choice((8, 64, 256, 1000))),
    )


def _within(number: float, most: int) -> int:
    return int(min(max(1, round(number)), most))
