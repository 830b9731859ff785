"""Verdicts as a model would give them: set at the end of each rebuild, before it is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ratelimit.correlation import Correlator

NONE, LIKELY, CERTAIN = 0, 1, 2


def set_verdicts(monkeypatch: pytest.MonkeyPatch, verdict_of: Callable[[int], int]) -> None:
    """Let every rebuild end with this verdict on each member, by its number among them."""
    rebuild = Correlator.rebuild

    def rebuilt(self: Correlator, now_ns: int) -> Iterator[None]:
        yield from rebuild(self, now_ns)
        keys = sorted(key for members in self.members().values() for key in members)
        for number, key in enumerate(keys):
            self.core.set_inferred(key, verdict_of(number))

    monkeypatch.setattr(Correlator, "rebuild", rebuilt)
