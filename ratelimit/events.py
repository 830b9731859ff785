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


Topic = Literal["", "actors", "acts", "policies", "others"]
"""The part of a week's page that shows an event; empty for none, and for outages, which are spans there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """A kind of event, or of note, as those know it that tell, log, count or show one."""

    name: str
    says: str
    """It in a sentence, for the log and for sinks."""
    brief: str = ""
    """It in the journal, with `{}` around the names of its fields. Without it `says` and all fields.

    `inspection.journal.entries` has the words of kinds that take more than their fields.
    """
    is_warning: bool = False
    topic: Topic = ""
    is_of_all_hosts: bool = False
    """Whether each host reports the same, so that people read it once, with all of these hosts."""
    is_logged: bool = False
    """Whether each worker writes it to the log by itself, in more words."""


_EVENTS = (
    EventKind(
        name="store-away",
        says="The store's server is not used on this host; limits go by its share, or on_store_error.",
        brief="the server is not used; limits go by this host's share, or on_store_error",
        is_warning=True,
    ),
    EventKind(name="store-back", says="The store's server is used again on this host."),
    EventKind(
        name="store-emptied",
        says="The store's server came back empty: limits count anew, and may let as much through again.",
        is_warning=True,
    ),
    EventKind(
        name="policy-reloaded",
        says="A changed policy file is in force.",
        topic="policies",
        is_of_all_hosts=True,
        is_logged=True,
    ),
    EventKind(
        name="policy-rejected",
        says="A changed policy file cannot be used; the older policy stays in force.",
        brief="the policy file cannot be used: {error}",
        is_warning=True,
        topic="policies",
        is_of_all_hosts=True,
        is_logged=True,
    ),
    EventKind(
        name="policy-rejected-long",
        says="The policy file has been unusable for ten minutes or more.",
        is_warning=True,
        topic="policies",
    ),
    EventKind(
        name="actor-found",
        says="An actor was found: accounts that are taken for one.",
        is_warning=True,
        topic="actors",
    ),
    EventKind(
        name="actor-grew",
        says="An actor has half as many accounts again as at its last report.",
        is_warning=True,
        topic="actors",
    ),
    EventKind(
        name="actor-young",
        says="An actor of new accounts has a budget for every few payment methods for some days, then one. "
        "Declare it if you know it.",
        is_warning=True,
    ),
    EventKind(
        name="actor-contained",
        says="A limit per actor refused this actor on this host for the first time.",
        brief="actor contained by {limit}: {refused:,} refused",
        topic="actors",
    ),
    EventKind(
        name="actor-released",
        says="Accounts are no longer taken for one actor.",
        brief="no actor any more",
        topic="actors",
    ),
    EventKind(
        name="group-refused",
        says="Limits refuse a payer, a sponsor or an address of many accounts: perhaps an organisation. "
        "If you know it, give it another number for a while, or a plan, or say what it has paid.",
        is_warning=True,
        topic="others",
    ),
    EventKind(
        name="target-learned",
        says="A limit that follows the load has learned how late first bytes may be, or something much "
        "different.",
        topic="others",
    ),
    EventKind(name="act-made", says="An operator's act is in force.", topic="acts", is_of_all_hosts=True),
    EventKind(
        name="act-lapsed", says="An operator's act has reached its end.", topic="acts", is_of_all_hosts=True
    ),
    EventKind(
        name="act-undone", says="An operator's act was taken back.", topic="acts", is_of_all_hosts=True
    ),
    EventKind(
        name="budget-used",
        says="A customer has used a share of its budget that `notify` of the limit names.",
    ),
    EventKind(
        name="self-check",
        says="The library noticed a likely mistake in its use.",
        brief="{words} [{code}]",
        is_warning=True,
        topic="others",
        is_logged=True,
    ),
    EventKind(
        name="self-check-over",
        says="What a self-check noticed is over.",
        brief="it is over [{code}]",
        topic="others",
    ),
)
_NOTES = (
    EventKind(name="minute", says="The answers of this host in one minute, by limit and class."),
    EventKind(name="quarter", says="The answers of this host in a quarter of an hour."),
    EventKind(name="top-callers", says="The callers that this host's limits refused most within an hour."),
    EventKind(name="takings", says="The callers that took most of this host's limits within an hour."),
    EventKind(name="note", says="A person's note.", brief="{text} ({by})", topic="others"),
)

EVENTS: Mapping[str, EventKind] = {kind.name: kind for kind in _EVENTS}
"""Events by name, in the order of the columns that count them; docs/events.md has their fields."""
NOTES: Mapping[str, EventKind] = {kind.name: kind for kind in _NOTES}
"""What the journal has beside events: no sink receives these."""
KINDS: Mapping[str, EventKind] = {**EVENTS, **NOTES}


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
        return EVENTS[self.name].is_warning

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
            "says": KINDS[self.name].says,
            "fields": dict(self.fields),
        }
        return json.dumps(record, ensure_ascii=True, allow_nan=False, default=str)

    def line(self) -> str:
        """Return it as one line for a log."""
        said = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in self.fields.items())
        return f"{self.name}: {EVENTS[self.name].says} {said}".rstrip()


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
