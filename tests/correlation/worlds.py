"""Small worlds of random structure: what is asked of them is that two implementations say the same."""

from __future__ import annotations

import random

from tests.correlation.sights import DAY_S, HOUR_S, START_S, Sight, row

TUNED = {"exits": 12.0, "accounts": 4, "methods": 2, "records_s": 12 * HOUR_S}
"""Numbers with which worlds this small have all verdicts."""


def group(number: int, rng: random.Random) -> list[Sight]:
    """Return the requests of a group: its cards, its places, its homes and its ages are as it falls out."""
    accounts = rng.choice((1, 3, 8, 15, 30, 60))
    per_card = rng.choice((1, 2, 3, 5, 40))
    pool = rng.choice((1, 4, 20, 60, 200))
    home = rng.choice((0.0, 0.0, 0.1, 0.7))
    shared = rng.choice((0.0, 0.0, 0.2))
    spread = rng.choice((1, 8, 64))
    created_s = rng.choice((None, START_S, START_S - 13 * DAY_S, START_S - 300 * DAY_S))
    begin_h = rng.choice((0.0, 0.0, 20.0))
    device = rng.random() < 0.2
    found = []
    for account in range(accounts):
        name = f"{number}/{account}"
        card = None if rng.random() < 0.05 else f"{number}/{account // per_card}"
        for _ in range(rng.randrange(2, 16)):
            kind = rng.random()
            if kind < home:
                address = f"20.{number}.{account}.1"
            elif kind < home + shared:
                address = f"60.1.{rng.randrange(30)}.1"
            else:
                at = rng.randrange(pool)
                address = f"40.{number}.{at // spread}.{at % 256}"
            given = {"address": address, "payment": card, "client": rng.randrange(4), "created_s": created_s}
            if device:
                given["device"] = f"{number}/{account // 3}"
            at_s = START_S + (begin_h + rng.random() * rng.choice((6, 30, 60))) * HOUR_S
            found.append(Sight(at_s, name, row(name, **given)))
    return found


def world(seed: int) -> list[Sight]:
    """Return a few groups' requests by time; now and then one has another's card or address."""
    rng = random.Random(seed)
    groups = [group(number, rng) for number in range(rng.randrange(2, 7))]
    found = [sight for part in groups for sight in part]
    for sight in rng.sample(found, len(found) // 50):
        other = rng.choice(found)
        at = rng.choice((3, 1))
        sight.row[at] = other.row[at]
        if at == 1:
            sight.row[2], sight.row[8] = other.row[2], other.row[8]
    return sorted(found, key=lambda sight: sight.at_s)
