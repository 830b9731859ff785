"""The parts of features, in the order in which requests pass their stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ratelimit.clock import Clock
from ratelimit.deciding.part import Host, P, Part
from ratelimit.features.parts import parts

Makers = Mapping[type[Part], Callable[[Host], Part]]
"""Makes a feature's part in another way than by its own class."""


class Parts:
    """The parts of one limiter.

    Args:
        host: the limiter.
        makers: in place of a part's class.
    """

    def __init__(self, host: Host, makers: Makers | None = None) -> None:
        self._by_kind: dict[type[Part], Part] = {}
        for module in parts("stage"):
            kind: type[Part] = module.PART
            make = (makers or {}).get(kind, kind)
            self._by_kind[kind] = make(host)
        self.each = tuple(self._by_kind.values())
        self.makers = tuple(part.features for part in self.each)
        """Make the features of a bound policy."""

    def find(self, kind: type[P]) -> P:
        """Return the part of a kind."""
        return self._by_kind[kind]  # type: ignore[return-value]  # by its own class


class Bystander:
    """A host for a trace, or for a person who asks: nothing waits or is kept, no application is asked.

    Args:
        clock: says when.
        makers: make the parts that know more.
    """

    is_enabled = False
    hooks: Mapping[str, Any] = MappingProxyType({})
    policy: Any = None
    store: Any = None
    home: Any = None
    table: Any = None
    counters: Any = None

    def __init__(self, clock: Clock, makers: Makers | None = None) -> None:
        self.clock = clock
        self.parts = Parts(self, makers)

    def part(self, kind: type[P]) -> P:
        """Return a feature's part."""
        return self.parts.find(kind)

    def diagnose(self, code: str, about: str = "") -> None:
        """Keep silent."""
