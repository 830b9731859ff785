"""A route: the result of matching a path."""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.policy.routing.spellings import is_spelled
from ratelimit.policy.routing.target import Target, is_odd, readings, split
from ratelimit.policy.schema.model import Event
from ratelimit.policy.schema.surroundings import Spelling


@dataclass(frozen=True, slots=True)
class Parameter:
    """The place of a path parameter's value: in which reading, at which segment."""

    name: str
    reading: int
    segment: int


@dataclass(frozen=True, slots=True)
class PathReading:
    """The application's way of reading paths, as the policy states it.

    Args:
        roots: root paths that the policy declares.
        spellings: what the application reads as well; None where the policy does not say.
    """

    roots: tuple[str, ...] = ()
    spellings: tuple[Spelling, ...] | None = None

    def is_odd(self, path: str) -> bool:
        """Return whether a path alone can be read in more than one way."""
        return bool(self.roots) or is_odd(path) or (bool(self.spellings) and is_spelled(path))

    def readings(self, target: str | Target) -> list[list[str]] | None:
        """Return the segments of a path, once for each way it may be read: see `target.readings`."""
        return readings(target, self.roots, self.spellings)


AS_IT_STANDS = PathReading()


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
    reading: PathReading = AS_IT_STANDS

    def params(self, target: str | Target) -> dict[str, str]:
        """Return the values of the path's parameters; `target` is the one that was matched."""
        if not self.parameters:
            return {}
        if isinstance(target, str) and not self.reading.is_odd(target):
            parts = split(target, max(spot.segment for spot in self.parameters) + 1)
            return {spot.name: parts[spot.segment] for spot in self.parameters}
        found = self.reading.readings(target) or []
        values = {spot.name: found[spot.reading][spot.segment] for spot in self.parameters}
        return {name: value for name, value in values.items() if value}
