"""The line of a host about requests that it shed of one caller, as screens and other hosts read it."""

from __future__ import annotations

import msgspec

MOST_LINES = 256
"""Of one host in an answer about callers: of what it refused, and of what it shed."""


class ShedLine(msgspec.Struct, frozen=True):
    """The requests of an account for which one class of an adaptive limit had no room in the last hour."""

    group: str
    class_: str
    account: int
    shed: int
    would_shed: int
    why: str
    last_ns: int

    @property
    def total(self) -> int:
        """The number of times that it was shed or would have been."""
        return self.shed + self.would_shed
