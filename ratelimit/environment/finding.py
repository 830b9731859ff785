"""A finding of an examination: the check, whether it passed, what was seen, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["ok", "warn", "fail"]
Fact = int | float | str | bool | None


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `warn` is about what may go wrong, `fail` about what does."""

    check: str
    status: Status
    says: str
    advice: str = ""
    """What to do; empty where there is nothing to do."""
    where: str = ""
    """The server it was seen on, where there are several."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """The numbers behind it, for machines; units are in the names."""


def unseen(check: str, command: str, advice: str) -> Finding:
    """Return what a check comes to where the server does not let us look."""
    return Finding(
        check, "warn", f"could not be seen: this user may not call {command}", advice, facts={"seen": False}
    )
