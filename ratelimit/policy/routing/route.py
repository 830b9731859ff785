"""What a path matched."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.policy.routing.target import Target, is_odd, readings, split
from ratelimit.policy.schema.model import Event


@dataclass(frozen=True, slots=True)
class Parameter:
    """Where a path parameter's value stands: in which reading, at which segment."""

    name: str
    reading: int
    segment: int


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """The limits that one kind of path falls under. Compared by identity.

    `limits` are positions in the policy, ascending; `on_request`, `on_connect` and
    `on_message` are the part of them that counts HTTP requests, WebSocket
    handshakes and WebSocket messages. `template` is that of the closest pattern.
    """

    template: str
    limits: tuple[int, ...]
    on_request: tuple[int, ...]
    on_connect: tuple[int, ...]
    on_message: tuple[int, ...]
    parameters: tuple[Parameter, ...]
    crowded: frozenset[Event] = frozenset()
    """For which of the three there are more rules than one decision can carry."""
    roots: tuple[str, ...] = ()
    """The root paths that the policy declares."""

    def params(self, target: str | Target) -> dict[str, str]:
        """Return the values of the path's parameters; `target` is the one that was matched."""
        if not self.parameters:
            return {}
        if isinstance(target, str) and not self.roots and not is_odd(target):
            parts = split(target, max(spot.segment for spot in self.parameters) + 1)
            return {spot.name: parts[spot.segment] for spot in self.parameters}
        found = readings(target, self.roots) or []
        values = {spot.name: found[spot.reading][spot.segment] for spot in self.parameters}
        return {name: value for name, value in values.items() if value}
