"""What was refused by which limit: exact counts, and the keys refused most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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

    def add(self, row: Sequence[int], record: Any) -> None:
        """Count one refusal that this limit decided."""
        self.refused += 1
        key = tuple([row[position] for position in self.rule.per])
        count = self.keys.get(key)
        if count is None:
            if len(self.keys) >= MOST_KEYS:
                self._forget_the_rarest()
            self.shown[key] = record
            count = 0
        self.keys[key] = count + 1

    def _forget_the_rarest(self) -> None:
        kept = self.keys.most_common(MOST_KEYS // 2)
        self.forgotten += len(self.keys) - len(kept)
        self.keys = Counter(dict(kept))
        self.shown = {key: self.shown[key] for key, _ in kept}
