"""Patience with newcomers against hours: how soon an account that comes back is at home.

A young account that returns to an address after `home_new_s` is at home there. The longer that takes, the
fewer newcomers testify for their company. And the longer must an attacker keep an exit for a home.
Each row plays the same worlds with another number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.correlation.families import goals
from benchmarks.correlation.families.catalogue import Entry
from benchmarks.correlation.families.contest import play
from benchmarks.correlation.families.core import Core
from benchmarks.correlation.families.world import Size
from ratelimit.correlation import Settings

HOURS = (1, 3, 6, 12, 26)


@dataclass(frozen=True, slots=True)
class Patience:
    """What comes of one number.

    Args:
        hours: until a young account that comes back is at home.
        refused: of the worst brand-new class, as a share; and its name.
        likely: of all brand-new requests.
        contained: plain campaigns with at most 1.2 budgets after a day, and how many there are.
        beyond: hours beyond the budget, by the aim (6, 24, 48), of the worst campaign.
    """

    hours: int
    refused: float
    where: str
    likely: float
    contained: int
    campaigns: int
    beyond: dict[float, tuple[float, str]]


def patience(entries: Sequence[Entry], seed: int, size: Size) -> Iterator[Patience]:
    """Yield what comes of each number, the default one among them."""
    for hours in HOURS:
        core = Core(Settings(home_new_s=hours * 3600))
        results = [result for entry in entries for result in play(entry, seed, size, [core])]
        classes = {key: crowds for key, crowds in goals.merged(results).items() if key[1]}
        shares = {name: goals.share(crowds, "refused") for (name, _), crowds in classes.items()}
        worst = max(shares, key=lambda name: shares[name], default="")
        chases = [chase for result in results if result.kind == "plain" for chase in result.chases]
        yield Patience(
            hours,
            shares.get(worst, 0.0),
            worst if shares.get(worst) else "",
            goals.share([crowd for crowds in classes.values() for crowd in crowds], "likely"),
            sum(chase.after_24 <= goals.CONTAINED for chase in chases),
            len(chases),
            {
                bound: max(
                    ((c.hours_beyond, c.family) for c in chases if goals.HOURS.get(c.family) == bound),
                    default=(0.0, ""),
                )
                for bound in sorted(set(goals.HOURS.values()))
            },
        )
