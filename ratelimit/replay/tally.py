"""A tally of refusals by limit: exact counts, and the keys refused most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimit.policy.compile.compiled import LimitRule

Key = tuple[int, ...]
MOST_KEYS = 100_000


@dataclass(slots=True)
class LimitTally:
    """Refusals of one limit, by key."""

    rule: LimitRule
    refused: int = 0
    keys: Counter[Key] = field(default_factory=Counter)
    shown: dict[Key, Any] = field(default_factory=dict)
    """One record for each key, to name its caller."""
    forgotten: int = 0
    """Keys dropped for want of room; counts of the others stay exact as far as they go."""

    def add(self, keys: Sequence[Key], record: Callable[[int], Any]) -> None:
        """Count refusals that this limit decided, each by what it counts by.

        `record` returns one of the records refused, by its place among `keys`.
        """
        self.refused += len(keys)
        self.keys.update(keys)
        if len(self.keys) > len(self.shown):
            for at, key in enumerate(keys):
                if key not in self.shown:
                    self.shown[key] = record(at)
            if len(self.keys) > MOST_KEYS:
                self._forget_the_rarest()

    def _forget_the_rarest(self) -> None:
        kept = self.keys.most_common(MOST_KEYS // 2)
        self.forgotten += len(self.keys) - len(kept)
        self.keys = Counter(dict(kept))
        self.shown = {key: self.shown[key] for key, _ in kept}
