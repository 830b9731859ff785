"""All worlds by name: families established and new, campaigns plain and changed, poison, random structure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.correlation.families import structure, sweep
from benchmarks.correlation.families.changes import CHANGES
from benchmarks.correlation.families.group import Group
from benchmarks.correlation.families.honest import HONEST, arrived, growing
from benchmarks.correlation.families.hostile import BASE, CAMPAIGNS, POISON
from benchmarks.correlation.families.world import SMALL, Size, World, build
from benchmarks.correlation.numbers import generator

Kind = Literal["established", "new", "beside", "plain", "changed", "poison", "frontier", "random"]
CHANGED = ("base", "data centre", "residential, sticky for a day", "mobile", "small", "churning")
"""Campaigns on which every free change is tried."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A world that can be asked for by name.

    Args:
        kind: what is looked at in it.
        family: what its results are told by, and left out by.
        change: what the campaign changes; empty for its plain form.
    """

    name: str
    kind: Kind
    family: str
    groups: tuple[Group, ...]
    change: str = ""

    def world(self, seed: int, size: Size = SMALL) -> World:
        """Return it, drawn."""
        return build(self.name, self.groups, seed, size)


def named() -> Iterator[Entry]:
    """Yield every world that has a name of its own."""
    for group in HONEST:
        yield Entry(group.name, "established", group.name, (group,))
        yield Entry(f"{group.name}, growing", "established", group.name, (growing(group),))
        yield Entry(f"{group.name}, new", "new", group.name, (arrived(group),))
        if group.legs[0].of == "group":
            branch = _branch(group)
            yield Entry(f"{group.name}, new beside old", "new", branch[-1].name, branch)
    for group in HONEST:
        for people, name in ((group, group.name), (arrived(group), f"{group.name}, new")):
            yield Entry(f"{name}, beside base", "beside", group.name, (people, BASE))
            if group.legs[0].of == "group" and group.legs[0].kind in ("hosted", "mobile"):
                yield Entry(f"{name}, and a campaign there", "beside", group.name, _guests(people))
    for name, campaigns in CAMPAIGNS.items():
        yield Entry(name, "plain", name, campaigns)
    for name in CHANGED:
        for change, apply in CHANGES.items():
            changed = tuple(map(apply, CAMPAIGNS[name]))
            if changed != CAMPAIGNS[name]:
                yield Entry(f"{name} + {change}", "changed", name, changed, change)
    for name, groups in POISON.items():
        yield Entry(name, "poison", name, groups)
    for name, campaign in sweep.points():
        yield Entry(name, "frontier", name, (campaign,))


def _branch(group: Group) -> tuple[Group, ...]:
    """Return old customers, and half as many new ones on their exits with payment methods of their own."""
    there = replace(group, legs=(replace(group.legs[0], network="common"), *group.legs[1:]))
    new = replace(arrived(there), name=f"{group.name}, new", accounts=group.accounts // 2, others=None)
    return there, new


def _guests(group: Group) -> tuple[Group, ...]:
    """Return a group of people, and a campaign on the same exits."""
    there = replace(group.legs[0], network="common")
    campaign = replace(BASE, name="on people's exits", legs=(replace(there, share=1.0, by="account"),))
    return replace(group, legs=(there, *group.legs[1:])), campaign


def random(count: int, seed: int = 0, *, only: str = "", without: str = "") -> Iterator[Entry]:
    """Yield worlds of one to four groups of random structure, about half of them hostile.

    Args:
        only, without: an egress (`structure.EGRESS`) that one group of each has, or none has.
    """
    for number in range(count):
        rng = generator(seed, "families", "random", number)
        groups = []
        for nth in range(int(rng.integers(1, 5))):
            hostile = bool(rng.random() < 0.5)
            if only and not nth:
                egress = structure.EGRESS[only]
                hostile = bool(rng.random() < egress.hostile / (egress.hostile + egress.honest))
                groups.append(structure.of(only, rng, hostile))
            else:
                groups.append(structure.draw(rng, hostile, without=without))
        yield Entry(f"random {number}", "random", only or "random", tuple(groups))


NAMED: dict[str, Entry] = {entry.name: entry for entry in named()}

_CROWDS = (
    "school district, many addresses",
    "gateway's companies",
    "company, rotating exits",
    "hackathon, a card a team",
    "CI action's customers",
    "app on a privacy relay",
    "mobile pool",
    "VPN exit",
    "agency",
)
_CHANGES = ("CV 2", "sessions", "client per account", "exit by card", "all that is free")
SHORT = (
    *_CROWDS,
    *(f"{name}, new" for name in _CROWDS[2:8]),
    "app on a privacy relay, and a campaign there",
    "CI action's customers, new, beside base",
    "base",
    "data centre",
    "churning",
    "pairs",
    "mobile",
    "residential, sticky for a day",
    "small",
    "card each, residential",
    "a dozen busy accounts",
    *(f"{name} + {change}" for name in ("base", "data centre") for change in _CHANGES),
    "stolen cards",
    "touches victims' addresses",
)
"""Some of each kind, for a look of a minute: chosen by kind and egress, whatever comes of them."""
SHORT_RANDOM = 4
