"""The drawing of an actor: accounts between the identifiers that they share, as parts of an SVG picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.inspection.callers.profile import Links

MOST_NODES = 500
MOST_IDENTIFIERS = 80
SIZE = 800
_PAYMENT = 2
_INNER, _OUTER, _SPREAD = 150, 340, 34
_GOLDEN = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class Node:
    """One dot of the drawing."""

    x: float
    y: float
    r: float
    label: str
    """What it is, for people who point at it."""
    look: str
    """Its class in the style sheet."""
    hash: int
    identity: str = ""
    """The policy's name for what it is of; empty for an account."""
    lines: str = ""
    """Of an account, the path of its lines,"""
    ties: Sequence[int] = ()
    """and the numbers of the identifiers that these lead to."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture, and how much of the actor is in it."""

    accounts: Sequence[Node]
    identifiers: Sequence[Node]


def drawing_of(links: Links) -> Drawing:
    """Return the drawing of an actor: payment methods on an inner circle, addresses on an outer one.

    Each account lies in the middle of what it was seen with, so accounts that share much lie together.
    """
    places: list[tuple[float, float]] = [(0.0, 0.0)] * len(links.identifiers)
    for radius, ring in (
        (_INNER, [at for at, one in enumerate(links.identifiers) if one.kind == _PAYMENT]),
        (_OUTER, [at for at, one in enumerate(links.identifiers) if one.kind != _PAYMENT]),
    ):
        for number, at in enumerate(ring):
            turn = 2 * math.pi * number / len(ring)
            places[at] = (radius * math.cos(turn), radius * math.sin(turn))
    ties: list[list[int]] = [[] for _ in links.accounts]
    for account, identifier in links.edges:
        ties[account].append(identifier)
    middle = SIZE / 2
    accounts, identifiers = [], []
    for number, (member, tied) in enumerate(zip(links.accounts, ties, strict=True)):
        x = sum(places[at][0] for at in tied) / max(1, len(tied))
        y = sum(places[at][1] for at in tied) / max(1, len(tied))
        # Those with the same ties would lie upon each other: seeds of a sunflower do not.
        away = _SPREAD * math.sqrt((number % 40 + 1) / 40)
        x, y = x + away * math.cos(number * _GOLDEN), y + away * math.sin(number * _GOLDEN)
        lines = []
        for at in tied:
            there = f"{middle + places[at][0]:.0f} {middle + places[at][1]:.0f}"
            lines.append(f"M{middle + x:.0f} {middle + y:.0f}L{there}")
        words = f"account {member.key:016x}, {member.verdict or 'no verdict'}, {member.requests:,} requests"
        look, place = f"is-{member.verdict}", (round(middle + x, 1), round(middle + y, 1))
        accounts.append(Node(*place, 4, words, look, member.key, "", "".join(lines), tied))
    for at, one in enumerate(links.identifiers):
        size = min(18.0, 5 + 2 * math.log2(one.members))
        look = "is-payment" if one.kind == _PAYMENT else "is-place" if one.kind == 0 else "is-extra"
        words = f"{one.identity} {one.hash:016x}: {one.members:,} members, {one.others:,} other accounts"
        x, y = places[at]
        place = round(middle + x, 1), round(middle + y, 1)
        identifiers.append(Node(*place, round(size, 1), words, look, one.hash, one.identity))
    return Drawing(accounts, identifiers)
