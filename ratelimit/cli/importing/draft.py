"""A policy in the making: limits as they are found, and what of the source they do not carry.

A loss is what a policy cannot say exactly: with it, the policy would decide some request otherwise than
its source. A remark is what holds for the whole import, and can be shown never to admit more.
A limit that the policy format does not accept is a loss, too. So what is written always can be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratelimit.environment.printable import printable
from ratelimit.errors import PolicyError
from ratelimit.policy import Policy
from ratelimit.policy.compile.compiler import MAX_LIMITS

MOST_IN_A_LOG = 4096
_LONGEST_NAME = 64
_LONGEST_TEXT = 80


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{printable(self.file)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Loss:
    """One line that cannot be carried exactly."""

    place: Place
    text: str
    """The source's own words, cut short; escaped where they are shown."""
    why: str
    instead: str = ""
    """What to write; empty where there is nothing."""

    def __str__(self) -> str:
        said = f"{self.place}: {printable(self.text)}: {self.why}"
        return f"{said} {self.instead}" if self.instead else said


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
    cost: int = 1

    @property
    def amount(self) -> int:
        """Requests in a period."""
        return int(re.match("[0-9]*", self.rate)[0] or 0)  # type: ignore[index]  # matches in any case

    def toml(self) -> str:
        """Return it as a table."""
        lines = [f"# {self.place}", "[[limit]]", f"name = {quoted(self.name)}"]
        for key, patterns in (("match", self.match), ("except", self.excepted)):
            if patterns:
                lines.append(f"{key} = {_one_or_list(patterns)}")
        lines += [f"per = {_one_or_list(self.per)}", f"rate = {quoted(self.rate)}"]
        lines.append(f"algorithm = {quoted(self.algorithm)}")
        if self.cost != 1:
            lines.append(f"cost = {self.cost}")
        return "\n".join(lines) + "\n"


class PolicyDraft:
    """The policy that grows."""

    def __init__(self) -> None:
        self.identities: dict[str, str] = {}
        """What each comes from, by name; as it is written."""
        self.limits: list[LimitDraft] = []
        self._losses: dict[Loss, None] = {}
        self.remarks: list[str] = []
        self.has_headers = False
        """True if responses have `X-RateLimit-Limit`, `-Remaining` and `-Reset`."""
        self.has_exact_case = False
        """True if paths in another case are other paths to the application."""
        self.is_wsgi = False
        """True if the application is Flask's."""
        self._taken: set[str] = set()

    def lose(self, place: Place, text: str, why: str, instead: str = "") -> None:
        """Say what the policy does not carry exactly, once."""
        short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
        self._losses[Loss(place, short, why, instead)] = None

    @property
    def losses(self) -> list[Loss]:
        """Parts that the policy does not carry exactly, in the order of their places."""
        return sorted(self._losses, key=lambda each: each.place)

    def remark(self, message: str) -> None:
        """Say what holds for the whole import."""
        if message not in self.remarks:
            self.remarks.append(message)

    def identity(self, name: str, source: str, settings: str = "") -> str:
        """Have an identity, and return its name: another one where that is taken for another source."""
        written = f"{{ from = {quoted(source)}{settings} }}"
        free, number = name, 2
        while self.identities.setdefault(free, written) != written:
            free, number = f"{name}_{number}", number + 1
        return free

    def address(self, missing: str) -> str:
        """Have the client's address, each of IPv6 by itself, as the sources count it; return its name."""
        settings = f', missing = "{missing}"'
        return self.identity("address", "client/32/128", settings)

    def add(self, limit: LimitDraft) -> None:
        """Add a limit, or say why it cannot be."""
        if len(self.limits) >= MAX_LIMITS:
            self.lose(limit.place, limit.name, f"a policy has at most {MAX_LIMITS} limits.")
            return
        limit.name = self._free(limit.name)
        try:
            Policy.from_toml(self._text([limit]), "the imported policy")
        except PolicyError as error:
            problem = error.problems[0]
            if limit.algorithm == "sliding-log" and limit.amount > MOST_IN_A_LOG:
                # A log has room for some thousand requests; the counter that estimates it has for more.
                limit.algorithm = "sliding-window"
                self.lose(
                    limit.place,
                    limit.rate,
                    "it is too many for a log of requests, and a sliding window only estimates them.",
                    f"Write at most {MOST_IN_A_LOG} in the period.",
                )
                self.add(limit)
                return
            self.lose(limit.place, limit.name, f"{problem.message}.", problem.hint)
        else:
            self._taken.add(limit.name)
            self.limits.append(limit)

    def _free(self, wanted: str) -> str:
        clean = re.sub(r"[^ -~]+|#", " ", wanted).strip()[:_LONGEST_NAME] or "limit"
        name, number = clean, 2
        while name in self._taken:
            name, number = f"{clean[: _LONGEST_NAME - 6]} ({number})", number + 1
        return name

    def text(self, head: Iterable[str]) -> str:
        """Return the policy as TOML, what it does not carry in its first lines."""
        lines = list(head)
        if self.losses:
            lines += ["", "It decides otherwise than its source where it was not carried over:"]
            lines += [f"- {loss}" for loss in self.losses]
        if self.remarks:
            lines += ["", "What holds for all of it:", *(f"- {remark}" for remark in self.remarks)]
        top = "".join(f"# {printable(line)}\n" if line else "#\n" for line in lines)
        return top + self._text(self.limits)

    def _text(self, limits: Sequence[LimitDraft]) -> str:
        used = {name for limit in limits for name in limit.per}
        lines = [f"{name} = {source}\n" for name, source in self.identities.items() if name in used]
        identities = f"[identities]\n{''.join(lines)}\n" if lines else ""
        routing = 'spellings = ["exact-case"]\n\n' if self.has_exact_case else ""
        headers = 'headers = ["ratelimit", "x-ratelimit", "retry-after"]\n\n' if self.has_headers else ""
        return f"version = 1\n\n{headers}{routing}{identities}" + "\n".join(limit.toml() for limit in limits)


def quoted(text: str) -> str:
    """Return a basic TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in escaped) + '"'


def _one_or_list(texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return quoted(texts[0])
    return f"[{', '.join(map(quoted, texts))}]"


def identity_name(text: str) -> str:
    """Return what an identity may be called."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"by_{name or 'it'}"
