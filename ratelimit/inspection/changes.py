"""The changes of a deployment on one line of time: acts, actors that were found, the policy in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ratelimit.clock import SystemClock
from ratelimit.decision import VERDICTS
from ratelimit.inspection import formatting
from ratelimit.inspection.act_words import act_words
from ratelimit.inspection.acting import known_acts
from ratelimit.inspection.identities import short_hash
from ratelimit.inspection.knowledge import Knowledge
from ratelimit.runtime.last_policy import last_in_force


@dataclass(frozen=True, slots=True)
class Change:
    """One change."""

    at_ns: int
    what: Literal["act", "ended", "actor", "policy"]
    words: str
    by: str = ""
    """Who did it, where somebody did."""
    actor: int | None = None


def changes_of(known: Knowledge, most: int = 500) -> Sequence[Change]:
    """Return the changes that are remembered, the latest first.

    Raises:
        StoreError: no log of acts can be read.
    """
    now_ns = SystemClock().now_ns()
    found = []
    for act in known_acts(known.deployment):
        reason = f": {act.reason}" if act.reason else ""
        found.append(Change(act.at_ns, "act", f"act {act.label}: {act_words(act)}{reason}", act.by))
        if act.kind != "undo" and act.until_ns is not None and act.until_ns <= now_ns:
            found.append(Change(act.until_ns, "ended", f"act {act.label} has lapsed"))
    for actor in known.actors:
        words = formatting.count(len(actor.members), "account")
        verdict = VERDICTS[actor.verdict] or "cleared"
        said = f"actor {short_hash(actor.identity)} was found; now {verdict}, {words}"
        found.append(Change(actor.first_s * 10**9, "actor", said, actor=actor.identity))
    path = known.deployment.policy.path
    last = None if path is None else last_in_force(str(path))
    if last is not None:
        found.append(Change(round(last.since_s * 1e9), "policy", "the text of the policy changed"))
    return sorted(found, key=lambda each: -each.at_ns)[:most]
