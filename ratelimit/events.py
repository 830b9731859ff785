"""Events besides decisions (reloads, noticed mistakes, faults) and the listeners that receive them.

Calls come from whichever thread noticed and must neither block nor raise.
Nothing a client sent is in them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from ratelimit.errors import RateLimitError

ReloadResult = Literal["applied", "unchanged", "rejected"]


EVENTS: Mapping[str, tuple[bool, str]] = {
    "store-away": (
        True,
        "The store's server is not used on this host; limits go by its share, or on_store_error.",
    ),
    "store-back": (False, "The store's server is used again on this host."),
    "store-emptied": (
        True,
        "The store's server came back empty: limits count anew, and may let as much through again.",
    ),
    "policy-reloaded": (False, "A changed policy file is in force."),
    "policy-rejected": (True, "A changed policy file cannot be used; the older policy stays in force."),
    "policy-rejected-long": (True, "The policy file has been unusable for ten minutes or more."),
    "actor-found": (True, "An actor was found: accounts that are taken for one."),
    "actor-grew": (True, "An actor has half as many accounts again as at its last report."),
    "actor-young": (
        True,
        "An actor of new accounts has a budget for every few payment methods for some days, then one. "
        "Declare it if you know it.",
    ),
    "actor-contained": (False, "A limit per actor refused this actor on this host for the first time."),
    "actor-released": (False, "Accounts are no longer taken for one actor."),
    "group-refused": (
        True,
        "Limits refuse a payer, a sponsor or an address of many accounts: perhaps an organisation. "
        "If you know it, give it another number for a while, or a plan, or say what it has paid.",
    ),
    "target-learned": (
        False,
        "A limit that follows the load has learned how late first bytes may be, or something much different.",
    ),
    "act-made": (False, "An operator's act is in force."),
    "act-lapsed": (False, "An operator's act has reached its end."),
    "act-undone": (False, "An operator's act was taken back."),
    "budget-used": (False, "A customer has used a share of its budget that `notify` of the limit names."),
    "self-check": (True, "The library noticed a likely mistake in its use."),
    "self-check-over": (False, "What a self-check noticed is over."),
}
"""By name, whether it is a warning, and what it says; docs/events.md has the fields."""
NOTES: Mapping[str, str] = {
    "minute": "The answers of this host in one minute, by limit and class.",
    "quarter": "The answers of this host in a quarter of an hour.",
    "top-callers": "The callers that this host's limits refused most within an hour.",
    "takings": "The callers that took most of this host's limits within an hour.",
    "note": "A person's note.",
}
"""By name, what the journal has beside events: no sink receives these."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, told once for each host."""

    name: str
    """One of `EVENTS`, or of `NOTES`."""
    time_ns: int
    """When, since 1970."""
    host: str
    worker: int
    """The process that told it."""
    fields: Mapping[str, Any]
    """What is particular to it: numbers, hashes, texts, None."""

    @property
    def is_alarming(self) -> bool:
        """True if it is a warning."""
        return EVENTS[self.name][0]

    def with_fields(self, **more: Any) -> Event:
        """Return it with more fields."""
        return replace(self, fields={**self.fields, **more})

    def json(self) -> str:
        """Return it as one JSON object on one line."""
        at = datetime.fromtimestamp(self.time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        record = {
            "event": self.name,
            "time": at.replace("+00:00", "Z"),
            "host": self.host,
            "worker": self.worker,
            "says": NOTES[self.name] if self.name in NOTES else EVENTS[self.name][1],
            "fields": dict(self.fields),
        }
        return json.dumps(record, ensure_ascii=True, allow_nan=False, default=str)

    def line(self) -> str:
        """Return it as one line for a log."""
        said = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in self.fields.items())
        return f"{self.name}: {EVENTS[self.name][1]} {said}".rstrip()


class Observer(Protocol):
    """Receives the events of one limiter."""

    def reloaded(self, result: ReloadResult, error: RateLimitError | None) -> None:
        """A reload ended; `error` says why it was rejected."""
        ...

    def diagnosed(self, code: str, message: str) -> None:
        """A likely mistake was noticed; each code is told once in each process."""
        ...

    def resolver_failed(self, name: str, error: BaseException) -> None:
        """A resolver raised or took too long; the identity counted as missing."""
        ...

    def store_failed(self, error: RateLimitError) -> None:
        """The store could not decide; the limits' stance did."""
        ...


class NullObserver:
    """Ignores everything."""

    __slots__ = ()

    def reloaded(self, result: ReloadResult, error: RateLimitError | None) -> None:
        """Ignore a reload."""

    def diagnosed(self, code: str, message: str) -> None:
        """Ignore a diagnosis."""

    def resolver_failed(self, name: str, error: BaseException) -> None:
        """Ignore a resolver's failure."""

    def store_failed(self, error: RateLimitError) -> None:
        """Ignore a store's failure."""


class MistakesLog(NullObserver):
    """Logs noticed mistakes and ignores the rest: what observes a limiter that was given nothing else."""

    __slots__ = ()

    def diagnosed(self, code: str, message: str) -> None:
        """Log a likely mistake."""
        logging.getLogger("ratelimit").warning("%s [%s]", message, code)
