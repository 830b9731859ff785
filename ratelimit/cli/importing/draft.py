"""A policy in the making: limits as they are found, and what could not be carried over.

A limit that the policy format does not accept is not written; a note says why, with the place it
came from. So what is written always can be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ratelimit.environment.printable import printable
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy

_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{printable(self.file)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Note:
    """What was not carried over, or has to be looked at, and where it stands."""

    place: Place
    message: str
    is_lost: bool = True
    """Whether something is missing from the policy; else it is there, and to be looked at."""


@dataclass(slots=True)
class LimitDraft:
    """One limit, as it will be written."""

    place: Place
    name: str
    per: Sequence[str]
    rate: str
    match: Sequence[str] = ()
    excepted: Sequence[str] = ()
    algorithm: str = "fixed-window"
    is_shadow: bool = False
    cost: int = 1
    tier: str | None = None
    tiers: Mapping[str, str] = field(default_factory=dict)
    """Rates by the value of the identity `tier`; empty for no limit."""

    def toml(self) -> str:
        """Return it as a table."""
        lines = [f"# {self.place}", "[[limit]]", f"name = {quoted(self.name)}"]
        for key, patterns in (("match", self.match), ("except", self.excepted)):
            if patterns:
                lines.append(f"{key} = {_one_or_list(patterns)}")
        lines += [f"per = {_one_or_list(self.per)}", f"rate = {quoted(self.rate)}"]
        if self.algorithm != "token-bucket":
            lines.append(f"algorithm = {quoted(self.algorithm)}")
        if self.cost != 1:
            lines.append(f"cost = {self.cost}")
        if self.is_shadow:
            lines.append('mode = "shadow"')
        if self.tier is not None:
            lines.append(f"tier = {quoted(self.tier)}")
            for value, rate in self.tiers.items():
                setting = f"rate = {quoted(rate)}" if rate else "unlimited = true"
                lines.append(f"tiers.{quoted(value)}.{setting}")
        return "\n".join(lines) + "\n"


class PolicyDraft:
    """The policy that grows."""

    def __init__(self) -> None:
        self.identities: dict[str, str] = {}
        """What each comes from, by name; as it is written."""
        self.limits: list[LimitDraft] = []
        self.notes: list[Note] = []

    def note(self, place: Place, message: str, *, is_lost: bool = True) -> None:
        """Say what could not be carried over, or what has to be looked at."""
        found = Note(place, message, is_lost)
        if found not in self.notes:
            self.notes.append(found)

    def identity(self, name: str, source: str, settings: str = "") -> str:
        """Have an identity, and return its name: another one where that is taken for another source."""
        written = f"{{ from = {quoted(source)}{settings} }}"
        free, number = name, 2
        while self.identities.setdefault(free, written) != written:
            free, number = f"{name}_{number}", number + 1
        return free

    def add(self, limit: LimitDraft) -> None:
        """Add a limit, or say why it cannot be."""
        limit.name = self._free(limit.name)
        try:
            Policy.from_toml(self._text([limit]), "the imported policy")
        except PolicyError as error:
            if limit.algorithm == "sliding-log":
                # A log has room for some thousand requests; the counter that estimates it has for more.
                limit.algorithm = "sliding-window"
                self.note(
                    limit.place,
                    f"{limit.name}: too many for a log: counted as a sliding window",
                    is_lost=False,
                )
                self.add(limit)
                return
            self.note(limit.place, f"{limit.name}: {error.problems[0].message}")
        else:
            self.limits.append(limit)

    def _free(self, wanted: str) -> str:
        clean = re.sub(r"[^ -~]+|#", " ", wanted).strip()[:_LONGEST_NAME] or "limit"
        taken = {limit.name for limit in self.limits}
        name, number = clean, 2
        while name in taken:
            name, number = f"{clean[: _LONGEST_NAME - 6]} ({number})", number + 1
        return name

    def text(self, head: Iterable[str]) -> str:
        """Return the policy as TOML."""
        top = "".join(f"# {line}\n" for line in head)
        return top + self._text(self.limits)

    def _text(self, limits: Sequence[LimitDraft]) -> str:
        used = {name for limit in limits for name in (*limit.per, limit.tier)}
        lines = [f"{name} = {source}\n" for name, source in self.identities.items() if name in used]
        identities = f"[identities]\n{''.join(lines)}\n" if lines else ""
        return f"version = 1\n\n{identities}" + "\n".join(limit.toml() for limit in limits)


def quoted(text: str) -> str:
    """Return a basic TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in escaped) + '"'


def _one_or_list(texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return quoted(texts[0])
    return f"[{', '.join(map(quoted, texts))}]"


def identity_name(text: str) -> str:
    """Return what an identity may be called."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"by_{name or 'it'}"
