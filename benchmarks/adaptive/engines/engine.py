"""The contract of every back end."""

from __future__ import annotations

from typing import Protocol

from benchmarks.adaptive.job import Job


class Engine(Protocol):
    """A back end that queues without bound, as most do."""

    def submit(self, job: Job) -> None:
        """Take a request; tell it of its first byte and of its end."""

    def set_capacity(self, share: float) -> None:
        """Keep this share of the places, from 0 to 1. With 0 all work stands still."""

    def set_speed(self, speed: float) -> None:
        """Work at this share of the full speed, above 0."""

    def has_room(self) -> bool:
        """Return whether a request that comes now would be begun at once."""

    def in_service(self) -> int:
        """Return how many requests are being worked on."""

    def waiting(self) -> int:
        """Return how many requests wait for a place."""

    def memory_used(self) -> float:
        """Return the share of the memory for keys and values in use, 0 where there is none."""
