"""Changes that cost a campaign nothing, or little: each is tried on its plain form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.correlation.families.group import ALWAYS, DAY_S, Group

Change = Callable[[Group], Group]


def _habit(**values: object) -> Change:
    return lambda group: replace(group, free={**group.free, **values})


def _exits(**values: object) -> Change:
    def change(group: Group) -> Group:
        first = group.legs[0]
        if first.network:
            return group
        return replace(group, legs=(replace(first, **values), *group.legs[1:]))  # type: ignore[arg-type]

    return change


def _parts(group: Group) -> Group:
    """Return it with its cards on eight providers, each with an eighth of the exits."""
    first = group.legs[0]
    if first.of != "group" or first.kind in ("mobile", "phone"):
        return group
    return replace(_exits(of="part", exits=max(16, first.exits // 8))(group), parts=8)


def _by_card(group: Group) -> Group:
    """Return it with an exit dealt to a card at a time."""
    return _exits(by="card")(group)


def _pairs(group: Group) -> Group:
    return replace(group, cards=(2, 2)) if group.cards != (1, 1) else group


FREE: dict[str, Change] = {
    "even": _habit(spread=0.0),
    "CV 1.2": _habit(spread=1.2),
    "CV 2": _habit(spread=2.0),
    "CV 3": _habit(spread=3.0),
    "quota": _habit(quota=30),
    "sessions": _habit(rhythm="sessions"),
    "office hours": _habit(rhythm="office"),
    "cron": _habit(rhythm="cron"),
    "together": _habit(rhythm="together"),
    "common client": _habit(programs="one"),
    "clients as people have": _habit(programs="population"),
    "client of its own": _habit(programs="own"),
    "client per account": _habit(programs="each"),
    "short answers": _habit(length=80.0, length_spread=1.2),
    "exit by card": _by_card,
}
"""They cost nothing: the plain form's verdict is to hold."""

CHEAP: dict[str, Change] = {
    "partition": _parts,
    "pairs": _pairs,
    "exit a day": _exits(sticky_s=DAY_S),
    "exit for good": _exits(sticky_s=ALWAYS),
    "exit each request": _exits(sticky_s=0.0),
    "aged by half": lambda group: replace(group, aged=0.5),
    "churning": lambda group: replace(group, life_h=24.0),
}
"""They cost something, little: providers, payment methods, exits, accounts."""


_TOGETHER: dict[str, tuple[str, ...]] = {
    "CV 2, sessions": ("CV 2", "sessions"),
    "CV 2, sessions, client per account": ("CV 2", "sessions", "client per account"),
    "CV 1.2, office hours, exit by card": ("CV 1.2", "office hours", "exit by card"),
    "CV 3, cron, exit by card": ("CV 3", "cron", "exit by card"),
    "all that is free": ("CV 2", "sessions", "clients as people have", "short answers", "exit by card"),
    "CV 1.2, office hours, partition": ("CV 1.2", "office hours", "partition"),
    "all at once": (
        "CV 2",
        "sessions",
        "clients as people have",
        "short answers",
        "partition",
        "exit by card",
    ),
    "all, and pairs, an exit a day": (
        "CV 2",
        "sessions",
        "clients as people have",
        "short answers",
        "pairs",
        "exit a day",
    ),
}


def together(*names: str) -> Change:
    """Return several changes as one."""

    def change(group: Group) -> Group:
        for name in names:
            group = (FREE | CHEAP)[name](group)
        return group

    return change


SEVERAL: dict[str, Change] = {name: together(*names) for name, names in _TOGETHER.items()}
COSTLY = CHEAP.keys() | {name for name, names in _TOGETHER.items() if CHEAP.keys() & set(names)}
"""What costs anything, alone or with others: judged by its price, and not by whether the verdict holds."""

CHANGES: dict[str, Change] = FREE | CHEAP | SEVERAL
