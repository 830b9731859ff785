"""Lines of a trace that say no request: counted, the first few kept to be shown."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 5
EXCERPT = 120


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """One line that could not be read: where, why, and how it begins."""

    number: int
    reason: str
    excerpt: str


@dataclass(slots=True)
class Unreadable:
    """All of them. Only the first `SHOWN` are kept, so that a wrong file costs no memory."""

    count: int = 0
    first: list[UnreadableLine] = field(default_factory=list)

    def add(self, number: int, reason: str, line: bytes) -> None:
        """Count one line, and keep it if it is among the first."""
        self.count += 1
        if len(self.first) < SHOWN:
            # repr-style escapes: a log is written by strangers and shown on a terminal.
            text = line[:EXCERPT].decode("utf-8", "backslashreplace")
            shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
            self.first.append(UnreadableLine(number, reason, shown))
