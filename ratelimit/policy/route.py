"""What a path matched, and the ways in which a path can be read."""

from __future__ import annotations

from dataclasses import dataclass


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

    def params(self, path: str) -> dict[str, str]:
        """Return the values of the path's parameters; `path` is the one that was matched."""
        if not self.parameters:
            return {}
        if not is_odd(path):
            parts = split(path, max(spot.segment for spot in self.parameters) + 1)
            return {spot.name: parts[spot.segment] for spot in self.parameters}
        found = readings(path)
        return {spot.name: found[spot.reading][spot.segment] for spot in self.parameters}


def is_odd(path: str) -> bool:
    """Return whether a path can be read in more than one way."""
    return "/." in path or path.endswith("\n")


def split(path: str, most: int) -> list[str]:
    """Return a path's first segments, empty ones left out; what follows `most` of them in one piece.

    The cost is that of a search for `most` slashes, however long the path is.
    """
    path = path.strip("/")
    parts = path.split("/", most)
    if "" not in parts:
        return parts
    # A path without a name in it, or one with several slashes in a row.
    parts = []
    while path and len(parts) < most:
        name, _, path = path.partition("/")
        parts.append(name)
        path = path.lstrip("/")
    return [*parts, path] if path else parts


def readings(path: str) -> list[list[str]]:
    """Return the segments of a path, once for each way an application may read it.

    The first is the path as it stands. `router` says why there are others.
    """
    found = [_names(path)]
    if path.endswith("\n"):
        found.append(_names(path[:-1]))
    if "/." in path:
        found.append(resolve(found[-1]))
    return found


def _names(path: str) -> list[str]:
    # Not `split`: without a bound on the segments that would take time in their square.
    return [name for name in path.split("/") if name]


def resolve(segments: list[str]) -> list[str]:
    """Return segments with `.` and `..` carried out."""
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return kept
