"""Parts that several pages have: the evidence, an actor by its id, hosts, and what callers took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ratelimit.clock import SystemClock
from ratelimit.console.visit import Visit
from ratelimit.correlation.overview import Overview
from ratelimit.errors import StoreError
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.access.host_state import HostState
from ratelimit.inspection.actors.evidence import Source
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.inspection.callers.naming import resolve
from ratelimit.inspection.callers.takings import Takings, bounds_of, takings_within
from ratelimit.inspection.failure import InspectionFailure
from ratelimit.inspection.journal.outage import outage_words
from ratelimit.policy.compile.compiled import LimitRule

DEFAULT_SPAN = "7d"


def source_of(known: Knowledge) -> Source:
    """Return the evidence.

    Raises:
        InspectionFailure: there is none.
    """
    if known.source is None:
        if known.compiled.correlation is None:
            raise InspectionFailure("the policy has no correlation, so there are no actors", "input")
        raise InspectionFailure(known.trouble or "nothing is known of actors", "deployment")
    return known.source


def actor_named(known: Knowledge, written: str) -> Overview:
    """Return an actor by its id.

    Raises:
        InspectionFailure: there is none.
    """
    source_of(known)
    caller = resolve(known, f"actor={written}")
    found = known.actor(caller.hash)
    if found is None:
        raise InspectionFailure(f"actor {written} is gone", "input")
    return found


def principal_of(known: Knowledge) -> str:
    """Return the name of what accounts are of, to name one by its hash; empty for several."""
    spec = known.compiled.correlation
    return "" if spec is not None and len(spec.principal) > 1 else known.account or ""


def hosts_of(there: Deployment) -> dict[str, Any]:
    """Return which hosts apply all acts, and what is wrong."""
    states: Sequence[HostState]
    try:
        states, trouble = there.hosts(), []
    except StoreError:
        states = there.this_host()
        trouble = [outage_words(there.policy)]
    return {"hosts": states, "trouble": trouble}


def taken(visit: Visit) -> tuple[str, Takings]:
    """Return the time that a visitor chose, and what callers took in it.

    Raises:
        InspectionFailure: it is no time that can be chosen.
    """
    since = visit.one("since", DEFAULT_SPAN)
    begin_ns, end_ns = bounds_of(since, SystemClock().now_ns())
    noted, now = visit.observation.takings(begin_ns), visit.observation.present()
    _, whole, _ = visit.observation.policy()
    return since, takings_within(whole.compiled, noted, now, begin_ns, end_ns)


def rules_of(visit: Visit) -> Mapping[str, LimitRule]:
    """Return the limits by name, also those in the application's code."""
    _, whole, _ = visit.observation.policy()
    return {rule.name: rule for rule in reversed(whole.compiled.rules)}


def number(text: str) -> int:
    """Return the number of a page."""
    return int(text) if text.isdecimal() and len(text) < 8 else 1
