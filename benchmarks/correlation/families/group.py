"""A group: members, payment methods, exits, ages; the same words for people and for campaigns.

All numbers are plain data. So a family is a row of a table, a free change of it is a `replace`,
and a random group is drawn field by field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Of = Literal["account", "card", "tenant", "part", "group"]
Kind = Literal["home", "phone", "nat", "office", "hosted", "residential", "mobile", "prefix"]
ALWAYS = math.inf
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Leg:
    """Where members are for a part of their time.

    Args:
        kind: people's own homes and phones, a carrier's NAT, fixed addresses in an office, a hoster's
            or cloud's pool, exits in other people's homes, in carriers' pools, an IPv6 prefix.
        share: the part of the time, beside the group's other legs.
        of: what owns the exits: an account its home, a tenant its office, a group its pool.
        exits: how many each of them has.
        sticky_s: how long one is kept: 0 for another one each request, `ALWAYS`.
        by: what an exit is dealt to.
        breadth: how many of the exits one of those ever sees; 0: all.
        shared: of exits in homes: the part in which ordinary accounts live as well.
        blocks: of a hoster's: over how many /24s they are strewn; 0: as few as go.
        length: of an IPv6 prefix.
        network: groups that name the same one share it.
        some: the part of the members that have this leg at all.
    """

    kind: Kind
    share: float = 1.0
    of: Of = "group"
    exits: int = 1
    sticky_s: float = 6 * HOUR_S
    by: Of = "account"
    breadth: int = 0
    shared: float = 0.3
    blocks: int = 0
    length: int = 48
    network: str = ""
    some: float = 1.0


HOME = Leg("home", of="account")
PHONE = Leg("phone")
AT_HOME = (Leg("home", 0.8, of="account"), Leg("phone", 0.2))


@dataclass(frozen=True, slots=True)
class Others:
    """Unrelated people on a group's first exits, each with a card of their own.

    Args:
        accounts: how many.
        new: the part of them that is created while the trace lasts.
        share: the part of their time that they are there; else at home.
    """

    accounts: int
    new: float = 0.05
    share: float = 0.7


@dataclass(frozen=True, slots=True)
class Decoy:
    """What a campaign does to look like another, or to have it refused.

    Args:
        victims: classes of the honest accounts that are aimed at, separated by `|`.
        among: how many of each.
        touches: the part of the requests sent from their addresses.
        accounts: the part of the campaign's accounts that do so.
        steals: the part of the accounts that pay with their cards.
        copies: whether their programs are used.
        beside: whether it is their network (/24, /48) and not the address itself.
    """

    victims: str
    among: int = 30
    touches: float = 0.0
    accounts: float = 1.0
    steals: float = 0.0
    copies: bool = False
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts of one family.

    Args:
        name: the family: what results are told by, and what is left out of training.
        hostile: one actor behind all of them.
        accounts: at a time; with churn more over all.
        cards: accounts a payment method, log-uniform between two numbers; or one for each tenant
            or for the group; or as the population shares them.
        tenants: companies, schools, customers: cards are a tenant's own; sizes are lognormal.
        evenly: how unequal tenants are, as sigma; 0: equal.
        parts: of the cards, each with exits of its own where a leg says so.
        legs: where members are; at most four.
        new: created while the trace lasts (campaigns are); otherwise long before.
        arrival_h: over how many hours new accounts come.
        ramp: they come slowly first.
        aged: the part of new ones that was created long before (bought, or let lie), and comes now.
        history: the part of the aged ones that people used from their homes until they were sold.
        young: the part of old ones created within the last two weeks.
        joining: the part that joins each day.
        begin_h: so much after the lead.
        life_h: after which an account is given up for a new one; 0: never.
        gap_h: until the new one comes.
        renews: what the new one has of its own: its card, its exits.
        moves: half of it changes its program after half a day.
        free: habits that are not drawn.
        others: unrelated people on its exits.
        decoy: what is done to others.
    """

    name: str
    legs: tuple[Leg, ...]
    hostile: bool = False
    accounts: int = 300
    cards: tuple[int, int] | Literal["tenant", "group", "population"] = (1, 1)
    tenants: int = 1
    evenly: float = 0.0
    parts: int = 1
    new: bool = False
    arrival_h: float = 12.0
    ramp: bool = False
    aged: float = 0.0
    history: float = 0.0
    young: float = 0.0
    joining: float = 0.0
    begin_h: float = 0.0
    life_h: float = 0.0
    gap_h: float = 0.0
    renews: frozenset[str] = frozenset()
    moves: bool = False
    free: Mapping[str, object] = field(default_factory=dict)
    others: Others | None = None
    decoy: Decoy | None = None
