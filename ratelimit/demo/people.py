"""Who calls the demo's API, and how they behave.

Pure data and arithmetic; `population.py` plays it. Each person has an account
(an API key) and an address. Honest people keep to the rates that the policy
grants; each greedy population presses on one limit in its own way.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """Whether the limit binds each of them alone; else all together (one address, many keys)."""
    parallel: int = 1
    output_tokens: int = 40
    stream: bool = False
    shared_address: bool = False
    roams: bool = False
    """Whether each call comes from another network."""


POPULATIONS: tuple[Population, ...] = (
    Population("customers", "24 accounts within their limits", 24, pause_s=2.0, honest=True),
    Population(
        "hammer",
        "3 scripts that ignore 429, through many proxies",
        3,
        pause_s=0.01,
        limit="requests",
        output_tokens=10,
        roams=True,
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
        shared_address=True,
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


def account_of(population: Population, person: int) -> str:
    """Return a person's API key."""
    return f"demo-{population.name.replace(' ', '-')}-{person + 1}"


def address_of(index: int, population: Population, person: int, call: int) -> str:
    """Return where a person's call comes from, in ranges set aside for examples and tests."""
    if population.roams:
        return f"198.18.{(person * 83 + call) % 256}.7"
    if population.shared_address:
        return f"198.51.100.{index + 1}"
    return f"203.0.113.{index * 50 + person + 1}"
