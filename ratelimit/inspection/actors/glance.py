"""A glance at actors: the few numbers by which one person's accounts differ from an organisation's.

Both may be many new accounts on few payment methods. The people of an organisation share few addresses, and
go home. One person who runs many accounts uses an address for nearly each of them. So screens show these
numbers first, and put actors with more exits before others of the same verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ratelimit.core.clusters.profile import members_of
from ratelimit.correlation.overview import Overview
from ratelimit.inspection import formatting
from ratelimit.inspection.actors.evidence import Source
from ratelimit.inspection.actors.saved import label_of
from ratelimit.policy.compile.compiled import LimitRule

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Glance:
    """One actor, in numbers to compare with another's."""

    looked_at: int
    """The accounts that the evidence is of: the actor's, and those with a home among them."""
    payments: int
    addresses: int
    homed: int
    """Accounts that are at home somewhere."""
    new: int
    asked: int
    """Requests of its accounts, allowed or refused."""
    watched_ns: int
    joined: int
    """Accounts first seen within the last hour."""
    of_budget: float | None
    """Its requests on average, as a part of what a limit per actor allows; None where that is not known."""
    budget: str
    """That limit's name."""

    @property
    def an_address(self) -> float:
        """How many accounts there are for each address."""
        return self.looked_at / max(1, self.addresses)

    @property
    def of_budget_words(self) -> str:
        """How much of one budget it asked on average; empty where that is not known."""
        if self.of_budget is None:
            return ""
        return f"{formatting.share(round(1000 * self.of_budget), 1000)} of what “{self.budget}” allows"

    @property
    def words(self) -> str:
        """It in one line."""
        accounts = formatting.count(self.looked_at, "account")
        return (
            f"{accounts} on {formatting.count(self.payments, 'payment method')} "
            f"at {self.addresses:,} address{'' if self.addresses == 1 else 'es'}; "
            f"{_part(self.homed, self.looked_at)} at home, {_part(self.new, self.looked_at)} new, "
            f"{self.joined:,} joined within an hour"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "accounts_an_address": round(self.an_address, 2),
            "at_home": self.homed,
            "new": self.new,
            "joined_last_hour": self.joined,
            "asked_of_budget": None if self.of_budget is None else round(self.of_budget, 3),
        }


def glance_at(source: Source, actor: Overview, rules: Sequence[LimitRule]) -> Glance:
    """Return the numbers of one actor."""
    evidence, core = actor.evidence, source.correlator.core
    looked_at = int(evidence["accounts"])
    asked, watched_ns = source.takings.get(actor.identity, 0), source.watched_ns(actor.identity)
    since_s = source.correlator.now_ns // 10**9 - HOUR_S
    joined = sum(first_s > since_s for *_, first_s, _ in members_of(core, label_of(source, actor)))
    rule = next((rule for rule in rules if _is_budget(rule) and 0 < rule.period_ns <= watched_ns), None)
    return Glance(
        looked_at,
        int(evidence["payment_methods"]),
        int(evidence["addresses"]),
        round(evidence["homed"] * looked_at),
        round(evidence["new"] * looked_at),
        asked,
        watched_ns,
        joined,
        None if rule is None else asked * rule.period_ns / (watched_ns * rule.quota),
        "" if rule is None else rule.name,
    )


def _part(number: int, whole: int) -> str:
    return "all" if number == whole else f"{number:,}" if number else "none"


def _is_budget(rule: LimitRule) -> bool:
    """Return whether a limit is one budget for all accounts of an actor, in requests."""
    return rule.is_clustered and not rule.is_beside and rule.verdict != "young" and rule.unit == "requests"


def in_order(actors: Sequence[Overview]) -> list[Overview]:
    """Return actors with the surest first, and of one verdict those that have the traffic of most exits.

    An organisation has few exits, however many accounts it has.
    """
    return sorted(
        actors,
        key=lambda each: (-each.verdict, -each.evidence["exits"], -len(each.members), each.identity),
    )
