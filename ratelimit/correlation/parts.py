"""The parts of a group whose clients tell several actors apart. Pure arithmetic, in slices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping

MASKS_AT_ONCE = 64
"""Combinations of clients looked at in one slice."""


def parts_of(masks: Mapping[int, int], clients: int, overlap: float) -> Generator[None, None, dict[int, int]]:
    """Return which part each combination of clients belongs to; yield now and then.

    Args:
        masks: how many payment methods have this combination, as bits.
        clients: how many bits there are.
        overlap: two clients are one actor's when they occur together on this part of
            the payment methods that have the rarer of the two.
    """
    together = [[0] * clients for _ in range(clients)]
    bits = {}
    for number, (mask, count) in enumerate(masks.items()):
        bits[mask] = [at for at in range(clients) if mask >> at & 1]
        for one in bits[mask]:
            row = together[one]
            for other in bits[mask]:
                row[other] += count
        if number % MASKS_AT_ONCE == 0:
            yield
    part = list(range(clients))
    for one in range(clients):
        for other in range(one):
            both = together[one][other]
            if both >= 3 and both >= overlap * min(together[one][one], together[other][other]):
                part = [part[other] if number == part[one] else number for number in part]
    found = {}
    for number, mask in enumerate(masks):
        votes = Counter([part[at] for at in bits[mask]])
        best, most = votes.most_common(1)[0]
        # One client in common may be chance; a payment method of few principals has no more to show.
        found[mask] = best + 1 if most > 1 or len(votes) == 1 else 0
        if number % MASKS_AT_ONCE == 0:
            yield
    return found
