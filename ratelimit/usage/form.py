"""A form of answers that a policy has, compiled: the places of its numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table of a policy: what is done with the value at each path, in the words of `usage/shapes`."""

    name: str
    places: tuple[tuple[str, str], ...]
