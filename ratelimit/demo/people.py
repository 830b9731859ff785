"""The callers of the demo's API, and how they behave.

Pure data and arithmetic; `crowd.py` plays it. Each person has an account
(an API key) of some age, a payment method, a client program, and places to call from.
Honest people keep to the rates that the policy grants, whatever they share; each greedy
population presses on one limit in its own way. The school shares with the campaign all
that is free: new accounts, cards that several have, one program, even amounts. Addresses
are private, a carrier's (RFC 6598) or set aside for examples and tests.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Places = Literal["home", "one address", "carrier", "company", "school", "exits", "anywhere"]
Cards = Literal["own", "one", "shared", "none"]

EXITS = 144
"""Addresses the campaign rotates over: eight in each of 18 networks of two providers."""
SCHOOLS = 4
"""Addresses of the school district: one for each school."""
PROGRAMS = (
    "openai-python/1.51.0",
    "openai-node/4.67.1",
    "Mozilla/5.0 (Macintosh) Safari/605.1",
    "Mozilla/5.0 (Windows NT 10.0) Chrome/129.0",
    "Mozilla/5.0 (X11; Linux) Firefox/131.0",
    "curl/8.9.1",
    "langchain/0.3.2",
    "python-httpx/0.27.2",
)
CAMPAIGNS_PROGRAM = PROGRAMS[-1]
"""A common one: some customers use it too."""
CLUSTER_LIMIT = "one actor"
NEIGHBOURS = 10
"""Of so many customers one lives in a network where the campaign has exits."""


@dataclass(frozen=True, slots=True)
class Population:
    """Some people of one kind.

    `parallel` calls of one person run at once, each followed by a pause of
    `pause_s`, give or take a quarter. `limit` is what the policy holds them by.
    """

    name: str
    what: str
    people: int
    pause_s: float
    honest: bool = False
    limit: str | None = None
    per_person: bool = True
    """True if the limit binds each of them alone; else all together (one actor, one address)."""
    parallel: int = 1
    output_tokens: int = 40
    stream: bool = False
    places: Places = "home"
    cards: Cards = "none"
    programs: tuple[str, ...] = ("greedy/1.0",)
    unevenness: float = 0.0
    """How much people differ in how much they ask: the deviation of a pause's logarithm."""
    accounts_a_card: int = 1
    """The place where cards are shared."""
    days: float = 1.0
    """For how long their accounts have existed, in the middle."""


@dataclass(frozen=True, slots=True)
class Person:
    """One of them."""

    account: str
    card: str | None
    program: str
    pause_s: float
    days: float
    """For how long the account has existed."""


POPULATIONS: tuple[Population, ...] = (
    Population(
        "customers",
        "60 accounts, each from its own home",
        60,
        pause_s=6.0,
        honest=True,
        cards="own",
        programs=PROGRAMS,
        unevenness=0.8,
        days=300.0,
    ),
    Population(
        "office",
        "24 people behind one address",
        24,
        pause_s=10.0,
        honest=True,
        places="one address",
        cards="own",
        programs=PROGRAMS[:5],
        unevenness=0.8,
        days=200.0,
    ),
    Population(
        "phones",
        "40 people behind a carrier's few addresses",
        40,
        pause_s=9.0,
        honest=True,
        places="carrier",
        cards="own",
        programs=("ChatApp/3.1 (Android)", "ChatApp/3.1 (iOS)"),
        unevenness=0.8,
        days=100.0,
    ),
    Population(
        "company",
        "16 accounts that one card pays for",
        16,
        pause_s=8.0,
        honest=True,
        places="company",
        cards="one",
        programs=PROGRAMS[:3],
        unevenness=1.2,
        days=150.0,
    ),
    Population(
        "school",
        "60 new accounts, 6 cards, 4 addresses",
        60,
        pause_s=10.0,
        honest=True,
        places="school",
        cards="shared",
        programs=(PROGRAMS[3],),
        accounts_a_card=10,
        days=2.0,
    ),
    Population(
        "campaign",
        f"240 new accounts, 48 cards, {EXITS} addresses",
        240,
        pause_s=10.0,
        limit=CLUSTER_LIMIT,
        per_person=False,
        places="exits",
        cards="shared",
        programs=(CAMPAIGNS_PROGRAM,),
        accounts_a_card=5,
        days=2.0,
    ),
    Population(
        "hammer",
        "3 scripts that ignore 429, by many proxies",
        3,
        pause_s=0.02,
        limit="requests",
        output_tokens=10,
        places="anywhere",
    ),
    Population(
        "long answers",
        "3 accounts after the longest outputs",
        3,
        pause_s=1.2,
        limit="output tokens",
        output_tokens=900,
    ),
    Population(
        "many keys",
        "40 keys taking turns behind one address",
        40,
        pause_s=2.0,
        limit="one address",
        per_person=False,
        places="one address",
        output_tokens=10,
    ),
    Population(
        "many streams",
        "2 accounts holding 9 streams each",
        2,
        pause_s=2.0,
        limit="streams at once",
        parallel=9,
        output_tokens=60,
        stream=True,
    ),
)

_AGES = 0.5
"""How much accounts of one population differ in age: the deviation of its logarithm."""
_FASTEST, _SLOWEST = 0.3, 5.0
"""Bounds of what `unevenness` makes of a pause."""


def fastest_pause_s(population: Population) -> float:
    """Return the shortest pause that a member of a population makes."""
    return population.pause_s * 0.75 * (_FASTEST if population.unevenness else 1.0)


def _account(population: Population, person: int) -> str:
    """Return a person's API key."""
    return f"demo-{population.name.replace(' ', '-')}-{person + 1}"


def everyone() -> Iterator[tuple[Population, int, Person]]:
    """Yield each person with the population, and the number in it."""
    for population in POPULATIONS:
        for number in range(population.people):
            yield population, number, person_of(population, number)


def person_of(population: Population, person: int) -> Person:
    """Return one of a population; the same whenever it is asked."""
    dice = random.Random(f"{population.name}/{person}")
    pace = dice.lognormvariate(0.0, population.unevenness) if population.unevenness else 1.0
    return Person(
        account=_account(population, person),
        card=_card_of(population, person),
        program=population.programs[person % len(population.programs)],
        pause_s=population.pause_s * min(max(pace, _FASTEST), _SLOWEST),
        days=population.days * dice.lognormvariate(0.0, _AGES),
    )


def _card_of(population: Population, person: int) -> str | None:
    match population.cards:
        case "own":
            return f"card-{population.name}-{person}"
        case "one":
            return f"card-{population.name}"
        case "shared":
            return f"card-{population.name}-{person // population.accounts_a_card}"
        case "none":
            return None


def address_of(population: Population, person: int, call: int) -> str:
    """Return where a person's call comes from."""
    index = POPULATIONS.index(population)
    match population.places:
        case "home":
            return _home(index, person)
        case "one address":
            return f"198.51.100.{index + 1}"
        case "carrier":
            # Another of a dozen every few calls, as carriers do.
            at = (person * 7 + call // 4) % 12
            return f"100.{64 + at % 2}.{at % 4}.{20 + at}"
        case "company":
            # At work, and every fourth call from home.
            return f"192.0.2.{10 + person % 2}" if call % 4 else _home(index, person)
        case "school":
            # Each from its own, and every fifth call from another: of friends, of the library.
            return f"203.0.113.{10 + (person + (call % 5 == 4)) % SCHOOLS}"
        case "exits":
            return exit_address((person * 31 + call * 17) % EXITS)
        case "anywhere":
            return f"198.19.{(person * 83 + call) % 256}.7"


def exit_address(number: int) -> str:
    """Return one of the addresses the campaign rotates over."""
    return f"{('198.18', '172.20')[number % 2]}.{number // 8 * 2 + number % 2}.{10 + number % 8}"


def _home(index: int, person: int) -> str:
    if index == 0 and person % NEIGHBOURS == NEIGHBOURS - 1:
        network, _, _ = exit_address(person).rpartition(".")
        return f"{network}.{200 + person % 50}"
    return f"10.{index * 20 + person % 16}.{person}.{person + 1}"
